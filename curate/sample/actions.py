"""How each action looks at one instant, including the mark that it leaves in a single frame.

Footage shows motion in a still: blur trails, after-images, squash, contact. These marks are what lets a model that
embeds two frames a second tell a bounce from an object lying still, so each action has one that no other has:
vertical after-images (bounce), speed lines and dust on the ground (roll), arcs around the object (spin), concentric
outlines (grow), a burst at the contact (collide), an occluder (hide), a wipe of two colours (change_color), an
object cut by the frame edge behind a bow wave (enter) or ahead of its after-images (leave).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np

from curate.sample.backgrounds import Image
from curate.sample.scenes import Segment, Shot, Thing
from curate.sample.sprites import LIGHT, OUTLINE, PALETTE, Brush, Color, Pose, outline

_TAU = 2 * math.pi
_DUST: Color = (176, 150, 118)


def paint_action(brush: Brush, picture: Image, shot: Shot, thing: Thing, segment: Segment, time_s: float) -> None:
    """Draws the shot's first object in the middle of `segment`."""
    start = brush.rest(thing, segment.x_from, shot.ground, segment.scale_from)
    end = brush.rest(thing, segment.x_to, shot.ground, segment.scale_to)
    _PAINTERS[segment.action](brush, picture, shot, thing, segment, segment.progress(time_s), start, end)


def _bounce(
    brush: Brush, picture: Image, shot: Shot, thing: Thing, segment: Segment, p: float, start: Pose, end: Pose
) -> None:
    count = int(segment.fields["count"])
    ground_y = start.y + start.radius
    apex = min(0.5 * brush.height, start.y - 1.3 * start.radius)

    def height_at(share: float) -> float:
        phase = (share * count) % 1.0
        return 4 * phase * (1 - phase) * apex

    height = height_at(p)
    near = height < 0.12 * apex
    brush.shadow(picture, start.x, ground_y, start.radius * (1.0 - 0.4 * height / apex), 0.62)
    for side in (-0.75, 0.0, 0.75):  # speed lines hang over and under the object
        x = start.x + side * start.radius
        top = start.y - apex * (0.95 if side else 1.0)
        brush.line(picture, (x, top), (x, start.y - height), LIGHT)
    for back in (3, 2, 1):
        ghost = height_at(max(p - back * 0.09 / count, 0.0))
        brush.paste(picture, thing, replace(start, y=start.y - ghost), 0.22 + 0.08 * (3 - back))
    if near:
        flat = replace(start, y=ground_y - 0.72 * start.radius, width_scale=1.22, height_scale=0.72)
        brush.paste(picture, thing, flat)
    else:
        brush.paste(picture, thing, replace(start, y=start.y - height, width_scale=0.92, height_scale=1.1))


def _roll(
    brush: Brush, picture: Image, shot: Shot, thing: Thing, segment: Segment, p: float, start: Pose, end: Pose
) -> None:
    forward = 1.0 if end.x > start.x else -1.0
    pose = replace(start, x=start.x + (end.x - start.x) * p)
    r = pose.radius
    pose = replace(pose, angle=(pose.x - start.x) / r)
    brush.shadow(picture, pose.x, pose.y + r, 0.9 * r)
    for lift in (-0.6, -0.1, 0.4):
        length = (1.1 + 0.5 * ((lift * 7 + p * 11) % 1.0)) * r
        rear = pose.x - forward * 0.7 * r
        brush.line(picture, (rear, pose.y + lift * r), (rear - forward * (0.6 * r + length), pose.y + lift * r), LIGHT)
    for puff in range(4):  # dust stays on the ground behind it
        x = pose.x - forward * (0.9 + 0.5 * puff) * r
        size = max(2, round((0.26 - 0.045 * puff) * r))
        cv2.circle(picture, (round(x), round(pose.y + r - size)), size, _DUST, -1, cv2.LINE_AA)
    brush.paste(picture, thing, replace(pose, x=pose.x - forward * 0.5 * r), 0.35)
    brush.paste(picture, thing, pose)


def _spin(
    brush: Brush, picture: Image, shot: Shot, thing: Thing, segment: Segment, p: float, start: Pose, end: Pose
) -> None:
    angle = _TAU * float(segment.fields["turns"]) * p
    brush.shadow(picture, start.x, start.y + start.radius, 0.9 * start.radius)
    brush.paste(picture, thing, replace(start, angle=angle - 0.35), 0.4)
    brush.paste(picture, thing, replace(start, angle=angle))
    thickness = max(1, round(0.02 * brush.unit))
    for ring, reach in ((1.16, 75), (1.36, 55)):
        size = (round(ring * start.radius), round(ring * start.radius))
        for arm in range(3):
            turn = math.degrees(angle) + 120 * arm
            center = (round(start.x), round(start.y))
            cv2.ellipse(picture, center, size, turn, -reach, 0, LIGHT, thickness, cv2.LINE_AA)


def _grow(
    brush: Brush, picture: Image, shot: Shot, thing: Thing, segment: Segment, p: float, start: Pose, end: Pose
) -> None:
    pose = brush.rest(
        thing, segment.x_from, shot.ground, segment.scale_from + (segment.scale_to - segment.scale_from) * p
    )
    brush.shadow(picture, pose.x, pose.y + pose.radius, 0.9 * pose.radius)
    thickness = max(1, round(0.014 * brush.unit))
    for ring in (2.0, 1.65, 1.32):
        points = outline(thing.shape) * (ring * pose.radius) + np.array([pose.x, pose.y], np.float32)
        rounded = [np.round(points * 16).astype(np.int32)]
        cv2.polylines(picture, rounded, True, PALETTE[thing.color], thickness, cv2.LINE_AA, 4)
    brush.paste(picture, thing, pose)


def _collide(
    brush: Brush, picture: Image, shot: Shot, thing: Thing, segment: Segment, p: float, start: Pose, end: Pose
) -> None:
    other = shot.objects[1]
    other_start = brush.rest(other, other.x, shot.ground)
    forward = 1.0 if other_start.x > start.x else -1.0
    touch_x = 0.5 * (start.x + forward * start.radius + other_start.x - forward * other_start.radius)
    closeness = float(np.interp(p, [0.0, 0.3, 0.7, 1.0], [0.0, 1.0, 1.0, 0.0]))
    approaching = p < 0.5
    for who, pose, sign in ((other, other_start, -forward), (thing, start, forward)):
        contact_x = touch_x - sign * 0.92 * pose.radius
        pose = replace(pose, x=pose.x + (contact_x - pose.x) * closeness)
        brush.shadow(picture, pose.x, pose.y + pose.radius, 0.9 * pose.radius)
        behind = -sign if approaching else sign
        for lift in (-0.5, 0.0, 0.5):
            y = pose.y + lift * pose.radius
            brush.line(picture, (pose.x + behind * pose.radius, y), (pose.x + behind * 1.8 * pose.radius, y), LIGHT)
        squash = 0.82 if closeness > 0.95 else 1.0
        brush.paste(picture, who, replace(pose, width_scale=squash, height_scale=2 - squash))
    if closeness > 0.55:
        _burst(brush, picture, touch_x, min(start.y, other_start.y), 0.36 * brush.unit * closeness, p)


def _burst(brush: Brush, picture: Image, x: float, y: float, radius: float, p: float) -> None:
    spikes = 9
    angles = _TAU * np.arange(2 * spikes) / (2 * spikes) + 3 * p
    reach = np.where(np.arange(2 * spikes) % 2 == 0, radius, 0.42 * radius)
    points = np.stack([x + reach * np.cos(angles), y + reach * np.sin(angles)], axis=1)
    cv2.fillPoly(picture, [np.round(points * 16).astype(np.int32)], (255, 236, 120), cv2.LINE_AA, 4)
    core = np.stack([x + 0.5 * reach * np.cos(angles), y + 0.5 * reach * np.sin(angles)], axis=1)
    cv2.fillPoly(picture, [np.round(core * 16).astype(np.int32)], (255, 255, 250), cv2.LINE_AA, 4)


def _hide(
    brush: Brush, picture: Image, shot: Shot, thing: Thing, segment: Segment, p: float, start: Pose, end: Pose
) -> None:
    pose = replace(start, x=start.x + (end.x - start.x) * p)
    brush.still(picture, thing, pose)
    middle, ground_y = 0.5 * (start.x + end.x), start.y + start.radius
    half = 0.5 * max(abs(end.x - start.x), 1.5 * start.radius)
    tall = 2.9 * start.radius * float(np.interp(p, [0.0, 0.12, 0.88, 1.0], [0.1, 1.0, 1.0, 0.1]))
    left, right = round(max(middle - half, 0)), round(min(middle + half, brush.width))
    top, bottom = round(max(ground_y - tall, 0)), round(min(ground_y + 0.04 * brush.height, brush.height))
    region = picture[top:bottom, left:right]
    _OCCLUDERS[str(segment.fields["occluder"])](region, brush.unit)
    cv2.rectangle(picture, (left, top), (right - 1, bottom - 1), OUTLINE, max(2, round(0.014 * brush.unit)))


def _wall(region: Image, unit: float) -> None:
    region[:] = (128, 132, 138)
    step = max(6, round(0.09 * unit))
    region[::step] = (84, 86, 92)
    for row, y in enumerate(range(0, region.shape[0], step)):
        region[y : y + step, (row % 2) * step :: 2 * step] = (84, 86, 92)


def _crate(region: Image, unit: float) -> None:
    region[:] = (186, 132, 70)
    height, width = region.shape[:2]
    thickness = max(3, round(0.05 * unit))
    for start, end in (((0, 0), (width, height)), ((0, height), (width, 0))):
        cv2.line(region, start, end, (120, 78, 34), thickness, cv2.LINE_AA)
    cv2.rectangle(region, (0, 0), (width - 1, height - 1), (120, 78, 34), 2 * thickness)


def _curtain(region: Image, unit: float) -> None:
    folds = 0.75 + 0.25 * np.sin(np.arange(region.shape[1], dtype=np.float32) * (_TAU / (0.1 * unit)))
    region[:] = (folds[None, :, None] * np.array([120, 20, 70], np.float32)).astype(np.uint8)


def _change_color(
    brush: Brush, picture: Image, shot: Shot, thing: Thing, segment: Segment, p: float, start: Pose, end: Pose
) -> None:
    brush.shadow(picture, start.x, start.y + start.radius, 0.9 * start.radius)
    edge = -0.62 + 1.24 * p
    after = replace(thing, color=str(segment.fields["to_color"]))
    brush.paste(picture, after, start, columns=(-9, edge))
    brush.paste(picture, thing, start, columns=(edge, 9))
    x = start.x + edge * start.radius
    for width, color in ((0.05, OUTLINE), (0.028, LIGHT)):  # the wipe's bar stands out over any colour
        half = max(1, round(0.5 * width * brush.unit))
        top, bottom = round(start.y - 1.45 * start.radius), round(start.y + 1.1 * start.radius)
        cv2.rectangle(picture, (round(x) - half, max(top, 0)), (round(x) + half, bottom), color, -1)


def _enter(
    brush: Brush, picture: Image, shot: Shot, thing: Thing, segment: Segment, p: float, start: Pose, end: Pose
) -> None:
    inward = 1.0 if end.x > start.x else -1.0
    pose = replace(start, x=start.x + (end.x - start.x) * (0.12 + 0.88 * p))
    r = pose.radius
    brush.shadow(picture, pose.x, pose.y + r, 0.9 * r)
    edge_x = 0.0 if inward > 0 else float(brush.width)
    for lift in (-1.05, 1.05):  # the wake runs back to the edge above and below the object
        y = pose.y + min(lift, 0.9) * r
        brush.line(picture, (pose.x + inward * 0.4 * r, y), (edge_x, y), LIGHT)
    brush.paste(picture, thing, pose)
    thickness = max(1, round(0.02 * brush.unit))
    for ring in (1.3, 1.55, 1.8):  # the bow wave
        size = (round(ring * r), round(ring * r))
        facing = 0 if inward > 0 else 180
        cv2.ellipse(picture, (round(pose.x), round(pose.y)), size, facing, -38, 38, LIGHT, thickness, cv2.LINE_AA)


def _leave(
    brush: Brush, picture: Image, shot: Shot, thing: Thing, segment: Segment, p: float, start: Pose, end: Pose
) -> None:
    outward = 1.0 if end.x > start.x else -1.0
    pose = replace(start, x=start.x + (end.x - start.x) * 0.9 * p)
    r = pose.radius
    brush.shadow(picture, pose.x, pose.y + r, 0.9 * r)
    for lift in (-0.7, -0.35, 0.0, 0.35, 0.7):
        y = pose.y + lift * r
        brush.line(picture, (pose.x, y), (pose.x - outward * (3.4 - abs(lift)) * r, y), LIGHT)
    for back, opacity in ((1.5, 0.25), (1.0, 0.35), (0.5, 0.5)):
        brush.paste(picture, thing, replace(pose, x=pose.x - outward * back * r), opacity)
    brush.paste(picture, thing, pose)


_Painter = Callable[[Brush, Image, Shot, Thing, Segment, float, Pose, Pose], None]
_PAINTERS: dict[str, _Painter] = {
    "bounce": _bounce,
    "roll": _roll,
    "spin": _spin,
    "grow": _grow,
    "collide": _collide,
    "hide": _hide,
    "change_color": _change_color,
    "enter": _enter,
    "leave": _leave,
}
_OCCLUDERS: dict[str, Callable[[Image, float], None]] = {"wall": _wall, "crate": _crate, "curtain": _curtain}
