"""Camera against object: the movement between two small pictures, split into one of the whole and what is left over.

Dense optical flow (DIS: Kroeger et al., "Fast Optical Flow using Dense Inverse Search", ECCV 2016) gives a
displacement for each point of a grid; a similarity (shift, zoom, turn) is fitted to them robustly, by least squares
reweighted with Geman and McClure's function, and is taken for the camera's. Points count by their texture: where a
picture is flat, flow says nothing. An object that fills most of what has texture is therefore taken for the camera.

Two pictures of 96 pixels cost 0.25 to 0.4 ms. Of a textured picture a shift from half a pixel to 8 pixels is right to
5%, one of a fifth of a pixel to 10%; where texture is weak, slow shifts come out too small: the sample world pans by a
fifth of a pixel between two looks, and the median of what is measured of it is 0.6 of the truth.
"""

from functools import lru_cache

import cv2
import numpy as np

_GRID_PX = 6
_STEPS = 3
_RIDGE = 1e-6 * np.eye(4)
_NOISE_PX = 0.08
"""Differences of flow that mean nothing: what DIS gives between two copies of a still camera's picture."""
_TEXTURE = 2.0
"""Luma levels a pixel at which a point counts half as much as one with strong texture."""
_UNTEXTURED = 0.1
_STILL = 0.1
"""Mean change in luma levels below which nothing can be said to move."""


def movement(before: np.ndarray, after: np.ndarray) -> tuple[float, float]:
    """(camera, object) between two pictures of one size, each in pixels.

    Args:
        before: luma, uint8 [height, width].
        after: likewise, up to a few tenths of a second later.

    Returns:
        The mean length over the picture of the displacement that the camera's movement explains, and the mean length,
        over what has texture, of the rest.
    """
    if cv2.norm(before, after, cv2.NORM_L1) < _STILL * before.size:
        return 0.0, 0.0
    flow = _flow().calc(before, after, None)
    rows, columns, design = _grid(*before.shape)
    moved = flow[rows, columns].astype(np.float64).ravel()
    weight = _texture_weight(before)[rows, columns].astype(np.float64).ravel()
    fitted = _fit(design, moved, weight)
    rest = np.hypot(*(moved - fitted).reshape(-1, 2).T)
    camera = np.hypot(*fitted.reshape(-1, 2).T)
    rest = np.maximum(rest - _NOISE_PX, 0)
    return float(camera.mean()), float((rest * weight).sum() / weight.sum())


@lru_cache(maxsize=1)
def _flow() -> cv2.DISOpticalFlow:
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    flow.setFinestScale(1)  # the preset's own, 2, costs a third and is 10% off
    return flow


@lru_cache(maxsize=8)
def _grid(height: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows and columns [m, n] of the grid, and the design [2mn, 4] of a similarity: x and y of each point in turn."""
    rows, columns = np.mgrid[_GRID_PX // 2 : height : _GRID_PX, _GRID_PX // 2 : width : _GRID_PX]
    x, y = (columns.ravel() - width / 2) / width, (rows.ravel() - height / 2) / width
    zeros, ones = np.zeros(x.size), np.ones(x.size)
    design = np.stack([np.stack([ones, zeros, x, -y], 1), np.stack([zeros, ones, y, x], 1)], 1)
    return rows, columns, design.reshape(-1, 4)


def _texture_weight(luma: np.ndarray) -> np.ndarray:
    """Between _UNTEXTURED and 1, float32 [height, width]."""
    gradient = cv2.boxFilter(cv2.absdiff(luma, cv2.blur(luma, (5, 5))), cv2.CV_32F, (5, 5))
    return _UNTEXTURED + gradient / (gradient + _TEXTURE)


def _fit(design: np.ndarray, moved: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """What a similarity makes of the displacements [2 points], from the median shift on."""
    fitted = np.tile(np.median(moved.reshape(-1, 2), axis=0), len(weight))
    both = np.repeat(weight, 2)
    for _ in range(_STEPS):
        squares = (moved - fitted) ** 2
        squares = np.repeat(squares[::2] + squares[1::2], 2)
        middle = float(np.partition(squares, len(squares) // 2)[len(squares) // 2])
        scale = max(2 * middle, _NOISE_PX**2)
        weighted = design * (both * (scale / (scale + squares)) ** 2)[:, None]
        fitted = design @ np.linalg.solve(weighted.T @ design + _RIDGE, weighted.T @ moved)
    return fitted
