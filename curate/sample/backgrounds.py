"""The backgrounds of the sample world, drawn once for each shot.

Each is a function of (height, width, seed) to RGB uint8 and differs from the others in colour and in texture, so
that a 96 x 96 picture still tells them apart. They are drawn a tenth wider than the frame, which leaves room for a
slow camera pan that then costs only a slice.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
_Float = NDArray[np.float32]


def draw_background(kind: str, height: int, width: int, seed: int) -> Image:
    """Draws one of `scenes.BACKGROUNDS` as (height, width, 3) uint8 RGB."""
    rng = np.random.default_rng(seed)
    picture = _PAINTERS[kind](rng, height, width) * np.float32(rng.uniform(0.88, 1.08))
    return np.clip(picture, 0, 255).astype(np.uint8)


def _flat(height: int, width: int, color: tuple[int, int, int]) -> _Float:
    return np.full((height, width, 3), color, np.float32)


def _noise(rng: np.random.Generator, height: int, width: int, grain_x: float, grain_y: float) -> _Float:
    """Smooth noise of about unit amplitude whose grains are grain_x by grain_y pixels."""
    small = rng.standard_normal((max(2, round(height / grain_y)), max(2, round(width / grain_x)))).astype(np.float32)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)[..., None]


def _grass(rng: np.random.Generator, height: int, width: int) -> _Float:
    picture = _flat(height, width, (70, 140, 55)) + 14 * _noise(rng, height, width, 40, 30)
    return picture + 26 * _noise(rng, height, width, 2, 9) * np.array([0.7, 1.0, 0.5], np.float32)


def _brick(rng: np.random.Generator, height: int, width: int) -> _Float:
    row, column = height / 9, height / 4.5
    ys, xs = np.mgrid[0:height, 0:width].astype(np.float32)
    rows = np.floor(ys / row)
    columns = np.floor(xs / column + 0.5 * (rows % 2))
    shade = rng.uniform(-24, 24, 4096)[(rows * 61 + columns).astype(int) % 4096].astype(np.float32)
    picture = _flat(height, width, (150, 72, 56)) + shade[..., None]
    mortar = (ys % row < 0.12 * row) | ((xs / column + 0.5 * (rows % 2)) % 1 < 0.06)
    picture[mortar] = (196, 186, 174)
    return picture


def _night_sky(rng: np.random.Generator, height: int, width: int) -> _Float:
    fall = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    picture = _flat(height, width, (10, 12, 34)) + fall * np.array([22, 22, 52], np.float32)
    unit = height / 180
    for _ in range(70):
        at = (int(rng.integers(width)), int(rng.integers(height)))
        cv2.circle(picture, at, max(1, round(float(rng.uniform(0.6, 2.0)) * unit)), (235, 235, 220), -1)
    moon = (int(rng.uniform(0.1, 0.9) * width), int(0.16 * height))
    cv2.circle(picture, moon, round(13 * unit), (225, 222, 190), -1)
    return picture


def _sand(rng: np.random.Generator, height: int, width: int) -> _Float:
    ys, xs = np.mgrid[0:height, 0:width].astype(np.float32)
    ripples = np.sin((ys * 1.0 + 6 * _noise(rng, height, width, 60, 40)[..., 0] + 0.15 * xs) * (60 / height))
    return _flat(height, width, (214, 186, 132)) + 11 * ripples[..., None] + 5 * _noise(rng, height, width, 2, 2)


def _water(rng: np.random.Generator, height: int, width: int) -> _Float:
    waves = _noise(rng, height, width, 34, 6) + 0.6 * _noise(rng, height, width, 16, 3)
    return _flat(height, width, (30, 120, 160)) + waves * np.array([16, 24, 22], np.float32)


def _checkered(rng: np.random.Generator, height: int, width: int) -> _Float:
    side = height / float(rng.uniform(5.5, 7.5))
    ys, xs = np.mgrid[0:height, 0:width].astype(np.float32)
    dark = (np.floor(ys / side) + np.floor(xs / side)) % 2 == 0
    return np.where(dark[..., None], np.array([70, 70, 74], np.float32), np.array([198, 198, 200], np.float32))


def _wood(rng: np.random.Generator, height: int, width: int) -> _Float:
    plank = height / 5
    ys = np.mgrid[0:height, 0:width].astype(np.float32)[0]
    shade = rng.uniform(-16, 16, 16)[np.floor(ys / plank).astype(int) % 16].astype(np.float32)[..., None]
    picture = _flat(height, width, (146, 98, 54)) + shade + 9 * _noise(rng, height, width, 70, 2)
    picture[ys % plank < 0.05 * plank] = (70, 44, 22)
    return picture


def _studio(rng: np.random.Generator, height: int, width: int) -> _Float:
    fall = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    top, bottom = np.array([206, 208, 214], np.float32), np.array([112, 114, 122], np.float32)
    return top + fall * (bottom - top) + np.zeros((height, width, 3), np.float32)


_PAINTERS: dict[str, Callable[[np.random.Generator, int, int], _Float]] = {
    "grass": _grass,
    "brick": _brick,
    "night_sky": _night_sky,
    "sand": _sand,
    "water": _water,
    "checkered": _checkered,
    "wood": _wood,
    "studio": _studio,
}
