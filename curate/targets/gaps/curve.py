"""How likely a clip of some score shows the capability, with all that the labels leave open: draws of curves.

One calibrated curve (`curate.targets.scoring.calibrate`) says what is likeliest, and nothing about how sure that is.
Most labels were chosen because they looked likely, so what they leave open lies where most clips are: at low scores,
where only audits speak. So the log odds are taken as

    a line in the score + a smooth departure from it + a shift of the source + a shift of the way of choosing

each with a normal prior, and the posterior is drawn from. Given the score, how a label was chosen does no harm; the
last term is for what choosing looks at besides, as that a clip is unlike those with a label, or like what it is
mistaken for. Clips that were not chosen do not have it, and audits, which were drawn at random, do not either.

Clips of a leakage group are alike, so each label of a group counts 1 / (1 + the variance that groups share x what the
group's other labels say). That variance is estimated from how alike the surprises of a group are, and held by a prior
of GROUP_VARIANCE.

Draws come from elliptical slice sampling (Murray, Adams and MacKay 2010), begun at draws of the Laplace approximation,
all chains at once as one array. `benchmarks/gap_estimates.py` has how often the intervals hold.
"""

from dataclasses import dataclass

import numpy as np

from curate.targets.scoring.calibrate import logistic

LEVEL = (-2.75, 3.0)
"""Mean and standard deviation of the prior of the log odds at the mean score."""
SLOPE = (1.5, 2.0)
"""Of the line: log odds for each standard deviation of the score."""
DEPARTURE, REACH = 1.5, 1.0
"""Standard deviation of the departure, in log odds, and over how many deviations of the score it is alike."""
SOURCE, WAY = 0.5, 0.5
"""Standard deviations of the shifts, in log odds."""
WAYS = 3
"""Of choosing, with a shift each; 0 is to draw at random, which has none."""
GROUP_VARIANCE, GROUP_PRIOR = 1.0, 2.0
"""The variance that groups share before anything is seen, in squared log odds, and what that counts against what is
seen: as much as 16 pairs of labels of even odds."""
MOST_SOURCES = 20
"""Sources with a shift of their own, the largest; the others share one."""

_FURTHEST, _STEP, _KNOTS = 6.0, 0.2, 25
_CHAINS, _BURN_IN, _KEPT, _APART = 128, 8, 12, 2


@dataclass(frozen=True)
class Labelled:
    """n labelled clips: `score` as `standardized` gives it, number of the `source`, `positive` as 0 or 1, number of the
    `way` it was chosen in (0 at random, to WAYS), number of the leakage `group`."""

    score: np.ndarray
    source: np.ndarray
    positive: np.ndarray
    way: np.ndarray
    group: np.ndarray


@dataclass(frozen=True)
class Curves:
    """Draws of the posterior.

    Attributes:
        draws: float64 [draws, dims], of independent standard normals that `_factors` makes log odds of.
        sources: with a shift, numbered from 0.
        group_variance: of the shift that the clips of one leakage group share, in squared log odds.
    """

    draws: np.ndarray
    sources: int
    group_variance: float

    def log_odds(self, score: np.ndarray, source: np.ndarray) -> np.ndarray:
        """float64 [draws, n], of clips that nobody chose."""
        offset, factors = _factors(score, source, np.zeros(len(score)), self.sources)
        return offset + self.draws @ factors.T


def standardized(scores: np.ndarray) -> np.ndarray:
    """Scores as standard deviations from their mean, at most 6, in steps of 0.2; float64 [n]."""
    spread = scores.std() if len(scores) else 0.0
    away = (scores - scores.mean()) / spread if spread > 1e-12 else np.zeros(len(scores))
    return np.round(np.clip(away, -_FURTHEST, _FURTHEST) / _STEP) * _STEP


def draw_curves(labelled: Labelled, sources: int, random: np.random.Generator) -> Curves:
    """The posterior given labels; the prior where there are none.

    Args:
        labelled: the labels.
        sources: how many there are, numbered from 0.
        random: of the draws.
    """
    offset, factors = _factors(labelled.score, labelled.source, labelled.way, sources)
    mode, _ = _laplace(offset, factors, labelled.positive, np.ones(len(offset)))
    variance, weight = _shared(labelled, logistic(offset + factors @ mode))
    mode, root = _laplace(offset, factors, labelled.positive, weight)
    start = mode + random.standard_normal((_CHAINS, len(mode))) @ root
    alike = np.stack([labelled.score, labelled.source, labelled.way], axis=1)
    _, first, of = np.unique(alike, axis=0, return_index=True, return_inverse=True)
    positives, labels = np.bincount(of.ravel(), weight * labelled.positive), np.bincount(of.ravel(), weight)
    chains = _Chains(offset[first], factors[first], positives, labels)
    return Curves(chains.run(start, random), sources, variance)


def _factors(score: np.ndarray, source: np.ndarray, way: np.ndarray, sources: int) -> tuple[np.ndarray, np.ndarray]:
    """What log odds are of independent standard normals: their mean [n], and what each adds [n, dims]."""
    at = np.clip(np.searchsorted(_KNOTS_AT, score, side="right") - 1, 0, _KNOTS - 2)
    share = ((score - _KNOTS_AT[at]) / (_KNOTS_AT[1] - _KNOTS_AT[0]))[:, None]
    parts = [
        np.full((len(score), 1), LEVEL[1]),
        SLOPE[1] * score[:, None],
        _DEPARTURES[at] * (1 - share) + _DEPARTURES[at + 1] * share,
        WAY * (way[:, None] == np.arange(1, WAYS + 1)),
        SOURCE * (source[:, None] == np.arange(sources)),
    ]
    return LEVEL[0] + SLOPE[0] * score, np.concatenate(parts, axis=1)


def _departures(knots: np.ndarray) -> np.ndarray:
    """A root of the departure's covariance between knots, float64 [knots, k]."""
    covariance = DEPARTURE**2 * np.exp(-0.5 * ((knots[:, None] - knots) / REACH) ** 2)
    values, vectors = np.linalg.eigh(covariance)
    return vectors[:, values > 1e-3] * np.sqrt(values[values > 1e-3])


_KNOTS_AT = np.linspace(-_FURTHEST, _FURTHEST, _KNOTS)
_DEPARTURES = _departures(_KNOTS_AT)


def _shared(labelled: Labelled, probability: np.ndarray) -> tuple[float, np.ndarray]:
    """The variance that groups share, from pairs of labels within groups, and what each label counts."""
    _, group = np.unique(labelled.group, return_inverse=True)
    says = probability * (1 - probability)

    def pairs(each: np.ndarray) -> float:
        return float((np.bincount(group, each) ** 2 - np.bincount(group, each**2)).sum())

    seen = GROUP_PRIOR * GROUP_VARIANCE + pairs(labelled.positive - probability)
    variance = float(np.clip(seen / (GROUP_PRIOR + pairs(says)), 0.0, 4.0))
    others = np.bincount(group, says)[group] - says if len(group) else says
    return variance, 1 / (1 + variance * others)


def _laplace(
    offset: np.ndarray, factors: np.ndarray, positive: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Where the posterior is highest, and a root of its covariance there, by Newton's method."""
    mode = np.zeros(factors.shape[1])
    curvature = np.eye(len(mode))
    for _ in range(50):
        probability = logistic(offset + factors @ mode)
        gradient = factors.T @ (weight * (positive - probability)) - mode
        informs = weight * probability * (1 - probability)
        curvature = (factors * informs[:, None]).T @ factors + np.eye(len(mode))
        step = np.linalg.solve(curvature, gradient)
        mode = mode + step * min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-12))
        if np.abs(step).max() < 1e-6:
            break
    values, vectors = np.linalg.eigh(curvature)
    return mode, (vectors / np.sqrt(values)).T


@dataclass(frozen=True)
class _Chains:
    """The likelihood of `positives` among `labels` [n], and the chains that draw under it."""

    offset: np.ndarray
    factors: np.ndarray
    positives: np.ndarray
    labels: np.ndarray

    def likelihood(self, log_odds: np.ndarray) -> np.ndarray:
        """Its logarithm for each chain, of log odds [chains, n]."""
        return log_odds @ self.positives - np.log1p(np.exp(np.minimum(log_odds, 60.0))) @ self.labels

    def run(self, start: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Draws after the burn-in, float64 [_KEPT x chains, dims], from chains that start at [chains, dims]."""
        at, kept = start, []
        for step in range(1, _BURN_IN + _KEPT * _APART + 1):
            at = self.step(at, random)
            if step > _BURN_IN and (step - _BURN_IN) % _APART == 0:
                kept.append(at)
        return np.concatenate(kept)

    def step(self, at: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """One step of each chain: along an ellipse through where it is and a draw of the prior."""
        other = random.standard_normal(at.shape)
        here, there = at @ self.factors.T, other @ self.factors.T
        height = self.likelihood(self.offset + here) + np.log(1 - random.random(len(at)))
        angle = random.random(len(at)) * 2 * np.pi
        low, high = angle - 2 * np.pi, angle.copy()
        taken = np.zeros(len(at))
        left = np.arange(len(at))
        while len(left):
            cos, sin = np.cos(angle[left])[:, None], np.sin(angle[left])[:, None]
            fits = self.likelihood(self.offset + here[left] * cos + there[left] * sin) > height[left]
            taken[left[fits]] = angle[left[fits]]
            left = left[~fits]
            behind = angle[left] < 0
            low[left] = np.where(behind, angle[left], low[left])
            high[left] = np.where(behind, high[left], angle[left])
            angle[left] = low[left] + random.random(len(left)) * (high[left] - low[left])
        return at * np.cos(taken)[:, None] + other * np.sin(taken)[:, None]
