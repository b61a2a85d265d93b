"""From a score to a number that can be compared between capabilities.

With enough labels it is a probability: a logistic curve (Platt scaling), or a monotone one (isotonic regression) where
there are labels enough and cross-validation finds it better. Without them it is a rank, the share of eligible clips
that are less similar, and is called one: nothing about similarities alone says how many clips show the thing.

**Held out.** Curves are compared, and their reliability is measured, on labels that they were not fitted to: in FOLDS
parts, of which a leakage group is never in two, so that copies of a clip do not vouch for it. A more complex curve must
be better by a standard error of the difference; on ties the simpler one stays.

**Selection.** Most labels were asked for because the clips looked likely. Where they were chosen by similarity alone
that does no harm to a curve over similarity; where they were found in another way (by search, by an older spec) clips
of the same similarity were likelier to be positive than those that were passed over, and the whole curve is too high.
Labels drawn at random (`audit`) show it: the curve's level is moved, in log odds, to where the audits fit best, held
back by a normal prior of SHIFT_PRIOR, so that a handful moves it little. Simulated (1,000 clips, 2 to 30% positive, 40
to 160 labels of which 15% are audits, four shapes of score, 20 seeds that nothing was chosen on), log loss over the
clips without a label, and how far the sum of their probabilities is from their positives:

| labels were chosen by | the similarity | 30% another score | 60%        | another score |
|-----------------------|----------------|-------------------|------------|---------------|
| level as fitted       | 0.206, 35      | 0.224, 71         | 0.247, 102 | 0.332, 153    |
| moved by audits       | 0.210, 39      | 0.194, 42         | 0.190, 48  | 0.214, 64     |

Weighing audits by what they stand for does as well there, and worse where clips are told apart well: on sample worlds
(seeds 51, 52; 100 labels) the log loss is 0.035 by weights, 0.022 by moving the level.
Without audits nothing can be said about the level: `audits` is 0 then, and probabilities may be too high.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression

CALIBRATED = ("platt", "isotonic")
"""Values of `calibration` with which `probability` is one; else it is a rank."""

LEAST_LABELS = 10
"""Positive, and as many negative, labels from which scores are probabilities."""

LEAST_FIT = 5
"""Of either kind, with which a curve is fitted at all, as to the other folds of LEAST_LABELS."""

ISOTONIC_LABELS = 50
"""Positive, and as many negative, labels from which a monotone curve is tried."""

FOLDS = 5
SHIFT_PRIOR = 1.5
BINS = 5
_STEPS = 50
_RIDGE = 1e-3
_CERTAIN = 1e-6
FEATURES = ("similarity", "segmenter")


@dataclass(frozen=True)
class Labelled:
    """n labelled clips.

    Attributes:
        features: float64 [n, k]: similarity, and where a trained segmenter is used its score, in log odds.
        positive: bool [n].
        group: [n], the leakage group of each.
        audit: bool [n]: it was drawn at random from all that could be labelled.
        fresh: bool [n]: the segmenter was not trained on it, so that its score says something.
    """

    features: np.ndarray
    positive: np.ndarray
    group: np.ndarray
    audit: np.ndarray
    fresh: np.ndarray

    def __getitem__(self, rows: np.ndarray) -> "Labelled":
        return Labelled(self.features[rows], self.positive[rows], self.group[rows], self.audit[rows], self.fresh[rows])

    @property
    def enough(self) -> bool:
        """Whether a curve can be fitted."""
        return min(int(self.positive.sum()), int((~self.positive).sum())) >= LEAST_LABELS


@dataclass(frozen=True)
class Curve:
    """Log odds are `intercept` + features @ `slopes`, then where there are `knots` what those say, then + `shift`.

    Attributes:
        slopes: one for each feature in use, none negative.
        knots: log odds before and after, both ascending; between them, a straight line.
        shift: what the audits moved it by.
    """

    slopes: tuple[float, ...]
    intercept: float
    knots: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    shift: float = 0.0

    def log_odds(self, features: np.ndarray) -> np.ndarray:
        """float [n], of features [n, k]; those beyond `slopes` are not used."""
        found = features[:, : len(self.slopes)] @ np.array(self.slopes) + self.intercept
        return (found if self.knots is None else np.interp(found, *self.knots)) + self.shift

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """float [n] in 0 to 1, of features [n, k]."""
        return logistic(self.log_odds(features))


@dataclass(frozen=True)
class Bin:
    """Held-out labelled clips whose probability is from `low` to `high`: its mean, and the share that are positive."""

    low: float
    high: float
    clips: int
    predicted: float
    observed: float


@dataclass(frozen=True)
class Calibration:
    """How scores become probabilities, and how far those can be trusted.

    Attributes:
        kind: rank, platt or isotonic.
        curve: None for rank.
        features: of FEATURES, those the curve uses.
        labels, positives: labelled clips there are.
        audits: of those, drawn at random.
        brier: mean squared error of held-out labels' probabilities; None where nothing can be held out.
        brier_base_rate: that of saying the share of positives of every clip.
        log_loss: of held-out labels, in nats.
        reliability: of held-out labels; bins without any are left out.
    """

    kind: str
    curve: Curve | None
    features: tuple[str, ...]
    labels: int
    positives: int
    audits: int
    brier: float | None = None
    brier_base_rate: float | None = None
    log_loss: float | None = None
    reliability: tuple[Bin, ...] = ()


def calibrate(labelled: Labelled) -> Calibration:
    """The curve that predicts held-out labels best; kind `rank` with fewer than LEAST_LABELS of either kind."""
    counts = (len(labelled.positive), int(labelled.positive.sum()), int(labelled.audit.sum()))
    if not labelled.enough:
        return Calibration("rank", None, (), *counts)
    candidates = [("platt", 1)]
    unseen = labelled[labelled.fresh]
    with_segmenter = labelled.features.shape[1] > 1 and unseen.enough
    if with_segmenter:
        candidates.append(("platt", 2))
    for count, rows in ((1, labelled), (2, unseen)):
        if ("platt", count) in candidates and _least(rows) >= ISOTONIC_LABELS:
            candidates.append(("isotonic", count))
    judged = labelled.fresh if with_segmenter else np.ones(len(labelled.positive), dtype=bool)
    folds = folds_of(labelled.group, labelled.positive)
    held_out = {each: _held_out(labelled, folds, *each) for each in candidates}
    best, features = candidates[0]
    for each in candidates[1:]:
        if _clearly_better(labelled.positive, held_out[each], held_out[best, features], judged):
            best, features = each
    curve = _fit(labelled, best, features)
    assert curve is not None
    known = judged & np.isfinite(held_out[best, features])
    found = Calibration(best, curve, FEATURES[:features], *counts)
    return _with_reliability(found, labelled, held_out[best, features], folds, known) if known.any() else found


def fit(features: np.ndarray, positive: np.ndarray) -> Curve | None:
    """A logistic curve over features [n, k]; None with fewer than LEAST_FIT labels of either kind.

    Fitted by Newton's method with Platt's smoothed targets (Platt 1999; Lin, Lin and Weng 2007) and a slight ridge. No
    slope is negative: labels that say that the least similar clips are the likeliest ones say that the similarity is
    useless, and then every clip gets the base rate.
    """
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if min(positives, negatives) < LEAST_FIT:
        return None
    target = np.where(positive, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    base = float(_log_odds(np.array((positives + 1) / (positives + negatives + 2))))
    centre, scale = features.mean(axis=0), features.std(axis=0)
    used = np.flatnonzero(scale >= 1e-9)
    while len(used):
        found = _newton((features[:, used] - centre[used]) / scale[used], target, base)
        if (found[:-1] > 0).all():
            slopes = np.zeros(features.shape[1])
            slopes[used] = found[:-1] / scale[used]
            return Curve(tuple(slopes.tolist()), float(found[-1] - slopes @ centre))
        used = np.delete(used, int(found[:-1].argmin()))
    return Curve((0.0,) * features.shape[1], base)


def ranks(similarities: np.ndarray) -> np.ndarray:
    """The share of the other similarities that are lower, float [n] in 0 to 1; equal ones have equal ranks."""
    if len(similarities) < 2:
        return np.ones(len(similarities))
    return np.searchsorted(np.sort(similarities), similarities, side="left") / (len(similarities) - 1)


def folds_of(group: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """The fold of each clip, int [n] from 0 to FOLDS - 1: whole groups, with as many positives and negatives in each
    fold as can be. The same for the same clips, in whatever order."""
    names, of = np.unique(group, return_inverse=True)
    counts = np.stack([np.bincount(of, ~positive, len(names)), np.bincount(of, positive, len(names))], axis=1)
    filled = np.zeros((FOLDS, 2))
    fold = np.zeros(len(names), dtype=int)
    for at in np.lexsort((names, -counts[:, 0], -counts[:, 1])):
        mine = counts[at] > 0
        fold[at] = min(range(FOLDS), key=lambda f: (filled[f][mine].sum(), filled[f].sum(), f))
        filled[fold[at]] += counts[at]
    return fold[of]


def logistic(log_odds: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x))."""
    return 1 / (1 + np.exp(-np.clip(log_odds, -500, 500)))


def _least(labelled: Labelled) -> int:
    return min(int(labelled.positive.sum()), int((~labelled.positive).sum()))


def _fit(labelled: Labelled, kind: str, features: int) -> Curve | None:
    """None with too few labels; a curve with the segmenter learns from `fresh` ones alone."""
    rows = labelled if features == 1 else labelled[labelled.fresh]
    curve = fit(rows.features[:, :features], rows.positive)
    if curve is None:
        return None
    if kind == "isotonic":
        curve = Curve(curve.slopes, curve.intercept, _knots(curve.log_odds(rows.features), rows.positive))
    audits = rows[rows.audit]
    shift = _shift(curve.log_odds(audits.features), audits.positive)
    return Curve(curve.slopes, curve.intercept, curve.knots, shift)


def _knots(log_odds: np.ndarray, positive: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Isotonic regression as a curve through the middles of its steps, so that order within a step is not lost. A
    step's share is drawn to the base rate by the weight of one label, so that none is certain."""
    order = np.argsort(log_odds, kind="stable")
    before, found = log_odds[order], positive[order].astype(float)
    steps = isotonic_regression(found).blocks
    size = np.diff(steps)
    middle = np.add.reduceat(before, steps[:-1]) / size
    share = (np.add.reduceat(found, steps[:-1]) + found.mean()) / (size + 1)
    return tuple(middle.tolist()), tuple(_log_odds(np.maximum.accumulate(share)).tolist())


def _shift(log_odds: np.ndarray, positive: np.ndarray) -> float:
    """What to add to log odds so that they fit the audits best, with a normal prior around 0; 0 without audits."""
    moved = 0.0
    for _ in range(_STEPS):
        expected = logistic(log_odds + moved)
        slope = float((expected - positive).sum()) + moved / SHIFT_PRIOR**2
        step = slope / (float((expected * (1 - expected)).sum()) + 1 / SHIFT_PRIOR**2)
        moved -= float(np.clip(step, -1, 1))
        if abs(step) < 1e-9:
            break
    return moved


def _held_out(labelled: Labelled, folds: np.ndarray, kind: str, features: int) -> np.ndarray:
    """The probability of each labelled clip by a curve fitted to the other folds; NaN where those have too few."""
    found = np.full(len(labelled.positive), np.nan)
    for fold in range(FOLDS):
        inside = folds == fold
        if inside.any() and (curve := _fit(labelled[~inside], kind, features)) is not None:
            found[inside] = curve.probabilities(labelled.features[inside])
    return found


def _losses(positive: np.ndarray, probability: np.ndarray) -> np.ndarray:
    likely = np.clip(np.where(positive, probability, 1 - probability), _CERTAIN, 1)
    return -np.log(likely)


def _clearly_better(positive: np.ndarray, new: np.ndarray, old: np.ndarray, judged: np.ndarray) -> bool:
    """Whether log loss falls by more than its standard error, over the clips that both say something of."""
    both = judged & np.isfinite(new) & np.isfinite(old)
    if both.sum() < 2 * LEAST_LABELS:
        return False
    gain = (_losses(positive, old) - _losses(positive, new))[both]
    return bool(gain.mean() > gain.std(ddof=1) / np.sqrt(len(gain)))


def _with_reliability(
    found: Calibration, labelled: Labelled, probability: np.ndarray, folds: np.ndarray, known: np.ndarray
) -> Calibration:
    positive, said = labelled.positive[known], probability[known]
    base = np.array([labelled.positive[folds != fold].mean() for fold in folds[known]])
    bins = []
    at = np.minimum((said * BINS).astype(int), BINS - 1)
    for number in range(BINS):
        inside = at == number
        if inside.any():
            mean, share = float(said[inside].mean()), float(positive[inside].mean())
            bins.append(Bin(number / BINS, (number + 1) / BINS, int(inside.sum()), mean, share))
    return Calibration(
        found.kind, found.curve, found.features, found.labels, found.positives, found.audits,
        brier=float(((said - positive) ** 2).mean()),
        brier_base_rate=float(((base - positive) ** 2).mean()),
        log_loss=float(_losses(positive, said).mean()),
        reliability=tuple(bins),
    )  # fmt: skip


def _newton(design: np.ndarray, target: np.ndarray, base: float) -> np.ndarray:
    """Slopes and, last, intercept of log odds over standardised features."""
    design = np.concatenate([design, np.ones((len(design), 1))], axis=1)
    weights = np.zeros(design.shape[1])
    weights[-1] = base
    for _ in range(_STEPS):
        probability = logistic(design @ weights)
        gradient = design.T @ (probability - target) + _RIDGE * weights
        curvature = (design * (probability * (1 - probability))[:, None]).T @ design
        step = np.linalg.solve(curvature + _RIDGE * np.eye(len(weights)), gradient)
        weights = weights - step * min(1.0, 4.0 / max(float(np.abs(step).max()), 1e-12))
        if np.abs(step).max() < 1e-9:
            break
    return weights


def _log_odds(probability: np.ndarray) -> np.ndarray:
    return np.log(probability / (1 - probability))
