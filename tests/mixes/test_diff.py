"""A diff says what changed, clip by clip, and why."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest

from curate.mixes.build import build
from curate.mixes.diff import Diff, diff
from curate.mixes.versions import git
from curate.mixes.withdraw import withdraw
from curate.workspace import Workspace
from tests.mixes.rows import add_label, add_videos, clip_id, write_mix


def make(workspace: Workspace) -> str:
    return build(workspace, "base", who="ana", why="test").revision


def reasons(found: Diff) -> tuple[dict[str, str], dict[str, str]]:
    return {each.clip_id: each.reason for each in found.clips_in}, {
        each.clip_id: each.reason for each in found.clips_out
    }


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory, template: Path, footage: Path) -> tuple[Workspace, Diff]:
    """Two versions, between which a label came and another changed, a video came, and two clips were called bad and
    withdrawn."""
    workspace = Workspace(shutil.copytree(template, tmp_path_factory.mktemp("diff") / "workspace"))
    write_mix(workspace, budget={"clips": 60}, replay={"share": 0.1})
    make(workspace)
    segments = [{"start_s": 0.5, "end_s": 1.0, "fields": "{}"}]
    add_label(workspace, clip_id("video07", 1), "bounce", "present", [{"start_s": 2.1, "end_s": 2.9, "fields": "{}"}])
    add_label(workspace, clip_id("video00", 0), "bounce", "present", segments, annotator="bob")
    add_label(workspace, clip_id("video01", 0), "spin", "bad_clip", annotator="bob")
    add_videos(workspace, ["video90"], footage)
    add_label(workspace, clip_id("video90", 0), "bounce", "present", segments)
    withdraw(workspace, clip_id("video02", 0), who="ana", why="a person asked")
    write_mix(workspace, budget={"clips": 60}, replay={"share": 0.0}, limits={"per_duplicate_group": 2})
    make(workspace)
    return workspace, diff(workspace, "base", "v1")


def test_each_clip_that_came_or_went_has_its_reason(changed: tuple[Workspace, Diff]) -> None:
    came, went = reasons(changed[1])
    assert came[clip_id("video90", 0)] == "collected since"
    assert went[clip_id("video01", 0)] == "called bad"
    assert went[clip_id("video02", 0)] == "withdrawn"
    (told,) = (each for each in changed[1].clips_out if each.clip_id == clip_id("video02", 0))
    assert "a person asked" in told.detail
    old = clip_id("video07", 1)
    assert came.get(old, "labelled since") == "labelled since"


def test_labels_that_changed_say_from_what_to_what(changed: tuple[Workspace, Diff]) -> None:
    (relabelled,) = (each for each in changed[1].labels if each.clip_id == clip_id("video00", 0))
    assert relabelled.reason == "relabelled"
    assert "bounce: present, 1 segments by ann" in relabelled.detail and "by bob" in relabelled.detail


def test_shares_configs_and_bytes_are_compared(changed: tuple[Workspace, Diff]) -> None:
    found = changed[1]
    replay = next(share for share in found.shares if share.share == "replay")
    assert replay.requested[0] == pytest.approx(0.1)
    assert ("mix", "limits.per_duplicate_group", 1, 2) in [
        (change.config, change.field, change.before, change.after) for change in found.configs
    ]
    assert found.bytes_added is not None and found.bytes_added > 0
    assert set(found.splits["train"]) == {"rows", "clips", "videos", "hours"}


def test_it_can_be_read_and_is_json_and_its_order_is_stable(changed: tuple[Workspace, Diff]) -> None:
    workspace, found = changed
    assert json.loads(json.dumps(asdict(found)))["clips_in"]
    again = diff(workspace, "base", "v1", "v2")
    assert again == found and again.text() == found.text()
    text = found.text()
    assert "mix base, v1 -> v2" in text and "clips out: " in text and "withdrawn" in text
    splits = [each.split for each in found.clips_in]
    assert splits == sorted(splits, key=("train", "validation", "test").index)


def test_backwards_what_came_goes(changed: tuple[Workspace, Diff]) -> None:
    workspace, found = changed
    back = diff(workspace, "base", "v2", "v1")
    assert {each.clip_id for each in back.clips_out} == {each.clip_id for each in found.clips_in}


def test_a_version_does_not_differ_from_itself(changed: tuple[Workspace, Diff]) -> None:
    found = diff(changed[0], "base", "v2", "v2")
    assert (found.clips_in, found.clips_out, found.labels, found.repeats, found.configs, found.bytes_added) == (
        (), (), (), (), (), 0,
    )  # fmt: skip


def test_a_clone_without_catalog_says_what_the_locks_say(changed: tuple[Workspace, Diff], tmp_path: Path) -> None:
    workspace, found = changed
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(workspace.root), str(clone))
    shutil.copytree(workspace.root / ".dvc", clone / ".dvc", dirs_exist_ok=True)
    there = diff(Workspace(clone), "base", "v1", "v2")
    assert [each.clip_id for each in there.clips_in] == [each.clip_id for each in found.clips_in]
    assert there.labels == found.labels
    assert not (clone / ".curate" / "catalog").exists()
    assert {each.reason for each in there.clips_out} <= {
        "displaced",
        "share changed",
        "config changed",
        "limits.per_video",
        "spec changed",
    }
