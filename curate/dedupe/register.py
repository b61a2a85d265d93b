"""Where one picture lies within another: what a crop, a border or a larger canvas did to it.

One of the two is taken to lie whole within the other, stretched by up to two each way: a crop within its original, or
an original within the canvas that it was set into. Normalised cross-correlation finds the place over a bank of sizes
(J. P. Lewis, "Fast Normalized Cross-Correlation", 1995), and moving the four edges by parts of a cell settles it. What
covers a part, as a logo or a caption does, lowers the correlation everywhere alike and seldom moves its peak.

Two pictures take 1 to 2 ms of one core, settling up to 2 ms more.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from curate.dedupe.fingerprint import PICTURE_PX, WHOLE, Box, resample

_SIZES = (32, 29, 26, 23, 20, 17)
_SHAPES = [(high, wide) for at, high in enumerate(_SIZES) for wide in _SIZES[max(at - 1, 0) : at + 2]]
_SMALL = 0.12
"""What a place of no size at all would have to correlate better than the whole: small pictures match by chance."""
_SETTLED_PX = 24
_STEPS = (1 / 32, 1 / 64)
_MOST_PICTURES = 4
_LEAST_CONTRAST = 2.0


@dataclass(frozen=True)
class Place:
    """The area that two pictures have in common, in shares of each; at least one of the boxes is whole.

    correlation: of the pictures in it, -1 to 1.
    """

    box_a: Box
    box_b: Box
    correlation: float

    @property
    def area(self) -> float:
        """Share of the larger picture that is common."""
        left, top, right, bottom = self.box_a if self.box_a != WHOLE else self.box_b
        return (right - left) * (bottom - top)

    @property
    def rank(self) -> float:
        return self.correlation - _SMALL * (1 - self.area)


def find_place(a: np.ndarray, b: np.ndarray) -> Place:
    """The place at which two pictures, or up to 4 pairs of pictures alike, correlate best.

    Args:
        a, b: float32 [n, 32, 32].
    """
    stacked_a, stacked_b = _standard(a), _standard(b)
    places = []
    for b_within_a in (True, False):
        outer, inner = (stacked_a, stacked_b) if b_within_a else (stacked_b, stacked_a)
        for high, wide in _SHAPES:
            if (high, wide) == (PICTURE_PX, PICTURE_PX) and not b_within_a:
                continue
            small = resample(inner, WHOLE, (high, wide))
            found = cv2.matchTemplate(_channels(outer), _channels(small), cv2.TM_CCOEFF_NORMED)
            top, left = np.unravel_index(int(found.argmax()), found.shape)
            box = (
                float(left) / PICTURE_PX,
                float(top) / PICTURE_PX,
                float(left + wide) / PICTURE_PX,
                float(top + high) / PICTURE_PX,
            )
            boxes = (box, WHOLE) if b_within_a else (WHOLE, box)
            places.append(Place(*boxes, float(found[top, left])))
    return max(places, key=lambda place: place.rank)


def settle(a: np.ndarray, b: np.ndarray, place: Place) -> Place:
    """A place with its edges moved to where the pictures correlate best, by parts of a cell.

    Args:
        a, b: as for `find_place`.
    """
    b_within_a = place.box_b == WHOLE
    outer, inner = (_standard(a), _standard(b)) if b_within_a else (_standard(b), _standard(a))
    inner = resample(inner, WHOLE, (_SETTLED_PX, _SETTLED_PX))
    box = place.box_a if b_within_a else place.box_b
    best = _correlation(outer, inner, box)
    for step in _STEPS:
        for _ in range(3):
            before = best
            for moved in _moved(box, step):
                correlation = _correlation(outer, inner, moved)
                if correlation > best:
                    best, box = correlation, moved
            if best == before:
                break
    return Place(*((box, WHOLE) if b_within_a else (WHOLE, box)), best)


def _moved(box: Box, step: float) -> list[Box]:
    """A box shifted, widened and narrowed by a step at each edge, where that lies within the picture."""
    left, top, right, bottom = box
    moved: list[Box] = [
        (left + x, top + y, right + u, bottom + v)
        for x, y, u, v in (
            (step, 0, step, 0), (-step, 0, -step, 0), (0, step, 0, step), (0, -step, 0, -step),
            (step, 0, 0, 0), (-step, 0, 0, 0), (0, step, 0, 0), (0, -step, 0, 0),
            (0, 0, step, 0), (0, 0, -step, 0), (0, 0, 0, step), (0, 0, 0, -step),
        )
    ]  # fmt: skip
    return [
        one
        for one in moved
        if min(one) >= -1e-9 and max(one) <= 1 + 1e-9 and one[2] - one[0] > 0.4 and one[3] - one[1] > 0.4
    ]


def _correlation(outer: np.ndarray, inner: np.ndarray, box: Box) -> float:
    part = resample(outer, box, inner.shape[1:])
    part = part - part.mean(axis=(1, 2), keepdims=True)
    other = inner - inner.mean(axis=(1, 2), keepdims=True)
    return float((part * other).sum() / max(np.sqrt((part**2).sum() * (other**2).sum()), 1e-9))


def _standard(pictures: np.ndarray) -> np.ndarray:
    """Zero mean and unit contrast each, so that pairs count alike; at most 4 of them, spread evenly."""
    some = pictures[np.linspace(0, len(pictures) - 1, min(len(pictures), _MOST_PICTURES)).astype(int)]
    some = some - some.mean(axis=(1, 2), keepdims=True)
    return np.asarray(some / np.maximum(some.std(axis=(1, 2), keepdims=True), _LEAST_CONTRAST), np.float32)


def _channels(pictures: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(pictures.transpose(1, 2, 0))
