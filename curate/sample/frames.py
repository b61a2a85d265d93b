"""Single described frames of the sample world, drawn by the same code as the videos but never encoded.

This is how the sample CLIP sees hundreds of thousands of frames in minutes: planning and a background are paid once
for a shot, a frame of it costs about 0.3 ms.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from curate.sample.backgrounds import Image
from curate.sample.draw import Stage
from curate.sample.scenes import ACTIONS, Shot, Thing, Value, plan_shot

_SIZES = ((180, 320), (180, 320), (180, 320), (320, 180))
_SHOT_S = 6.0
_STEP_S = 1 / 30


@dataclass(frozen=True)
class FrameDescription:
    """What one frame shows. `thing` is None where the object is outside the picture; `action` is None at rest."""

    thing: Thing | None
    other: Thing | None
    background: str
    action: str | None
    fields: dict[str, Value]
    caption: str | None


def described_frames(seed: int, *, frames_per_shot: int = 4) -> Iterator[tuple[Image, FrameDescription]]:
    """Yields RGB uint8 frames of 320 x 180 or 180 x 320 without end, all actions and rest equally often."""
    rng = np.random.default_rng([seed, 2])
    steps = round(_SHOT_S / _STEP_S)
    while True:
        height, width = _SIZES[int(rng.integers(len(_SIZES)))]
        choice = int(rng.integers(-2, len(ACTIONS)))  # rest is twice as common as one action
        actions = (ACTIONS[choice],) if choice >= 0 else ()
        shot = plan_shot(rng, actions, (0.0, _SHOT_S), (0.0, _SHOT_S), lambda t: round(t / _STEP_S) * _STEP_S)
        stage = Stage(height, width)
        for _ in range(frames_per_shot):
            time_s = float(rng.integers(steps)) * _STEP_S
            if shot.segments and rng.random() < 0.75:
                segment = shot.segments[0]
                time_s = float(rng.uniform(segment.start_s, segment.end_s - _STEP_S))
            yield stage.draw_shot(shot, time_s), describe(shot, time_s)


def describe(shot: Shot, time_s: float) -> FrameDescription:
    """What a shot with at most one action shows at time_s."""
    thing: Thing | None = shot.objects[0]
    segment = shot.segments[0] if shot.segments else None
    current = segment if segment and segment.start_s <= time_s < segment.end_s else None
    if segment and not current:
        before = time_s < segment.start_s
        if segment.action == ("enter" if before else "leave"):
            thing = None
        elif thing and segment.action == "change_color" and not before:
            thing = Thing(thing.shape, str(segment.fields["to_color"]), thing.texture, thing.size, thing.x)
    return FrameDescription(
        thing=thing,
        other=shot.objects[1] if len(shot.objects) > 1 else None,
        background=shot.background,
        action=current.action if current else None,
        fields=dict(current.fields) if current else {},
        caption=next((c.text for c in shot.captions if c.start_s <= time_s < c.end_s), None),
    )
