"""How sure an evaluation is: intervals from a bootstrap over videos, since the clips of a video are not independent.

A bootstrap (Efron 1979) draws as many videos as there are, with repeats, and says how far a metric moves. Its plain
percentiles are too sure of few videos: five videos that are all right give [1, 1]. So the draws say how much a metric
varies, and the interval has the shape that is known for its kind, at the effective number of observations that would
vary as much: Wilson's (1927) for a share, Garwood's (1936) for a rate of false alarms, Student's for the logarithm of
seconds.

How many of 100 intervals stated at 0.95 hold the truth, over simulated models of five kinds, and of the kind for which
the fewest do, beside plain percentiles of the same draws (benchmarks/evaluation_intervals.py):

| videos                      | 4       | 8       | 16      | 32      | 100     |
|-----------------------------|---------|---------|---------|---------|---------|
| F1@0.5                      | 98 (96) | 97 (95) | 97 (94) | 97 (94) | 97 (94) |
| F1@0.5, percentiles         | 62 (20) | 77 (39) | 85 (67) | 93 (90) | 93 (91) |
| false alarms                | 96 (85) | 95 (86) | 96 (90) | 96 (92) | 95 (94) |
| false alarms, percentiles   | 57 (21) | 72 (40) | 82 (64) | 88 (84) | 93 (93) |
| boundary error              | 96 (94) | 93 (90) | 92 (89) | 93 (89) | 94 (91) |
| boundary error, percentiles | 65 (37) | 79 (61) | 86 (73) | 90 (82) | 93 (90) |
"""

from __future__ import annotations

import numpy as np
from scipy.stats import chi2, norm
from scipy.stats import t as student

RESAMPLES = 1000
_LEAST = 1e-12


def draws(videos: int, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """How often each video is in each resample: float [resamples, videos], rows that add up to `videos`."""
    chances = np.full(videos, 1 / videos)
    return np.random.default_rng(seed).multinomial(videos, chances, size=resamples).astype(np.float64)


def resampled(weights: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Sums over videos of counts [videos, ...] under weights [resamples, videos]: [resamples, ...]."""
    flat = counts.reshape(len(counts), int(np.prod(counts.shape[1:])))
    return (weights @ flat).reshape(len(weights), *counts.shape[1:])


def spread(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Variance of a metric from its resamples [resamples, ...], nan left out, as of `groups` [...] videos; nan where
    fewer than two videos say anything."""
    told = ~np.isnan(values)
    count = told.sum(0)
    mean = np.where(told, values, 0).sum(0) / np.maximum(count, 1)
    squares = (np.where(told, values - mean, 0) ** 2).sum(0)
    enough = (groups >= 2) & (count >= 2)
    unbiased = groups / np.maximum(groups - 1, 1)  # a resample varies as if its mean were the truth
    return np.where(enough, squares / np.maximum(count - 1, 1) * unbiased, np.nan)


def share_interval(
    value: np.ndarray, variance: np.ndarray, groups: np.ndarray, observations: np.ndarray, *, confidence: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Low and high of a metric between 0 and 1; those two where fewer than two videos say anything.

    Args:
        value, variance: of the metric, as `spread` has it.
        groups: videos that say anything of it; where none of them varies they are what is counted.
        observations: it is not surer than of so many independent ones.
    """
    quantile = float(norm.ppf((1 + confidence) / 2))
    known = ~np.isnan(variance)
    varies = known & (variance > _LEAST)
    count = np.where(varies, value * (1 - value) / np.where(varies, variance, 1), groups)
    certain = (value <= 0) | (value >= 1)
    count = np.where(certain, groups, np.maximum(np.minimum(count, observations), _LEAST))
    square = quantile**2
    centre = (value * count + square / 2) / (count + square)
    reach = quantile / (count + square) * np.sqrt(np.maximum(value * (1 - value) * count, 0) + square / 4)
    low, high = np.clip(centre - reach, 0, value), np.clip(centre + reach, value, 1)
    empty = np.isnan(value)
    return (
        np.where(empty, np.nan, np.where(known, low, 0.0)),
        np.where(empty, np.nan, np.where(known, high, 1.0)),
    )


def rate_interval(
    value: np.ndarray, variance: np.ndarray, events: np.ndarray, minutes: np.ndarray, *, confidence: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Low and high of events per minute, of `events` that were counted in `minutes`; nan without any minutes, or where
    fewer than two videos say anything."""
    tail = (1 - confidence) / 2
    varies = variance > _LEAST
    effective = np.where(varies, np.minimum(value**2 / np.where(varies, variance, 1), events), events)
    each = np.where(
        value > 0, value / np.where(effective > 0, effective, 1), 1 / np.where(minutes > 0, minutes, np.nan)
    )
    low = np.where(value > 0, each * chi2.ppf(tail, 2 * np.maximum(effective, _LEAST)) / 2, 0.0)
    high = each * chi2.ppf(1 - tail, 2 * effective + 2) / 2
    known = ~np.isnan(variance)
    return np.where(known, low, np.nan), np.where(known, high, np.nan)


def seconds_interval(
    value: np.ndarray, variance: np.ndarray, groups: np.ndarray, *, confidence: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Low and high of a mean of seconds; nan where they do not vary, or of fewer than three videos: two say nothing."""
    known = (variance > _LEAST) & (value > 0) & (groups >= 3)
    quantile = student.ppf((1 + confidence) / 2, np.maximum(groups - 1, 1))
    reach = quantile * np.sqrt(np.where(known, variance, 0)) / np.where(known, value, 1)
    return np.where(known, value * np.exp(-reach), np.nan), np.where(known, value * np.exp(reach), np.nan)


def bound_of(bound: float) -> float | None:
    """A bound of an interval as tables have it: null where nothing is known."""
    return None if np.isnan(bound) else float(bound)
