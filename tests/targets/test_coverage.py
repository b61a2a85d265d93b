"""Supply against target: what counts, what does not, and what is most urgent."""

import json

import polars as pl
import pytest

from curate.targets.coverage import gaps, slice_gaps
from curate.workspace import Workspace
from tests.dedupe.rows import Clip
from tests.targets.conftest import write_capability, write_labels, write_scores


def row(workspace: Workspace, capability: str = "jump") -> dict:
    return gaps(workspace).row(by_predicate=pl.col("capability") == capability, named=True)


def drop(workspace: Workspace, clip: Clip, keeper: Clip) -> None:
    dropped = {"clip_id": clip.clip_id, "keeper_id": keeper.clip_id, "kind": "exact", "score": 1.0}
    workspace.catalog.write("keepers", [dropped], run_id="test")


def test_without_labels_the_whole_target_is_missing(empty: Workspace, clips: list[Clip]) -> None:
    write_capability(empty, "jump")
    found = row(empty)
    assert (found["target"], found["positives"], found["negatives"], found["labelled"]) == (4, 0, 0, 0)
    assert (found["gap_clips"], found["priority"]) == (4, 1.0)
    assert found["gap_s"] == 4 * 7.5  # the median of 2 to 13 seconds
    assert found["candidates"] is found["evaluation"] is found["in_mix"] is None


def test_present_clips_fill_the_gap_and_absent_ones_are_negatives(empty: Workspace, clips: list[Clip]) -> None:
    write_capability(empty, "jump")
    ids = [clip.clip_id for clip in clips]
    write_labels(empty, "jump", {ids[0]: "present", ids[4]: "present", ids[2]: "absent", ids[3]: "unsure"})
    found = row(empty)
    assert (found["positives"], found["negatives"], found["labelled"]) == (2, 1, 4)
    assert (found["gap_clips"], found["priority"], found["gap_s"]) == (2, 0.5, 2 * 4.0)


def test_duplicates_do_not_count_as_supply(empty: Workspace, clips: list[Clip]) -> None:
    write_capability(empty, "jump", slices={"by": ["source"]}, target={"clips": 4, "per_slice": 2})
    write_labels(empty, "jump", {clips[0].clip_id: "present", clips[1].clip_id: "present"})
    write_scores(empty, "jump", {clips[2].clip_id: 0.5, clips[3].clip_id: 0.5})
    drop(empty, clips[1], clips[0])
    drop(empty, clips[3], clips[2])
    found = row(empty)
    assert (found["positives"], found["candidates"]) == (1, 0.5)
    assert slice_gaps(empty)["positives"].sum() == 1


def test_candidates_are_expected_positives_among_unlabelled_eligible_clips(empty: Workspace, clips: list[Clip]) -> None:
    write_capability(empty, "jump")
    write_scores(empty, "jump", {clips[0].clip_id: 0.9, clips[1].clip_id: 0.25, clips[2].clip_id: 0.5})
    out = {"clip_id": clips[3].clip_id, "capability": "jump", "calibration": "platt", "eligible": False}
    empty.catalog.write("scores", [out], run_id="test")
    write_labels(empty, "jump", {clips[0].clip_id: "present"})
    assert row(empty)["candidates"] == pytest.approx(0.75)


def test_ranks_are_not_summed_into_candidates(empty: Workspace, clips: list[Clip]) -> None:
    write_capability(empty, "jump")
    write_scores(empty, "jump", {clips[0].clip_id: 0.9, clips[1].clip_id: 0.2}, calibration="rank")
    assert row(empty)["candidates"] is None


def test_a_good_evaluation_lowers_priority_and_weight_raises_it(empty: Workspace, clips: list[Clip]) -> None:
    write_capability(empty, "jump")
    write_capability(empty, "fall", weight=0.5)
    for revision, value in (("v1", 0.2), ("v2", 0.75)):
        evaluation = {
            "model": "m", "mix": "base", "revision": revision, "split": "test", "capability": "jump",
            "metric": "f1@0.5", "value": value,
        }  # fmt: skip
        empty.catalog.write("evaluations", [evaluation], run_id="test")
    assert gaps(empty).select("capability", "evaluation", "priority").rows() == [
        ("fall", None, 0.5),
        ("jump", 0.75, 0.25),
    ]


def test_in_mix_counts_the_clips_of_the_newest_lock_once(empty: Workspace, clips: list[Clip]) -> None:
    write_capability(empty, "jump")
    write_capability(empty, "fall")
    content = {"clips": [{"clip_id": "a", "roles": ["jump", "replay"]}, {"clip_id": "b", "roles": ["jump"]}]}
    lock = empty.data / "base" / "lock.json"
    lock.parent.mkdir(parents=True)
    lock.write_text(json.dumps(content))
    assert (row(empty)["in_mix"], row(empty, "fall")["in_mix"]) == (2, 0)


def test_slices_list_every_value_that_is_known_or_seen(empty: Workspace, clips: list[Clip]) -> None:
    write_capability(empty, "jump", slices={"by": ["color", "fast", "source"]}, target={"clips": 4, "per_slice": 2})
    write_labels(empty, "jump", {clips[0].clip_id: "present"}, fields='{"color": "red", "fast": true}')
    write_labels(empty, "jump", {clips[7].clip_id: "present"}, fields='{"color": "green"}')
    write_labels(empty, "jump", {clips[8].clip_id: "absent"})
    found = slice_gaps(empty).select("slice", "value", "target", "positives", "gap_clips").rows()
    assert found == [
        ("color", "blue", 2, 0, 2),
        ("color", "green", 2, 1, 1),
        ("color", "red", 2, 1, 1),
        ("fast", "false", 2, 0, 2),
        ("fast", "true", 2, 1, 1),
        ("source", "archive", 2, 1, 1),
        ("source", "sample_world", 2, 1, 1),
    ]


def test_an_empty_workspace_has_gaps_and_no_error(empty: Workspace) -> None:
    assert gaps(empty).is_empty() and slice_gaps(empty).is_empty()
    write_capability(empty, "jump")
    assert (row(empty)["gap_clips"], row(empty)["gap_s"]) == (4, None)
