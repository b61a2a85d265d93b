"""Clips from shots: lengths, and where a long shot is split."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.analyze.clips import clips_of
from curate.analyze.shots import Shot
from curate.specs.analysis import Clips

STILL = (np.arange(0, 100, 0.04), np.zeros(2500))


def frames(end_s: float, rate: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Times of a variable rate and a change at each of them."""
    rng = np.random.default_rng(seed)
    times_s = np.cumsum(rng.uniform(0.3, 1.7, int(end_s * rate) + 2) / rate)
    times_s = np.concatenate([[0.0], times_s[times_s < end_s]])
    return times_s, rng.uniform(0, 1, len(times_s)) ** 4


@settings(deadline=None)
@given(
    st.lists(st.floats(0.05, 90), min_size=1, max_size=6),
    st.floats(0.5, 5),
    st.floats(2, 8),
    st.floats(0.2, 30),
    st.integers(0, 9),
)
def test_clips_and_short_spans_are_the_shots(
    lengths: list[float], min_s: float, ratio: float, rate: float, seed: int
) -> None:
    spec = Clips(min_s=min_s, max_s=min_s * ratio)
    edges = [0.0, *itertools.accumulate(lengths)]
    shots = [Shot(start, end, "cut") for start, end in itertools.pairwise(edges)]
    changes = frames(edges[-1], rate, seed)
    clips, short = clips_of(shots, spec, changes)
    assert sum(end - start for start, end in clips + short) == pytest.approx(edges[-1])
    assert all(spec.min_s - 1e-5 <= end - start <= spec.max_s + 1e-5 for start, end in clips)
    assert all(end - start < spec.min_s for start, end in short)
    assert {edge for span in clips + short for edge in span} >= set(edges)
    assert clips_of(shots, spec, changes) == (clips, short)


@settings(deadline=None)
@given(st.floats(3, 200), st.floats(10, 60), st.integers(0, 9))
def test_a_long_shot_is_split_on_frames_into_the_fewest_clips(length_s: float, rate: float, seed: int) -> None:
    times_s, change = frames(length_s, rate, seed)
    clips, _ = clips_of([Shot(0.0, length_s, "start")], Clips(min_s=1, max_s=6), (times_s, change))
    assert {start for start, _ in clips} <= set(times_s)
    fewest = int(np.ceil(length_s / 6 - 1e-6))
    # Where the length is nearly a multiple of the maximum, no frame may begin in the few places that fit.
    to_spare_s = fewest * (np.diff(times_s).max() + 1e-6)
    assert len(clips) == fewest or (len(clips) == fewest + 1 and fewest * 6 - length_s < to_spare_s)


def test_a_long_shot_is_split_where_least_happens() -> None:
    times_s = np.arange(0, 30, 0.04)
    change = np.where((times_s > 17) & (times_s < 18), 0.001, 0.1)
    clips, _ = clips_of([Shot(0.0, 30.0, "start")], Clips(min_s=1, max_s=20), (times_s, change))
    assert len(clips) == 2 and 17 < clips[0][1] < 18


def test_a_still_shot_is_split_evenly() -> None:
    clips, short = clips_of([Shot(0.0, 45.0, "start"), Shot(45.0, 45.5, "cut")], Clips(min_s=1, max_s=20), STILL)
    assert np.array(clips) == pytest.approx(np.array([(0.0, 15.0), (15.0, 30.0), (30.0, 45.0)]), abs=0.02 + 1e-6)
    assert {edge for clip in clips for edge in clip} <= set(STILL[0])
    assert short == [(45.0, 45.5)]


def test_a_picture_that_stands_for_minutes_is_split_all_the_same() -> None:
    clips, _ = clips_of([Shot(0.0, 90.0, "start")], Clips(min_s=1, max_s=20), (np.array([0.0, 89.0]), np.zeros(2)))
    assert clips == [(0, 18), (18, 36), (36, 54), (54, 72), (72, 90)]
