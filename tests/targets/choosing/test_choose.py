"""Label orders: within budget, reproducible, spread out, of both kinds, and never what needs or bears no label."""

import json
import shutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curate.analyze.embed import load_embedder
from curate.errors import InputError
from curate.mixes.publish import publish
from curate.specs.analysis import Embedding
from curate.targets.choosing.choose import REASONS, choose, draw
from curate.vectors import unit
from curate.workspace import Workspace
from tests.dedupe.rows import Clip, write_clips
from tests.targets.conftest import DIM, frames_like, write_capability, write_labels, write_scores

SAMPLE = Embedding(model="sample", weights="sample", device="cpu")
SETTINGS = settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def many(empty: Workspace) -> list[Clip]:
    """100 clips of 50 videos with scores 0 to 0.99."""
    clips = [
        Clip(f"v{at // 2:02d}", frames_like([0.1, 0.1], at), start_s=2.0 * (at % 2), end_s=2.0 * (at % 2) + 2)
        for at in range(100)
    ]
    write_clips(empty, clips)
    write_capability(empty, "jump", target={"clips": 30})
    write_scores(empty, "jump", {clip.clip_id: at / 100 for at, clip in enumerate(clips)})
    return clips


def ids_of(found: pl.DataFrame, reason: str) -> list[str]:
    return found.filter(reason=reason)["clip_id"].to_list()


def settle(workspace: Workspace, split: str, videos: Sequence[str]) -> None:
    rows = [{"video_id": video, "group_id": video, "split": split} for video in videos]
    workspace.catalog.write("splits", rows, run_id="test")


def said(words: Sequence[str], seed: int) -> np.ndarray:
    """Two frames of what the sample CLIP takes the words for, with noise."""
    meant = _meant(tuple(words))
    noise = np.random.default_rng(seed).standard_normal((2, len(meant))).astype(np.float32)
    return unit(meant + 0.7 * unit(noise))


@cache
def _meant(words: tuple[str, ...]) -> np.ndarray:
    return np.asarray(load_embedder(SAMPLE).texts(list(words)).mean(axis=0))


def write_seen(workspace: Workspace, clips: Sequence[Clip]) -> None:
    """Clips that the sample CLIP has seen, as `said` has it."""
    write_clips(workspace, clips, model_id=load_embedder(SAMPLE).model_id)


def test_a_budget_has_a_part_for_each_purpose_and_says_which_in_words(empty: Workspace, many: list[Clip]) -> None:
    found = choose(empty, "jump", 40)
    counts = dict(found.group_by("reason").len().iter_rows())
    assert counts["audit"] == 6 and set(counts) == {"audit", "likely", "uncertain", "hard-negative"} <= set(REASONS)
    assert found["clip_id"].n_unique() == 40 and found["detail"].str.len_chars().min() > 0  # type: ignore[operator]
    means = dict(found.group_by("reason").agg(pl.col("probability").mean()).iter_rows())
    assert means["likely"] > 0.7 > means["uncertain"] > 0.3 > means["hard-negative"]


def test_with_ranks_alone_the_uncertain_clips_are_where_matches_end(empty: Workspace, many: list[Clip]) -> None:
    rows = [
        {"clip_id": clip.clip_id, "capability": "jump", "similarity": at / 99, "probability": at / 99,
         "calibration": "rank", "eligible": True, "matches": at >= 80}
        for at, clip in enumerate(many)
    ]  # fmt: skip
    empty.catalog.write("scores", rows, run_id="test")
    found = choose(empty, "jump", 40)
    assert found.filter(reason="uncertain")["probability"].median() == pytest.approx(0.8, abs=0.07)
    assert found.filter(reason="likely")["probability"].mean() > 0.8  # type: ignore[operator]


def test_the_same_seed_chooses_the_same_and_another_audits_others(empty: Workspace, many: list[Clip]) -> None:
    assert choose(empty, "jump", 40, seed=1).equals(choose(empty, "jump", 40, seed=1))
    assert set(ids_of(choose(empty, "jump", 40, seed=1), "audit")) != set(
        ids_of(choose(empty, "jump", 40, seed=2), "audit")
    )


def test_the_audit_does_not_depend_on_scores_and_says_what_share_it_drew(empty: Workspace, many: list[Clip]) -> None:
    before = choose(empty, "jump", 40, seed=3)
    write_scores(empty, "jump", {clip.clip_id: 1 - at / 100 for at, clip in enumerate(many)})
    after = choose(empty, "jump", 40, seed=3)
    assert set(ids_of(before, "audit")) == set(ids_of(after, "audit"))
    assert set(ids_of(before, "likely")).isdisjoint(ids_of(after, "likely"))
    assert before.filter(reason="audit")["inclusion"].unique().to_list() == [6 / 100]
    assert before.filter(pl.col("reason") != "audit")["inclusion"].null_count() == 34


def test_the_audit_draws_every_clip_equally_often() -> None:
    first = np.concatenate([draw(20, "jump", seed)[:3] for seed in range(2000)])
    assert np.bincount(first, minlength=20) == pytest.approx(np.full(20, 300), abs=75)


def test_labelled_bad_dropped_and_ineligible_clips_are_never_chosen(empty: Workspace, many: list[Clip]) -> None:
    ids = [clip.clip_id for clip in many]
    write_labels(empty, "jump", dict.fromkeys(ids[90:], "absent"))
    write_labels(empty, "other", dict.fromkeys(ids[60:70], "bad_clip"))
    write_labels(empty, "other", dict.fromkeys(ids[50:60], "absent"))
    dropped = [{"clip_id": clip_id, "keeper_id": ids[0], "kind": "copy", "score": 0.99} for clip_id in ids[80:90]]
    empty.catalog.write("keepers", dropped, run_id="test")
    out = [{"clip_id": clip_id, "capability": "jump", "eligible": False} for clip_id in ids[70:80]]
    empty.catalog.write("scores", out, run_id="test")
    found = choose(empty, "jump", 1000)
    assert set(found["clip_id"]) == set(ids[:60])
    assert set(found.filter(reason="audit")["inclusion"]) == {1.0}


@SETTINGS
@given(
    frozen=st.sets(st.integers(0, 49), min_size=1, max_size=30),
    split=st.sampled_from(["validation", "test"]),
    budget=st.integers(1, 120),
)
def test_frozen_groups_are_chosen_for_evaluation_alone(
    empty: Workspace, many: list[Clip], frozen: set[int], split: str, budget: int
) -> None:
    videos = {f"v{at:02d}" for at in frozen}
    settle(empty, "train", [f"v{at:02d}" for at in range(50)])  # what was settled by the example before
    settle(empty, split, sorted(videos))
    inside = {clip.clip_id for clip in many if clip.video_id in videos}
    train = choose(empty, "jump", budget)
    measuring = choose(empty, "jump", budget, purpose="evaluation")
    assert set(train["clip_id"]).isdisjoint(inside) and len(train) == min(budget, 100 - len(inside))
    assert set(measuring["clip_id"]) <= inside and len(measuring) == min(budget, len(inside))


def test_a_group_that_footage_joined_to_a_frozen_one_is_frozen_too(empty: Workspace, many: list[Clip]) -> None:
    settle(empty, "test", ["v00"])
    settle(empty, "train", ["v01"])
    empty.catalog.write("groups", [{"video_id": "v01", "group_id": "v00"}], run_id="test")
    joined = {clip.clip_id for clip in many if clip.video_id in ("v00", "v01")}
    assert set(choose(empty, "jump", 100)["clip_id"]).isdisjoint(joined)
    assert set(choose(empty, "jump", 100, purpose="evaluation")["clip_id"]) == joined


def test_what_a_published_mix_measures_with_is_frozen(tmp_path: Path, fresh: Path) -> None:
    workspace = Workspace(shutil.copytree(fresh, tmp_path / "workspace"))
    clips = [Clip(f"v{at}", frames_like([0.1, 0.1], at)) for at in range(10)]
    write_clips(workspace, clips)
    write_capability(workspace, "jump")
    write_scores(workspace, "jump", {clip.clip_id: 0.5 for clip in clips})
    packed = tmp_path / "packed"
    packed.mkdir()
    held = [{"clip_id": "c", "video_id": f"v{at}", "group_id": f"v{at}", "split": "test"} for at in (3, 4)]
    (packed / "lock.json").write_text(json.dumps({"clips": held}))
    publish(workspace, "base", packed, content="c", rows={}, who="ana", why="test")
    measuring = choose(workspace, "jump", 10, purpose="evaluation")
    assert set(measuring["clip_id"]) == {clips[3].clip_id, clips[4].clip_id}
    assert set(choose(workspace, "jump", 10)["clip_id"]).isdisjoint(measuring["clip_id"])


def test_evaluation_gets_likely_clips_and_as_many_at_random(empty: Workspace, many: list[Clip]) -> None:
    settle(empty, "test", [f"v{at:02d}" for at in range(50)])
    found = choose(empty, "jump", 20, purpose="evaluation")
    assert found["reason"].value_counts().sort("reason").rows() == [("evaluation", 10), ("evaluation-audit", 10)]
    assert found.filter(reason="evaluation")["probability"].min() > 0.6  # type: ignore[operator]
    assert found.filter(reason="evaluation-audit")["inclusion"].unique().to_list() == [0.1]


def test_negatives_are_asked_for_in_proportion_and_what_is_there_counts(empty: Workspace, many: list[Clip]) -> None:
    def negatives(found: pl.DataFrame) -> int:
        return len(found.filter(pl.col("reason").is_in(["negative", "hard-negative"])))

    ids = [clip.clip_id for clip in many]
    write_scores(empty, "jump", {clip_id: float(at >= 50) for at, clip_id in enumerate(ids)})
    asked = {}
    for share in (0, 0.25, 2):
        write_capability(empty, "jump", target={"clips": 30, "negatives": share})
        asked[share] = negatives(choose(empty, "jump", 40))
    assert asked[0] == 0 < asked[0.25] < asked[2]
    write_labels(empty, "jump", dict.fromkeys(ids[:40], "absent"))
    assert negatives(choose(empty, "jump", 40)) < asked[2]


def test_where_nothing_is_in_doubt_nothing_is_called_uncertain(empty: Workspace, many: list[Clip]) -> None:
    write_scores(empty, "jump", {clip.clip_id: float(at >= 50) for at, clip in enumerate(many)})
    found = choose(empty, "jump", 40)
    assert ids_of(found, "uncertain") == [] and len(found) == 40
    assert found.filter(reason="likely")["probability"].min() == 1


def test_where_likely_clips_run_out_the_rest_is_called_what_it_is(empty: Workspace, many: list[Clip]) -> None:
    write_scores(empty, "jump", {clip.clip_id: 0.9 if at >= 95 else 0.01 for at, clip in enumerate(many)})
    found = choose(empty, "jump", 60)
    assert found.filter(reason="likely")["probability"].to_list() == pytest.approx([0.9] * len(ids_of(found, "likely")))
    assert len(ids_of(found, "hard-negative")) > 10 and len(ids_of(found, "negative")) > 10 and len(found) == 60


def test_hard_negatives_look_like_what_the_spec_says_it_is_mistaken_for(empty: Workspace) -> None:
    rolling = [Clip(f"roll{at:02d}", said(["an object rolling"], at)) for at in range(20)]
    still = [Clip(f"still{at:02d}", said(["a brick wall"], 100 + at)) for at in range(60)]
    bouncing = [Clip(f"bounce{at:02d}", said(["an object bouncing"], 200 + at)) for at in range(20)]
    write_seen(empty, [*rolling, *still, *bouncing])
    write_capability(
        empty, "jump", match={"text": ["an object bouncing"], "not_text": ["an object rolling"]}, target={"clips": 20}
    )
    write_scores(empty, "jump", {c.clip_id: 0.9 if c in bouncing else 0.3 for c in (*rolling, *still, *bouncing)})
    found = choose(empty, "jump", 30).filter(reason="hard-negative")
    assert len(found) and set(found["clip_id"]) <= {clip.clip_id for clip in rolling}
    assert found["detail"].str.contains("an object rolling").all()


def test_hard_negatives_look_like_what_another_capability_was_labelled_for(empty: Workspace) -> None:
    kinds = {name: frames_like([0.0, 0.0], at) for at, name in enumerate(("roll", "wall", "jump"))}
    clips = [
        Clip(f"{name}{at:02d}", unit(frames + 0.1 * frames_like([0.1, 0.1], 100 * at)))
        for name, frames in kinds.items()
        for at in range(30)
    ]
    write_clips(empty, clips)
    write_capability(empty, "jump")
    write_scores(empty, "jump", {c.clip_id: 0.9 if c.video_id.startswith("jump") else 0.3 for c in clips})
    rolls = [clip.clip_id for clip in clips if clip.video_id.startswith("roll")]
    write_labels(empty, "roll", dict.fromkeys(rolls[:5], "present"))
    found = choose(empty, "jump", 30).filter(reason="hard-negative")
    assert len(found) and set(found["clip_id"]) <= set(rolls) and found["detail"].str.contains("clips of roll").all()


@pytest.mark.parametrize("how", ["source", "where"])
def test_a_slice_below_its_floor_is_drawn_from(empty: Workspace, how: str) -> None:
    clips = [
        Clip(f"v{at:02d}", frames_like([0.1, 0.1], at), source="archive" if at % 5 == 0 else "sample_world",
             motion=0.9 if at % 5 == 0 else 0.1)
        for at in range(100)
    ]  # fmt: skip
    write_clips(empty, clips)
    wanted = {clip.clip_id for clip in clips if clip.source == "archive"}
    write_scores(empty, "jump", {clip.clip_id: 0.7 for clip in clips})
    write_capability(empty, "jump")
    without = choose(empty, "jump", 20)
    slices = {"by": ["source"]} if how == "source" else {"where": {"fast_ones": "motion > 0.5"}}
    floors = {"source=archive": 10} if how == "source" else {"fast_ones": 10}
    write_capability(empty, "jump", slices=slices, target={"clips": 50, "floors": floors})
    found = choose(empty, "jump", 20)
    assert set(ids_of(found, "slice")) <= wanted and len(ids_of(found, "slice")) >= 5
    assert len(wanted & set(found["clip_id"])) > len(wanted & set(without["clip_id"]))
    assert "0 of 10 labelled" in found.filter(reason="slice")["detail"][0]


def test_a_full_slice_asks_for_nothing(empty: Workspace, many: list[Clip]) -> None:
    write_capability(empty, "jump", slices={"by": ["source"]}, target={"clips": 50, "floors": {"source": 3}})
    write_labels(empty, "jump", {clip.clip_id: "present" for clip in many[:3]})
    assert ids_of(choose(empty, "jump", 40), "slice") == []


@pytest.mark.parametrize("told_by", ["texts", "labels"])
def test_a_field_s_missing_value_is_expected_from_texts_and_from_labels(empty: Workspace, told_by: str) -> None:
    reds = [Clip(f"red{at:02d}", said(["a red object", "a red thing"], at)) for at in range(15)]
    blues = [Clip(f"blue{at:02d}", said(["a blue object", "a blue thing"], 100 + at)) for at in range(85)]
    write_seen(empty, [*reds, *blues])
    field = {"name": "color", "type": "string"}
    fields = [{**field, "enum": ["red", "blue"]} if told_by == "texts" else {**field, "description": "of the thing"}]
    write_capability(
        empty, "jump", segment={"description": "jump", "fields": fields}, slices={"by": ["color"]},
        target={"clips": 50, "floors": {"color=red": 20}},
    )  # fmt: skip
    write_scores(empty, "jump", {clip.clip_id: 0.8 for clip in (*reds, *blues)})
    if told_by == "labels":
        write_labels(empty, "jump", {clip.clip_id: "present" for clip in reds[:5]}, fields='{"color": "red"}')
        write_labels(empty, "jump", {clip.clip_id: "present" for clip in blues[:20]}, fields='{"color": "blue"}')
    found = choose(empty, "jump", 20)
    assert len(ids_of(found, "slice")) >= 3
    assert set(ids_of(found, "slice")) <= {clip.clip_id for clip in reds}
    assert found.filter(reason="slice")["detail"].str.contains("color=red").all()


def test_likely_clips_are_unlike_each_other_while_there_are_others(empty: Workspace) -> None:
    same = np.tile(np.eye(DIM, dtype=np.float32)[3], (2, 1))
    clips = [Clip(f"same{at:02d}", same) for at in range(20)]
    clips += [Clip(f"other{at:02d}", frames_like([0.1, 0.1], at)) for at in range(40)]
    write_clips(empty, clips)
    write_capability(empty, "jump")
    write_scores(empty, "jump", {c.clip_id: 0.9 if c.video_id.startswith("same") else 0.6 for c in clips})
    likely = ids_of(choose(empty, "jump", 20), "likely")
    assert len(set(likely) & {clip.clip_id for clip in clips[:20]}) <= 1


def test_no_leakage_group_gives_more_than_its_share_while_there_are_others(empty: Workspace) -> None:
    clips = [Clip("crowd", frames_like([0.1, 0.1], at), start_s=2.0 * at, end_s=2.0 * at + 2) for at in range(30)] + [
        Clip(f"v{at:02d}", frames_like([0.1, 0.1], 100 + at)) for at in range(60)
    ]
    write_clips(empty, clips)
    write_capability(empty, "jump")
    write_scores(empty, "jump", {c.clip_id: 0.9 if c.video_id == "crowd" else 0.4 for c in clips})
    found = choose(empty, "jump", 40).filter(reason="likely")
    crowd = {clip.clip_id for clip in clips[:30]}
    assert len(set(found["clip_id"]) & crowd) <= 4


@SETTINGS
@given(budget=st.integers(1, 150), seed=st.integers(0, 5))
def test_never_more_than_the_budget_and_all_of_it_where_there_is_enough(
    empty: Workspace, many: list[Clip], budget: int, seed: int
) -> None:
    found = choose(empty, "jump", budget, seed=seed)
    assert len(found) == found["clip_id"].n_unique() == min(budget, 100)


@pytest.mark.parametrize("clips", [0, 1, 2, 3])
@pytest.mark.parametrize("budget", [1, 2, 40])
def test_tiny_pools_give_what_they_have(empty: Workspace, clips: int, budget: int) -> None:
    made = [Clip(f"v{at}", frames_like([0.1, 0.1], at)) for at in range(clips)]
    labelled = Clip("labelled", frames_like([0.1, 0.1], 99))
    write_clips(empty, [*made, labelled])
    write_capability(empty, "jump")
    write_scores(empty, "jump", {clip.clip_id: 0.5 for clip in (*made, labelled)}, calibration="rank")
    write_labels(empty, "jump", {labelled.clip_id: "present"})
    assert len(choose(empty, "jump", budget)) == min(clips, budget)


def test_what_cannot_be_chosen_is_said(empty: Workspace, clips: list[Clip]) -> None:
    with pytest.raises(InputError, match="jump"):
        choose(empty, "jump", 10)
    write_capability(empty, "jump")
    with pytest.raises(InputError, match="no clip is scored .*curate collect"):
        choose(empty, "jump", 10)
    with pytest.raises(InputError, match="budget of 0"):
        choose(empty, "jump", 0)
    with pytest.raises(InputError, match="labels for 'fun'"):
        choose(empty, "jump", 10, purpose="fun")
    write_scores(empty, "jump", {clip.clip_id: 0.5 for clip in clips})
    with pytest.raises(InputError, match="set aside for evaluation yet.*mix build"):
        choose(empty, "jump", 10, purpose="evaluation")
