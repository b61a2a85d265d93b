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

from curate.targets.arms import Arms

SHAPE = 0.5
"""Of the gamma prior of a rate: one arm in four has under a tenth of its source's rate, one in six over twice it."""
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
LEAST_LOOKS = 8
"""Files looked at from which an arm has a distribution of its own; before that it borrows."""


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
            not looked at, the mean of its arm's.
        counts: float [nodes], useful clips found below each node, in files' worth.
        hours: float [c, nodes], hours analysed below each node, weighted by their promise, in files' worth.
        per_file: useful clips that the file of a useful clip has on average.
    """

    arms: Arms
    weights: np.ndarray
    promise: np.ndarray
    counts: np.ndarray
    hours: np.ndarray
    per_file: float

    def draw(self, rng: np.random.Generator, draws: int) -> "Draws":
        """Curves and rates as they may be; the same for the same state of `rng`."""
        curve = rng.choice(len(self.weights), size=draws, p=self.weights)
        rates = np.empty((draws, len(self.counts)))
        for node, parent in enumerate(self.arms.parents):
            mean = CLIPS_PER_HOUR if parent < 0 else rates[:, parent]
            shape = SHAPE + self.counts[node]
            rates[:, node] = rng.gamma(shape, 1.0, draws) / (SHAPE / mean + self.hours[curve, node])
            np.maximum(rates[:, node], 1e-9, out=rates[:, node])
        return Draws(curve, rates[:, self.arms.leaves])

    def means(self) -> np.ndarray:
        """float [c, arms]: the expected rates, given each curve."""
        rates = _means(self.arms, self.counts, self.hours)
        return rates[:, self.arms.leaves]

    def expected(self, arm: np.ndarray) -> np.ndarray:
        """float [n]: useful clips expected in an hour of each file, whose arms these are."""
        return np.asarray(np.einsum("c,cn,cn->n", self.weights, self.means()[:, arm], self.promise))


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
    counts = _sums(arms, np.bincount(footage.arm[done], found[done], len(arms.names))[None])[0] / per_file
    exposure = promise[:, done] * footage.hours[done]
    by_arm = np.stack([np.bincount(footage.arm[done], row, len(arms.names)) for row in exposure])
    hours = _sums(arms, by_arm) / per_file
    prior = np.full(len(promise), (1 - BLIND) / max(len(promise) - 1, 1))
    prior[0] = BLIND if len(promise) > 1 else 1.0
    of_files = np.log(np.maximum(exposure, 1e-12)) @ (found[done] / per_file)
    log_weights = np.log(prior) + _fit(arms, counts, hours) + of_files
    weights = np.exp(log_weights - log_weights.max())
    return Posterior(arms, weights / weights.sum(), promise, counts, hours, per_file)


def _fit(arms: Arms, counts: np.ndarray, hours: np.ndarray) -> np.ndarray:
    """Log likelihood of what was found in the arms under each curve, float [c], their rates integrated out.

    What is the same under all curves is left out.
    """
    leaves = arms.leaves
    above = arms.parents[leaves]
    means = np.where(above >= 0, _means(arms, counts, hours)[:, above], CLIPS_PER_HOUR)
    rate = SHAPE / means
    return np.asarray((SHAPE * np.log(rate) - (SHAPE + counts[leaves]) * np.log(rate + hours[:, leaves])).sum(axis=1))


def _means(arms: Arms, counts: np.ndarray, hours: np.ndarray) -> np.ndarray:
    """float [c, nodes]: the expected rate of each node, given that of the node above it."""
    rates = np.empty_like(hours)
    for node, parent in enumerate(arms.parents):
        above = CLIPS_PER_HOUR if parent < 0 else rates[:, parent]
        rates[:, node] = (SHAPE + counts[node]) / (SHAPE / above + hours[:, node])
    return rates


def _sums(arms: Arms, by_arm: np.ndarray) -> np.ndarray:
    """float [c, nodes] of float [c, arms]: a node has what is below it."""
    sums = np.zeros((len(by_arm), len(arms.parents)))
    sums[:, arms.leaves] = by_arm
    for node in range(len(arms.parents) - 1, 0, -1):
        sums[:, arms.parents[node]] += sums[:, node]
    return sums


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
    weight = footage.hours[looked]
    promise /= np.average(promise[:, looked], axis=1, weights=weight)[:, None]
    _borrow(arms, footage, looked, promise)
    return promise


def _borrow(arms: Arms, footage: Footage, looked: np.ndarray, promise: np.ndarray) -> None:
    """Gives files that were not looked at the mean of the nearest folder that has LEAST_LOOKS."""
    missing = ~footage.looked
    for arm in np.unique(footage.arm[missing]):
        known = nearest_looks(arms, footage.arm[looked], int(arm))
        promise[:, missing & (footage.arm == arm)] = promise[:, looked[known]].mean(axis=1)[:, None]


def nearest_looks(arms: Arms, arm_of_look: np.ndarray, arm: int) -> np.ndarray:
    """Which of the looks, by their arms, are of the smallest folder around `arm` that has LEAST_LOOKS; else all."""
    node = int(arms.leaves[arm])
    while node >= 0:
        known = arms.inside[node][arm_of_look]
        if known.sum() >= LEAST_LOOKS:
            return np.asarray(known)
        node = int(arms.parents[node])
    return np.ones(len(arm_of_look), dtype=bool)
