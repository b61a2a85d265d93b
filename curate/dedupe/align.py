"""Do two clips show the same footage? Their fingerprints laid over each other in time, and compared three times.

- `appearance`: agreement of the pictures. It does not mind brightness and contrast, and it is high for any two shots
  of one scene.
- `motion`: agreement of what changes, that is of each picture's difference from its clip's mean picture. It is near
  1 for the same movement at the same moment and for two clips in which nothing moves, near 0 for two different
  actions before one background.
- `detail`: agreement of the pictures less their surroundings. A background that fills the picture, as a gradient does,
  no longer speaks for the small things before it.

Two clips are the same where all three reach their thresholds; the score is the smaller of the first two. Each was set
on sample worlds. APPEARANCE: of seed 5 (20 originals, 3 copies of each kind, 199 shots), true pairs (remux, re-encode,
resize, letterbox, logo, colour, trim, mirror, 1.25 x speed) have 0.81 or more, and a motion of 0.87 or more; of 19,482
other pairs none with that appearance has a motion above 0.80. Crops by 6% a side are mostly missed. DETAIL: in four
worlds (108 originals, 191 pairs by the first two, at a motion of 0.85) it took wrong pairs from 13 to 2 and right ones
from 178 to 175, the lost ones crops. MOTION: a near-twin scene of a fifth world (seed 123) reached 0.87, so it is
0.88, which can cost the weakest true pairs and cost none there (52 edges, none wrong).

All offsets on the fingerprints' grid are tried at speeds from 0.8 to 1.25, also
for the mirror image; the best few are refined to a quarter of the grid. A pair that is not the same takes 0.3 to
1 ms on one core. Temporal alignment of frame descriptors is the common core of copy detection (Douze et al.,
"An image-based approach to video copy detection with spatio-temporal post-filtering", 2010).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import uniform_filter

from curate.dedupe.fingerprint import PICTURES_PER_S, SIZE, Fingerprint, interpolate

APPEARANCE = 0.75
MOTION = 0.88
DETAIL = 0.8
_SURROUNDINGS = 5
SHOWN = 0.5
"""Least share of the overlap in which both clips show something: that two clips are blank links no videos."""
SPEEDS = (1.0, 0.96, 1.04, 0.9, 1.1, 0.8, 1.25)
LEAST_OVERLAP_S = 1.0
LEAST_OVERLAP_SHARE = 0.5
STILL = 0.004
"""Change per picture, as a share of its contrast energy, that counts as none: encoding noise stays below it."""
_SOMETHING = 0.25
_HOPELESS = 0.65
_CERTAIN = 0.97
_REFINED = 3
_WHOLE = 0.02
_PLAIN = 0.01


@dataclass(frozen=True)
class Alignment:
    """How `b` shows what `a` shows: b's time = offset_s + speed * a's time, both from the clips' first pictures.

    shown: share of the overlap in which both clips show something, and not one flat colour.
    share_a, share_b: how much of each clip lies in the overlap.
    """

    appearance: float
    motion: float
    detail: float
    speed: float
    offset_s: float
    mirrored: bool
    shown: float
    share_a: float
    share_b: float

    @property
    def score(self) -> float:
        return min(self.appearance, self.motion)

    @property
    def same(self) -> bool:
        return self.appearance >= APPEARANCE and self.motion >= MOTION and self.detail >= DETAIL and self.shown >= SHOWN

    @property
    def preference(self) -> float:
        """The score; of alignments alike in it, as of clips that stand still, the plain and whole one is preferred."""
        plain = self.speed == 1 and not self.mirrored
        return self.score * (self.shown >= SHOWN) + _WHOLE * (self.share_a + self.share_b) / 2 + _PLAIN * plain


@dataclass(frozen=True)
class _Hypothesis:
    score: float
    speed: float
    mirrored: bool
    step: int


def align(a: Fingerprint, b: Fingerprint) -> Alignment | None:
    """The best alignment of two clips; None where none overlaps long enough (1 s and half of the shorter clip), or
    where their pictures differ so much that none can be good."""
    sides = {mirrored: _mirror(b.grid) if mirrored else b.grid for mirrored in (False, True)}
    hypotheses: list[_Hypothesis] = []
    for mirrored, pictures_b in sides.items():
        if not _worth_aligning(a.grid, pictures_b):
            continue
        for speed in SPEEDS:
            hypotheses += _at_speed(a.grid, pictures_b, speed, mirrored)
            if any(hypothesis.score >= _CERTAIN for hypothesis in hypotheses):
                break
        else:
            continue
        break
    best = sorted(hypotheses, key=lambda hypothesis: -hypothesis.score)[:_REFINED]
    refined = [
        _compare(a.grid, sides[one.mirrored], one.speed, (one.step + part) / PICTURES_PER_S * one.speed, one.mirrored)
        for one in best
        for part in (0.0, -0.5, -0.25, 0.25, 0.5)
    ]
    return max(refined, key=lambda alignment: alignment.preference, default=None)


def products(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a @ b.T through torch, whose threads can be set where numpy's cannot."""
    return np.asarray(torch.from_numpy(a) @ torch.from_numpy(b).T)


def _mirror(pictures: np.ndarray) -> np.ndarray:
    return pictures.reshape(-1, SIZE, SIZE)[:, :, ::-1].reshape(-1, SIZE * SIZE).copy()


def _worth_aligning(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether half of the shorter clip's pictures have one in the other clip that looks remotely like them."""
    shorter, longer = (a, b) if len(a) <= len(b) else (b, a)
    blank = 1 - (shorter**2).sum(axis=1)
    return bool(np.median(products(shorter, longer).max(axis=1) + blank) >= _HOPELESS)


def _at_speed(a: np.ndarray, b: np.ndarray, speed: float, mirrored: bool) -> Iterator[_Hypothesis]:
    """The best two offsets at one speed, scored with each clip's own mean picture in place of the overlap's.

    Args:
        a, b: pictures on the grid, [n, 256] and [m, 256].
    """
    b = _stretched(b, np.arange(int((len(b) - 1) / speed) + 1) / PICTURES_PER_S * speed)
    steps = np.arange(1 - len(a), len(b))
    overlaps = np.minimum(len(a), len(b) - steps) - np.maximum(0, -steps)
    long_enough = overlaps >= max(LEAST_OVERLAP_S * PICTURES_PER_S, LEAST_OVERLAP_SHARE * min(len(a), len(b)))
    appearance = _agreement(*_along_diagonals(a, b), overlaps)
    motion = _agreement(*_along_diagonals(a - a.mean(axis=0), b - b.mean(axis=0)), overlaps)
    whole = overlaps / np.maximum(len(a), len(b))
    score = np.where(long_enough, np.minimum(appearance, motion) + _WHOLE * whole, -np.inf)
    for at in np.argsort(-score, kind="stable")[:2]:
        if long_enough[at]:
            yield _Hypothesis(float(score[at]) - _WHOLE, speed, mirrored, int(steps[at]))


def _along_diagonals(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For every offset from 1 - n to m - 1: the overlap's sum of products, and of both energies; [n + m - 1] each."""
    n, m = len(a), len(b)
    padded = np.zeros((n, n + m), dtype=np.float32)
    padded[:, :m] = products(a, b)[::-1]
    # Rows one shorter than they were written move each row one further right: diagonals become columns.
    shared = padded.ravel()[: n * (n + m - 1)].reshape(n, n + m - 1).sum(axis=0)
    steps = np.arange(1 - n, m)
    first_a, first_b = np.maximum(0, -steps), np.maximum(0, steps)
    counts = np.minimum(n - first_a, m - first_b)
    total_a, total_b = (np.concatenate([[0.0], np.cumsum((side**2).sum(axis=1))]) for side in (a, b))
    energy = total_a[first_a + counts] - total_a[first_a] + total_b[first_b + counts] - total_b[first_b]
    return shared, energy


def _compare(a: np.ndarray, b: np.ndarray, speed: float, offset_s: float, mirrored: bool) -> Alignment:
    wanted_s = offset_s + speed * np.arange(len(a)) / PICTURES_PER_S
    inside = (wanted_s >= -1e-6) & (wanted_s <= (len(b) - 1) / PICTURES_PER_S + 1e-6)
    ours, theirs = a[inside], _stretched(b, wanted_s[inside])
    changes_a, changes_b = ours - ours.mean(axis=0), theirs - theirs.mean(axis=0)
    return Alignment(
        appearance=_whole_agreement(ours, theirs),
        motion=_whole_agreement(changes_a, changes_b),
        detail=_whole_agreement(_detail(ours), _detail(theirs)),
        speed=speed,
        offset_s=float(offset_s),
        mirrored=mirrored,
        shown=float((np.minimum((ours**2).sum(axis=1), (theirs**2).sum(axis=1)) >= _SOMETHING).mean()),
        share_a=len(ours) / len(a),
        share_b=min(len(ours) * speed / len(b), 1.0),
    )


def _detail(pictures: np.ndarray) -> np.ndarray:
    """Each pixel less the mean of its surroundings."""
    square = pictures.reshape(-1, SIZE, SIZE)
    around = uniform_filter(square, size=(0, _SURROUNDINGS, _SURROUNDINGS), mode="nearest")
    return (square - around).reshape(pictures.shape)


def _stretched(pictures: np.ndarray, wanted_s: np.ndarray) -> np.ndarray:
    return interpolate(pictures, np.arange(len(pictures)) / PICTURES_PER_S, wanted_s)


def _whole_agreement(a: np.ndarray, b: np.ndarray) -> float:
    return float(_agreement((a * b).sum(), (a**2).sum() + (b**2).sum(), len(a)))


def _agreement(shared: np.ndarray, energy: np.ndarray, pictures: np.ndarray | int) -> np.ndarray:
    """1 minus the energy of the difference over the energy of both, with STILL energy granted to each picture."""
    still = 2 * STILL * pictures
    return (2 * shared + still) / (energy + still)
