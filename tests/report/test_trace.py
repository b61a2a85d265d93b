"""From a source to all mixes, and from a row of a mix back to its source, with nothing but the workspace."""

import shutil
from pathlib import Path

import polars as pl
import pytest

from curate.decisions import LABEL_ORDER, propose
from curate.errors import InputError
from curate.mixes.build import build
from curate.mixes.load import read_lock
from curate.mixes.versions import git
from curate.mixes.withdraw import withdraw
from curate.report.trace import trace
from curate.workspace import Workspace
from tests.mixes.rows import add_label, add_videos, clip_id, still, write_capability, write_mix

VIDEOS = [f"video{at}" for at in range(6)]


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory, fresh: Path) -> Workspace:
    """Two versions of a mix of one capability; the clips of video0 were ordered, and settled by a review."""
    workspace = Workspace(shutil.copytree(fresh, tmp_path_factory.mktemp("trace") / "workspace"))
    for config in (*(workspace.configs / "mixes").glob("*"), *(workspace.configs / "capabilities").glob("*")):
        config.unlink()
    (workspace.configs / "analysis.yaml").write_text("engine: {workers: 1}\n")
    write_capability(workspace, "bounce")
    write_mix(workspace, capabilities={"bounce": {"share": 0.5}}, splits={"train": 1.0, "validation": 0.0, "test": 0.0})
    footage = workspace.root / "still.mp4"
    still(footage, 4)
    add_videos(workspace, VIDEOS, footage)
    files = [
        {"source": "test", "path": f"/footage/{name}.mp4", "video_id": name, "size_bytes": 5, "licence": "CC0-1.0"}
        for name in VIDEOS
    ]
    workspace.catalog.write("files", files, run_id="t")
    order = propose(
        workspace.catalog, LABEL_ORDER, "bounce", plan={"clips": 1}, evidence={}, cost={}, who="ana", why="few"
    )
    first = clip_id("video0", 0)
    workspace.catalog.write(
        "orders", [{"capability": "bounce", "clip_id": first, "decision_id": order.decision_id}], run_id="t"
    )
    workspace.catalog.write(
        "reviews", [{"case_id": "c", "capability": "bounce", "clip_id": first, "reason": "annotators"}], run_id="t"
    )
    for name in VIDEOS[:4]:
        add_label(workspace, clip_id(name, 0), "bounce")
    build(workspace, "base", who="ana", why="first")
    add_label(workspace, clip_id("video4", 0), "bounce")
    build(workspace, "base", who="ben", why="second")
    return workspace


def test_a_row_of_a_mix_leads_to_its_file_labels_review_and_decisions(released: Workspace) -> None:
    clip = clip_id("video0", 0)
    found = trace(released, f"base@v1#{clip}")
    assert found["row"].select("mix", "revision", "split", "source").row(0) == ("base", "v1", "train", "test")
    assert found["files"]["path"].to_list() == ["/footage/video0.mp4"]
    assert found["labels"].select("capability", "verdict", "annotator", "spec_version").rows() == [
        ("bounce", "present", "ann", "v")
    ]
    assert found["reviews"]["reason"].to_list() == ["annotators"]
    assert found["splits"]["split"].to_list() == ["train"]
    assert found["decisions"].select("kind", "who").rows() == [
        ("label-order", "ana"), ("release", "ana"), ("release", "ben"),
    ]  # fmt: skip
    assert found["mixes"].select("mix", "revision", "split", "clips").rows() == [
        ("base", "v1", "train", 1), ("base", "v2", "train", 1),
    ]  # fmt: skip


def test_a_video_and_a_file_lead_to_the_versions_that_hold_them(released: Workspace) -> None:
    late = trace(released, "video4")
    assert late["mixes"]["revision"].to_list()[-1] == "v2"
    assert trace(released, "footage/video4.mp4")["mixes"].equals(late["mixes"])


@pytest.mark.parametrize("item", ["test", "CC0-1.0"])
def test_a_source_and_a_licence_lead_to_all_mixes(released: Workspace, item: str) -> None:
    found = trace(released, item)
    assert found["files"].row(0, named=True)["videos"] == 6
    assert found["clips"].row() == (12, 6)
    lock = read_lock("base", "v2", workspace=released.root)
    newest = found["mixes"].filter(revision="v2").row(0, named=True)
    assert (newest["clips"], newest["rows"]) == (len(lock["clips"]), sum(clip["repeat"] for clip in lock["clips"]))
    assert found["labels"].row(0) == ("bounce", "present", 5)


def test_what_is_withdrawn_and_retired_is_told(released: Workspace, tmp_path: Path) -> None:
    workspace = Workspace(shutil.copytree(released.root, tmp_path / "workspace"))
    withdraw(workspace, "video0", who="eve", why="the owner asked", erase=True)
    found = trace(workspace, clip_id("video0", 0))
    assert found["withdrawals"].select("who", "why", "erased").rows() == [("eve", "the owner asked", True)]
    assert found["mixes"]["retired"].all()
    assert "withdrawal" in found["decisions"]["kind"]


def test_a_clone_without_catalog_knows_what_versions_hold(released: Workspace, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(released.root), str(clone))
    shutil.copytree(released.root / ".dvc", clone / ".dvc", dirs_exist_ok=True)
    found = trace(Workspace(clone), "test")
    assert list(found) == ["mixes"] and found["mixes"]["revision"].unique().len() == 2


def test_what_nobody_knows_is_said(released: Workspace) -> None:
    with pytest.raises(InputError, match="nothing is known of 'nobody'.*MIX@REVISION#CLIP"):
        trace(released, "nobody")
    with pytest.raises(InputError, match="base v1 holds no clip 0000"):
        trace(released, "base@v1#0000")
    assert isinstance(trace(released, "video1")["clips"], pl.DataFrame)
