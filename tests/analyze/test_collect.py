"""Collecting a sample world: outcomes, resumption, and what a changed parameter or file redoes."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import av
import polars as pl
import pytest

from curate import views
from curate.analyze.collect import CollectSummary, collect
from curate.analyze.video import analyze_video
from curate.dedupe.fingerprint import Fingerprint
from curate.errors import InputError
from curate.media.cut import cut
from curate.sample.against_truth import cut_agreement
from curate.vectors import unpack
from curate.workspace import Workspace
from tests.analyze.conftest import World, configure

MakeWorkspace = Callable[..., Workspace]
TABLES = ("files", "videos", "shots", "clips", "embeddings", "fingerprints", "outcomes")


def settled(workspace: Workspace) -> dict[str, list[str]]:
    """All tables without what differs between runs, sorted."""
    tables = {}
    for name in TABLES:
        rows = workspace.catalog.read(name).drop("run_id", "written_at", "seconds", strict=False)
        tables[name] = sorted(str(row) for row in rows.iter_rows())
    return tables


def outcomes(workspace: Workspace, stage: str = "collect") -> dict[str, tuple[str, str]]:
    rows = workspace.catalog.scan("outcomes").filter(pl.col("stage") == stage).collect()
    return {item: (outcome, reason) for item, outcome, reason in rows["item", "outcome", "reason"].iter_rows()}


def assert_adds_up(summary: CollectSummary) -> None:
    assert summary.inputs == summary.ok + summary.filtered + summary.failed


def test_every_file_of_the_world_has_the_outcome_that_the_truth_says(
    world: World, make_workspace: MakeWorkspace
) -> None:
    directory, truth = world
    workspace = make_workspace(world=directory, engine={"workers": 2})
    summary = collect(workspace)
    found = outcomes(workspace)
    assert_adds_up(summary)
    assert len(found) == summary.inputs == len(truth["videos"])
    for entry in truth["videos"]:
        outcome, reason = found[f"world/{entry['file']}"]
        assert outcome == entry["expected"] or (outcome == "filtered" and reason.startswith("same bytes as world/"))
        assert (reason is None) == (outcome == "ok")
    assert len(summary.failures) == summary.failed == 4

    videos = {Path(row["path"]).name: row for row in workspace.catalog.read("videos").iter_rows(named=True)}
    for entry in truth["videos"]:
        if entry["file"] in videos:
            row = videos[entry["file"]]
            for name in ("width", "height", "rotation_deg", "variable_rate", "has_audio"):
                assert row[name] == entry[name]
            assert row["duration_s"] == pytest.approx(entry["duration_s"], abs=0.0015)
            assert row["start_offset_s"] == pytest.approx(entry["start_offset_s"], abs=1e-6)
    assert cut_agreement(workspace.catalog, truth).f1 >= 0.9

    clips = views.clips(workspace.catalog).collect()
    assert clips.height == summary.clips == summary.new_clips > 0
    assert clips["start_s"].min() == 0 and (clips["end_s"] <= clips["video_duration_s"] + 1e-9).all()
    embeddings = workspace.catalog.read("embeddings").join(clips, on="clip_id")
    assert embeddings.height == clips.height
    for row in embeddings.iter_rows(named=True):
        times = row["frame_times_s"]
        assert times and all(row["start_s"] - 1e-9 <= time < row["end_s"] for time in times)
        assert unpack(row["frame_vectors"], len(times)).shape == (len(times), len(unpack(row["vector"], 1)[0]))
    fingerprints = workspace.catalog.read("fingerprints").join(clips, on="clip_id")
    assert fingerprints.height == clips.height
    for row in fingerprints.iter_rows(named=True):
        seen = Fingerprint.unpack(row["pictures"])
        assert (seen.content, seen.length_s) == (row["content"], row["end_s"] - row["start_s"])
        assert len(seen.luma) == len(seen.times_s) and seen.times_s[0] >= 0 and seen.times_s[-1] < seen.length_s

    again = collect(workspace)
    assert (again.skipped, again.new_clips, again.video_s) == (summary.inputs, 0, 0)
    assert (again.ok, again.filtered, again.failed, again.clips) == (
        summary.ok, summary.filtered, summary.failed, summary.clips,
    )  # fmt: skip
    assert again.failures == summary.failures


def test_killed_in_mid_run_and_run_again_is_as_undisturbed(footage: Path, make_workspace: MakeWorkspace) -> None:
    keep_only(footage, "footage_0001", "footage_0002", "footage_0003", "broken_empty")
    whole, killed = make_workspace("whole", world=footage), make_workspace("killed", world=footage)
    collect(whole)
    program = (
        "import sys\n"
        "from curate.analyze import collect as module, rows\n"
        "from curate.workspace import Workspace\n"
        "from pathlib import Path\n"
        "if __name__ == '__main__':\n"
        "    rows._BATCH_VIDEOS = 1\n"
        "    def tell(what, done, total, note=''):\n"
        "        print(what, done, flush=True)\n"
        "    module.collect(Workspace(Path(sys.argv[1])), progress=tell)\n"
    )
    script = footage.parent / "killed.py"
    script.write_text(program)
    process = subprocess.Popen(
        [sys.executable, str(script), str(killed.root)], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line == "videos 2\n":
            break
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    done_before = killed.catalog.read("videos").height
    assert 0 < done_before < whole.catalog.read("videos").height
    summary = collect(killed)
    assert_adds_up(summary)
    assert summary.skipped >= 2
    assert settled(killed) == settled(whole)


def test_a_video_whose_outcome_was_not_written_is_settled_without_a_second_decode(
    footage: Path, make_workspace: MakeWorkspace
) -> None:
    keep_only(footage, "footage_0001", "copy_0001")
    workspace = make_workspace(world=footage)
    first = collect(workspace)
    before = settled(workspace)
    shutil.rmtree(workspace.state / "catalog" / "outcomes")
    again = collect(workspace)
    assert (again.ok, again.filtered) == (first.ok, first.filtered)
    assert again.video_s == 0
    assert [row for row in settled(workspace)["outcomes"] if "'collect'" in row] == [
        row for row in before["outcomes"] if "'collect'" in row
    ]


def test_a_changed_clip_length_redoes_and_hides_the_old_clips(footage: Path, make_workspace: MakeWorkspace) -> None:
    keep_only(footage, "footage_0001", "footage_0002")
    workspace = make_workspace(world=footage)
    first = collect(workspace)
    configure(workspace, clips={"max_s": 3.0})
    second = collect(workspace)
    assert second.skipped == 0 and second.clips > first.clips
    lengths = views.clips(workspace.catalog).select("duration_s").collect()["duration_s"]
    assert len(lengths) == second.clips and lengths.max() <= 3.0 + 1e-6
    configure(workspace, embedding={"batch": 5}, engine={"workers": 2})
    assert collect(workspace).skipped == second.inputs


def test_what_fails_is_tried_again_only_when_asked(footage: Path, make_workspace: MakeWorkspace) -> None:
    keep_only(footage, "broken")
    workspace = make_workspace(world=footage)
    assert (collect(workspace).failed, collect(workspace).skipped) == (4, 4)
    assert collect(workspace, retry_failed=True).skipped == 0


def test_a_file_that_is_repaired_is_new_work(footage: Path, make_workspace: MakeWorkspace) -> None:
    keep_only(footage, "footage_0001", "broken_truncated")
    workspace = make_workspace(world=footage)
    assert collect(workspace).failed == 1
    whole = next(footage.glob("footage_0001.*"))
    (footage / "broken_truncated.mp4").write_bytes(whole.read_bytes())
    summary = collect(workspace)
    assert (summary.ok, summary.filtered, summary.failed, summary.video_s) == (1, 1, 0, pytest.approx(summary.video_s))
    assert outcomes(workspace)[f"world/{whole.name}"] == ("filtered", "same bytes as world/broken_truncated.mp4")


def test_a_renamed_file_keeps_its_clips_and_a_deleted_one_is_gone(footage: Path, make_workspace: MakeWorkspace) -> None:
    keep_only(footage, "footage_0001", "footage_0002")
    workspace = make_workspace(world=footage)
    first = collect(workspace)
    one, two = sorted(footage.glob("footage*"))
    one.rename(footage / f"renamed{one.suffix}")
    moved = collect(workspace)
    assert (moved.ok, moved.video_s, moved.clips) == (2, 0, first.clips)
    assert f"renamed{one.suffix}" in {Path(path).name for path in workspace.catalog.read("videos")["path"]}
    assert outcomes(workspace)[f"world/{one.name}"] == ("filtered", "the file is gone")
    two.unlink()
    assert collect(workspace).ok == 1
    assert views.clips(workspace.catalog).collect()["path"].unique().len() == 1


def test_the_same_bytes_in_two_sources_are_one_video(
    footage: Path, make_workspace: MakeWorkspace, tmp_path: Path
) -> None:
    keep_only(footage, "footage_0001")
    shutil.copytree(footage, tmp_path / "more")
    workspace = make_workspace(b=footage, a=tmp_path / "more")
    assert collect(workspace, ["b"]).ok == 1
    summary = collect(workspace, ["a"])
    assert (summary.ok, summary.filtered, summary.video_s) == (0, 1, 0)
    both = collect(workspace)
    assert (both.ok, both.filtered, both.video_s) == (1, 1, 0)
    assert workspace.catalog.read("videos")["source"].to_list() == ["a"]


def test_hidden_files_other_suffixes_and_excluded_ones_are_left(
    footage: Path, make_workspace: MakeWorkspace, tmp_path: Path
) -> None:
    keep_only(footage, "broken_empty")
    for name in (".hidden.mp4", "notes.txt", "deep/.trash/a.mp4", "deep/CAMERA.MP4"):
        (footage / name).parent.mkdir(parents=True, exist_ok=True)
        (footage / name).write_bytes(b"")
    assert set(outcomes_after(make_workspace(world=footage))) == {"world/broken_empty.mp4", "world/deep/CAMERA.MP4"}


def outcomes_after(workspace: Workspace) -> dict[str, tuple[str, str]]:
    collect(workspace)
    return outcomes(workspace)


def keep_only(directory: Path, *prefixes: str) -> None:
    for path in directory.iterdir():
        if not path.name.startswith(prefixes):
            path.unlink()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sources": ["nothing"]}, "no source 'nothing'.*Known: world"),
        ({"directory": "missing"}, "no directory"),
        ({"embedding": {"model": "ViT-B-23", "weights": "random"}}, "no open_clip model"),
    ],
)
def test_input_errors_come_before_any_decoding(
    footage: Path, make_workspace: MakeWorkspace, change: dict, message: str
) -> None:
    workspace = make_workspace(world=footage / change.get("directory", ""))
    if "embedding" in change:
        configure(workspace, embedding=change["embedding"])
    with pytest.raises(InputError, match=message):
        collect(workspace, change.get("sources"))
    assert workspace.catalog.read("videos").is_empty()


def test_a_clip_between_two_grid_times_gets_a_frame_of_its_own(world: World, make_workspace: MakeWorkspace) -> None:
    workspace = make_workspace()
    configure(workspace, embedding={"frames_per_s": 0.1})
    directory, truth = world
    entry = next(e for e in truth["videos"] if e["kind"] == "original" and len(e["shots"]) > 2)
    made = analyze_video(directory / entry["file"], workspace.analysis())
    assert len(made.clips) > 2
    assert all(clip.start_s <= clip.frame_times_s[0] < clip.end_s for clip in made.clips)
    for one, other in zip(made.clips, made.clips[1:], strict=False):
        assert not (one.vector == other.vector).all()


def test_what_of_a_damaged_file_decodes_is_kept_and_the_outcome_says_what_is_lost(
    world: World, make_workspace: MakeWorkspace, tmp_path: Path
) -> None:
    directory, truth = world
    (tmp_path / "broken").mkdir()
    original = next(e for e in truth["videos"] if e["kind"] == "original" and e["duration_s"] > 8)
    with av.open(str(directory / original["file"])) as given, av.open(str(tmp_path / "whole.mkv"), "w") as made:
        stream = made.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                made.mux(packet)
    content = bytearray((tmp_path / "whole.mkv").read_bytes()[: int(0.7 * (tmp_path / "whole.mkv").stat().st_size)])
    for at in range(len(content) // 4, len(content) // 3, 97):
        content[at] ^= 0x5A
    (tmp_path / "broken" / "tail.mkv").write_bytes(content)

    workspace = make_workspace(broken=tmp_path / "broken")
    collect(workspace)
    rows = workspace.catalog.scan("outcomes").filter(pl.col("stage") == "collect").collect()
    (row,) = rows.iter_rows(named=True)
    assert row["outcome"] == "ok"
    assert re.fullmatch(r".* s damaged; decoded \d+\.\d of \d+\.\d s: cut short", row["reason"])
    (video,) = workspace.catalog.read("videos").iter_rows(named=True)
    assert (video["lost"], video["lost_s"]) == (row["reason"], row["value"])
    assert video["duration_s"] < original["duration_s"]
    gaps = analyze_video(video["path"], workspace.analysis()).gaps
    assert sum(gap.end_s - gap.start_s for gap in gaps) == pytest.approx(row["value"])
    clips = views.clips(workspace.catalog).collect()
    assert clips.height > 0
    for clip in clips.iter_rows(named=True):
        assert all(clip["end_s"] <= gap.start_s or clip["start_s"] >= gap.end_s for gap in gaps)
        cut(video["path"], clip["start_s"], clip["end_s"], tmp_path / "clip.mp4")

    collect(workspace)
    assert workspace.catalog.scan("outcomes").filter(pl.col("stage") == "collect").collect().rows() == rows.rows()


def test_a_second_collect_waits_for_no_one(footage: Path, make_workspace: MakeWorkspace) -> None:
    workspace = make_workspace(world=footage)
    with workspace.lock("collect"), pytest.raises(Exception, match="another `collect` is running"):
        started = time.monotonic()
        collect(workspace)
        assert time.monotonic() - started < 5
