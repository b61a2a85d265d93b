from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from curate.sample.copies import BREAKAGES, TRANSFORMS
from curate.sample.scenes import mirrored
from curate.sample.world import render_copy

World = tuple[Path, dict[str, Any]]


@pytest.fixture(scope="module")
def source(world: World) -> dict[str, Any]:
    return next(
        v for v in world[1]["videos"]
        if v["kind"] == "original" and v["file"].endswith(".mp4") and not v["rotation_deg"] and v["has_audio"]
    )  # fmt: skip


def decode(path: Path) -> tuple[np.ndarray, list[np.ndarray]]:
    """Times relative to the first shown frame, and small grey frames."""
    with av.open(str(path)) as container:
        frames = [
            (frame.pts * frame.time_base, cv2.resize(frame.to_ndarray(format="gray"), (64, 36), interpolation=3))
            for frame in container.decode(video=0)
        ]
    return np.array([float(t - frames[0][0]) for t, _ in frames]), [picture.astype(float) for _, picture in frames]


@pytest.fixture(scope="module")
def original(world: World, source: dict[str, Any]) -> tuple[np.ndarray, list[np.ndarray]]:
    """The decoded source."""
    return decode(world[0] / source["file"])


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_the_time_map_leads_to_the_frame_that_was_copied(
    world: World, source: dict[str, Any], original: tuple[np.ndarray, list[np.ndarray]], transform: str, tmp_path: Path
) -> None:
    directory, _ = world
    (tmp_path / source["file"]).write_bytes((directory / source["file"]).read_bytes())
    copy = render_copy(tmp_path, source, transform, 0)
    times, pictures = decode(tmp_path / copy["file"])
    original_times, originals = original
    offset_s, speed = copy["time_map"]["offset_s"], copy["time_map"]["speed"]
    mapped = offset_s + speed * times
    nearest = np.abs(original_times[None] - mapped[:, None]).argmin(axis=1)
    assert np.abs(original_times[nearest] - mapped).max() < 1.5e-3
    assert len(set(nearest.tolist())) == len(times)
    if transform in {"bytes", "remux", "reencode", "resize", "trim", "speed", "logo"}:
        step = max(1, len(times) // 20)
        for at in range(0, len(times), step):
            assert np.abs(pictures[at] - originals[nearest[at]]).mean() < 8
    assert copy["duration_s"] == pytest.approx(
        {"trim": 0.7, "speed": 0.8}.get(transform, 1.0) * source["duration_s"], abs=0.1
    )


def test_a_trimmed_copy_keeps_only_what_it_shows(world: World, source: dict[str, Any], tmp_path: Path) -> None:
    directory, _ = world
    (tmp_path / source["file"]).write_bytes((directory / source["file"]).read_bytes())
    copy = render_copy(tmp_path, source, "trim", 0)
    assert copy["shots"][0]["start_s"] == 0
    assert copy["shots"][-1]["end_s"] == copy["duration_s"]
    assert len(copy["segments"]) <= len(source["segments"])
    assert all(0 <= s["start_s"] < s["end_s"] <= copy["duration_s"] for s in copy["segments"])


def test_a_mirror_swaps_directions() -> None:
    assert mirrored({"direction": "left", "color": "red"}) == {"direction": "right", "color": "red"}


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_a_broken_file_cannot_be_decoded(world: World, breakage: str) -> None:
    directory, truth = world
    entry = next(v for v in truth["videos"] if v["transform"] == breakage)
    assert entry["expected"] == "failed"
    with pytest.raises((av.error.FFmpegError, IndexError)), av.open(str(directory / entry["file"])) as container:
        list(container.decode(container.streams.video[0]))
