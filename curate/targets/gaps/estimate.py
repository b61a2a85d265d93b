"""How many clips without a label show a capability, with an interval that holds the truth 95 times in 100.

The sum of their probabilities is a bad answer twice: it leans towards labels that were chosen for looking likely, and
it says nothing of how sure it is. Here each draw of the curve (`curate.targets.gaps.curve`) gives a number of
positives, with the luck of the clips themselves, and of their leakage groups, drawn too; the answer is the middle of
those numbers, and the interval is from their 2.5th to their 97.5th hundredth. It closes as the clips without a label
run out, for what is labelled is known; it is wide, and never empty, where audits found none.

Stated at 0.95, 0.986 of 904 intervals held (`benchmarks/gap_estimates.py`), at 0.39 of the width that a binomial
interval of the audits alone has: 0.97 on clips of the sample world, 0.94 in the hardest cases (middling vectors, and
positives of which two in five videos look like nothing). Of rare things they are too wide rather than too narrow.

A slice that is known of every clip (source, licence, a condition) is the sum over its clips, with a shift of its own
that its labels tell. A slice by a segment's field is known of labelled clips alone: it takes its share among those that
show the capability, drawn too, and held towards an even share where there are few.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from curate.targets.gaps.curve import MOST_SOURCES, SOURCE, Curves, Labelled, draw_curves, standardized
from curate.targets.scoring.calibrate import logistic

RATE = 0.95
LEAST_LABELS = 10
"""From which there is an estimate: of clips drawn at random, where scores are not calibrated probabilities."""
CHOSEN_COUNTS = 0.5
"""What a positive that was chosen says of the share of a field's value, against one that was drawn at random."""
GROUP_ALIKE = 0.3
"""How alike the fields of a leakage group's positives are taken to be: 0 not at all, 1 all the same."""
EVEN = 1.0
"""Positives that the even share of a field's values counts as."""


WAYS = {
    "audit": 0, "evaluation-audit": 0,
    "likely": 1, "slice": 1, "uncertain": 1, "evaluation": 1,
    "hard-negative": 2, "negative": 2,
}  # fmt: skip
"""Reasons of `curate.targets.choosing.choose` by what they look at beside the score: nothing, what is unlike the
labelled, what is like something else. Labels that nobody ordered are a way of their own, OTHER."""
OTHER = 3


@dataclass(frozen=True)
class Count:
    """As likely more than `expected` as fewer; between `low` and `high` at RATE."""

    expected: float
    low: float
    high: float


@dataclass(frozen=True)
class Clips:
    """All n clips that the capability allows, with a label or without.

    Attributes:
        score: float64 [n]; the higher, the likelier.
        source: [n], by name or number.
        group: [n], the leakage group.
        verdict: int8 [n]: 1 labelled present, 0 absent, -1 neither.
        labelled: bool [n]: it bears a label, of whatever verdict.
        way: int8 [n]: how its label came about, a number of WAYS; 0 where it has none.
        fresh: bool [n]: its score was made without its label; else what that says of the score proves nothing.
    """

    score: np.ndarray
    source: np.ndarray
    group: np.ndarray
    verdict: np.ndarray
    labelled: np.ndarray
    way: np.ndarray
    fresh: np.ndarray

    @property
    def told(self) -> np.ndarray:
        """Whether a clip's label says what its score is worth, bool [n]."""
        return (self.verdict >= 0) & self.fresh


def allows(clips: Clips, *, calibrated: bool) -> bool:
    """Whether anything allows an estimate: LEAST_LABELS, of clips drawn at random or behind probabilities."""
    return int((clips.told if calibrated else clips.told & (clips.way == 0)).sum()) >= LEAST_LABELS


@dataclass(frozen=True)
class Estimate:
    """Draws of the positives among the clips without a label.

    Attributes:
        clips: what it is made of.
        curves: the posterior of the calibration.
        seed: of the draws that follow.
    """

    clips: Clips
    curves: Curves
    score: np.ndarray
    source: np.ndarray
    group: np.ndarray
    seed: int

    @cached_property
    def cell(self) -> np.ndarray:
        """A number for each score and source: clips with the same one are all alike to the curves; int64 [n]."""
        return np.unique(self.score, return_inverse=True)[1] * (MOST_SOURCES + 1) + self.source

    @cached_property
    def draws(self) -> np.ndarray:
        """Of all clips without a label, int64 [draws]."""
        return self._positives(~self.clips.labelled, None)

    def slice_draws(self, inside: np.ndarray) -> np.ndarray:
        """Of those `inside` a slice, bool [n] of all clips; int64 [draws]."""
        return self._positives(inside & ~self.clips.labelled, self._shift(inside))

    def field_draws(self, values: np.ndarray, kinds: int) -> np.ndarray:
        """Of those with a value of a segment's field, int64 [draws].

        Args:
            values: bool [n]: a labelled clip has the value.
            kinds: values that the field may have.
        """
        positive = self.clips.verdict == 1
        size = np.bincount(self.group[positive], minlength=self.group.max(initial=0) + 1)[self.group[positive]]
        counts = np.where(self.clips.way[positive] == 0, 1.0, CHOSEN_COUNTS) / (1 + (size - 1) * GROUP_ALIKE)
        with_it, without = counts[values[positive]].sum(), counts[~values[positive]].sum()
        random = np.random.default_rng(self.seed)
        even = EVEN / max(kinds, 2)
        share = random.beta(with_it + even, without + EVEN - even, len(self.draws))
        return random.binomial(self.draws, share)

    def _positives(self, inside: np.ndarray, shift: tuple[float, float] | None) -> np.ndarray:
        """Positives among the clips `inside`, given the mean and variance of a shift of their log odds."""
        if not inside.any():
            return np.zeros(len(self.curves.draws), np.int64)
        _, first, of = np.unique(self.cell[inside], return_index=True, return_inverse=True)
        random = np.random.default_rng(self.seed)
        log_odds = self.curves.log_odds(self.score[inside][first], self.source[inside][first])
        mean, variance = shift or (0.0, 0.0)
        variance = variance + self.curves.group_variance * self._concentration(inside, log_odds, of)
        log_odds = log_odds + mean + np.sqrt(variance) * random.standard_normal((len(log_odds), 1))
        return _successes(logistic(log_odds), np.bincount(of), random)

    def _concentration(self, inside: np.ndarray, log_odds: np.ndarray, of: np.ndarray) -> float:
        """By how much a shift of each group moves all: 1 where one group holds all that is uncertain, 0 where each
        holds next to nothing."""
        probability = logistic(log_odds).mean(axis=0)[of]
        weight = np.bincount(self.group[inside], probability * (1 - probability))
        return float((weight**2).sum() / max(weight.sum() ** 2, 1e-300))

    def _shift(self, inside: np.ndarray) -> tuple[float, float]:
        """Mean and variance of a slice's shift, from what its labels say beyond the curves; normal approximation."""
        told = inside & self.clips.told
        log_odds = self.curves.log_odds(self.score[told], self.source[told]).mean(axis=0)
        positive, shift, curvature = self.clips.verdict[told], 0.0, 1 / SOURCE**2
        for _ in range(20):
            probability = logistic(log_odds + shift)
            curvature = 1 / SOURCE**2 + float((probability * (1 - probability)).sum())
            shift += (float((positive - probability).sum()) - shift / SOURCE**2) / curvature
        return shift, 1 / curvature


def estimate(clips: Clips, *, seed: int = 0) -> Estimate:
    """Draws the posterior of what the labels of `clips` say; see `allows` for when that is of use."""
    score = standardized(clips.score)
    source = _largest(clips.source)
    _, group = np.unique(clips.group, return_inverse=True)
    told = clips.told
    labelled = Labelled(
        score=score[told],
        source=source[told],
        positive=clips.verdict[told].astype(np.float64),
        way=clips.way[told],
        group=group[told],
    )
    curves = draw_curves(labelled, int(source.max(initial=0)) + 1, np.random.default_rng(seed))
    return Estimate(clips, curves, score, source, group, seed)


def count(draws: np.ndarray) -> Count:
    """The middle and the interval of draws."""
    tail = (1 - RATE) / 2
    low, high = np.quantile(draws, tail, method="lower"), np.quantile(draws, 1 - tail, method="higher")
    return Count(float(np.median(draws)), float(low), float(high))


def _successes(probability: np.ndarray, clips: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A number of positives for each row of probabilities [draws, cells] of so many `clips` [cells] each.

    Drawn from the binomial with the mean and the variance that the sum over the cells has.
    """
    mean, squares = probability @ clips, probability**2 @ clips
    trials = np.clip(np.round(mean**2 / np.maximum(squares, 1e-300)), 1, clips.sum()).astype(np.int64)
    return random.binomial(trials, np.clip(mean / trials, 0, 1))


def _largest(source: np.ndarray) -> np.ndarray:
    """Sources by number, the largest first, those beyond MOST_SOURCES as one."""
    _, of, size = np.unique(source, return_inverse=True, return_counts=True)
    rank = np.empty(len(size), np.int64)
    rank[np.argsort(-size, kind="stable")] = np.arange(len(size))
    return np.minimum(rank, MOST_SOURCES)[of] if len(size) else np.zeros(0, np.int64)
