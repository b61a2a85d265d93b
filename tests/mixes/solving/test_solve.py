"""What the solver promises, on worlds that hypothesis makes up: limits hold, shares reach what is feasible."""

from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.conditions import matching
from curate.errors import CurateError, InputError
from curate.mixes.solving.pick import pick
from curate.mixes.solving.program import best
from curate.mixes.solving.shortfall import floors_of
from curate.mixes.solving.solve import solve
from curate.vectors import pack, unit
from tests.mixes.solving.worlds import (
    World,
    clip_rows,
    label_rows,
    make_mix,
    run,
    slice_rows,
    worlds,
)


@settings(max_examples=60, deadline=None)
@given(worlds())
def test_no_limit_is_ever_exceeded(world: World) -> None:
    mix, limits = world.mix, world.mix.limits
    picks = world.solve().picks
    assert picks["clip_id"].n_unique() == picks.height, "a clip counts for one share"
    rows = picks.join(world.clips, on="clip_id")
    assert rows.height == picks.height
    assert set(rows["licence"]) <= set(limits.licences or rows["licence"])
    assert max(Counter(rows["video_id"]).values(), default=0) <= (limits.per_video or 1000)
    assert max(Counter(rows["source"]).values(), default=0) <= (limits.per_source or 1000)
    assert max(Counter(rows["duplicate_group"]).values(), default=0) <= limits.per_duplicate_group
    assert all(Counter(rows["licence"])[name] <= most for name, most in limits.per_licence.items())
    assert matching(rows, mix.where).all()
    said = {(row["clip_id"], row["capability"]): row for row in world.labels.iter_rows(named=True)}
    for role, share in mix.capabilities.items():
        mine = rows.filter(pl.col("role") == role)
        weight = mine["repeat"] * (1.0 if mix.budget.clips else mine["duration_s"] / 3600)
        assert weight.sum() <= share.share * (mix.budget.clips or mix.budget.hours) + (1 if mix.budget.clips else 1e-6)
        assert matching(mine, share.where).all()
        assert share.labels == "any" or all(said[clip, role]["reviewed"] for clip in mine["clip_id"])
        absent = pl.Series([said[clip, role]["verdict"] == "absent" for clip in mine["clip_id"]], dtype=pl.Boolean)
        assert (mine["repeat"].filter(absent) == 1).all()
        assert (mine["repeat"] <= share.max_repeat).all()
        assert weight.filter(absent).sum() <= world.negatives * weight.sum() + 1e-6
    present = {pair for pair, row in said.items() if row["verdict"] == "present"}
    replayed = rows.filter(pl.col("role") == "replay")
    assert not any((clip, name) in present for clip in replayed["clip_id"] for name in mix.capabilities)


@settings(max_examples=60, deadline=None)
@given(worlds())
def test_every_share_reaches_what_is_feasible_but_for_rounding(world: World) -> None:
    mix = world.mix
    solved = world.solve()
    budget = mix.budget.clips or mix.budget.hours
    unit_size = 1.0 if mix.budget.clips else 20 / 3600
    for role in mix.capabilities:
        most = mix.capabilities[role].max_repeat
        assert solved.realised[role] <= solved.requested[role] + (1 / budget if mix.budget.clips else 1e-6)
        assert (solved.feasible[role] - solved.realised[role]) * budget <= (most + 1) * unit_size + 1e-6


@settings(max_examples=60, deadline=None)
@given(worlds(hours=False))
def test_minimums_are_met_as_far_as_is_feasible(world: World) -> None:
    problem = world.pose()
    kinds, feasible = best(problem)
    picked = pick(problem, kinds, feasible)
    held = [((picked.role == role) & picked.positive).sum() for role in range(len(problem.roles))]
    lacking = np.maximum(problem.minimum - held, 0).sum()
    lacking += np.maximum(problem.floors - floors_of(problem, picked), 0).sum()
    possible = np.maximum(problem.minimum - feasible.minimum, 0).sum()
    possible += np.maximum(problem.floors - feasible.floors, 0).sum()
    assert lacking <= np.ceil(possible - 1e-6) + 1, "one clip, at most, is lost to rounding"


@settings(max_examples=30, deadline=None)
@given(worlds(), st.integers(0, 100))
def test_the_order_of_the_input_changes_nothing(world: World, seed: int) -> None:
    first, again = world.solve(), world.shuffled(seed).solve()
    assert first.picks.equals(again.picks)
    assert first.record() == again.record()


def test_enough_of_everything_gives_every_share_to_the_clip() -> None:
    clips = clip_rows(60)
    labels = label_rows(
        *((f"c{i:03}", "bounce", "present") for i in range(20)),
        *((f"c{i:03}", "roll", "present") for i in range(20, 40)),
    )
    mix = make_mix(replay={"share": 0.2}, capabilities={"bounce": {"share": 0.5}, "roll": {"share": 0.3}})
    solved = run(clips, labels, mix)
    assert solved.requested == solved.feasible == solved.realised == {"bounce": 0.5, "roll": 0.3, "replay": 0.2}
    assert not solved.shortfalls
    assert (solved.picks["repeat"] == 1).all(), "nothing repeats where there are other clips"


def test_negatives_join_their_share_up_to_their_fraction_of_it() -> None:
    clips = clip_rows(40)
    labels = label_rows(
        *((f"c{i:03}", "bounce", "present") for i in range(20)),
        *((f"c{i:03}", "bounce", "absent") for i in range(20, 40)),
    )
    picks = run(clips, labels, make_mix(capabilities={"bounce": {"share": 1.0}}), 0.25).picks
    assert picks["repeat"].sum() == 20
    assert picks.filter(pl.col("clip_id") >= "c020").height == 5


def test_a_clip_that_two_shares_want_goes_to_the_emptier_one() -> None:
    clips = clip_rows(20)
    labels = label_rows(
        *((f"c{i:03}", "bounce", "present") for i in range(20)), *((f"c{i:03}", "roll", "present") for i in range(10))
    )
    solved = run(clips, labels, make_mix())
    assert solved.realised == {"bounce": 0.5, "roll": 0.5}


def test_a_short_mix_fails_where_the_mix_says_so() -> None:
    with pytest.raises(CurateError, match="mix base cannot be filled: bounce: 0 of 10 clips") as caught:
        run(clip_rows(3), label_rows(), make_mix(on_shortfall="fail", capabilities={"bounce": {"share": 0.5}}))
    assert "label more" in str(caught.value)


def test_hours_are_a_budget_too() -> None:
    clips = clip_rows(100, duration_s=36.0)
    labels = label_rows(*((clip, "bounce", "present") for clip in clips["clip_id"]))
    solved = run(clips, labels, make_mix(budget={"hours": 0.5}, capabilities={"bounce": {"share": 0.4}}))
    assert solved.picks["repeat"].sum() == 20
    assert solved.realised["bounce"] == pytest.approx(0.4)


def test_replay_is_spread_over_embedding_space_not_over_what_abounds() -> None:
    """95 clips look alike; five others do not: a replay of ten takes all five."""
    clips = clip_rows(100)
    rng = np.random.default_rng(0)
    points = np.vstack([np.eye(8)[0] + 0.01 * rng.normal(size=(95, 8)), np.eye(8)[1:6]])
    vectors = pl.DataFrame(
        {"clip_id": clips["clip_id"], "vector": [pack(point) for point in unit(points)]},
        schema={"clip_id": pl.String, "vector": pl.Binary},
    )
    mix = make_mix(budget={"clips": 10}, replay={"share": 1.0}, capabilities={})
    picks = solve(clips, label_rows(), mix, negatives={}, vectors=vectors).picks
    assert picks.height == 10
    assert {f"c{i:03}" for i in range(95, 100)} <= set(picks["clip_id"])


def test_minimums_come_before_the_share_and_before_other_shares() -> None:
    """Twelve clips of ten serve both; red ones are few, and in one full video."""
    labels = label_rows(
        *((f"c{i:03}", "bounce", "present") for i in range(12)), *((f"c{i:03}", "roll", "present") for i in range(12))
    )
    slices = slice_rows(*(("bounce", "color=red", f"c{i:03}") for i in range(3)))
    mix = make_mix(
        capabilities={"bounce": {"share": 0.5, "per_slice": 3}, "roll": {"share": 0.5, "min_clips": 6}},
    )
    solved = World(clip_rows(12), labels, mix, 0.25, slices).solve()
    rows = dict(solved.picks.select("clip_id", "role").iter_rows())
    assert [rows[f"c{i:03}"] for i in range(3)] == ["bounce"] * 3
    assert list(rows.values()).count("roll") >= 6


def test_a_clip_counts_only_with_the_label_and_the_condition_that_its_share_asks_for() -> None:
    labels = label_rows(*((f"c{i:03}", "bounce", "present") for i in range(10)))
    labels = labels.with_columns(reviewed=pl.Series([i < 6 for i in range(10)]))
    clips = clip_rows(10).with_columns(motion=pl.Series([float(i) for i in range(10)]))
    share = {"share": 0.5, "labels": "reviewed", "where": "motion >= 2"}
    picks = run(clips, labels, make_mix(capabilities={"bounce": share}, where="motion < 5")).picks
    assert picks["clip_id"].to_list() == ["c002", "c003", "c004"]


def test_a_condition_that_cannot_be_used_is_refused_by_the_place_it_is_written_in() -> None:
    labels = label_rows(("c000", "bounce", "present"))
    with pytest.raises(InputError, match=r"condition 'shine > 2' cannot be used"):
        run(clip_rows(2), labels, make_mix(where="shine > 2"))


@settings(max_examples=20, deadline=None)
@given(worlds(hours=False))
def test_the_gap_is_to_what_no_selection_exceeds(world: World) -> None:
    solved = world.solve()
    asked = sum(share.share for share in world.mix.capabilities.values()) * (world.mix.budget.clips or 0)
    lost = sum(solved.feasible[name] - solved.realised[name] for name in world.mix.capabilities)
    if not any(share.min_clips or share.per_slice for share in world.mix.capabilities.values()):
        assert solved.gap <= (4 * len(world.mix.capabilities) + 8) / max(2.5 * asked, 1)
    assert solved.gap >= 0 and lost * (world.mix.budget.clips or 0) <= 5
