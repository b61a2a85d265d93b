"""Pixels: one frame of a script at one time. Backgrounds and sprites are kept from frame to frame, so a frame of
320 x 180 costs about 0.2 ms and encoding it is the larger part of rendering.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from curate.sample.actions import paint_action
from curate.sample.backgrounds import Image, draw_background
from curate.sample.scenes import Caption, Script, Shot
from curate.sample.sprites import Brush

_PAN_MARGIN = 0.1


@dataclass
class Stage:
    """Draws frames of `height` x `width`."""

    height: int
    width: int
    _backgrounds: dict[tuple[str, int], Image] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.brush = Brush(self.height, self.width)

    def draw(self, script: Script, time_s: float) -> Image:
        """Draws the frame shown at time_s as (height, width, 3) uint8 RGB."""
        at = next((i for i, shot in enumerate(script.shots) if time_s < shot.end_s), len(script.shots) - 1)
        for index, boundary in enumerate(script.boundaries):
            if not boundary.start_s <= time_s < boundary.end_s:
                continue
            share = (time_s - boundary.start_s) / (boundary.end_s - boundary.start_s)
            if boundary.kind == "dissolve":
                before = self.draw_shot(script.shots[index], time_s)
                after = self.draw_shot(script.shots[index + 1], time_s)
                return np.asarray(cv2.addWeighted(before, 1 - share, after, share, 0), np.uint8)
            picture = self.draw_shot(script.shots[at], time_s)
            return np.asarray(cv2.convertScaleAbs(picture, alpha=abs(2 * share - 1)), np.uint8)
        return self.draw_shot(script.shots[at], time_s)

    def draw_shot(self, shot: Shot, time_s: float) -> Image:
        """Draws one shot at time_s, which may lie outside the shot, as it does in a dissolve."""
        picture = self._background(shot, time_s)
        current = next((s for s in shot.segments if s.start_s <= time_s < s.end_s), None)
        past = [s for s in shot.segments if s.end_s <= time_s]
        if len(shot.objects) > 1 and not (current and current.action == "collide"):
            other = shot.objects[1]
            self.brush.still(picture, other, self.brush.rest(other, other.x, shot.ground))
        thing, x, scale = shot.objects[0], shot.objects[0].x, 1.0
        if shot.segments:
            x, scale = shot.segments[0].x_from, shot.segments[0].scale_from
        for segment in past:
            x, scale = segment.x_to, segment.scale_to
            if segment.action == "change_color":
                thing = replace(thing, color=str(segment.fields["to_color"]))
        if current:
            paint_action(self.brush, picture, shot, thing, current, time_s)
        elif 0.0 <= x <= 1.0:
            x += shot.drift_per_s * (time_s - shot.start_s)
            self.brush.still(picture, thing, self.brush.rest(thing, x, shot.ground, scale))
        for caption in shot.captions:
            if caption.start_s <= time_s < caption.end_s:
                self._draw_caption(picture, caption)
        return picture

    def _background(self, shot: Shot, time_s: float) -> Image:
        key = (shot.background, shot.background_seed)
        margin = round(_PAN_MARGIN * self.width)
        if key not in self._backgrounds:
            if len(self._backgrounds) >= 4:
                self._backgrounds.clear()
            wide = draw_background(shot.background, self.height, self.width + 2 * margin, shot.background_seed)
            self._backgrounds[key] = wide
        offset = round(margin + shot.pan_per_s * self.width * (time_s - shot.start_s))
        offset = min(max(offset, 0), 2 * margin)
        return np.ascontiguousarray(self._backgrounds[key][:, offset : offset + self.width])

    def _draw_caption(self, picture: Image, caption: Caption) -> None:
        size = 0.022 * min(self.height, self.width) / 5.0
        thickness = max(1, round(2.2 * size))
        (width, height), _ = cv2.getTextSize(caption.text, cv2.FONT_HERSHEY_SIMPLEX, size, thickness)
        pad = round(0.5 * height)
        x, y = round(0.05 * self.width), round(0.04 * self.height)
        if not caption.at_top:
            y = self.height - y - height - pad
        cv2.rectangle(picture, (x, y), (x + width + 2 * pad, y + height + pad), (16, 16, 20), -1)
        at = (x + pad, y + height + pad // 2)
        cv2.putText(picture, caption.text, at, cv2.FONT_HERSHEY_SIMPLEX, size, (250, 250, 250), thickness, cv2.LINE_AA)
