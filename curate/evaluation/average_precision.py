"""Mean average precision over temporal IoU, as ActivityNet defines it, for predictions that have scores.

Predictions of one capability are taken by falling score, over all clips together. Each takes the truth segment of its
clip that it overlaps most among those that no surer one has taken; it is right where that tIoU reaches the threshold,
else a false alarm. Average precision is the area under precision over recall, precision being the best that is reached
at that recall or a greater one. Its mean over ten thresholds is what ActivityNet calls average mAP once it is a mean
over capabilities too (Caba Heilbron et al. 2015; the evaluation code of the ActivityNet challenge, "detection").

Where scores are equal ActivityNet's result depends on the order of the file. Here predictions of equal score count at
once, so a model that gives every segment the same score has its precision x recall, whatever the order.

What a prediction takes depends on its own clip alone, so a bootstrap over videos only weighs hits anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from curate.model.definitions import Segment
from curate.model.metrics import temporal_iou

TIOUS = np.linspace(0.5, 0.95, 10)
"""The thresholds of ActivityNet."""

SHOWN = (0.5, 0.75, 0.95)
"""The thresholds that have a metric of their own."""

METRICS = ("map", *(f"ap@{threshold}" for threshold in SHOWN))
"""`map`: the mean over TIOUS."""

_AT_ONCE = 400_000


@dataclass(frozen=True)
class Ranked:
    """Predictions of one capability over many clips: `scores` [n], `hits` [n, len(TIOUS)], number of the `video` [n],
    and how many segments are `true` in each video [videos]."""

    scores: np.ndarray
    hits: np.ndarray
    video: np.ndarray
    true: np.ndarray

    @property
    def videos(self) -> int:
        """How many say anything: they have truth or predictions."""
        says = self.true > 0
        says[self.video] = True
        return int(says.sum())


def hits(truth: Sequence[Segment], predicted: Sequence[Segment]) -> np.ndarray:
    """Which predictions of one clip are right, bool [len(predicted), len(TIOUS)]: greedily, the surest first."""
    found = np.zeros((len(predicted), len(TIOUS)), dtype=bool)
    iou = temporal_iou(truth, predicted)
    if not iou.any():
        return found
    surest = [(-p.score, -iou[:, j].max(), p.start_s, p.end_s, j) for j, p in enumerate(predicted)]
    free = np.ones((len(TIOUS), len(truth)), dtype=bool)
    for *_, j in sorted(surest):
        reached = np.where(free, iou[:, j], -1.0)  # [TIOUS, truth]
        best = len(truth) - 1 - reached[:, ::-1].argmax(1)  # of equal ones the last, as ActivityNet's code has it
        right = reached[np.arange(len(TIOUS)), best] >= TIOUS
        found[j] = right
        free[right, best[right]] = False
    return found


def average_precision(ranked: Ranked, weights: np.ndarray) -> np.ndarray:
    """Average precision [resamples, len(TIOUS)] under weights of videos [resamples, videos]; nan where no truth is."""
    order = np.argsort(-ranked.scores, kind="stable")
    scores, right, video = ranked.scores[order], ranked.hits[order], ranked.video[order]
    last = np.flatnonzero(np.append(scores[1:] != scores[:-1], True)) if len(scores) else np.zeros(0, dtype=int)
    of = np.searchsorted(last, np.arange(len(scores)))  # the number of equal scores that each is among
    step = max(1, _AT_ONCE // max(len(scores), 1))
    found = [
        _average_precision(weights[at : at + step], right, video, ranked.true, last, of)
        for at in range(0, len(weights), step)
    ]
    return np.concatenate(found)


def _average_precision(
    weights: np.ndarray, right: np.ndarray, video: np.ndarray, true: np.ndarray, last: np.ndarray, of: np.ndarray
) -> np.ndarray:
    positives = weights @ true
    each = weights[:, video]
    predicted = np.cumsum(each, axis=1)[:, last]
    found = np.zeros((len(weights), len(TIOUS)))
    for at in range(len(TIOUS)):
        hit = np.flatnonzero(right[:, at])
        if not len(hit):
            continue
        ends = np.flatnonzero(np.append(of[hit][1:] != of[hit][:-1], True))  # recall moves nowhere else
        taken = np.cumsum(each[:, hit], axis=1)[:, ends]
        whole = predicted[:, of[hit][ends]]
        precision = np.divide(taken, whole, out=np.zeros_like(taken), where=whole > 0)
        best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        found[:, at] = taken[:, 0] * best[:, 0] + (np.diff(taken, axis=1) * best[:, 1:]).sum(1)
    return np.divide(found, positives[:, None], out=np.full_like(found, np.nan), where=positives[:, None] > 0)


def metrics(found: np.ndarray) -> np.ndarray:
    """Average precision [..., len(TIOUS)] to [..., len(METRICS)]."""
    own = [int(np.abs(TIOUS - threshold).argmin()) for threshold in SHOWN]
    return np.concatenate([found.mean(-1, keepdims=True), found[..., own]], axis=-1)
