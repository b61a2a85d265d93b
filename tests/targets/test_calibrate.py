"""Similarities into probabilities, and into ranks where there are too few labels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.targets.calibrate import LEAST_LABELS, platt, probabilities, ranks


def drawn(count: int, slope: float, intercept: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    similarity = rng.uniform(-0.2, 0.4, count)
    return similarity, rng.random(count) < 1 / (1 + np.exp(-(slope * similarity + intercept)))


def test_a_logistic_truth_is_recovered() -> None:
    similarity, positive = drawn(4000, 12, -2)
    curve = platt(similarity, positive)
    assert curve is not None
    assert curve == pytest.approx((12, -2), abs=1)


def test_probabilities_of_labelled_clips_sum_to_the_positives() -> None:
    similarity, positive = drawn(400, 12, -2)
    curve = platt(similarity, positive)
    assert curve is not None
    assert probabilities(similarity, curve).sum() == pytest.approx(positive.sum(), rel=0.02)


def test_fewer_than_ten_labels_of_a_kind_make_no_curve() -> None:
    similarity = np.linspace(0, 1, 100)
    assert platt(similarity, np.arange(100) < LEAST_LABELS - 1) is None
    assert platt(similarity, np.arange(100) >= LEAST_LABELS - 1) is None
    assert platt(similarity, np.arange(100) >= 100 - LEAST_LABELS) is not None


def test_perfectly_separated_labels_give_finite_probabilities_that_are_not_certain() -> None:
    similarity = np.concatenate([np.linspace(0, 0.4, 20), np.linspace(0.6, 1, 20)])
    curve = platt(similarity, similarity > 0.5)
    assert curve is not None
    found = probabilities(similarity, curve)
    assert (found[:20] < 0.3).all() and (found[20:] > 0.7).all()
    assert np.isfinite(found).all() and found.min() > 0 and found.max() < 1


def test_labels_that_contradict_the_similarity_give_everyone_the_base_rate() -> None:
    similarity = np.linspace(0, 1, 40)
    curve = platt(similarity, similarity < 0.5)
    assert curve is not None
    assert np.ptp(probabilities(similarity, curve)) == 0
    assert probabilities(similarity, curve)[0] == pytest.approx(0.5, abs=0.02)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-1, 1), st.booleans()), min_size=20, max_size=60),
    st.floats(-1e3, 1e3),
)
def test_a_probability_never_falls_as_similarity_rises(labels: list[tuple[float, bool]], shift: float) -> None:
    similarity = np.array([value for value, _ in labels]) + shift
    curve = platt(similarity, np.array([positive for _, positive in labels]))
    if curve is not None:
        found = probabilities(np.sort(similarity), curve)
        assert ((found >= 0) & (found <= 1)).all()
        assert (np.diff(found) >= -1e-9).all()


def test_a_rank_is_the_share_of_the_others_below() -> None:
    assert ranks(np.array([0.3, 0.1, 0.2])).tolist() == [1.0, 0.0, 0.5]
    assert ranks(np.array([0.5, 0.5])).tolist() == [0.0, 0.0]
    assert ranks(np.array([0.5])).tolist() == [1.0]
    assert ranks(np.array([])).tolist() == []
