"""How well pictures of two clips agree that belong together in space and time, seen in three ways.

- `appearance`: the pictures. It does not mind brightness and contrast, and it is high for any two shots of one scene.
- `motion`: what changes, that is each picture's difference from its clip's mean picture. It is near 1 for the same
  movement at the same moment and for two clips in which nothing moves, near 0 for two different actions before one
  background.
- `detail`: the pictures less their surroundings. A background that fills the picture, as a gradient does, no longer
  speaks for the small things before it.

A logo or a caption covers a part of the picture. So up to a fifth of the cells is left out where nearly all agrees
outside of them and most of what moves lies there: a moving thing is small, and two actions in one room differ in no
more than it. Where that does not hold, `apart` says how much of the picture shows something else.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter

SIDE = 16
"""Cells each way in which the common area is compared."""
STILL = 0.004
"""Change per picture, as a share of its contrast energy, that counts as none: encoding noise stays below it."""
_MOVING = 4 * STILL
"""From which change per picture something moves."""
_COVERED = 0.2
_UNDER_COVER = 0.97
"""What agreement must be outside of a logo or a caption: what it hides might have told the two apart."""
_MOST_OVER_A_STILL = 0.05
"""Share of the inner cells that a cover may hide where nothing moves."""
_APART = 0.8
"""Mean square of the difference, that of a whole picture's contrast being 1, from which a cell shows something else."""
_COVERING = 0.3
"""The same from which a cell may be covered."""
_LEAST_LEFT = 0.6
_SURROUNDINGS = 5
_SOMETHING = 0.25
_LEAST_CONTRAST, _LEAST_DETAIL = 2.0, 1.0
_CERTAIN = 0.97


@dataclass(frozen=True)
class Agreement:
    """1 where all is the same.

    Attributes:
        appearance, motion, detail: see above; of the cells that are not left out.
        plain_appearance: of all cells.
        apart: share of the inner cells in which the two show something else; 0 where that is taken for a cover.
        moving: whether anything moves, in either clip.
        shown: share of the pictures in which both clips show something, and not one flat colour.
    """

    appearance: float
    motion: float
    detail: float
    plain_appearance: float
    apart: float
    moving: bool
    shown: float


def agree(ours: np.ndarray, theirs: np.ndarray) -> Agreement:
    """Compares pictures with their like.

    Args:
        ours, theirs: luma, float32 [n, SIDE * SIDE].
    """
    a, b = unit(ours), unit(theirs)
    shown = float((np.minimum((a**2).sum(axis=1), (b**2).sum(axis=1)) >= _SOMETHING).mean())
    changes = [((side - side.mean(axis=0)) ** 2).sum(axis=0) for side in (a, b)]
    moving = [change for change in changes if change.sum() >= _MOVING * len(a)]
    appearance, detail = _appearance(ours, theirs)
    motion, plain = _motion(a, b), appearance
    apart = _apart(a, b)
    if min(appearance, motion, detail) < _CERTAIN:
        kept = _uncovered(ours, theirs)
        left = (*_appearance(ours, theirs, kept), _motion(unit(ours[:, kept]), unit(theirs[:, kept])))
        stays = all(change[kept].sum() >= _LEAST_LEFT * change.sum() for change in moving)
        covered = min(left) >= _UNDER_COVER and stays and (moving or apart <= _MOST_OVER_A_STILL)
        if covered:
            (appearance, detail, motion), apart = left, 0.0
    return Agreement(appearance, motion, detail, plain, apart, bool(moving), shown)


def unit(pictures: np.ndarray, least: float = _LEAST_CONTRAST) -> np.ndarray:
    """Of zero mean and unit norm each; one of less contrast than `least` keeps a small norm, so that noise on black
    does not count as content."""
    pictures = pictures - pictures.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(pictures, axis=1, keepdims=True)
    return np.asarray(pictures / np.maximum(norms, least * np.sqrt(pictures.shape[1])))


def agreement(shared: np.ndarray, energy: np.ndarray, pictures: np.ndarray | int) -> np.ndarray:
    """1 minus the energy of the difference over the energy of both, with STILL energy granted to each picture.

    Args:
        shared: sum of products.
        energy: sum of both energies.
    """
    still = 2 * STILL * pictures
    return (2 * shared + still) / (energy + still)


def quick_agreement(a: np.ndarray, b: np.ndarray) -> float:
    """The smaller of appearance and motion, nothing left out, of pictures of unit norm."""
    return min(_whole(a, b), _motion(a, b))


def _appearance(ours: np.ndarray, theirs: np.ndarray, cells: np.ndarray | slice = slice(None)) -> tuple[float, float]:
    """Appearance and detail of some cells."""
    fine_a, fine_b = (unit(_detail(pictures, cells), _LEAST_DETAIL) for pictures in (ours, theirs))
    return _whole(unit(ours[:, cells]), unit(theirs[:, cells])), _whole(fine_a, fine_b)


def _motion(a: np.ndarray, b: np.ndarray) -> float:
    return _whole(a - a.mean(axis=0), b - b.mean(axis=0))


def _whole(a: np.ndarray, b: np.ndarray) -> float:
    return float(agreement((a * b).sum(), (a**2).sum() + (b**2).sum(), len(a)))


def _uncovered(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """The numbers of the cells that no cover lies over: all but those that differ, seen beside the cells that agree
    best, since a bright logo shifts the contrast of all."""
    differs = ((unit(ours) - unit(theirs)) ** 2).sum(axis=0)
    best = np.argsort(differs, kind="stable")[: round((1 - _COVERED) * len(differs))]
    a, b = (_beside(pictures, best) for pictures in (ours, theirs))
    differs = ((a - b) ** 2).mean(axis=0)
    return np.flatnonzero((differs < _COVERING) | (differs <= np.quantile(differs, 1 - _COVERED)))


def _beside(pictures: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Pictures of which some cells have zero mean and a mean square of 1."""
    mean = pictures[:, cells].mean(axis=1, keepdims=True)
    return np.asarray((pictures - mean) / np.maximum(pictures[:, cells].std(axis=1, keepdims=True), _LEAST_CONTRAST))


def _apart(a: np.ndarray, b: np.ndarray) -> float:
    """Share of the cells, but for the outermost, where remains of bars are, that show something else."""
    differs = ((a - b) ** 2).mean(axis=0).reshape(SIDE, SIDE)[1:-1, 1:-1] * SIDE * SIDE
    return float((differs >= _APART).mean())


def _detail(pictures: np.ndarray, cells: np.ndarray | slice) -> np.ndarray:
    """Each of some cells less the mean of those of them that surround it."""
    shown = np.zeros(SIDE * SIDE, np.float32)
    shown[cells] = 1
    size = (0, _SURROUNDINGS, _SURROUNDINGS)
    total = uniform_filter((pictures * shown).reshape(-1, SIDE, SIDE), size=size, mode="nearest")
    count = uniform_filter(shown.reshape(1, SIDE, SIDE), size=size, mode="nearest")
    around = (total / np.maximum(count, 1e-6)).reshape(pictures.shape)
    return np.asarray((pictures - around)[:, cells])
