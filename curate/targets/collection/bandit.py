"""What footage is expected to hold, learned from what analysing some of it found.

Useful clips come from a file at a rate per hour that is the product of two things:

- **Its arm's rate.** Arms (folders) have gamma priors whose means are those of the folder above, up to all footage, so
  a folder that nobody has looked into is expected to hold what its source does, and may hold far more (SHAPE).
- **What its keyframes promise.** Each keyframe stands for its stretch of the file, and counts the more, the more it
  looks like the capability: a step from `floor` to 1 at some similarity. Which step fits is not known beforehand, so a
  grid of curves is held, each with its probability given all that was found; one of them says that keyframes tell
  nothing. Where they mislead, the arm's rate falls, since it holds less than they promise; where they miss what is
  there, it rises.

Clips of one file come together, so files and not clips are the evidence: counts and hours are divided by the clips that
a useful clip's file has on average (a quasi-likelihood). Draws from the posterior are what Thompson sampling follows
(Thompson 1933; Russo et al. 2018), and what intervals are made of.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from curate.targets.collection.arms import Arms

SHAPE = 0.5
"""Of the gamma prior of a rate: one arm in four has under a tenth of its source's rate, one in six over twice it."""
LIFTS, SHARES = (1.0, 30.0), (0.9, 0.1)
"""One arm in ten may hold thirty times what the others around it do: what is rare is rich somewhere."""
CLIPS_PER_HOUR = 6.0
"""Expected of all footage before anything is known: of some 600 clips an hour, one in a hundred."""
QUANTILES = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995)
"""Where among all keyframes a curve steps."""
WIDTHS = (0.15, 0.5)
"""How soft the step is, in standard deviations of keyframes' similarities."""
FLOORS = (0.003, 0.03, 0.3)
"""What a keyframe below the step counts."""
BLIND = 0.2
"""Probability, beforehand, that keyframes tell nothing."""
_LEAST_RATE = 1e-9
LEAST_LOOKS = 60
"""Looks at a folder's own files from which they alone say what others there will show."""
BORROWED = 3.0
"""Before that: the looks at all footage count as so many more."""


@dataclass(frozen=True)
class Footage:
    """What is known of files; arrays of length n.

    Attributes:
        arm: int, of `Arms`.
        hours: float, of those not looked at an estimate.
        looks: float32 [keyframes] of similarities, of each file; None where it was not looked at.
        done: bool, analysed.
        found: float, useful clips in those that are done.
    """

    arm: np.ndarray
    hours: np.ndarray
    looks: Sequence[np.ndarray | None]
    done: np.ndarray
    found: np.ndarray

    @property
    def looked(self) -> np.ndarray:
        return np.array([look is not None for look in self.looks], dtype=bool)


@dataclass(frozen=True)
class Posterior:
    """Rates given what was found; `curves` c, `nodes` and `arms` as in `Arms`, files n.

    Attributes:
        arms: the tree.
        weights: float [c], probability of each curve.
        promise: float [c, n], what each file's keyframes promise, 1 on average over the files looked at; for a file
            not looked at, the mean of its arm's looks and BORROWED others.
        counts: float [arms], useful clips found, in files' worth.
        hours: float [c, arms], hours analysed, weighted by their promise, in files' worth.
        known: float [c, nodes], how many arms' worth is known below each node; `rates`, the mean rate of what is.
        per_file: useful clips that the file of a useful clip has on average.
    """

    arms: Arms
    weights: np.ndarray
    promise: np.ndarray
    counts: np.ndarray
    hours: np.ndarray
    known: np.ndarray
    rates: np.ndarray
    per_file: float

    def draw(self, rng: np.random.Generator, draws: int) -> "Draws":
        """Curves and rates as they may be; the same for the same state of `rng`."""
        curve = rng.choice(len(self.weights), size=draws, p=self.weights)
        nodes = np.empty((draws, len(self.arms.parents)))
        for node, parent in enumerate(self.arms.parents):
            above = CLIPS_PER_HOUR if parent < 0 else nodes[:, parent]
            known = self.known[curve, node]
            mean = (above + known * self.rates[curve, node]) / (1 + known)
            shape = SHAPE * (1 + known)
            nodes[:, node] = np.maximum(rng.gamma(shape) * mean / shape, _LEAST_RATE)
        above = nodes[:, self.arms.parents[self.arms.leaves]]
        rate, chance = _parts(above, self.counts, self.hours[curve])
        part = (rng.random(above.shape)[..., None] > np.cumsum(chance, axis=-1)).sum(axis=-1)
        part = np.minimum(part, len(LIFTS) - 1)
        chosen = np.take_along_axis(rate, part[..., None], axis=-1)[..., 0]
        drawn = rng.gamma(SHAPE + self.counts, size=above.shape) / (chosen + self.hours[curve])
        return Draws(curve, np.maximum(drawn, _LEAST_RATE))

    def means(self) -> np.ndarray:
        """float [c, arms]: the expected rates, given each curve."""
        rate, chance = _parts(self._above(), self.counts, self.hours)
        return np.asarray((chance * (SHAPE + self.counts)[:, None] / (rate + self.hours[..., None])).sum(axis=-1))

    def expected(self, arm: np.ndarray) -> np.ndarray:
        """float [n]: useful clips expected in an hour of each file, whose arms these are."""
        return np.asarray(np.einsum("c,cn,cn->n", self.weights, self.means()[:, arm], self.promise))

    def _above(self) -> np.ndarray:
        return _above(self.arms, self.known, self.rates)


@dataclass(frozen=True)
class Draws:
    """`curve` int [draws], and `rate` float [draws, arms], useful clips an hour of footage of average promise."""

    curve: np.ndarray
    rate: np.ndarray


def learn(arms: Arms, footage: Footage) -> Posterior:
    """The posterior, given the files that are done. Files that are done without a look count with their arm's mean."""
    promise = _promises(arms, footage)
    done, found = footage.done, footage.found
    total = float(found[done].sum())
    per_file = max(float((found[done] ** 2).sum()) / total, 1.0) if total > 0 else 1.0
    counts = np.bincount(footage.arm[done], found[done], len(arms.names)) / per_file
    exposure = promise[:, done] * footage.hours[done] / per_file
    hours = np.stack([np.bincount(footage.arm[done], row, len(arms.names)) for row in exposure])
    known, rates = _pooled(arms, counts, hours)
    rate, _ = _parts(_above(arms, known, rates), counts, hours)
    parts = _log_parts(rate, counts, hours)
    of_arms = np.log(np.exp(parts - parts.max(axis=-1, keepdims=True)).sum(axis=-1)) + parts.max(axis=-1)
    of_files = np.log(np.maximum(exposure, 1e-12)) @ (found[done] / per_file)
    prior = np.full(len(promise), (1 - BLIND) / max(len(promise) - 1, 1))
    prior[0] = BLIND if len(promise) > 1 else 1.0
    log_weights = np.log(prior) + of_arms.sum(axis=1) + of_files
    weights = np.exp(log_weights - log_weights.max())
    return Posterior(arms, weights / weights.sum(), promise, counts, hours, known, rates, per_file)


def _parts(above: np.ndarray, counts: np.ndarray, hours: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each arm the prior's parts, poor to rich: the rate of each part's gamma, and its probability now.

    float [..., arms, parts] each; the likelihood of a part is that of its counts, with the arm's rate integrated out.
    """
    lifts, shares = np.array(LIFTS), np.array(SHARES)
    rate = SHAPE / (above[..., None] * lifts / float(lifts @ shares))
    logs = _log_parts(rate, counts, hours)
    chance = np.exp(logs - logs.max(axis=-1, keepdims=True))
    return rate, chance / chance.sum(axis=-1, keepdims=True)


def _log_parts(rate: np.ndarray, counts: np.ndarray, hours: np.ndarray) -> np.ndarray:
    """Log of each part's prior probability and likelihood, but for what is the same for all parts and curves."""
    spent = np.log(rate + hours[..., None])
    return np.asarray(np.log(SHARES) + SHAPE * np.log(rate) - (SHAPE + counts)[:, None] * spent)


def _pooled(arms: Arms, counts: np.ndarray, hours: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How much is known below each node, in arms, and the mean rate there; float [c, nodes] each.

    Arms count alike once they are known: a campaign analyses most where most is found, and pooled hours would say that
    all of a source is like its best folder. An arm is known by the share of its own rate that its data decide.
    """
    overall = (SHAPE + counts.sum()) / (SHAPE / CLIPS_PER_HOUR + hours.sum(axis=1))
    share = hours / (hours + SHAPE / overall[:, None])
    known, sums = np.zeros((2, len(hours), len(arms.parents)))
    above = arms.parents[arms.leaves]
    for arm, node in enumerate(above):
        known[:, node] += share[:, arm]
        sums[:, node] += share[:, arm] * counts[arm] / np.maximum(hours[:, arm], 1e-12)
    for node in range(len(arms.parents) - 1, 0, -1):
        if arms.inside[node].sum() > 1 or node not in arms.leaves:
            weight = known[:, node] / (1 + known[:, node])
            known[:, arms.parents[node]] += weight
            sums[:, arms.parents[node]] += weight * sums[:, node] / np.maximum(known[:, node], 1e-12)
    return known, sums / np.maximum(known, 1e-12)


def _above(arms: Arms, known: np.ndarray, rates: np.ndarray) -> np.ndarray:
    """float [c, arms]: the expected mean rate of the folder above each arm."""
    nodes = np.empty_like(known)
    for node, parent in enumerate(arms.parents):
        above = CLIPS_PER_HOUR if parent < 0 else nodes[:, parent]
        nodes[:, node] = (above + known[:, node] * rates[:, node]) / (1 + known[:, node])
    return np.maximum(nodes[:, arms.parents[arms.leaves]], _LEAST_RATE)


def _promises(arms: Arms, footage: Footage) -> np.ndarray:
    """float [c, n]; the first curve is that of keyframes that tell nothing."""
    looked = np.flatnonzero(footage.looked)
    promise = np.ones((1 + len(QUANTILES) * len(WIDTHS) * len(FLOORS), len(footage.arm)))
    if not len(looked):
        return promise[:1]
    looks = [footage.looks[at] for at in looked]
    counts = np.array([len(look) for look in looks if look is not None])
    frames = np.concatenate([look for look in looks if look is not None]).astype(np.float64)
    spread = max(float(frames.std()), 1e-6)
    curve = 1
    for step in np.quantile(frames, QUANTILES):
        for width in WIDTHS:
            above = 1 / (1 + np.exp(-np.clip((frames - step) / (width * spread), -60, 60)))
            share = np.add.reduceat(above, np.cumsum(counts) - counts) / counts
            for floor in FLOORS:
                promise[curve, looked] = floor + (1 - floor) * share
                curve += 1
    promise /= np.average(promise[:, looked], axis=1, weights=footage.hours[looked])[:, None]
    missing = ~footage.looked
    seen = np.bincount(footage.arm[looked], minlength=len(arms.names))
    for arm in np.unique(footage.arm[missing]):
        sums = promise[:, looked[footage.arm[looked] == arm]].sum(axis=1)
        promise[:, missing & (footage.arm == arm)] = ((sums + BORROWED) / (seen[arm] + BORROWED))[:, None]
    return promise
