"""Which of two models is better, per capability, on the same clips: differences with intervals, and regressions named.

The bootstrap draws the same videos for both models. The interval of a difference is put together from those of the two
metrics and their correlation over the draws (MOVER: Zou & Donner 2008; for paired shares Newcombe 1998), so like them
it stays wide where videos are few.

A verdict is about the metric that the capability asks for, and takes two things that both hold: the interval leaves
zero out; and the exchange test over videos (Fisher's: were the models alike, each video's counts could as well be the
other's) has p < 0.05 after Holm's correction (1979) for the number of capabilities. Of 300 simulated comparisons each,
nine capabilities, how often models that are alike have any verdict; how often some interval leaves zero out, which is
what looking at intervals alone would call a difference; how often intervals hold the truth; and how often a loss of 0.3
in one capability is named (benchmarks/evaluation_intervals.py):

| videos                 | 6    | 12   | 25   | 60   |
|------------------------|------|------|------|------|
| a verdict, all alike   | 0.00 | 0.00 | 0.03 | 0.06 |
| an interval, all alike | 0.35 | 0.36 | 0.29 | 0.34 |
| intervals that hold    | 0.95 | 0.95 | 0.96 | 0.96 |
| a loss of 0.3 is named | 0.00 | 0.19 | 0.71 | 0.99 |

The mean over capabilities is a question of its own, without correction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from curate.errors import InputError
from curate.evaluation.count import ALL, METRICS, Counts, with_mean
from curate.evaluation.judged import Exam
from curate.evaluation.uncertainty import RESAMPLES, bound_of, draws, resampled
from curate.model.metrics import measure

LEVEL = 0.05
BETTER, WORSE, UNDECIDED = "better", "worse", "undecided"
ALL_METRIC = "f1@0.5"
"""What the mean over capabilities is compared by."""
_EXCHANGES = 4000

COMPARED = {
    "capability": pl.String, "metric": pl.String, "against": pl.Float64, "model": pl.Float64,
    "difference": pl.Float64, "low": pl.Float64, "high": pl.Float64, "p": pl.Float64, "verdict": pl.String,
}  # fmt: skip


@dataclass(frozen=True)
class Comparison:
    """Two models on the same clips.

    Attributes:
        rows: as COMPARED has them; p (after Holm) and verdict are null but in the row of a capability's own metric.
        regressions: a line for each capability that is worse.
    """

    model: str
    against: str
    rows: pl.DataFrame
    regressions: list[str]


def own_metrics(exam: Exam) -> dict[str, str]:
    """The metric that each capability asks for, in the spec that the mix was built with."""
    specs = {name: entry["spec"] for name, entry in exam.published.lock["capabilities"].items()}
    return {name: (spec.get("evaluation") or {}).get("metric", ALL_METRIC) for name, spec in specs.items()}


def compare(
    model: str, counts: Counts, against: str, other: Counts, asked: dict[str, str], *, resamples: int = RESAMPLES
) -> Comparison:
    """Compares a model with another on the clips that both are counted on.

    Args:
        model, counts: the one that is judged, and what its metrics are made of.
        against, other: the one it is held against.
        asked: the metric of each capability that a verdict is about.

    Raises:
        InputError: the two are one.
    """
    if model == against:
        raise InputError(
            f"{model!r} cannot be compared with itself", fix="Name another model, or give it another --name"
        )
    capabilities = [*counts.capabilities, ALL]
    rows = [*range(len(counts.capabilities)), -1]
    weights = draws(len(counts.tallies), resamples)
    drawn, drawn_theirs = counts.values(weights), other.values(weights)
    own = tuple(part[rows] for part in counts.table(drawn))
    theirs = tuple(part[rows] for part in other.table(drawn_theirs))
    difference, low, high = _difference(own, theirs, _correlation(drawn[:, rows], drawn_theirs[:, rows]))
    judged = [METRICS.index(asked.get(name, ALL_METRIC)) for name in capabilities]
    raw = exchange_test(counts, other, judged)
    p = np.append(holm(raw[:-1]), raw[-1])
    found, regressions = [], []
    for row, name in enumerate(capabilities):
        for column, metric in enumerate(METRICS):
            if np.isnan(difference[row, column]):
                continue
            bounds = (low[row, column], high[row, column])
            verdict = _verdict(difference[row, column], bounds, p[row]) if column == judged[row] else None
            found.append({
                "capability": name, "metric": metric, "against": float(theirs[0][row, column]),
                "model": float(own[0][row, column]), "difference": float(difference[row, column]),
                "low": bound_of(bounds[0]), "high": bound_of(bounds[1]),
                "p": None if verdict is None else float(p[row]), "verdict": verdict,
            })  # fmt: skip
            if verdict == WORSE:
                before, now = found[-1]["against"], found[-1]["model"]
                regressions.append(
                    f"{name} is worse: {metric} {before:.2f} -> {now:.2f}, a difference of "
                    f"{difference[row, column]:.2f} ({bounds[0]:.2f} to {bounds[1]:.2f}), p {p[row]:.2g}"
                )
    return Comparison(model, against, pl.DataFrame(found, schema=COMPARED), regressions)


def exchange_test(counts: Counts, other: Counts, judged: Sequence[int]) -> np.ndarray:
    """How often exchanging the models of some videos gives a difference as large as theirs, [capabilities + 1].

    Args:
        judged: by capability, and last for the mean over them, the number of the metric.
    """
    own = len(counts.capabilities)
    mine, theirs = counts.tallies[:, :own], other.tallies[:, :own]
    moved = (mine != theirs).any((1, 2))
    exchanged = _exchanges(int(moved.sum()))
    change = resampled(exchanged, (theirs - mine)[moved])
    column = np.array(judged)
    place = np.arange(own + 1)

    def values(sums: np.ndarray) -> np.ndarray:
        return with_mean(measure(sums), own)[..., place, column]

    seen = np.abs(values(mine.sum(0)) - values(theirs.sum(0)))
    drawn = np.abs(values(mine.sum(0) + change) - values(theirs.sum(0) - change))
    as_large = np.where(np.isnan(drawn), True, drawn >= seen - 1e-9)
    return np.where(np.isnan(seen), np.nan, as_large.mean(0))


def _exchanges(videos: int) -> np.ndarray:
    """Which videos are exchanged: every way where there are few, else drawn ones; always the one that moves none."""
    if 2**videos <= _EXCHANGES:
        return (np.arange(2**videos)[:, None] >> np.arange(videos) & 1).astype(np.float64)
    drawn = np.random.default_rng(0).integers(0, 2, (_EXCHANGES, videos)).astype(np.float64)
    drawn[0] = 0
    return drawn


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's adjustment of p values [n] for being n questions; nan is none."""
    asked = ~np.isnan(p)
    order = np.argsort(np.where(asked, p, np.inf), kind="stable")
    count = int(asked.sum())
    adjusted = np.full(len(p), np.nan)
    worst = 0.0
    for rank, at in enumerate(order[:count]):
        worst = max(worst, min(1.0, (count - rank) * float(p[at])))
        adjusted[at] = worst
    return adjusted


def _correlation(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Of two models' metrics [resamples, ...] over the draws; 0 where either does not vary."""
    both = ~np.isnan(ours) & ~np.isnan(theirs)
    number = np.maximum(both.sum(0), 1)
    a, b = (np.where(both, part, 0) for part in (ours, theirs))
    a, b = (np.where(both, part - part.sum(0) / number, 0) for part in (a, b))
    scale = np.sqrt((a**2).sum(0) * (b**2).sum(0))
    return np.divide((a * b).sum(0), scale, out=np.zeros_like(scale), where=scale > 1e-12)


def _difference(
    own: tuple[np.ndarray, ...], theirs: tuple[np.ndarray, ...], correlation: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    value, low, high = own
    other, other_low, other_high = theirs

    def reach(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.sqrt(np.maximum(a**2 + b**2 - 2 * correlation * a * b, 0))

    difference = value - other
    return (
        difference,
        difference - reach(value - low, other_high - other),
        difference + reach(high - value, other - other_low),
    )


def _verdict(difference: float, bounds: tuple[float, float], p: float) -> str:
    if p < LEVEL and (bounds[0] > 0 or bounds[1] < 0):
        return BETTER if difference > 0 else WORSE
    return UNDECIDED
