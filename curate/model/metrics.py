"""How well predicted segments agree with labelled ones.

Matching is one-to-one: a truth segment is found at most once and a prediction counts at most once, so repeating a
prediction costs precision instead of earning recall. A clip's agreement is a vector of counts (`tally`); counts add up
over clips and videos, and every metric is a ratio of their sums (`measure`), so that a bootstrap over videos is a sum
with other weights (`curate.evaluation.uncertainty`). Nothing here knows where truth or predictions are from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from curate.model.definitions import Segment

THRESHOLDS = (0.3, 0.5, 0.7, 0.9)
"""Temporal IoU from which on a prediction is a hit."""

_N = len(THRESHOLDS)
HITS, JOINT = slice(0, _N), slice(_N, 2 * _N)
PREDICTED, TRUE, BOUNDARY_S, BOUNDARIES, ALARMS, NEGATIVE_S = range(2 * _N, 2 * _N + 6)
TALLY_SIZE = 2 * _N + 6
"""A tally's places: hits and joint hits at each threshold, segments found and true, seconds of boundary error and of
how many boundaries, false alarms and seconds of negative clips."""

METRICS = (
    *(f"{name}@{threshold}" for name in ("f1", "precision", "recall", "joint_f1") for threshold in THRESHOLDS),
    "boundary_error_s",
    "false_alarms_per_min",
)


def temporal_iou(a: Sequence[Segment], b: Sequence[Segment]) -> np.ndarray:
    """[len(a), len(b)]: length of the intersection over length of the union, 0 where both are empty."""
    if not a or not b:
        return np.zeros((len(a), len(b)))
    start_a, end_a = (np.array([[getattr(s, side)] for s in a]) for side in ("start_s", "end_s"))
    start_b, end_b = (np.array([getattr(s, side) for s in b]) for side in ("start_s", "end_s"))
    shared = np.clip(np.minimum(end_a, end_b) - np.maximum(start_a, start_b), 0, None)
    union = (end_a - start_a) + (end_b - start_b) - shared
    return np.divide(shared, union, out=np.zeros(shared.shape), where=union > 0)


def match(
    truth: Sequence[Segment],
    predicted: Sequence[Segment],
    threshold: float,
    required: Sequence[str] = (),
) -> list[tuple[int, int]]:
    """Pairs (truth, prediction), one-to-one, that are hits: tIoU at least `threshold` and each `required` field right.

    Of all such pairings it is one with the most hits, and among those one with the greatest summed tIoU (Hungarian
    method). A required field that the truth does not carry is not asked for.
    """
    iou = temporal_iou(truth, predicted)
    return _pairs(iou, threshold, _right(truth, predicted, required) if required else None)


def _pairs(iou: np.ndarray, threshold: float, right: np.ndarray | None = None) -> list[tuple[int, int]]:
    """As `match`, of tIoU [truth, predicted] and of which pairs the fields are `right`."""
    hit = (iou >= threshold) & (iou > 0)
    if right is not None:
        hit &= right
    if not hit.any():
        return []
    gain = np.where(hit, min(hit.shape) + 1 + iou, 0.0)  # one more hit outweighs any sum of tIoU
    rows, columns = linear_sum_assignment(gain, maximize=True)
    return [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if hit[i, j]]


def _right(truth: Sequence[Segment], predicted: Sequence[Segment], required: Sequence[str]) -> np.ndarray:
    right = [[_fields_agree(t.fields, p.fields, required) for p in predicted] for t in truth]
    return np.array(right, dtype=bool).reshape(len(truth), len(predicted))


def _fields_agree(truth: Mapping[str, Any], predicted: Mapping[str, Any], names: Sequence[str]) -> bool:
    return all(_equal(truth[name], predicted.get(name)) for name in names if truth.get(name) is not None)


def _equal(truth: Any, predicted: Any) -> bool:
    if isinstance(truth, bool) or isinstance(predicted, bool):
        return truth is predicted
    if isinstance(truth, int | float) and isinstance(predicted, int | float):
        return bool(np.isclose(truth, predicted, rtol=1e-6, atol=1e-9))
    return bool(truth == predicted)


def tally(
    truth: Sequence[Segment], predicted: Sequence[Segment], duration_s: float, required: Sequence[str] = ()
) -> np.ndarray:
    """Counts of one clip and one definition, float [TALLY_SIZE], that add up over clips.

    A clip without truth is a negative clip: its predictions are false alarms over `duration_s`. Boundary errors are of
    the pairs that hit at tIoU 0.5.
    """
    counts = np.zeros(TALLY_SIZE)
    iou = temporal_iou(truth, predicted)
    if iou.any():
        right = _right(truth, predicted, required) if required else None
        for at, threshold in enumerate(THRESHOLDS):
            pairs = _pairs(iou, threshold)
            counts[HITS][at] = len(pairs)
            counts[JOINT][at] = len(_pairs(iou, threshold, right)) if required else len(pairs)
            if threshold == 0.5:
                for i, j in pairs:
                    counts[BOUNDARY_S] += abs(truth[i].start_s - predicted[j].start_s)
                    counts[BOUNDARY_S] += abs(truth[i].end_s - predicted[j].end_s)
                counts[BOUNDARIES] = 2 * len(pairs)
    counts[PREDICTED], counts[TRUE] = len(predicted), len(truth)
    if not truth:
        counts[ALARMS], counts[NEGATIVE_S] = len(predicted), duration_s
    return counts


def measure(counts: np.ndarray) -> np.ndarray:
    """Summed counts [..., TALLY_SIZE] to metrics [..., len(METRICS)]; nan where a metric is undefined.

    F1 is 2 hits / (predicted + true), undefined where both are none; precision without predictions, recall without
    truth, boundary error without hits and false alarms without negative clips are undefined too.
    """
    return divide(*parts(counts))


def parts(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What each metric is the ratio of: part and whole [..., len(METRICS)] of summed counts [..., TALLY_SIZE]."""
    hits, joint = counts[..., HITS], counts[..., JOINT]
    predicted, true = np.broadcast_to(counts[..., [PREDICTED]], hits.shape), counts[..., [TRUE]]
    true = np.broadcast_to(true, hits.shape)
    ends = [counts[..., [BOUNDARY_S]], 60 * counts[..., [ALARMS]]]
    return (
        np.concatenate([2 * hits, hits, hits, 2 * joint, *ends], axis=-1),
        np.concatenate(
            [
                predicted + true,
                predicted,
                true,
                predicted + true,
                counts[..., [BOUNDARIES]],
                counts[..., [NEGATIVE_S]],
            ],
            axis=-1,
        ),
    )


def divide(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole; nan where the whole is 0."""
    part, whole = np.broadcast_arrays(part, whole)
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def true_segments(counts: np.ndarray) -> np.ndarray:
    """How many true segments there are, [...]."""
    return counts[..., TRUE]


def observations(counts: np.ndarray) -> np.ndarray:
    """How many independent things each metric can be of at most, [..., len(METRICS)]: segments, or false alarms."""
    predicted, true = counts[..., [PREDICTED]], counts[..., [TRUE]]
    both = (predicted + true) / 2
    kinds = [both, predicted, true, both]
    each = [np.repeat(kind, _N, axis=-1) for kind in kinds]
    return np.concatenate([*each, counts[..., [BOUNDARIES]], counts[..., [ALARMS]]], axis=-1)


def f1_at(truth: Sequence[Sequence[Segment]], predicted: Sequence[Sequence[Segment]], threshold: float = 0.5) -> float:
    """F1 at one tIoU threshold over clips, whose truth and predictions are at the same place; nan if all is empty."""
    hits = sum(len(match(t, p, threshold)) for t, p in zip(truth, predicted, strict=True))
    total = sum(len(t) + len(p) for t, p in zip(truth, predicted, strict=True))
    return 2 * hits / total if total else float("nan")
