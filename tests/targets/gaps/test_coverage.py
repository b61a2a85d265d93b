"""Supply against target: what counts, what does not, and what is most urgent."""

import json
from datetime import UTC, datetime

import polars as pl
import pytest

from curate.errors import InputError
from curate.review.agreement import update
from curate.targets.gaps.coverage import coverage, gaps, slice_gaps
from curate.workspace import Workspace
from tests.dedupe.rows import Clip, write_clips
from tests.targets.conftest import frames_like, write_capability, write_labels, write_scores


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
    drop(empty, clips[1], clips[0])
    assert row(empty)["positives"] == 1
    assert slice_gaps(empty)["positives"].sum() == 1


def audited(workspace: Workspace, capability: str, clips: list[Clip], positive: int, reason: str = "audit") -> None:
    """All but the last two clips are drawn at random and labelled, the first `positive` of them present."""
    ids = [clip.clip_id for clip in clips]
    write_scores(workspace, capability, dict.fromkeys(ids, 0.5), calibration="rank")
    told = {clip_id: "present" if at < positive else "absent" for at, clip_id in enumerate(ids[:-2])}
    write_labels(workspace, capability, told)
    orders = [{"capability": capability, "clip_id": clip_id, "reason": reason} for clip_id in told]
    workspace.catalog.write("orders", orders, run_id="test")


def test_candidates_come_with_an_interval_among_unlabelled_eligible_clips(empty: Workspace, clips: list[Clip]) -> None:
    write_capability(empty, "jump")
    audited(empty, "jump", clips, positive=9)
    found = row(empty)
    assert 0 <= found["candidates_low"] <= found["candidates"] <= found["candidates_high"] == 2
    out = {"clip_id": clips[10].clip_id, "capability": "jump", "calibration": "rank", "eligible": False}
    empty.catalog.write("scores", [out], run_id="test")
    assert row(empty)["candidates_high"] == 1


def test_a_clip_that_somebody_called_bad_is_no_candidate(empty: Workspace, clips: list[Clip]) -> None:
    write_capability(empty, "jump")
    audited(empty, "jump", clips, positive=9)
    write_labels(empty, "fall", {clips[10].clip_id: "bad_clip"})
    assert row(empty)["candidates_high"] == 1


def test_nothing_is_guessed_from_ranks_and_labels_that_were_chosen(empty: Workspace, clips: list[Clip]) -> None:
    write_capability(empty, "jump", slices={"by": ["source", "color"]})
    audited(empty, "jump", clips, positive=5, reason="likely")
    found = row(empty)
    assert found["candidates"] is found["candidates_low"] is found["candidates_high"] is None
    assert slice_gaps(empty)["candidates"].null_count() == 4


def test_matches_are_unlabelled_kept_clips_that_match(empty: Workspace, clips: list[Clip]) -> None:
    write_capability(empty, "jump")
    scores = [
        {"clip_id": clip.clip_id, "capability": "jump", "similarity": 0.1, "calibration": "rank", "eligible": True,
         "matches": at < 5}
        for at, clip in enumerate(clips)
    ]  # fmt: skip
    empty.catalog.write("scores", scores, run_id="test")
    write_labels(empty, "jump", {clips[0].clip_id: "absent"})
    drop(empty, clips[1], clips[0])
    assert row(empty)["matches"] == 3


def test_a_target_in_hours_counts_clips_of_the_typical_duration(empty: Workspace, clips: list[Clip]) -> None:
    write_capability(empty, "jump", target={"hours": 1 / 60})
    assert (row(empty)["target"], row(empty)["target_s"]) == (8, 60.0)  # of 7.5 s
    write_labels(empty, "jump", {clips[8].clip_id: "present", clips[10].clip_id: "present"})  # of 10 and 12 s
    found = row(empty)
    assert (found["target"], found["positives_s"], found["filled"]) == (6, 22.0, pytest.approx(22 / 60))
    assert (found["gap_s"], found["gap_clips"]) == (38.0, 4)


def test_reviewed_clips_are_those_that_a_review_or_two_who_agree_have_settled(
    empty: Workspace, clips: list[Clip]
) -> None:
    write_capability(empty, "jump")
    said = [
        (0, "ann", "present", "label"), (0, "bob", "present", "label"),
        (1, "ann", "present", "label"), (1, "bob", "absent", "label"),
        (2, "ann", "absent", "label"), (2, "ann", "absent", "label"),
        (3, "ann", "unsure", "label"), (3, "bob", "unsure", "label"),
        (4, "ann", "present", "label"), (4, "bob", "absent", "label"), (4, "eve", "absent", "review"),
        (5, "ann", "present", "label"), (5, "eve", "unsure", "review"),
        (6, "ann", "present", "label"), (6, "bob", "present", "gold"),
    ]  # fmt: skip
    for at, (clip, annotator, verdict, purpose) in enumerate(said):
        label = {
            "label_id": str(at), "clip_id": clips[clip].clip_id, "capability": "jump", "verdict": verdict,
            "segments": [], "annotator": annotator, "updated_at": datetime(2026, 1, 1 + at, tzinfo=UTC),
            "purpose": purpose,
        }  # fmt: skip
        empty.catalog.write("labels", [label], run_id="test")
    assert row(empty)["reviewed"] == 1, "until agreement is known, what a review has settled"
    update(empty.catalog, empty.capabilities(), run_id="test")
    found = row(empty)
    assert found["reviewed"] == 2
    assert (found["positives"], found["negatives"]) == (2, 2), "what is contested counts for neither"
    assert found["labelled"] == 7


def test_the_evaluation_is_by_the_metric_of_the_spec_with_its_interval(empty: Workspace, clips: list[Clip]) -> None:
    write_capability(empty, "jump", evaluation={"metric": "f1@0.7", "floor": 0.6})
    for metric, value in (("f1@0.5", 0.9), ("f1@0.7", 0.5)):
        evaluation = {
            "model": "m", "mix": "base", "revision": "v1", "split": "test", "capability": "jump", "metric": metric,
            "value": value, "low": value - 0.1, "high": value + 0.1,
        }  # fmt: skip
        empty.catalog.write("evaluations", [evaluation], run_id="test")
    found = row(empty)
    assert [found[name] for name in ("metric", "evaluation", "evaluation_low", "evaluation_high", "floor")] == [
        "f1@0.7", 0.5, 0.4, 0.6, 0.6
    ]  # fmt: skip


def test_a_filled_target_of_one_kind_is_still_urgent(empty: Workspace, clips: list[Clip]) -> None:
    """Probes lie along eight directions, all labelled supply along one of them."""
    write_capability(empty, "jump", target={"clips": 4})
    probes = [Clip(f"p{at}", frames_like([at / 4 - 1] * 4, seed=at)) for at in range(8)]
    supply = [Clip(f"s{at}", frames_like([1.0] * 4, seed=at)) for at in range(4)]
    write_clips(empty, probes + supply)
    write_labels(empty, "jump", {clip.clip_id: "present" for clip in probes + supply})
    settled = [{"video_id": clip.video_id, "group_id": clip.video_id, "split": "test"} for clip in probes]
    empty.catalog.write("splits", settled, run_id="test")
    found = row(empty)
    assert (found["probes"], found["filled"]) == (8, 1.0)
    assert found["probe_coverage"] < 0.5
    assert found["priority"] == pytest.approx(1 - found["probe_coverage"])


def test_a_good_evaluation_lowers_priority_and_weight_raises_it(empty: Workspace, clips: list[Clip]) -> None:
    write_capability(empty, "jump")
    write_capability(empty, "fall", weight=0.5)
    for revision, value in (("v1", 0.2), ("v2", 0.75)):
        evaluation = {
            "model": "m", "mix": "base", "revision": revision, "split": "test", "capability": "jump",
            "metric": "f1@0.5", "value": value, "videos": MANY,
        }  # fmt: skip
        empty.catalog.write("evaluations", [evaluation], run_id="test")
    assert gaps(empty).select("capability", "evaluation", "priority").rows() == [
        ("fall", None, 0.5),
        ("jump", 0.75, pytest.approx(0.25)),
    ]


MANY = 10**9
"""Videos that leave nothing to chance."""


def evaluated(workspace: Workspace, model: str, value: float, slice: str | None = None, videos: int = MANY) -> None:
    row = {"model": model, "mix": "base", "revision": "v1", "split": "test", "capability": "jump", "slice": slice,
           "metric": "f1@0.5", "value": value, "videos": videos}  # fmt: skip
    workspace.catalog.write("evaluations", [row], run_id="test")


def test_gaps_follow_from_the_model_evaluated_last_ours_or_not_and_never_from_the_baseline(
    empty: Workspace, clips: list[Clip]
) -> None:
    write_capability(empty, "jump")
    for model, value in (("base-v1-s0", 0.3), ("theirs", 0.6), ("zero-shot", 0.1)):
        evaluated(empty, model, value)
    assert (row(empty)["evaluation"], row(empty)["priority"]) == (0.6, pytest.approx(0.4))
    evaluated(empty, "base-v1-s0", 0.3)
    assert row(empty)["evaluation"] == 0.3


def test_a_model_that_was_right_in_few_videos_is_not_taken_for_faultless(empty: Workspace, clips: list[Clip]) -> None:
    write_capability(empty, "jump")
    for videos, error in ((2, 0.25), (30, 1 / 32), (MANY, 0.0)):
        evaluated(empty, "theirs", 1.0, videos=videos)
        assert (row(empty)["evaluation"], row(empty)["priority"]) == (1.0, pytest.approx(error, abs=1e-6))


def test_a_slice_that_the_model_fails_in_is_more_urgent_and_says_nothing_of_the_whole(
    empty: Workspace, clips: list[Clip]
) -> None:
    write_capability(
        empty, "jump", slices={"by": ["color"]}, target={"clips": 4, "floors": {"color=red": 2, "color": 4}}
    )
    write_labels(empty, "jump", {clips[0].clip_id: "present"}, fields='{"color": "red"}')
    evaluated(empty, "theirs", 0.75)
    evaluated(empty, "theirs", 0.5, "color=red")
    evaluated(empty, "theirs", 0.9, "color=blue")
    found = slice_gaps(empty).rows_by_key(["value"], named=True, unique=True)
    assert (found["red"]["evaluation"], found["red"]["priority"]) == (0.5, 0.25)
    assert (found["blue"]["evaluation"], found["blue"]["priority"]) == (0.9, pytest.approx(0.1))
    assert row(empty)["evaluation"] == 0.75


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


def test_slices_say_what_is_in_the_mix_and_what_could_fill_them(empty: Workspace, clips: list[Clip]) -> None:
    write_capability(
        empty, "jump", slices={"by": ["source"], "where": {"lively": "motion > 0.95"}},
        target={"clips": 4, "floors": {"source=archive": 6, "lively": 1}},
    )  # fmt: skip
    audited(empty, "jump", clips, positive=9)
    lock = empty.data / "base" / "lock.json"
    lock.parent.mkdir(parents=True)
    lock.write_text(json.dumps({"clips": [{"clip_id": clip.clip_id, "roles": ["jump"]} for clip in clips[4:7]]}))
    rows = slice_gaps(empty).rows_by_key(["slice", "value"], named=True, unique=True)
    archive, world, lively = rows["source", "archive"], rows["source", "sample_world"], rows["lively", ""]
    assert [(each["target"], each["positives"], each["gap_clips"], each["in_mix"]) for each in rows.values()] == [
        (6, 3, 3, 1), (0, 6, 0, 2), (1, 0, 1, 0),
    ]  # fmt: skip
    assert (archive["candidates_high"], world["candidates_high"]) == (2, 0)
    assert lively["candidates_high"] == 2


def test_one_capability_can_be_asked_for(empty: Workspace, clips: list[Clip]) -> None:
    write_capability(empty, "jump", slices={"by": ["color"]})
    write_capability(empty, "fall", slices={"by": ["color"]})
    found = coverage(empty, ["fall"])
    assert found.capabilities["capability"].to_list() == ["fall"]
    assert found.slices["capability"].unique().to_list() == ["fall"]
    with pytest.raises(InputError):
        coverage(empty, ["swim"])


def test_an_empty_workspace_has_gaps_and_no_error(empty: Workspace) -> None:
    assert gaps(empty).is_empty() and slice_gaps(empty).is_empty()
    write_capability(empty, "jump")
    assert (row(empty)["gap_clips"], row(empty)["gap_s"]) == (4, None)
