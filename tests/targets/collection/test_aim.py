"""What keyframes say of footage that is not analysed: copies are set aside with the name of what they copy."""

import shutil
from pathlib import Path
from typing import Any

import av
import numpy as np
import polars as pl
import pytest

from curate.analyze.collect import collect, collecting
from curate.targets.collection.account import CampaignSummary
from curate.targets.collection.aim import Aim
from curate.targets.collection.campaign import collect_for
from curate.targets.scoring.match import direction_of
from curate.vectors import unpack
from curate.workspace import Workspace
from tests.analyze.conftest import configure

FOR = "bounce"


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory, small_world: tuple[Path, dict[str, Any]]) -> Path:
    """The three shortest originals that stand in mp4 files."""
    directory, (world, truth) = tmp_path_factory.mktemp("aim"), small_world
    originals = [entry for entry in truth["videos"] if entry["kind"] == "original" and entry["file"].endswith(".mp4")]
    for entry in sorted(originals, key=lambda entry: entry["duration_s"])[:3]:
        shutil.copy(world / entry["file"], directory)
    return directory


@pytest.fixture
def aimed(workspace: Workspace, footage: Path) -> Workspace:
    shutil.copytree(footage, workspace.root / "footage")
    configure(workspace, engine={"workers": 1})
    return workspace


def run(workspace: Workspace, **options: Any) -> CampaignSummary:
    return collect_for(workspace, FOR, who="a test", why="to see", **options)


def outcomes(workspace: Workspace) -> dict[str, dict]:
    rows = workspace.catalog.scan("outcomes").filter(pl.col("stage") == "collect").collect()
    return {row["item"]: row for row in rows.iter_rows(named=True)}


def remux(source: Path, target: Path) -> None:
    with av.open(str(source)) as given, av.open(str(target), "w") as made:
        stream = made.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(given.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                made.mux(packet)


def test_a_look_is_the_similarity_of_each_keyframe_and_is_had_once(aimed: Workspace) -> None:
    spec = aimed.capability(FOR)
    with collecting(aimed) as here:
        seen = Aim(aimed, spec, "test").look(here.pending)
        again = Aim(aimed, spec, "test").known(here.pending)
    asked = direction_of(aimed, spec)
    rows = aimed.catalog.history("triage").collect()
    assert rows.height == len(seen) == 3
    for row in rows.iter_rows(named=True):
        expected = unpack(row["vectors"], len(row["times_s"])) @ asked
        assert np.allclose(seen[row["video_id"]].similarities, expected, atol=2e-3)
        assert np.allclose(again[row["video_id"]].similarities, expected)


def test_a_copy_of_what_is_collected_or_chosen_before_it_is_set_aside_with_its_name(aimed: Workspace) -> None:
    footage = aimed.root / "footage"
    whole = max(footage.glob("*.mp4"), key=lambda path: path.stat().st_size)
    for name in ("again.mkv", "once_more.mov"):
        remux(whole, footage / name)
    group = {f"sample_world/{name}" for name in (whole.name, "again.mkv", "once_more.mov")}
    done = run(aimed)
    rows = outcomes(aimed)
    aside = {item for item in group if rows[item]["outcome"] == "filtered"}
    kept = (group - aside).pop()
    assert len(aside) == done.copies == done.collect.filtered == 2 and done.not_reached == 0
    assert all(rows[item]["reason"] == f"near copy of {kept}" and rows[item]["value"] > 0.95 for item in aside)
    again = run(aimed)
    assert {item for item in group if outcomes(aimed)[item]["outcome"] == "filtered"} == aside
    assert again.analysed_files == 0
    assert collect(aimed).ok == 5


def test_a_file_without_a_keyframe_that_decodes_still_has_its_outcome(aimed: Workspace) -> None:
    (aimed.root / "footage" / "noise.mp4").write_bytes(bytes(range(256)) * 40)
    done = run(aimed)
    assert (done.collect.ok, done.collect.failed, done.failed) == (3, 1, 1)


def test_a_file_with_clips_under_earlier_parameters_keeps_them_when_it_is_not_reached(aimed: Workspace) -> None:
    collect(aimed)
    configure(aimed, clips={"max_s": 4.0})
    done = run(aimed, budget_hours=0.001)
    assert (done.collect.ok, done.collect.filtered, done.analysed_files) == (3, 0, 1)
