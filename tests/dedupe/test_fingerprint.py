"""Fingerprints of real files: what they hold, that they are kept, and what a bad file does."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curate.dedupe import fingerprint
from curate.dedupe.fingerprint import PICTURES_PER_S, SIZE, Span, VideoSpans, fingerprints, interpolate, of_video
from curate.specs.analysis import Engine

Footage = tuple[Path, list[dict[str, Any]]]


def video_of(footage: Footage, *spans: tuple[float, float]) -> VideoSpans:
    directory, entries = footage
    named = tuple(Span(f"{start_s}-{end_s}", start_s, end_s) for start_s, end_s in spans)
    file = next(entry["file"] for entry in entries if not entry["variable_rate"])
    return VideoSpans(str(directory / file), named)


def test_one_decode_gives_each_clip_its_pictures_at_times_from_its_own_start(footage: Footage) -> None:
    made = of_video(video_of(footage, (0.0, 2.0), (3.0, 5.0)))
    assert list(made) == ["0.0-2.0", "3.0-5.0"]
    for one in made.values():
        assert one.luma.shape == (2 * PICTURES_PER_S, SIZE, SIZE)
        late_s = one.times_s - np.arange(16) / PICTURES_PER_S
        assert late_s.min() > -1e-3 and late_s.max() < 0.1  # the first frame at or after
        assert one.grid.shape[1] == SIZE * SIZE
        assert np.linalg.norm(one.grid, axis=1) == pytest.approx(1, abs=0.2)


def test_a_fingerprint_is_made_once_and_read_back_the_same(footage: Footage, tmp_path: Path) -> None:
    video = video_of(footage, (0.0, 2.0), (3.0, 5.0))
    made, failed = fingerprints([video], tmp_path, Engine(workers=1))
    assert not failed and len(list(tmp_path.glob("*.parquet"))) == 1
    told: list[tuple[str, int, int]] = []
    read, failed = fingerprints([video], tmp_path, Engine(workers=1), progress=lambda *told_: told.append(told_))
    assert not failed and not told
    for clip_id, one in made.items():
        assert np.array_equal(one.luma, read[clip_id].luma)
        assert np.array_equal(one.times_s, read[clip_id].times_s)


def test_a_file_that_cannot_be_read_fails_its_clips_alone(footage: Footage, tmp_path: Path) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"not a video")
    past_the_end = Span("late", 9000.0, 9001.0)
    good = video_of(footage, (0.0, 1.0))
    videos = [VideoSpans(str(bad), (Span("bad", 0.0, 1.0),)), VideoSpans(good.path, (*good.spans, past_the_end))]
    made, failed = fingerprints(videos, tmp_path, Engine(workers=1))
    assert set(made) == {"0.0-1.0"}
    assert set(failed) == {"bad", "late"} and all(failed.values())


def test_many_small_files_become_one(footage: Footage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprint, "_FOLD_FILES", 2)
    videos = [video_of(footage, (0.0, 1.0)), video_of(footage, (1.0, 2.0))]
    for video in videos:
        fingerprint._write(tmp_path, of_video(video))
    assert len(list(tmp_path.glob("*"))) == 2
    for _ in range(2):
        made, failed = fingerprints(videos, tmp_path, Engine(workers=1))
        assert len(made) == 2 and not failed
        assert len(list(tmp_path.glob("*"))) == 1


def test_pictures_between_two_times_are_mixed_and_those_outside_are_the_ends() -> None:
    pictures, times_s = np.float32([[0.0], [1.0]]), np.array([0.0, 2.0])
    assert interpolate(pictures, times_s, np.array([-1.0, 0.5, 2.0, 5.0]))[:, 0].tolist() == [0.0, 0.25, 1.0, 1.0]
    assert interpolate(pictures[:1], times_s[:1], np.array([0.0, 9.0]))[:, 0].tolist() == [0.0, 0.0]
