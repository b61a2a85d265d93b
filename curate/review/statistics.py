"""Agreement and its uncertainty, as functions of sums over groups of clips that are not independent.

Clips of one video, and of its duplicates, tend to be right or wrong together, so the unit of uncertainty is the group.
Every statistic here is a function of sums that add up over groups, hence leaving out a group is a subtraction, and the
jackknife over groups (Quenouille 1956, Miller 1974) costs no more than the statistic.

The intervals are Wilson's (1927) at the effective number of answers, with Student's quantile for the number of groups,
as for proportions of clustered samples (Korn & Graubard 1998, Dean & Pagano 2015). Unlike a bootstrap over few groups
they stay wide where little is known: five of five that agree do not prove that all do.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import t as student

Statistic = Callable[[np.ndarray], np.ndarray]
"""Sums [..., k] to a value [...]; nan where it is not defined."""

Metric = Literal["nominal", "interval"]


@dataclass(frozen=True)
class Estimate:
    """A value and its interval; all nan where the value is not defined."""

    value: float
    low: float
    high: float


UNKNOWN = Estimate(np.nan, np.nan, np.nan)


def bounded(
    sums: np.ndarray,
    statistic: Statistic,
    *,
    units: float,
    lowest: float = 0.0,
    confidence: float = 0.95,
) -> Estimate:
    """A statistic that lies between `lowest` and 1, with its interval.

    Args:
        sums: [groups, k], added up within each group.
        units: answers that the statistic is of, such as pairs: it cannot be surer than of so many independent ones.
    """
    value, variance = jackknife(sums, statistic)
    if np.isnan(value):
        return UNKNOWN
    groups = len(sums)
    if groups < 2 or np.isnan(variance):
        return Estimate(value, lowest, 1.0)
    width = 1.0 - lowest
    share = min(max((value - lowest) / width, 0.0), 1.0)
    spread = variance / width**2
    effective = min(share * (1 - share) / spread, units) if spread > 1e-15 else groups
    if share in (0.0, 1.0):
        effective = min(effective or groups, groups)
    quantile = float(student.ppf((1 + confidence) / 2, groups - 1))
    low, high = wilson(share, effective, quantile)
    return Estimate(value, lowest + width * low, lowest + width * high)


def unbounded(sums: np.ndarray, statistic: Statistic, *, least: float = -np.inf, confidence: float = 0.95) -> Estimate:
    """A statistic in seconds, with its interval by Student's t over groups; infinite where there is one group."""
    value, variance = jackknife(sums, statistic)
    if np.isnan(value):
        return UNKNOWN
    if len(sums) < 2 or np.isnan(variance):
        return Estimate(value, least, np.inf)
    reach = float(student.ppf((1 + confidence) / 2, len(sums) - 1)) * float(np.sqrt(variance))
    return Estimate(value, max(value - reach, least), value + reach)


def jackknife(sums: np.ndarray, statistic: Statistic) -> tuple[float, float]:
    """The statistic of all groups, and its variance; nan where it is not defined without one of the groups."""
    total = sums.sum(0)
    value = float(statistic(total))
    groups = len(sums)
    if groups < 2 or np.isnan(value):
        return value, np.nan
    without = statistic(total - sums)
    return value, float((groups - 1) / groups * ((without - without.mean()) ** 2).sum())


def wilson(share: float, count: float, quantile: float = 1.959964) -> tuple[float, float]:
    """The interval of a share that was found in `count` answers, which need be no whole number."""
    square = quantile**2
    centre = (share * count + square / 2) / (count + square)
    reach = quantile / (count + square) * np.sqrt(share * (1 - share) * count + square / 4)
    return max(0.0, float(centre - reach)), min(1.0, float(centre + reach))


def ratio(sums: np.ndarray) -> np.ndarray:
    """[..., (part, whole)] to part over whole. A `Statistic`."""
    return divide(sums[..., 0], sums[..., 1])


def divide(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole; nan where the whole is 0."""
    return np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole > 1e-12)


def nominal_alpha(sums: np.ndarray) -> np.ndarray:
    """Krippendorff's alpha of coincidences [..., values * values]. A `Statistic`.

    Not defined where only one value was ever given: nothing shows that annotators would have told others apart.
    """
    table = _square(sums)
    margins, total = table.sum(-1), table.sum((-2, -1))
    observed = total - np.trace(table, axis1=-2, axis2=-1)
    expected = divide(total**2 - (margins**2).sum(-1), total - 1)
    return 1 - divide(observed, expected)


def interval_alpha(sums: np.ndarray) -> np.ndarray:
    """Krippendorff's alpha of numbers, from [..., (values, their sum, their sum of squares, squared differences)]: the
    last is the sum over units of the differences of all its ordered pairs, over the unit's values less one.
    A `Statistic`."""
    count, first, second, differences = np.moveaxis(sums, -1, 0)
    expected = divide(2 * (count * second - first**2), count - 1)
    return 1 - divide(differences, np.where(expected > 1e-9 * np.maximum(second, 1e-12), expected, 0))


def kappa(sums: np.ndarray) -> np.ndarray:
    """Cohen's kappa of counts [..., values * values], one annotator's values by the other's. A `Statistic`."""
    table = _square(sums)
    total = table.sum((-2, -1))
    agreed = divide(np.trace(table, axis1=-2, axis2=-1), total)
    by_chance = divide((table.sum(-1) * table.sum(-2)).sum(-1), total**2)
    return 1 - divide(1 - agreed, 1 - by_chance)


def coincidences(values: Sequence[int], size: int) -> np.ndarray:
    """[size * size]: what a unit's values, numbers below `size`, add to the coincidences; zero for fewer than two."""
    counts = np.bincount(np.asarray(values, dtype=int), minlength=size).astype(float)
    if len(values) < 2:
        return np.zeros(size * size)
    return ((np.outer(counts, counts) - np.diag(counts)) / (len(values) - 1)).ravel()


def squares(values: Sequence[float]) -> np.ndarray:
    """[4]: what a unit's numbers add to the sums of `interval_alpha`; zero for fewer than two."""
    numbers = np.asarray(values, dtype=float)
    if len(numbers) < 2:
        return np.zeros(4)
    differences = ((numbers[:, None] - numbers[None, :]) ** 2).sum() / (len(numbers) - 1)
    return np.array([len(numbers), numbers.sum(), (numbers**2).sum(), differences])


def krippendorff_alpha(units: Sequence[Sequence[Hashable]], metric: Metric = "nominal") -> float:
    """Krippendorff's alpha of units that any number of annotators gave a value; None is a missing value.

    1 where all agree, about 0 where they agree as by chance, below where they agree less; nan where it is not defined.
    After K. Krippendorff, Computing Krippendorff's Alpha-Reliability (2011).
    """
    given = [[value for value in unit if value is not None] for unit in units]
    if metric == "interval":
        sums = np.array([squares([float(str(value)) for value in unit]) for unit in given])
        return float(interval_alpha(sums.sum(0))) if len(sums) else np.nan
    names = {value: at for at, value in enumerate(sorted({v for unit in given for v in unit}, key=repr))}
    if not names:
        return np.nan
    tables = [coincidences([names[value] for value in unit], len(names)) for unit in given]
    return float(nominal_alpha(np.sum(tables, axis=0)))


def cohen_kappa(first: Sequence[Hashable], second: Sequence[Hashable]) -> float:
    """Cohen's kappa (1960) of two annotators over the units to which both gave a value; None is a missing value."""
    both = [(a, b) for a, b in zip(first, second, strict=True) if a is not None and b is not None]
    names = {value: at for at, value in enumerate(sorted({v for pair in both for v in pair}, key=repr))}
    table = np.zeros((len(names), len(names)))
    for a, b in both:
        table[names[a], names[b]] += 1
    return float(kappa(table.ravel())) if names else np.nan


def grouped(rows: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """[groups, k]: rows [n, k] added up within each group, of which groups [n] has the numbers from 0."""
    sums = np.zeros((int(groups.max()) + 1 if len(groups) else 0, *rows.shape[1:]))
    np.add.at(sums, groups, rows)
    return sums


def _square(sums: np.ndarray) -> np.ndarray:
    size = round(sums.shape[-1] ** 0.5)
    return sums.reshape(*sums.shape[:-1], size, size)
