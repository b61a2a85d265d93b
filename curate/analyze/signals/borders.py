"""Black bars and still frames around a picture, from small pictures: extents for each look, unions for a span.

A border is what no look of a span reaches. Extents come in whole rows and columns of the small picture, so a share is
right to about 2% for each side; a row that mixes bar and picture counts as picture.
"""

import cv2
import numpy as np

Box = tuple[int, int, int, int]
"""Top, bottom, left, right in pixels; bottom and right are not in it. Empty: (0, 0, 0, 0)."""

BLACK_LEVEL = 24
"""Luma up to which a bar is black: the limit of FFmpeg's cropdetect."""

_CHANGE_LEVEL = 5
"""Luma levels, 2% of the range, up to which a pixel has not changed: encoding alone moves a still one so far."""

EMPTY: Box = (0, 0, 0, 0)


def content_box(luma: np.ndarray) -> Box:
    """The extent of what is not black, of uint8 [height, width]."""
    return _box_above(luma, BLACK_LEVEL)


def changed_box(before: np.ndarray, after: np.ndarray) -> Box:
    """The extent of what differs between two pictures of one size."""
    return _box_above(cv2.absdiff(before, after), _CHANGE_LEVEL)


def share_outside(boxes: np.ndarray, height: int, width: int) -> float:
    """Share of the area that no box of [n, 4] reaches; 0 where all are empty."""
    filled = boxes[boxes[:, 1] > boxes[:, 0]]
    if not len(filled):
        return 0.0
    top, left = filled[:, (0, 2)].min(axis=0)
    bottom, right = filled[:, (1, 3)].max(axis=0)
    return 1 - float(int(bottom) - int(top)) * float(int(right) - int(left)) / (height * width)


def _box_above(levels: np.ndarray, level: int) -> Box:
    top, bottom = _extent(cv2.reduce(levels, 1, cv2.REDUCE_MAX), level)
    if bottom == 0:
        return EMPTY
    return top, bottom, *_extent(cv2.reduce(levels, 0, cv2.REDUCE_MAX), level)


def _extent(line: np.ndarray, level: int) -> tuple[int, int]:
    found = np.flatnonzero(line.ravel() > level)
    return (int(found[0]), int(found[-1]) + 1) if len(found) else (0, 0)
