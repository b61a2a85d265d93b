"""How the proof of targeting reads what its arms have learnt."""

import numpy as np
import pytest

from benchmarks.targeting_rounds import RANDOM, SAME, TARGETED, Learnt, Setup
from benchmarks.targeting_works import BASE, COMMON, EVERY, State, result
from curate.model.definitions import Segment
from curate.model.metrics import tally

VIDEOS, WORLDS = 30, 4
SETUP = Setup((), 0, 0, 0, {COMMON[0]: 8, "hide": 2}, budget=6, rounds=2, target_clips=8)
TRUE = [Segment(0.0, 1.0), Segment(2.0, 3.0)]
ONE, BOTH = tally(TRUE, TRUE[:1], 4.0), tally(TRUE, TRUE, 4.0)


def learnt(common: float, rare: float, rng: np.random.Generator) -> Learnt:
    """A model that finds both segments of that share of the videos, and one of the others."""
    both = rng.permuted(np.tile(np.arange(VIDEOS)[:, None], 2), axis=0) < np.array([common, rare]) * VIDEOS
    return Learnt(np.array([8, 2]), np.array([4, 1]), np.where(both[..., None], BOTH, ONE))


def worlds(end: dict[str, tuple[float, float]]) -> list[dict[State, Learnt]]:
    """What is learnt in each arm, by the shares of `learnt`."""
    rng = np.random.default_rng(0)
    return [
        {(BASE, 0): learnt(0.5, 0.0, rng), (EVERY, 0): learnt(1.0, 1.0, rng)}
        | {(arm, at): learnt(*end[arm], rng) for arm in end for at in (1, 2)}
        for _ in range(WORLDS)
    ]


def test_the_figure_is_the_gain_over_random_clips_where_the_base_was_short() -> None:
    found = result(worlds({RANDOM: (0.5, 0.0), SAME: (0.5, 0.0), TARGETED: (0.5, 0.9)}), SETUP)
    hits, said_and_true = 2 * 0.9 + 0.1, 4 * 0.9 + 3 * 0.1
    assert found.value == pytest.approx(100 * (2 * hits / said_and_true - 2 / 3))
    assert found.ok and all(found.conditions.values())
    rows = {(row["capability"], row["arm"], row["round"]): row for row in found.rows}
    assert len(rows) == 2 * 8 and rows["hide", TARGETED, 2]["targeted"] and not rows[COMMON[0], BASE, 0]["targeted"]
    assert rows["hide", TARGETED, 2]["low"] < rows["hide", TARGETED, 2]["f1"] < rows["hide", TARGETED, 2]["high"]


def test_a_gain_that_common_capabilities_pay_for_is_not_met() -> None:
    found = result(worlds({RANDOM: (0.5, 0.0), SAME: (0.5, 0.0), TARGETED: (0.2, 0.9)}), SETUP)
    assert found.value is not None and found.value > found.target
    assert not found.ok and list(found.conditions.values()) == [True, False, False]


def test_arms_that_learn_alike_have_no_gain_that_is_sure() -> None:
    found = result(worlds(dict.fromkeys((RANDOM, SAME, TARGETED), (0.5, 0.5))), SETUP)
    assert found.value == pytest.approx(0, abs=1e-9) and not found.conditions["the interval is above zero"]
