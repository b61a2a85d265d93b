"""Golden cases, worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.model.definitions import Segment
from curate.model.metrics import METRICS, THRESHOLDS, f1_at, match, measure, tally, temporal_iou


def spans(*pairs: tuple[float, float], **fields: object) -> list[Segment]:
    return [Segment(start_s, end_s, fields) for start_s, end_s in pairs]


def value(counts: np.ndarray, metric: str) -> float:
    return float(measure(counts)[METRICS.index(metric)])


def test_temporal_iou_is_intersection_over_union() -> None:
    iou = temporal_iou(spans((0, 4)), spans((2, 6), (0, 4), (4, 8), (1, 2)))
    assert iou.tolist() == [[pytest.approx(2 / 6), 1.0, 0.0, 0.25]]


def test_repeating_a_prediction_earns_no_second_hit() -> None:
    truth, repeated = spans((0, 4)), spans((0, 4), (0, 4), (0.1, 4))
    assert match(truth, repeated, 0.5) == [(0, 0)]
    assert f1_at([truth], [repeated]) == pytest.approx(2 * 1 / (1 + 3))


def test_one_long_prediction_does_not_find_two_segments() -> None:
    assert len(match(spans((0, 4), (4, 8)), spans((0, 8)), 0.5)) == 1


def test_matching_prefers_more_hits_over_one_perfect_pair() -> None:
    """Greedy matching by tIoU would pair (0, 4) with itself and leave the rest over: one hit where there are two."""
    truth, predicted = spans((0, 4), (0, 2.2)), spans((0, 4), (1, 5))
    assert temporal_iou(truth, predicted).tolist() == [[1.0, 0.6], [0.55, pytest.approx(1.2 / 5)]]
    assert sorted(match(truth, predicted, 0.5)) == [(0, 1), (1, 0)]


def test_a_tiou_equal_to_the_threshold_is_a_hit() -> None:
    assert match(spans((0, 4)), spans((0, 2)), 0.5) == [(0, 0)]
    assert match(spans((0, 4)), spans((0, 1.9)), 0.5) == []


def test_precision_recall_and_f1_of_a_worked_case() -> None:
    """tIoU 3.5/4 = 0.875 and 2/6 = 0.33: two hits at 0.3, one at 0.5 and 0.7, none at 0.9."""
    counts = tally(spans((0, 4), (10, 14), (20, 24)), spans((0.5, 4), (12, 16)), duration_s=30)
    expected = {
        "precision@0.3": 1.0,
        "recall@0.3": 2 / 3,
        "f1@0.3": 4 / 5,
        "precision@0.5": 0.5,
        "recall@0.5": 1 / 3,
        "f1@0.5": 2 / 5,
        "f1@0.7": 2 / 5,
        "f1@0.9": 0.0,
        "boundary_error_s": 0.25,  # 0.5 s at the start and 0 at the end of the one hit at 0.5
    }
    assert {name: value(counts, name) for name in expected} == pytest.approx(expected)
    assert math.isnan(value(counts, "false_alarms_per_min"))


def test_joint_f1_asks_for_the_required_fields_and_ignores_others() -> None:
    truth = [Segment(0, 4, {"color": "red", "count": 2}), Segment(10, 14, {"color": "blue", "count": 3})]
    predicted = [Segment(0, 4, {"color": "red", "count": 9}), Segment(10, 14, {"color": "red"})]
    counts = tally(truth, predicted, 20, required=["color"])
    assert value(counts, "f1@0.5") == 1.0
    assert value(counts, "joint_f1@0.5") == 0.5
    assert value(tally(truth, predicted, 20, required=["color", "count"]), "joint_f1@0.5") == 0.0


def test_joint_matching_pairs_by_fields_where_two_predictions_fit() -> None:
    truth = [Segment(0, 4, {"color": "red"})]
    predicted = [Segment(0, 4, {"color": "blue"}), Segment(0, 3.6, {"color": "red"})]
    assert match(truth, predicted, 0.5) == [(0, 0)]
    assert match(truth, predicted, 0.5, ["color"]) == [(0, 1)]


def test_a_required_field_that_the_truth_does_not_carry_is_not_asked_for() -> None:
    assert match([Segment(0, 4, {})], [Segment(0, 4, {"color": "red"})], 0.5, ["color"]) == [(0, 0)]


def test_true_is_not_one() -> None:
    assert match([Segment(0, 4, {"fast": True})], [Segment(0, 4, {"fast": 1})], 0.5, ["fast"]) == []


def test_predictions_on_negative_clips_are_false_alarms_per_minute() -> None:
    counts = tally([], spans((0, 1), (2, 3)), duration_s=20) + tally([], [], duration_s=20)
    assert value(counts, "false_alarms_per_min") == 3.0
    assert value(counts, "f1@0.5") == 0.0


def test_nothing_true_and_nothing_predicted_has_no_f1() -> None:
    assert math.isnan(f1_at([[]], [[]]))
    assert math.isnan(value(tally([], [], 10), "f1@0.5"))


segment = st.tuples(st.floats(0, 50), st.floats(0.1, 10)).map(lambda pair: Segment(pair[0], pair[0] + pair[1]))


@given(st.lists(segment, max_size=6), st.lists(segment, max_size=6), st.sampled_from(THRESHOLDS))
def test_matching_is_one_to_one_and_every_pair_is_a_hit(a: list[Segment], b: list[Segment], threshold: float) -> None:
    pairs = match(a, b, threshold)
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)
    iou = temporal_iou(a, b)
    assert all(iou[i, j] >= threshold for i, j in pairs)
    assert len(match(b, a, threshold)) == len(pairs)
