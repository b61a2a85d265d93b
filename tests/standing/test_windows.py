"""Windows and moments of many clips at once, against loops that say the same."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.standing.frames import Frames
from curate.standing.moments import ALIKE, moments
from curate.standing.windows import WINDOW, windows_of
from curate.vectors import unit

DIM = 6
COUNTS = st.lists(st.integers(1, 7), min_size=1, max_size=9)


def frames_of(counts: list[int], seed: int) -> Frames:
    """Clips whose frames drift, so that neighbours are alike as often as not."""
    rng = np.random.default_rng(seed)
    steps = rng.standard_normal((sum(counts), DIM)) * rng.choice([0.05, 0.5, 2], (sum(counts), 1))
    times_s = np.concatenate([10.0 * at + np.arange(count) / 2 for at, count in enumerate(counts)])
    return Frames(times_s, unit(np.cumsum(steps, axis=0)).astype(np.float16), np.array(counts))


def parts(frames: Frames) -> list[slice]:
    return [slice(first, first + count) for first, count in zip(frames.first, frames.counts, strict=True)]


@settings(max_examples=60, deadline=None)
@given(counts=COUNTS, seed=st.integers(0, 99))
def test_the_best_window_of_each_clip(counts: list[int], seed: int) -> None:
    frames = frames_of(counts, seed)
    asked = np.random.default_rng(seed).standard_normal((3, DIM)).astype(np.float32)
    for best, direction in zip(windows_of(frames, asked, frames_per_s=2), asked, strict=True):
        for at, part in enumerate(parts(frames)):
            scores = frames.vectors[part].astype(np.float64) @ direction
            width = min(WINDOW, len(scores))
            means = [scores[first : first + width].mean() for first in range(len(scores) - width + 1)]
            assert best.similarity[at] == pytest.approx(max(means), abs=1e-5)
            first = round((best.start_s[at] - frames.times_s[part][0]) * 2)
            assert means[first] == pytest.approx(max(means), abs=1e-5)
            assert best.end_s[at] == pytest.approx(best.start_s[at] + width / 2)


@settings(max_examples=60, deadline=None)
@given(counts=COUNTS, seed=st.integers(0, 99))
def test_the_moments_of_each_clip(counts: list[int], seed: int) -> None:
    frames = frames_of(counts, seed)
    vectors, owner = moments(frames)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    for at, part in enumerate(parts(frames)):
        seen = frames.vectors[part].astype(np.float64)
        windows = unit(seen if len(seen) < WINDOW else seen[1:] + seen[:-1])
        runs = [windows[0]]
        for window in windows[1:]:
            if window @ unit(runs[-1]) >= ALIKE:
                runs[-1] = runs[-1] + window
            else:
                runs.append(window)
        assert vectors[owner == at] == pytest.approx(unit(np.array(runs)), abs=1e-3)


def test_frames_come_back_from_blobs() -> None:
    frames = frames_of([1, 5, 2], seed=0)
    again = Frames.of_blobs(frames.blobs(), DIM)
    for name in ("times_s", "vectors", "counts"):
        assert np.array_equal(getattr(again, name), getattr(frames, name))
    assert again.means()[0] == pytest.approx(frames.vectors[0].astype(np.float32), abs=1e-3)


def test_no_clips_at_all() -> None:
    nothing = Frames.of_blobs([], DIM)
    assert [
        len(best.similarity) for best in windows_of(nothing, np.eye(DIM, dtype=np.float32)[:2], frames_per_s=2)
    ] == [0, 0]
    assert moments(nothing)[0].shape == (0, DIM)
    assert nothing.means().shape == (0, DIM)
