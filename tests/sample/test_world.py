from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from curate.sample.scenes import ACTIONS
from curate.sample.world import plan_world, render_original, render_world

World = tuple[Path, dict[str, Any]]


def decoded_times_s(path: Path) -> list[float]:
    """Times relative to the first shown frame, from decoded frames."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        pts = [frame.pts for frame in container.decode(stream)]
        return [float((p - pts[0]) * stream.time_base) for p in pts]


def decodable(truth: dict[str, Any]) -> list[dict[str, Any]]:
    return [video for video in truth["videos"] if video["expected"] == "ok"]


def find(truth: dict[str, Any], **wanted: Any) -> dict[str, Any]:
    return next(v for v in truth["videos"] if all(v[key] == value for key, value in wanted.items()))


def test_a_seed_gives_the_same_bytes_again(world: World, tmp_path: Path) -> None:
    directory, _ = world
    render_world(tmp_path, 6, seed=5)
    files = sorted(path.name for path in directory.iterdir())
    assert files == sorted(path.name for path in tmp_path.iterdir())
    assert [name for name in files if (directory / name).read_bytes() != (tmp_path / name).read_bytes()] == []


def test_pictures_are_the_same_bytes_wherever_the_encoder_keeps_them(tmp_path: Path) -> None:
    plan = next(plan for plan in plan_world(60, 7) if plan.preset == "veryfast")
    encoded, elsewhere = set(), []
    for megabytes in range(1, 5):
        elsewhere.append(bytearray(megabytes << 20))
        render_original(tmp_path, plan)
        encoded.add((tmp_path / plan.file).read_bytes())
    assert len(encoded) == 1


def test_truth_is_written_beside_the_videos(world: World) -> None:
    directory, truth = world
    assert json.loads((directory / "truth.json").read_text()) == truth
    assert {video["file"] for video in truth["videos"]} | {"truth.json"} == {p.name for p in directory.iterdir()}


def test_every_event_lies_on_a_decoded_frame(world: World) -> None:
    directory, truth = world
    for video in decodable(truth):
        times = decoded_times_s(directory / video["file"])
        edges = np.array([*times, video["duration_s"]])
        assert video["duration_s"] > times[-1]
        events = [item[key] for kind in ("boundaries", "shots", "segments", "text") for item in video[kind]
                  for key in ("start_s", "end_s")]  # fmt: skip
        for event_s in events:
            assert np.abs(edges - event_s).min() < 1e-5, (video["file"], event_s)


def test_shots_cover_a_video_and_hold_its_segments(world: World) -> None:
    _, truth = world
    for video in decodable(truth):
        shots = video["shots"]
        assert shots[0]["start_s"] == 0
        assert shots[-1]["end_s"] == pytest.approx(video["duration_s"], abs=1e-5)
        assert all(a["end_s"] == b["start_s"] for a, b in pairwise(shots))
        for segment in video["segments"]:
            assert any(s["start_s"] <= segment["start_s"] < segment["end_s"] <= s["end_s"] for s in shots)
            assert segment["fields"].keys() >= {"color", "shape"}


def test_originals_keep_to_their_lengths(world: World) -> None:
    _, truth = world
    for video in truth["videos"]:
        if video["kind"] != "original":
            continue
        assert 14.9 <= video["duration_s"] <= 40.1
        assert all(3.0 <= shot["end_s"] - shot["start_s"] <= 9.1 for shot in video["shots"])
        assert all(1.5 <= segment["end_s"] - segment["start_s"] <= 6.0 for segment in video["segments"])


def test_a_cut_changes_the_picture_at_its_time_and_not_before(world: World) -> None:
    directory, truth = world
    video = find(truth, rotation_deg=0, variable_rate=True, kind="original")
    with av.open(str(directory / video["file"])) as container:
        frames = [frame.to_ndarray(format="gray").astype(float) for frame in container.decode(video=0)]
    times = decoded_times_s(directory / video["file"])
    change = [0.0, *(float(np.abs(b - a).mean()) for a, b in pairwise(frames))]
    for boundary in video["boundaries"]:
        if boundary["kind"] == "cut":
            at = int(np.abs(np.array(times) - boundary["start_s"]).argmin())
            assert change[at] > 3 * max(change[at - 1], change[at + 1], 1.0)


def test_a_variable_rate_file_has_uneven_frames(world: World) -> None:
    directory, truth = world
    video = find(truth, variable_rate=True, kind="original")
    gaps = np.diff(decoded_times_s(directory / video["file"]))
    assert gaps.max() > 1.8 * np.median(gaps)
    assert len(np.unique(np.round(gaps, 5))) > 20


def test_a_rotated_file_carries_its_matrix(world: World) -> None:
    directory, truth = world
    video = next(v for v in truth["videos"] if v["rotation_deg"] and v["kind"] == "original")
    with av.open(str(directory / video["file"])) as container:
        frame = next(container.decode(video=0))
        assert -frame.rotation % 360 == video["rotation_deg"]
        assert (frame.height, frame.width) == (video["width"], video["height"])


def test_a_late_file_starts_late(world: World) -> None:
    directory, truth = world
    video = next(v for v in truth["videos"] if v["start_offset_s"] > 0.3)
    with av.open(str(directory / video["file"])) as container:
        first = next(container.decode(video=0))
        assert float(first.pts * first.time_base) == pytest.approx(video["start_offset_s"], abs=1e-6)


def test_sound_is_there_when_the_truth_says_so(world: World) -> None:
    directory, truth = world
    for video in decodable(truth):
        with av.open(str(directory / video["file"])) as container:
            assert bool(container.streams.audio) == video["has_audio"]
            if video["has_audio"]:
                assert video["sound"]
                assert next(container.decode(audio=0)).samples > 0


def test_every_action_is_common_enough_in_a_world_of_60() -> None:
    shots = [shot for plan in plan_world(60, 7) for shot in plan.script.shots]
    counts = Counter(segment.action for shot in shots for segment in shot.segments)
    assert set(counts) == set(ACTIONS)
    assert min(counts.values()) >= 8
    assert max(counts.values()) / len(shots) < 0.22


def test_progress_counts_every_file(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    truth = render_world(tmp_path, 1, 3, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(i + 1, len(truth["videos"])) for i in range(len(truth["videos"]))]
