"""Comparisons of two models: what is called a difference, and what is not."""

import json

import numpy as np
import pytest

from curate.errors import InputError
from curate.evaluation.compare import BETTER, UNDECIDED, WORSE, Comparison, compare, exchange_test, holm
from curate.evaluation.count import METRICS, Counts, count
from curate.evaluation.judged import Judged
from curate.model.definitions import Segment

CAPABILITIES = ("fall", "jump", "roll")
F1 = METRICS.index("f1@0.5")
TRUE = (Segment(1.0, 3.0),)


def counts(found: dict[str, list[bool]]) -> Counts:
    """One clip in each video and capability, found or not."""
    judged = [
        Judged(f"{name}{at}", f"v{at:02}", name, 10.0, TRUE) for name, hits in found.items() for at in range(len(hits))
    ]
    answers = [TRUE if hit else () for hits in found.values() for hit in hits]
    return count(judged, answers, required={}, slices={}, scored=True)


def compared(
    ours: dict[str, list[bool]], theirs: dict[str, list[bool]], asked: dict[str, str] | None = None
) -> Comparison:
    return compare("new", counts(ours), "old", counts(theirs), asked or {}, resamples=300)


def verdicts(found: Comparison) -> dict[str, str]:
    return dict(found.rows.drop_nulls("verdict").select("capability", "verdict").iter_rows())


def test_a_regression_is_named_and_a_gain_is_not_one() -> None:
    good, poor = [True] * 20, [at % 4 == 0 for at in range(20)]
    found = compared({"fall": poor, "jump": good, "roll": good}, {"fall": good, "jump": poor, "roll": good})
    assert verdicts(found) == {"fall": WORSE, "jump": BETTER, "roll": UNDECIDED, "all": UNDECIDED}
    (line,) = found.regressions
    assert line.startswith("fall is worse: f1@0.5 1.00 -> 0.40, a difference of -0.60 (")
    row = found.rows.filter(capability="fall", metric="f1@0.5").row(0, named=True)
    assert row["difference"] == pytest.approx(-0.6)
    assert row["low"] < row["difference"] < row["high"] < 0


def test_five_videos_cannot_show_that_a_model_is_worse_of_three_capabilities() -> None:
    """All five exchanged or none of 32 ways: p 1/16 before any correction."""
    found = compared(dict.fromkeys(CAPABILITIES, [False] * 5), dict.fromkeys(CAPABILITIES, [True] * 5))
    row = found.rows.filter(capability="fall", metric="f1@0.5").row(0, named=True)
    assert (row["difference"], row["p"], row["verdict"]) == (-1.0, pytest.approx(3 / 16), UNDECIDED)
    assert found.regressions == []


def test_the_exchange_test_counts_every_way() -> None:
    """Three videos of four differ; the difference is as large in the 2 of 8 ways that exchange all of them or none."""
    ours, theirs = counts({"jump": [True, True, True, True]}), counts({"jump": [True, False, False, False]})
    assert exchange_test(ours, theirs, [F1, F1]).tolist() == [0.25, 0.25]


def test_equal_models_differ_in_nothing() -> None:
    rng = np.random.default_rng(0)
    hits = {name: (rng.random(12) < 0.6).tolist() for name in CAPABILITIES}
    found = compared(hits, hits)
    assert set(found.rows["difference"]) == {0.0}
    assert set(verdicts(found).values()) == {UNDECIDED}
    assert found.rows.drop_nulls("verdict")["p"].to_list() == [1.0] * 4


def test_a_verdict_is_about_the_metric_that_the_capability_asks_for() -> None:
    found = compared({"jump": [True] * 8}, {"jump": [False] * 8}, {"jump": "f1@0.7"})
    told = found.rows.filter(capability="jump").drop_nulls("verdict")
    assert told["metric"].to_list() == ["f1@0.7"]


def test_holm_by_hand() -> None:
    """0.01 x 3, 0.02 x 2, and 0.03 not below what came before it."""
    found = holm(np.array([0.03, 0.01, np.nan, 0.02]))
    assert found[[1, 3, 0]].tolist() == [pytest.approx(0.03), pytest.approx(0.04), pytest.approx(0.04)]
    assert np.isnan(found[2])


def test_models_that_are_alike_are_seldom_told_apart() -> None:
    """Sixty comparisons of three capabilities: at 0.05 each, two in ten intervals alone would find some difference."""
    rng = np.random.default_rng(1)
    told = 0
    for _ in range(60):
        difficulty = rng.beta(4, 1, 15)
        ours, theirs = ({name: (rng.random(15) < difficulty).tolist() for name in CAPABILITIES} for _ in range(2))
        told += bool({WORSE, BETTER} & {v for name, v in verdicts(compared(ours, theirs)).items() if name != "all"})
    assert told <= 5


def test_a_model_is_not_compared_with_itself() -> None:
    with pytest.raises(InputError, match="cannot be compared with itself"):
        compare("m", counts({"jump": [True]}), "m", counts({"jump": [True]}), {})


def test_what_is_unknown_is_null_in_json() -> None:
    found = compared({"jump": [True]}, {"jump": [False]})
    json.dumps(found.rows.to_dicts(), allow_nan=False)
