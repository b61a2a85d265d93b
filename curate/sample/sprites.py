"""How an object looks: its shape, colour and texture as a sprite, and pasting it into a picture.

Sprites are drawn once at four times their size and then warped into place with sub-pixel positions, which is
both smoother and several times cheaper than drawing polygons in every frame.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from curate.sample.backgrounds import Image
from curate.sample.scenes import Thing

Color = tuple[int, int, int]

PALETTE: dict[str, Color] = {
    "red": (218, 36, 40), "green": (36, 176, 66), "blue": (40, 78, 224), "yellow": (248, 222, 48),
    "purple": (150, 52, 196), "orange": (250, 134, 22), "white": (244, 244, 244),
}  # fmt: skip
OUTLINE: Color = (24, 24, 28)
LIGHT: Color = (250, 250, 236)
_OVERSAMPLE = 4
_SUBPIXEL = 4  # cv2 draws at 1/16 pixel


@dataclass(frozen=True)
class _Sprite:
    """Colour and coverage of an object, (n, n, 3) uint8 and (n, n) uint8, with room for its outline."""

    color: Image
    alpha: NDArray[np.uint8]


@dataclass(frozen=True)
class Pose:
    """Where an object is, in pixels and radians; `width_scale` and `height_scale` squash it."""

    x: float
    y: float
    radius: float
    angle: float = 0.0
    width_scale: float = 1.0
    height_scale: float = 1.0


@dataclass
class Brush:
    """Draws objects into frames of `height` x `width`, keeping their sprites."""

    height: int
    width: int
    _sprites: dict[tuple[str, str, str, int], _Sprite] = field(default_factory=dict)

    @property
    def unit(self) -> float:
        """The short side that object sizes refer to; portrait frames keep room for two objects side by side."""
        return min(self.height, 0.85 * self.width)

    def rest(self, thing: Thing, x: float, ground: float, scale: float = 1.0) -> Pose:
        """Standing on the ground; an x outside the picture means just beyond its edge."""
        radius = 0.5 * thing.size * self.unit * scale
        x_px = x * self.width
        if x < 0.0 or x > 1.0:
            x_px = -radius if x < 0.0 else self.width + radius
        return Pose(x_px, ground * self.height - radius, radius)

    def still(self, picture: Image, thing: Thing, pose: Pose) -> None:
        """An object at rest with the shadow of its contact."""
        self.shadow(picture, pose.x, pose.y + pose.radius, 0.9 * pose.radius)
        self.paste(picture, thing, pose)

    def shadow(self, picture: Image, x: float, ground_y: float, radius: float, strength: float = 0.5) -> None:
        """Darkens a flat ellipse on the ground."""
        half_x, half_y = max(2, round(radius)), max(2, round(0.18 * radius))
        left, top = max(0, round(x) - half_x), max(0, round(ground_y) - half_y)
        right, bottom = min(self.width, round(x) + half_x + 1), min(self.height, round(ground_y) + half_y + 1)
        if left >= right or top >= bottom:
            return
        mask = np.zeros((bottom - top, right - left), np.uint8)
        center = (round(x) - left, round(ground_y) - top)
        cv2.ellipse(mask, center, (half_x, half_y), 0, 0, 360, 255, -1)
        region = picture[top:bottom, left:right]
        region[mask > 0] = (region[mask > 0] * np.float32(1 - strength)).astype(np.uint8)

    def paste(
        self, picture: Image, thing: Thing, pose: Pose, opacity: float = 1.0, columns: tuple[float, float] = (-9, 9)
    ) -> None:
        """Draws an object; `columns` keeps only that part of its width, from -1 to 1."""
        sprite = self._sprite(thing)
        half_x, half_y = 1.5 * pose.radius * pose.width_scale, 1.5 * pose.radius * pose.height_scale
        left, right = math.floor(max(0, pose.x - half_x)), math.ceil(min(self.width, pose.x + half_x))
        top, bottom = math.floor(max(0, pose.y - half_y)), math.ceil(min(self.height, pose.y + half_y))
        left = max(left, math.floor(pose.x + columns[0] * pose.radius))
        right = min(right, math.floor(pose.x + columns[1] * pose.radius))
        if left >= right or top >= bottom:
            return
        side = sprite.alpha.shape[0]
        zoom = 2 * pose.radius / (side / 1.5)  # a sprite is 1.5 times as wide as its object
        cos, sin = math.cos(pose.angle), math.sin(pose.angle)
        forward = np.array(
            [
                [zoom * pose.width_scale * cos, -zoom * pose.width_scale * sin, 0.0],
                [zoom * pose.height_scale * sin, zoom * pose.height_scale * cos, 0.0],
            ]
        )
        center = np.array([(side - 1) / 2, (side - 1) / 2])
        forward[:, 2] = np.array([pose.x - left, pose.y - top]) - forward[:, :2] @ center
        size = (right - left, bottom - top)
        color = cv2.warpAffine(sprite.color, forward, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        alpha = cv2.warpAffine(sprite.alpha, forward, size, flags=cv2.INTER_LINEAR)
        weight = cv2.cvtColor(cv2.convertScaleAbs(alpha, alpha=opacity), cv2.COLOR_GRAY2BGR)
        region = picture[top:bottom, left:right]
        region[:] = cv2.add(
            cv2.multiply(region, 255 - weight, scale=1 / 255), cv2.multiply(color, weight, scale=1 / 255)
        )

    def _sprite(self, thing: Thing) -> _Sprite:
        pixels = max(16, round(1.5 * thing.size * self.unit))
        key = (thing.shape, thing.color, thing.texture, pixels)
        if key not in self._sprites:
            if len(self._sprites) >= 16:
                self._sprites.clear()
            self._sprites[key] = _draw_sprite(thing, pixels)
        return self._sprites[key]

    def line(self, picture: Image, start: tuple[float, float], end: tuple[float, float], color: Color) -> None:
        """A blur streak."""
        thickness = max(1, round(0.016 * self.unit))
        scale = 1 << _SUBPIXEL
        a, b = (round(start[0] * scale), round(start[1] * scale)), (round(end[0] * scale), round(end[1] * scale))
        cv2.line(picture, a, b, color, thickness, cv2.LINE_AA, _SUBPIXEL)


def outline(shape: str) -> NDArray[np.float32]:
    """The outline of a shape as (points, 2) within the unit circle."""

    def polygon(corners: int, turn: float, radii: tuple[float, ...] = (1.0,)) -> NDArray[np.float32]:
        angles = turn + 2 * np.pi * np.arange(corners) / corners
        r = np.resize(np.array(radii), corners)
        return np.stack([r * np.cos(angles), r * np.sin(angles)], axis=1).astype(np.float32)

    match shape:
        case "box":
            return np.array([[-0.84, -0.84], [0.84, -0.84], [0.84, 0.84], [-0.84, 0.84]], np.float32)
        case "triangle":
            return np.array([[0.0, -1.0], [1.0, 0.9], [-1.0, 0.9]], np.float32)
        case "star":
            return polygon(10, -np.pi / 2, (1.05, 0.45))
        case "cross":
            a, b = 0.34, 0.98
            corners = [(-a, -b), (a, -b), (a, -a), (b, -a), (b, a), (a, a), (a, b), (-a, b), (-a, a), (-b, a)]
            return np.array([*corners, (-b, -a), (-a, -a)], np.float32)
        case _:
            return polygon(48, 0.0)


def _draw_sprite(thing: Thing, pixels: int) -> _Sprite:
    side = pixels * _OVERSAMPLE
    radius = side / 3
    points = np.round(outline(thing.shape) * radius + side / 2).astype(np.int32)
    hole = round(0.48 * radius) if thing.shape == "ring" else 0
    center = (side // 2, side // 2)
    mask = np.zeros((side, side), np.uint8)
    cv2.fillPoly(mask, [points], 255)
    if hole:
        cv2.circle(mask, center, hole, 0, -1)
    color = np.empty((side, side, 3), np.uint8)
    color[:] = PALETTE[thing.color]
    shade = tuple(round(0.42 * channel) for channel in PALETTE[thing.color])
    ys, xs = np.mgrid[0:side, 0:side] / radius
    if thing.texture == "striped":
        color[(xs + ys) % 0.52 < 0.2] = shade
    elif thing.texture == "dotted":
        color[((xs % 0.5) - 0.25) ** 2 + ((ys % 0.5) - 0.25) ** 2 < 0.13**2] = shade
    edge = max(2, round(0.07 * radius))
    cv2.polylines(color, [points], True, OUTLINE, edge)
    if hole:
        cv2.circle(color, center, hole, OUTLINE, edge)
    small = (pixels, pixels)
    return _Sprite(
        np.asarray(cv2.resize(color, small, interpolation=cv2.INTER_AREA), np.uint8),
        np.asarray(cv2.resize(mask, small, interpolation=cv2.INTER_AREA), np.uint8),
    )
