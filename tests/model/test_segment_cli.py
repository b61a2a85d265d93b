"""`curate segment` as a person runs it: a file, a stream of lines, a URL, a folder."""

import json
import re
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from curate.cli import app
from curate.errors import InputError
from curate.media.probe import probe_times
from curate.model.definitions import read_definitions
from curate.workspace import Workspace, create_workspace
from tests.model.untrained import save_untrained
from tests.processes import wait_until
from tests.sources.serving import Site, serving

STARTS_S = 1.4
REQUEST = {
    "segment_definitions": [
        {
            "id": "move",
            "description": "an object rolling",
            "fields": [{"name": "color", "type": "string", "enum": ["red", "green"]}],
        },
        {"id": "still", "description": "an object standing still"},
    ],
    "max_segment_duration": 30,
}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with a model, and a request."""
    workspace = create_workspace(tmp_path_factory.mktemp("segment") / "workspace", sample=True)
    with (workspace.configs / "analysis.yaml").open("a") as config:
        config.write("engine: {workers: 1}\n")
    save_untrained(workspace.models / "untrained")
    (workspace.root / "request.json").write_text(json.dumps(REQUEST))
    return workspace


@pytest.fixture(scope="module")
def late(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds at a variable rate, whose first picture is shown at 1.4 s by its own clock."""
    path = tmp_path_factory.mktemp("late") / "late.mkv"
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(25), options={"crf": "28", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt, stream.time_base = 96, 64, "yuv420p", Fraction(1, 1000)
        tick = round(STARTS_S * 1000)
        while tick < 7400:
            image = np.full((64, 96, 3), 90, np.uint8)
            left = (tick // 40) % 72
            image[20:44, left : left + 24] = (220, 40, 40)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = tick, Fraction(1, 1000)
            container.mux(stream.encode(frame))
            tick += int(rng.integers(20, 90))
        container.mux(stream.encode(None))
    return path


def run(here: Workspace, *words: object) -> Result:
    request = str(here.root / "request.json")
    return CliRunner().invoke(
        app, ["-w", str(here.root), "segment", *map(str, words), "--definitions", request], catch_exceptions=False
    )


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_lines_come_between_a_header_and_a_last_one_and_say_what_the_whole_answer_says(
    here: Workspace, late: Path
) -> None:
    head, *found, last = lines(run(here, late, "--jsonl").stdout)
    _, shown_s = probe_times(late)
    assert head["start_offset_s"] == pytest.approx(STARTS_S)
    assert (head["model"], last["done"], last["segments"], last["lost"]) == ("untrained", True, len(found), "")
    whole = json.loads(run(here, late, "--scores").stdout)
    for name in ("move", "still"):
        own = [{k: v for k, v in line.items() if k != "definition"} for line in found if line["definition"] == name]
        assert own == whole[name]
        assert whole[name]
    edges_s = {round(float(edge), 6) for edge in (*shown_s, head["duration_s"])}
    for line in found:
        assert {line["start_time"], line["end_time"]} <= edges_s, "a boundary is a picture's own time"
        assert line["end_time"] - line["start_time"] <= 30


def test_the_answer_of_one_video_has_no_scores_unless_they_are_asked_for(here: Workspace, late: Path) -> None:
    found = json.loads(run(here, late, "--zero-shot").stdout)
    assert list(found) == ["move", "still"]
    assert all(list(one) == ["start_time", "end_time", "metadata"] for some in found.values() for one in some)


def test_damage_is_said_and_the_rest_is_answered_for(here: Workspace, footage: Path, tmp_path: Path) -> None:
    content = footage.read_bytes()
    with av.open(str(footage)) as container:
        sizes = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.pos is not None]
    damaged = bytearray(content)
    for at, size in sizes[120:140]:
        damaged[at : at + size] = bytes(size)
    (tmp_path / "damaged.mp4").write_bytes(damaged)
    done = run(here, tmp_path / "damaged.mp4", "--jsonl")
    *_, last = lines(done.stdout)
    assert "damaged" in last["lost"]
    assert "the rest is answered for" in done.stderr
    assert last["segments"] > 0


def test_a_url_is_fetched_once_and_private_addresses_only_where_that_is_said(here: Workspace, footage: Path) -> None:
    with serving(Site(files={"/a.mp4": footage.read_bytes()})) as site:
        found = run(here, site.url("/a.mp4"), "--allow-private")
        again = run(here, site.url("/a.mp4"), "--allow-private")
        assert len(site.asked) == 1
    assert found.stdout == again.stdout == run(here, footage).stdout


@pytest.fixture
def folder(tmp_path: Path, footage: Path, late: Path) -> Path:
    videos = tmp_path / "videos"
    (videos / "sub").mkdir(parents=True)
    (videos / "a.mp4").write_bytes(footage.read_bytes())
    (videos / "sub" / "late.mkv").write_bytes(late.read_bytes())
    (videos / "broken.mp4").write_bytes(b"no video" * 99)
    (videos / "notes.txt").write_text("not a video")
    return videos


def test_a_folder_gets_a_line_for_each_video_and_a_rerun_does_what_is_left(
    here: Workspace, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "found.jsonl"
    done = run(here, folder, "--out", out, "--json")
    assert done.exit_code == 3
    summary = json.loads(done.stdout)
    assert [summary[name] for name in ("inputs", "ok", "failed", "skipped")] == [3, 2, 1, 0]
    by_video = {line["video"]: line for line in lines(out.read_text())}
    assert set(by_video) == {"a.mp4", "sub/late.mkv", "broken.mp4"}
    assert "error" in by_video["broken.mp4"] and "data" not in by_video["broken.mp4"]
    assert by_video["sub/late.mkv"]["start_offset_s"] == pytest.approx(STARTS_S)
    alone = json.loads(run(here, folder / "a.mp4", "--scores").stdout)
    for name, segments in by_video["a.mp4"]["data"].items():
        for found, one in zip(segments, alone[name], strict=True):
            assert found["start_time"] == one["start_time"] and found["end_time"] == one["end_time"]

    (folder / "broken.mp4").unlink()
    (folder / "a.mp4").write_bytes((folder / "sub" / "late.mkv").read_bytes())
    again = json.loads(run(here, folder, "--out", out, "--json").stdout)
    assert [again[name] for name in ("inputs", "ok", "failed", "skipped")] == [2, 1, 0, 1], "one has changed"
    found = {line["video"]: line for line in lines(out.read_text())}
    assert found["sub/late.mkv"] == by_video["sub/late.mkv"]
    assert found["a.mp4"]["data"] == found["sub/late.mkv"]["data"]
    assert set(found) == {"a.mp4", "sub/late.mkv"}


def test_answers_to_something_else_are_not_mixed_in(here: Workspace, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "found.jsonl"
    for content in ('{"video": "a.mp4", "key": "another"}\n', "by hand\n", '["a.mp4"]\n'):
        out.write_text(content)
        with pytest.raises(InputError, match=f"{re.escape(str(out))}:1: .* Name another file"):
            run(here, folder, "--out", out)
        assert out.read_text() == content


def test_a_killed_run_over_a_folder_loses_the_videos_at_hand_alone(
    here: Workspace, footage: Path, tmp_path: Path
) -> None:
    videos, out = tmp_path / "videos", tmp_path / "found.jsonl"
    videos.mkdir()
    for number in range(12):
        (videos / f"{number:02}.mp4").write_bytes(footage.read_bytes() + bytes(number))
    curate = Path(sys.executable).parent / "curate"
    request = here.root / "request.json"
    words = [curate, "-w", here.root, "segment", videos, "--out", out, "--zero-shot", "--definitions", request]
    process = subprocess.Popen([str(word) for word in words])
    wait_until(lambda: process.poll() is not None or (out.exists() and out.read_text().count("\n") >= 2))
    assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    with out.open("a") as file:
        file.write('{"video": "29.mp4", "key": "torn')
    kept = out.read_text()
    summary = json.loads(run(here, videos, "--out", out, "--zero-shot", "--json").stdout)
    assert summary["skipped"] == kept.count("\n") >= 2
    assert summary["ok"] + summary["skipped"] == 12 == len({line["video"] for line in lines(out.read_text())})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({**REQUEST, "min_segment_duration": 40}, "segments from 40 s to 30 s: nothing is that long"),
        ({**REQUEST, "min_segment_duration": "1"}, "min_segment_duration is"),
        ({**REQUEST, "minimum": 1}, "unknown key 'minimum'"),
        ({"segment_definitions": []}, "no segment definitions"),
    ],
)
def test_a_request_that_cannot_be_met_is_refused(content: dict, said: str, tmp_path: Path) -> None:
    (tmp_path / "request.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=said):
        read_definitions(tmp_path / "request.json")
