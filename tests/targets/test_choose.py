"""Label orders: within budget, reproducible, spread out, and never what needs no label."""

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curate.errors import InputError
from curate.targets.choose import choose
from curate.workspace import Workspace
from tests.dedupe.rows import Clip, write_clips
from tests.targets.conftest import DIM, frames_like, write_capability, write_labels, write_scores


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


def test_a_budget_is_split_into_likely_uncertain_and_audit(empty: Workspace, many: list[Clip]) -> None:
    found = choose(empty, "jump", 40)
    assert dict(found.group_by("reason").len().iter_rows()) == {"likely": 24, "uncertain": 10, "audit": 6}
    assert found["clip_id"].n_unique() == 40
    means = dict(found.group_by("reason").agg(pl.col("probability").mean()).iter_rows())
    assert means["likely"] > 0.8
    assert means["uncertain"] == pytest.approx(0.5, abs=0.05)


def test_with_ranks_the_uncertain_clips_are_at_the_rank_that_the_target_implies(
    empty: Workspace, many: list[Clip]
) -> None:
    write_scores(empty, "jump", {clip.clip_id: at / 99 for at, clip in enumerate(many)}, calibration="rank")
    found = choose(empty, "jump", 20)
    uncertain = found.filter(found["reason"] == "uncertain")["probability"]
    assert uncertain.mean() == pytest.approx(0.7, abs=0.05)


def test_the_same_seed_chooses_the_same_and_another_audits_others(empty: Workspace, many: list[Clip]) -> None:
    assert choose(empty, "jump", 40, seed=1).equals(choose(empty, "jump", 40, seed=1))
    audits = [set(choose(empty, "jump", 40, seed=s).filter(reason="audit")["clip_id"]) for s in (1, 2)]
    assert audits[0] != audits[1]


def test_labelled_dropped_and_ineligible_clips_are_never_chosen(empty: Workspace, many: list[Clip]) -> None:
    ids = [clip.clip_id for clip in many]
    write_labels(empty, "jump", dict.fromkeys(ids[90:], "absent"))
    dropped = [{"clip_id": clip_id, "keeper_id": ids[0], "kind": "copy", "score": 0.99} for clip_id in ids[80:90]]
    empty.catalog.write("keepers", dropped, run_id="test")
    out = [{"clip_id": clip_id, "capability": "jump", "eligible": False} for clip_id in ids[70:80]]
    empty.catalog.write("scores", out, run_id="test")
    found = choose(empty, "jump", 1000)
    assert set(found["clip_id"]) == set(ids[:70])


def test_likely_clips_are_unlike_each_other_while_there_are_others(empty: Workspace) -> None:
    same = np.tile(np.eye(DIM, dtype=np.float32)[3], (2, 1))
    clips = [Clip(f"same{at:02d}", same) for at in range(20)]
    clips += [Clip(f"other{at:02d}", frames_like([0.1, 0.1], at)) for at in range(40)]
    write_clips(empty, clips)
    write_capability(empty, "jump")
    write_scores(empty, "jump", {c.clip_id: 0.9 if c.video_id.startswith("same") else 0.6 for c in clips})
    likely = choose(empty, "jump", 20).filter(reason="likely")["clip_id"].to_list()
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


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(budget=st.integers(1, 150), seed=st.integers(0, 5))
def test_never_more_than_the_budget_and_all_of_it_where_there_is_enough(
    empty: Workspace, many: list[Clip], budget: int, seed: int
) -> None:
    found = choose(empty, "jump", budget, seed=seed)
    assert len(found) == found["clip_id"].n_unique() == min(budget, 100)


def test_what_cannot_be_chosen_is_said(empty: Workspace, clips: list[Clip]) -> None:
    with pytest.raises(InputError, match="jump"):
        choose(empty, "jump", 10)
    write_capability(empty, "jump")
    with pytest.raises(InputError, match="curate collect"):
        choose(empty, "jump", 10)
    with pytest.raises(InputError, match="budget of 0"):
        choose(empty, "jump", 0)
