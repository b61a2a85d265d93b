"""The intervals of an evaluation hold the truth at their stated rate, of few videos too, and luck is no progress.

    python -m benchmarks.evaluation_intervals [--quick] [--json]

Evaluations are drawn of videos whose segments a model finds with a known chance, the same for all videos or one that
differs between them, with false alarms and ends that are off; each is measured as `curate evaluate` does, and its 95%
intervals are held against what a hundred thousand videos give. Beside them stand the plain percentiles of the same
resamples. Then two models are compared, as `--against` does, over nine capabilities in which they are alike, or one of
which the second has lost 0.3 of its chance to find a segment.

The figure is the share of intervals of F1@0.5 that hold, over all cases and numbers of videos.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.claim import Result, main
from curate.evaluation.compare import WORSE, Comparison, compare
from curate.evaluation.count import METRICS, Counts
from curate.evaluation.uncertainty import draws
from curate.model import metrics

VIDEOS = (4, 8, 16, 32, 100)
COMPARED = (6, 12, 25, 60)
CAPABILITIES = 9
_TARGET, _OTHERS, _ALIKE = 0.95, 0.9, 0.05
_SHOWN = {"f1@0.5": "F1@0.5", "false_alarms_per_min": "false alarms", "boundary_error_s": "boundary error"}
_MANY = 100_000
_SEED = 8


@dataclass(frozen=True)
class Case:
    """A model: its chance to find a segment and how that spreads over videos (0: not at all, as a share of the widest
    spread), false segments for each that it misses, false alarms a minute and whether they come in bursts, and how far
    videos differ in how far ends are off (of the logarithm)."""

    found: float
    spread: float
    false: float
    alarms: float
    bursts: bool
    ends: float


CASES = (
    Case(0.3, 0.3, 1.0, 10.0, bursts=True, ends=0.8),
    Case(0.6, 0.2, 0.5, 3.0, bursts=True, ends=0.5),
    Case(0.9, 0.1, 0.5, 3.0, bursts=False, ends=0.3),
    Case(0.9, 0.0, 0.3, 1.0, bursts=True, ends=0.3),
    Case(0.98, 0.02, 0.5, 0.3, bursts=False, ends=0.3),
)


def measure(quick: bool) -> Result:
    trials, comparisons = (40, 15) if quick else (600, 300)
    columns = [METRICS.index(name) for name in _SHOWN]
    whole = _counts(np.stack([_drawn(case, _MANY, np.random.default_rng(_SEED)) for case in CASES], axis=1))
    truth = whole.values(np.ones((1, _MANY)))[0, :-1][:, columns]
    held = [row for videos in VIDEOS for row in _held(truth, videos, trials)]
    alike = [_told(videos, comparisons) for videos in COMPARED]
    own = [row for row in held if row["of"] == "F1@0.5"]
    others = [row["hold"] for row in held if row["of"] != "F1@0.5"]
    return Result(
        value=float(np.mean([row["hold"] for row in own])),
        unit=f"of F1's intervals stated at 0.95 hold, {np.mean([row['percentiles hold'] for row in own]):.2f} of plain"
        " percentiles",
        target=_TARGET,
        at_most=False,
        rows=[{**row, "told apart": None, "by intervals alone": None, "loss named": None} for row in held] + alike,
        notes=f"{trials} evaluations of each of {len(CASES)} cases and number of videos, {comparisons} comparisons",
        conditions={
            f"intervals of false alarms and of boundary error hold at least {_OTHERS:.0%} of the time": bool(
                np.mean(others) >= _OTHERS
            ),
            f"models that are alike are told apart at most {_ALIKE:.0%} of the time": bool(
                np.mean([row["told apart"] for row in alike]) <= _ALIKE
            ),
        },
    )


def _held(truth: np.ndarray, videos: int, trials: int) -> list[dict[str, Any]]:
    """How many intervals hold the truth [cases, metrics], for each metric, with this many videos."""
    random = np.random.default_rng([_SEED, videos])
    columns = [METRICS.index(name) for name in _SHOWN]
    found = np.zeros((2, len(CASES), len(columns)))
    widths = np.zeros((len(CASES), len(columns)))
    asked = np.zeros((len(CASES), len(columns)))
    for trial in range(trials):
        counts = _counts(np.stack([_drawn(case, videos, random) for case in CASES], axis=1))
        drawn = counts.values(draws(videos, seed=trial))
        value, low, high = (part[:-1][:, columns] for part in counts.table(drawn))
        drawn = drawn[:, :-1][..., columns]
        told = ~np.isnan(value)
        plain = np.nanquantile(np.where(told, drawn, 0), [0.025, 0.975], axis=0)
        asked += told
        found[0] += told & ~(truth < low) & ~(truth > high)  # a bound that is not known excludes nothing
        found[1] += told & (plain[0] <= truth) & (truth <= plain[1])
        widths += np.where(told & ~np.isnan(high - low), high - low, 0)
    return [
        {
            "of": name,
            "videos": videos,
            "hold": float(found[0, :, at].sum() / asked[:, at].sum()),
            "least": float((found[0, :, at] / asked[:, at]).min()),
            "percentiles hold": float(found[1, :, at].sum() / asked[:, at].sum()),
            "percentiles least": float((found[1, :, at] / asked[:, at]).min()),
            "width": float(widths[:, at].sum() / asked[:, at].sum()),
        }
        for at, name in enumerate(_SHOWN.values())
    ]


def _told(videos: int, comparisons: int) -> dict[str, Any]:
    """How often two models over nine capabilities are told apart, with this many videos."""
    random = np.random.default_rng([_SEED, videos, 1])
    told, outside, held, named = 0, 0, 0.0, 0
    for _ in range(comparisons):
        rows = _compared(videos, [0.0] * CAPABILITIES, random).rows.filter(metric="f1@0.5").head(CAPABILITIES)
        leaves_out = (rows["low"] > 0) | (rows["high"] < 0)
        told += bool((rows["verdict"] != "undecided").any())
        outside += bool(leaves_out.any())
        held += 1 - float(leaves_out.mean())  # type: ignore[arg-type]
        lost = _compared(videos, [0.3] + [0.0] * (CAPABILITIES - 1), random).rows
        named += lost.filter(metric="f1@0.5", capability="c0")["verdict"][0] == WORSE
    return {
        "of": "difference", "videos": videos, "hold": held / comparisons, "least": None, "percentiles hold": None,
        "percentiles least": None, "width": None, "told apart": told / comparisons,
        "by intervals alone": outside / comparisons, "loss named": named / comparisons,
    }  # fmt: skip


def _compared(videos: int, losses: Sequence[float], random: np.random.Generator) -> Comparison:
    """Two models that find hard videos hard alike; the second has lost some of its chance to find a segment."""
    tallies = np.zeros((2, videos, len(losses), metrics.TALLY_SIZE))
    for at, loss in enumerate(losses):
        shared = random.beta(4, 1, videos)
        true = random.binomial(4, 0.5, videos)
        for model, lost in enumerate((0.0, loss)):
            chance = np.clip(shared - lost, 0, 1)
            chance = (chance + random.beta(chance * 5 + 1e-3, (1 - chance) * 5 + 1e-3)) / 2
            hits = random.binomial(true, chance)
            tallies[model, :, at] = _tallies(hits, true, random.poisson((1 - chance) * true * 0.6))
    before, after = (_counts(each) for each in tallies)
    return compare("after", after, "before", before, {})


def _drawn(case: Case, videos: int, random: np.random.Generator) -> np.ndarray:
    """Tallies [videos, TALLY_SIZE] of a model."""
    true = random.binomial(2 * (1 + random.poisson(1, videos)), 0.6)
    chance = np.full(videos, case.found)
    if case.spread:
        chance = random.beta(case.found / case.spread, (1 - case.found) / case.spread, videos)
    hits = random.binomial(true, chance)
    found = _tallies(hits, true, random.poisson(case.false * np.maximum(true, 0.5) * (1 - chance)))
    off_s = 0.3 * random.lognormal(0, case.ends, videos)
    found[:, metrics.BOUNDARY_S] = np.where(hits > 0, random.gamma(np.maximum(2 * hits, 1), off_s), 0)
    minutes = 0.1 * (1 + random.poisson(1, videos))
    rate = case.alarms * (random.gamma(0.5, 2, videos) if case.bursts else 1.0)
    found[:, metrics.ALARMS], found[:, metrics.NEGATIVE_S] = random.poisson(rate * minutes), 60 * minutes
    return found


def _tallies(hits: np.ndarray, true: np.ndarray, false: np.ndarray) -> np.ndarray:
    found = np.zeros((len(hits), metrics.TALLY_SIZE))
    found[:, metrics.HITS] = found[:, metrics.JOINT] = hits[:, None]
    found[:, metrics.PREDICTED], found[:, metrics.TRUE] = hits + false, true
    found[:, metrics.BOUNDARIES] = 2 * hits
    return found


def _counts(tallies: np.ndarray) -> Counts:
    names = [f"c{at}" for at in range(tallies.shape[1])]
    return Counts(names, [], tallies, [], np.ones(tallies.shape[:2], dtype=bool))


if __name__ == "__main__":
    main("evaluation_intervals", measure)
