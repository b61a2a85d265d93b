"""From a similarity to a number that can be compared between capabilities.

With enough labels it is a probability, by Platt scaling: a logistic curve through the labelled clips' similarities.
Without them it is a rank, the share of eligible clips that are less similar, and is called one: nothing about
similarities alone says how many clips show the thing.

Labelled clips were mostly chosen because they looked likely, so the curve is fitted where it is used, but its level
leans towards their share of positives.
"""

import numpy as np

LEAST_LABELS = 10
"""Positive, and as many negative, labels from which a curve is fitted."""
_STEPS = 50
_RIDGE = 1e-3


def platt(similarities: np.ndarray, positive: np.ndarray) -> tuple[float, float] | None:
    """Slope and intercept of log odds over similarity; None with fewer than LEAST_LABELS of either kind.

    Fitted by Newton's method with Platt's smoothed targets (Platt 1999; Lin, Lin and Weng 2007) and a slight ridge. The
    slope is never negative: labels that say that the least similar clips are the likeliest ones say that the
    similarity is useless, and then every clip gets the base rate.

    Args:
        similarities: float [n].
        positive: bool [n].
    """
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if min(positives, negatives) < LEAST_LABELS:
        return None
    target = np.where(positive, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    base_rate = (positives + 1) / (positives + negatives + 2)
    centre, scale = float(similarities.mean()), float(similarities.std())
    if scale < 1e-9:
        return 0.0, _log_odds(base_rate)
    design = np.stack([(similarities - centre) / scale, np.ones(len(similarities))], axis=1)
    weights = np.array([0.0, _log_odds(base_rate)])
    for _ in range(_STEPS):
        probability = _logistic(design @ weights)
        gradient = design.T @ (probability - target) + _RIDGE * weights
        curvature = (design * (probability * (1 - probability))[:, None]).T @ design + _RIDGE * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        weights = weights - step * min(1.0, 4.0 / max(float(np.abs(step).max()), 1e-12))
        if np.abs(step).max() < 1e-9:
            break
    if weights[0] <= 0:
        return 0.0, _log_odds(base_rate)
    slope = weights[0] / scale
    return float(slope), float(weights[1] - slope * centre)


def probabilities(similarities: np.ndarray, curve: tuple[float, float]) -> np.ndarray:
    """The curve's probability of each similarity, float [n]."""
    slope, intercept = curve
    return _logistic(slope * similarities + intercept)


def ranks(similarities: np.ndarray) -> np.ndarray:
    """The share of the other similarities that are lower, float [n] in 0 to 1; equal ones have equal ranks."""
    if len(similarities) < 2:
        return np.ones(len(similarities))
    return np.searchsorted(np.sort(similarities), similarities, side="left") / (len(similarities) - 1)


def _logistic(log_odds: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(log_odds, -500, 500)))


def _log_odds(probability: float) -> float:
    return float(np.log(probability / (1 - probability)))
