"""How the benchmark of label choice reads its curves."""

import numpy as np
import pytest

from benchmarks.label_choice import POLICIES, labels_needed, shares

ROUNDS = (10, 20, 40)


def test_a_goal_between_two_rounds_is_read_by_a_straight_line() -> None:
    assert labels_needed(np.array([0.2, 0.4, 0.8]), 0.6, ROUNDS) == pytest.approx(30 / 40)


def test_a_goal_met_in_the_first_round_costs_that_round_and_one_never_met_costs_all() -> None:
    assert labels_needed(np.array([0.7, 0.8, 0.9]), 0.6, ROUNDS) == 10 / 40
    assert labels_needed(np.array([0.2, 0.4, 0.5]), 0.6, ROUNDS) == 1.0


def test_a_lucky_round_does_not_count_as_reaching_the_goal() -> None:
    assert labels_needed(np.array([0.9, 0.3, 0.8]), 0.75, ROUNDS) > 20 / 40


def test_random_is_measured_against_itself() -> None:
    curves = np.zeros((1, len(POLICIES), 3, 1))
    curves[0, POLICIES.index("random"), :, 0] = 0.2, 0.4, 0.6
    curves[0, POLICIES.index("choose"), :, 0] = 0.5, 0.7, 0.8
    assert shares(curves, "random", ROUNDS) == pytest.approx([1.0])
    assert shares(curves, "choose", ROUNDS) == pytest.approx([15 / 40])
    assert shares(curves, "top score", ROUNDS) == pytest.approx([1.0])
