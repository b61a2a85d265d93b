"""A blind comparison: what is asked, and when there is a winner."""

import itertools
import shutil
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as some
from scipy.stats import binomtest

from curate.catalog import Catalog
from curate.errors import InputError
from curate.model.train import train
from curate.review import statistics as st
from curate.review.blind import Result, plan, result, sign_test
from curate.targets.scoring.trained import trained_model
from curate.workspace import Workspace
from tests.model.conftest import footage, published
from tests.review.made import NOON, write_clips
from tests.targets.scoring.test_trained import with_model

__all__ = ["footage", "published", "with_model"]

GOOD, BAD = "base-v1-s0", "base-v1-s1"


def ask(catalog: Catalog, clips: int, *, per_video: int = 1, twice: int = 0) -> None:
    """A comparison "x" of models a and b over clips c0, c1, ..., a on side 1 of every other clip."""
    write_clips(catalog, {f"c{at}": f"v{at // per_video}" for at in range(clips)})
    rows = [
        {
            "comparison_id": "x", "capability": "jump", "clip_id": f"c{at}", "repeat": repeat,
            "first": "ab"[(at + repeat) % 2], "second": "ba"[(at + repeat) % 2],
        }
        for repeat in (0, 1)
        for at in range(clips if repeat == 0 else twice)
    ]  # fmt: skip
    catalog.write("comparisons", rows, run_id="test")


def vote(catalog: Catalog, likes: Sequence[str], *, annotator: str = "ann", repeat: int = 0, minute: int = 0) -> None:
    """Votes on c0, c1, ...: each is for model a or b, or tie, or neither."""
    rows = []
    for at, liked in enumerate(likes):
        side = {"ab"[(at + repeat) % 2]: "1", "ba"[(at + repeat) % 2]: "2"}
        rows.append({
            "vote_id": f"{at}-{repeat}-{annotator}", "comparison_id": "x", "clip_id": f"c{at}", "repeat": repeat,
            "annotator": annotator, "answer": side.get(liked, liked), "updated_at": NOON + timedelta(minutes=minute),
        })  # fmt: skip
    catalog.write("votes", rows, run_id="test")


def test_the_model_that_people_prefer_wins(catalog: Catalog) -> None:
    ask(catalog, 40)
    vote(catalog, ["a"] * 26 + ["b"] * 4 + ["tie"] * 7 + ["neither"] * 3)
    found = result(catalog, "x")
    assert (found.models, found.winner, found.wins) == (("a", "b"), "a", {"a": 26, "b": 4})
    assert (found.clips, found.waiting, found.votes, found.ties, found.neither) == (40, 0, 40, 7, 3)
    assert found.share == pytest.approx(26 / 30) and 0.5 < found.low < found.share < found.high < 1
    assert found.p == pytest.approx(binomtest(26, 30).pvalue)
    assert (found.needed, found.design_effect) == (0, pytest.approx(1, abs=0.05))


def test_there_is_no_winner_while_the_interval_crosses_one_half(catalog: Catalog) -> None:
    ask(catalog, 40)
    vote(catalog, ["a"] * 24 + ["b"] * 16)
    found = result(catalog, "x")
    assert found.low < 0.5 < found.high and found.winner is None
    assert found.needed is not None and 140 < found.needed < 170, "a share of 0.6 takes 194 clips"


def test_without_votes_nothing_is_known(catalog: Catalog) -> None:
    ask(catalog, 3)
    found = result(catalog, "x")
    assert (found.waiting, found.votes, found.winner, found.needed, found.p) == (3, 0, None, None, 1)
    assert np.isnan([found.share, found.low, found.high, found.consistency.value]).all()
    vote(catalog, ["tie", "neither", "tie"])
    found = result(catalog, "x")
    assert (found.waiting, found.ties, found.neither, found.winner) == (0, 2, 1, None)
    with pytest.raises(InputError, match="no comparison 'y'.*Known: x"):
        result(catalog, "y")


def test_looking_early_asks_for_more(catalog: Catalog) -> None:
    ask(catalog, 40)
    vote(catalog, ["a"] * 13 + ["b"] * 2)
    early = result(catalog, "x")
    assert early.waiting == 25 and early.low > 0.5 and 0.001 < early.p < 0.05 and early.winner is None
    vote(catalog, ["a"] * 20)
    assert result(catalog, "x").winner == "a", "at 20 of 20 it need not wait"


def test_a_clip_has_one_vote_whoever_and_how_often_was_asked(catalog: Catalog) -> None:
    ask(catalog, 3, twice=3)
    vote(catalog, ["a", "a", "a"])
    vote(catalog, ["a", "b", "tie"], repeat=1)
    vote(catalog, ["b", "b", "b"], annotator="bob")
    found = result(catalog, "x")
    assert (found.wins, found.ties, found.votes, found.annotators) == ({"a": 0, "b": 1}, 2, 9, 2)
    vote(catalog, ["b", "b", "a"], annotator="eve")
    assert result(catalog, "x").wins == {"a": 1, "b": 2}


def test_a_changed_vote_counts_as_it_is_now(catalog: Catalog) -> None:
    ask(catalog, 2)
    vote(catalog, ["a", "a"])
    vote(catalog, ["b"], minute=1)
    assert result(catalog, "x").wins == {"a": 1, "b": 1}
    catalog.write("votes", [{**catalog.read("votes").filter(pl.col("clip_id") == "c1").drop("written_at").to_dicts()[0],
                             "updated_at": NOON + timedelta(minutes=2), "deleted": True}], run_id="test")  # fmt: skip
    assert result(catalog, "x").wins == {"a": 0, "b": 1}


def test_repeats_show_how_steady_answers_are_and_sides_whether_they_matter(catalog: Catalog) -> None:
    ask(catalog, 30, twice=10)
    vote(catalog, ["a"] * 15 + ["b"] * 15)
    vote(catalog, ["a"] * 8 + ["b", "tie"], repeat=1)
    found = result(catalog, "x")
    assert found.consistency.value == 0.8 and found.consistency.low < 0.6
    assert found.first_side.low < 0.5 < found.first_side.high
    vote(catalog, ["ab"[at % 2] for at in range(30)], annotator="bob")
    assert result(catalog, "x").first_side.low > 0.5, "bob likes what is on side 1"


@given(some.lists(some.integers(-4, 4), max_size=9))
def test_the_sign_test_is_exact(balances: list[int]) -> None:
    all_signs = itertools.product((-1, 1), repeat=len(balances))
    totals = [abs(sum(sign * size for sign, size in zip(signs, balances, strict=True))) for signs in all_signs]
    exact = np.mean([total >= abs(sum(balances)) for total in totals])
    assert sign_test(np.array(balances)) == pytest.approx(exact)


def outcome(sums: np.ndarray) -> bool:
    """Whether videos' wins and decided clips [n, 2] make a winner at the end."""
    estimate = st.bounded(sums, st.ratio, units=sums[:, 1].sum())
    return not estimate.low <= 0.5 <= estimate.high and sign_test(2 * sums[:, 0] - sums[:, 1]) < 0.05


@pytest.mark.parametrize(("videos", "clips", "alike"), [(100, 1, 0.0), (40, 3, 0.3), (15, 4, 0.5), (10, 10, 0.5)])
def test_equal_models_have_a_winner_in_one_of_twenty_at_most(videos: int, clips: int, alike: float) -> None:
    rng = np.random.default_rng([videos, clips])
    found = []
    for _ in range(600):
        sizes = rng.integers(1, 2 * clips, videos) if clips > 1 else np.ones(videos, dtype=int)
        spread = 0.5 * (1 - alike) / alike if alike else 0
        share = rng.beta(spread, spread, videos) if alike else np.full(videos, 0.5)
        found.append(outcome(np.stack([rng.binomial(sizes, share), sizes], axis=-1).astype(float)))
    assert np.mean(found) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 600)


def test_a_better_model_is_found() -> None:
    rng = np.random.default_rng(8)
    votes = [np.stack([rng.random(100) < 0.65, np.ones(100)], axis=-1).astype(float) for _ in range(200)]
    assert np.mean([outcome(sums) for sums in votes]) > 0.75


def test_clips_of_a_video_vote_as_one(catalog: Catalog) -> None:
    ask(catalog, 40, per_video=8)
    vote(catalog, ["a"] * 32 + ["b"] * 8)
    found = result(catalog, "x")
    assert found.share == 0.8 and found.winner is None, "four videos of five"
    assert found.p == pytest.approx(binomtest(4, 5).pvalue) and found.design_effect > 5


@pytest.fixture(scope="module")
def two_models(with_model: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The workspace with a second model, that learnt next to nothing."""
    workspace = Workspace(tmp_path_factory.mktemp("two") / "workspace")
    shutil.copytree(with_model.root, workspace.root)
    train(workspace, "base", steps=5, seed=1, device="cpu")
    return workspace


def planned(workspace: Workspace, **more: Any) -> pl.DataFrame:
    return pl.DataFrame(plan(workspace, "bounce", GOOD, BAD, **more).rows, schema_overrides={"repeat": pl.Int64})


def test_sides_are_drawn_by_lot_each_as_often_and_exchanged_when_asked_again(two_models: Workspace) -> None:
    rows = planned(two_models, repeats=0.5)
    first, again = rows.filter(pl.col("repeat") == 0), rows.filter(pl.col("repeat") == 1)
    assert abs(2 * (first["first"] == GOOD).sum() - len(first)) <= 1
    assert len(again) == round(0.5 * len(first))
    both = again.join(first, on="clip_id", suffix="_before")
    assert (both["first"] == both["second_before"]).all()
    assert both["segments_first"].to_list() == both["segments_second_before"].to_list()
    assert rows["repeat"].is_sorted(), "the second time comes later"
    assert rows.equals(planned(two_models, repeats=0.5))


def test_no_clip_is_asked_that_a_model_was_trained_on_or_where_both_say_the_same(two_models: Workspace) -> None:
    made = plan(two_models, "bounce", BAD, GOOD)
    seen = trained_model(two_models, GOOD).seen_videos
    videos = dict(two_models.catalog.read("clips").select("clip_id", "video_id").iter_rows())
    assert seen and not {videos[row["clip_id"]] for row in made.rows} & seen
    assert made.seen == 2 * len(seen)
    asked = {row["clip_id"] for row in made.rows}
    assert len(asked) + made.same + made.seen == 32
    assert all(row["segments_first"] != row["segments_second"] for row in made.rows)


def test_a_plan_is_asked_and_answered(two_models: Workspace, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "workspace")
    shutil.copytree(two_models.root, workspace.root)
    made = plan(workspace, "bounce", GOOD, BAD, count=3, repeats=0)
    assert len(made.rows) == 3
    workspace.catalog.write("comparisons", made.rows, run_id="test")
    votes = [
        {
            "vote_id": row["clip_id"], "comparison_id": made.comparison_id, "clip_id": row["clip_id"], "repeat": 0,
            "annotator": "ann", "answer": "1" if row["first"] == GOOD else "2", "updated_at": NOON,
        }
        for row in made.rows
    ]  # fmt: skip
    workspace.catalog.write("votes", votes, run_id="test")
    found: Result = result(workspace.catalog, made.comparison_id)
    assert found.models == (GOOD, BAD) and found.wins == {GOOD: 3, BAD: 0}


def test_the_baseline_can_be_compared(two_models: Workspace) -> None:
    rows = plan(two_models, "bounce", GOOD, "zero-shot").rows
    assert {row["first"] for row in rows} | {row["second"] for row in rows} == {GOOD, "zero-shot"}


def test_what_cannot_be_compared_is_refused(two_models: Workspace) -> None:
    with pytest.raises(InputError, match="compared with itself"):
        plan(two_models, "bounce", GOOD, GOOD)
    with pytest.raises(InputError, match="no model 'best'"):
        plan(two_models, "bounce", GOOD, "best")
    with pytest.raises(InputError, match="no clip 'nothing'"):
        plan(two_models, "bounce", GOOD, BAD, ["nothing"])
    with pytest.raises(InputError, match="not trained for 'other'"):
        plan(two_models, "other", GOOD, BAD)
    clips = dict(two_models.catalog.read("clips").select("video_id", "clip_id").iter_rows())
    seen = sorted(trained_model(two_models, GOOD).seen_videos or ())
    with pytest.raises(InputError, match="no clip to ask about: 1 are of footage that a model was trained on"):
        plan(two_models, "bounce", GOOD, BAD, [clips[seen[0]]])
