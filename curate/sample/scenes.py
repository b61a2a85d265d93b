"""What happens in the sample world: shots, objects, actions and captions, planned from a seed.

A script is pure data and knows no pixels. It is planned on the frame times of the video it is for, and every
event starts exactly at a frame, so the plan is the truth: there is no second bookkeeping that could disagree
with what is drawn. Actions come from a shuffled deck and not from independent draws, so that a world of 60
videos holds every rare action often enough to be counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

Value = str | int | float

SHAPES = ("ball", "box", "triangle", "star", "ring", "cross")
COLORS = ("red", "green", "blue", "yellow", "purple", "orange", "white")
TEXTURES = ("plain", "striped", "dotted")
BACKGROUNDS = ("grass", "brick", "night_sky", "sand", "water", "checkered", "wood", "studio")
OCCLUDERS = ("wall", "crate", "curtain")
ACTIONS = ("bounce", "roll", "spin", "grow", "collide", "hide", "change_color", "enter", "leave")

# Cards in a block of 100: what a team meets in real footage is skewed, and coverage must have something to find.
_ACTION_CARDS = {
    "bounce": 21, "roll": 20, "spin": 13, "enter": 11, "leave": 10, "grow": 9, "collide": 6, "hide": 5,
    "change_color": 5,
}  # fmt: skip
_ACTIONS_PER_SHOT_CARDS = {0: 5, 1: 11, 2: 4}
_ONLY_BESIDE = {"collide", "hide"}  # their objects keep to one place, so only actions in place go with them
_IN_PLACE = {"bounce", "spin", "grow", "change_color"}

# An object that vanishes into its background teaches nobody anything.
_CLASHES = {
    ("green", "grass"), ("red", "brick"), ("orange", "brick"), ("yellow", "sand"), ("orange", "sand"),
    ("blue", "water"), ("orange", "wood"), ("white", "checkered"), ("white", "studio"), ("purple", "night_sky"),
    ("blue", "night_sky"),
}  # fmt: skip

_CAPTION_WORDS = ("LIVE", "REPLAY", "GOAL", "CAM", "ROUND", "LAP", "SCORE", "NEWS")
_MIN_ACTION_S, _MAX_ACTION_S = 1.5, 6.0


@dataclass(frozen=True)
class Thing:
    """One object. `size` is its diameter as a share of the short side, `x` its place as a share of the width."""

    shape: str
    color: str
    texture: str
    size: float
    x: float


@dataclass(frozen=True)
class Segment:
    """One action of a shot's first object over [start_s, end_s); `x` and `scale` say where it begins and ends."""

    action: str
    start_s: float
    end_s: float
    fields: dict[str, Value]
    x_from: float
    x_to: float
    scale_from: float
    scale_to: float

    def progress(self, time_s: float) -> float:
        return (time_s - self.start_s) / (self.end_s - self.start_s)


@dataclass(frozen=True)
class Caption:
    """On-screen text over [start_s, end_s)."""

    start_s: float
    end_s: float
    text: str
    at_top: bool


@dataclass(frozen=True)
class Shot:
    """One background, one or two objects, and what the first of them does over [start_s, end_s)."""

    start_s: float
    end_s: float
    background: str
    background_seed: int
    ground: float  # where objects stand, as a share of the height
    pan_per_s: float  # camera movement in picture widths a second
    drift_per_s: float  # slow slide of the first object where nothing happens, in picture widths a second
    objects: tuple[Thing, ...]
    segments: tuple[Segment, ...] = ()
    captions: tuple[Caption, ...] = ()


@dataclass(frozen=True)
class Boundary:
    """The change between two shots; a cut has no extent and lies at the first frame of the new shot."""

    kind: Literal["cut", "dissolve", "fade"]
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Script:
    """All that is shown in one video."""

    shots: tuple[Shot, ...]
    boundaries: tuple[Boundary, ...]


@dataclass
class Deck:
    """Deals how many actions a shot has and which, keeping the shares of the world to the card counts."""

    rng: np.random.Generator
    _actions: list[str] = field(default_factory=list)
    _counts: list[int] = field(default_factory=list)

    def deal(self, most: int = 2) -> tuple[str, ...]:
        """The actions of the next shot, `most` of them at most, in the order in which they happen."""
        if not self._counts:
            cards = [count for count, cards in _ACTIONS_PER_SHOT_CARDS.items() for _ in range(cards)]
            self._counts = [int(count) for count in self.rng.permutation(cards)]
        hand: list[str] = []
        for _ in range(min(self._counts.pop(), most)):
            hand.append(self._draw(hand))
        return tuple(sorted(hand, key=lambda action: {"enter": -1, "leave": 1}.get(action, 0)))

    def _draw(self, hand: list[str]) -> str:
        if len(self._actions) < 20:  # a low deck has few fitting cards left, so the next block goes under it
            cards = [action for action, cards in _ACTION_CARDS.items() for _ in range(cards)]
            self._actions = [str(action) for action in self.rng.permutation(cards)] + self._actions
        for at in range(len(self._actions) - 1, -1, -1):
            if _fits(self._actions[at], hand):
                return self._actions.pop(at)
        raise AssertionError("a whole block always holds a card that fits")


def _fits(action: str, hand: list[str]) -> bool:
    if not hand:
        return True
    if action in hand:
        return False
    both = {action, hand[0]}
    return not (both & _ONLY_BESIDE) or bool(both & _IN_PLACE)


def plan_script(rng: np.random.Generator, deck: Deck, frame_times_s: Sequence[float], end_s: float) -> Script:
    """Plans shots of 3-9 s over the given frames; `end_s` is the end of the last frame."""
    times = np.asarray(frame_times_s)

    def snap(time_s: float) -> float:
        """The time of the first frame at or after time_s."""
        at = int(np.searchsorted(times, time_s - 1e-9))
        return float(times[at]) if at < len(times) else float(end_s)

    lengths = _shot_lengths(rng, end_s)
    edges = [snap(edge) for edge in np.cumsum([0.0, *lengths[:-1]])] + [float(end_s)]
    boundaries: list[Boundary] = []
    for edge in edges[1:-1]:
        kind = str(rng.choice(["cut", "dissolve", "fade"], p=[0.7, 0.18, 0.12]))
        half_s = 0.0 if kind == "cut" else float(rng.uniform(0.25, 0.45))
        start_s, finish_s = snap(edge - half_s), snap(edge + half_s)
        boundaries.append(Boundary(kind, start_s, finish_s))  # type: ignore[arg-type]
    shots = []
    for index in range(len(edges) - 1):
        free_from_s = boundaries[index - 1].end_s if index else 0.0
        free_to_s = boundaries[index].start_s if index < len(boundaries) else edges[-1]
        most = 2 if free_to_s - free_from_s >= 5.0 else 1
        span_s, free_s = (edges[index], edges[index + 1]), (free_from_s, free_to_s)
        shots.append(plan_shot(rng, deck.deal(most), span_s, free_s, snap))
    return Script(tuple(shots), tuple(boundaries))


def duration_s(rng: np.random.Generator) -> float:
    """A video length of 15-40 s that 3-7 shots of 3-9 s can fill."""
    shots = int(rng.integers(3, 8))
    return float(np.clip(rng.uniform(4.2, 7.0) * shots, 15.0, 40.0))


def _shot_lengths(rng: np.random.Generator, total_s: float) -> list[float]:
    shots = int(np.clip(round(total_s / rng.uniform(4.5, 6.6)), 3, 7))
    while True:
        lengths = rng.dirichlet([6.0] * shots) * total_s
        if lengths.min() >= 3.3 and lengths.max() <= 8.9:
            return [float(length) for length in lengths]
        shots = min(shots, int(total_s // 4))


def plan_shot(
    rng: np.random.Generator,
    actions: Sequence[str],
    span_s: tuple[float, float],
    free_s: tuple[float, float],
    snap: Callable[[float], float],
) -> Shot:
    """Plans one shot over span_s whose actions lie in free_s, the part that no dissolve or fade touches."""
    background = str(rng.choice(BACKGROUNDS))
    first = _plan_thing(rng, background, _first_place(rng, actions))
    segments = plan_segments(rng, first, actions, free_s, snap)
    objects = [first]
    if "collide" in actions or rng.random() < 0.25:
        place = _mirrored(first.x) if abs(first.x - 0.5) > 0.1 else float(rng.choice([0.18, 0.82]))
        other = _plan_thing(rng, background, place, unlike=first)
        objects.append(other if "collide" in actions else replace(other, size=0.85 * other.size))
    segments = [
        replace(segment, fields={**segment.fields, "other_color": objects[1].color})
        if segment.action == "collide"
        else segment
        for segment in segments
    ]
    moving_slowly = not actions and rng.random() < 0.5
    return Shot(
        start_s=span_s[0],
        end_s=span_s[1],
        background=background,
        background_seed=int(rng.integers(2**31)),
        ground=float(rng.uniform(0.80, 0.88)),
        pan_per_s=float(rng.choice([0.0, 0.0, -0.012, 0.012])),
        drift_per_s=float(rng.uniform(0.01, 0.03) * (1 if first.x < 0.5 else -1)) if moving_slowly else 0.0,
        objects=tuple(objects),
        segments=tuple(segments),
        captions=_plan_captions(rng, span_s, snap),
    )


def mirrored(fields: dict[str, Value]) -> dict[str, Value]:
    """The fields of an action seen in a mirror."""
    swap = {"left": "right", "right": "left"}
    return {name: swap.get(value, value) if isinstance(value, str) else value for name, value in fields.items()}


def _mirrored(x: float) -> float:
    return 1.0 - x


def _first_place(rng: np.random.Generator, actions: Sequence[str]) -> float:
    """At a side for what crosses the picture or its edge, anywhere for the rest."""
    to_a_side = bool(set(actions) & {"roll", "enter", "leave", "collide"})
    place = float(rng.choice([0.25, 0.75] if to_a_side else [0.25, 0.5, 0.75]))
    return place + float(rng.uniform(-0.03, 0.03))


def _plan_thing(rng: np.random.Generator, background: str, x: float, unlike: Thing | None = None) -> Thing:
    colors = [c for c in COLORS if (c, background) not in _CLASHES and (unlike is None or c != unlike.color)]
    shapes = [s for s in SHAPES if unlike is None or s != unlike.shape]
    return Thing(
        shape=str(rng.choice(shapes)),
        color=str(rng.choice(colors)),
        texture=str(rng.choice(TEXTURES, p=[0.5, 0.25, 0.25])),
        size=float(rng.uniform(0.33, 0.46)),
        x=x,
    )


def plan_segments(
    rng: np.random.Generator,
    thing: Thing,
    actions: Sequence[str],
    free_s: tuple[float, float],
    snap: Callable[[float], float],
) -> list[Segment]:
    """Plans what a thing does in the part of a shot that no dissolve or fade touches, one action after the other."""
    margin_s, gap_s = 0.15, 0.4
    room_s = free_s[1] - free_s[0] - 2 * margin_s - gap_s * (len(actions) - 1)
    most_s = min(_MAX_ACTION_S - 0.2, (0.85 if len(actions) == 1 else 0.46) * room_s)
    lengths = [float(rng.uniform(_MIN_ACTION_S + 0.1, max(most_s, _MIN_ACTION_S + 0.11))) for _ in actions]
    idle = rng.dirichlet([1.0] * (len(actions) + 1)) * max(room_s - sum(lengths), 0.0)
    segments: list[Segment] = []
    at_s, x, scale = free_s[0] + margin_s, thing.x, 1.0 if "grow" not in actions else 0.6
    for action, length_s, idle_s in zip(actions, lengths, idle, strict=False):
        at_s += float(idle_s)
        start_s, end_s = snap(at_s), min(snap(at_s + length_s), free_s[1])
        fields, x_from, x_to = _plan_action(rng, thing, action, end_s - start_s, x)
        scale_to = 1.1 if action == "grow" else scale
        segments.append(Segment(action, start_s, end_s, fields, x_from, x_to, scale, scale_to))
        if action == "change_color":
            thing = replace(thing, color=str(fields["to_color"]))
        x, scale, at_s = x_to, scale_to, at_s + length_s + gap_s
    return segments


def _plan_action(
    rng: np.random.Generator, thing: Thing, action: str, length_s: float, x: float
) -> tuple[dict[str, Value], float, float]:
    """The typed fields of an action that begins with the object at x, and where it moves from and to."""
    fields: dict[str, Value] = {"color": thing.color, "shape": thing.shape}
    near = "left" if x < 0.5 else "right"
    outside = -0.10 if near == "left" else 1.10
    match action:
        case "bounce":
            fields["count"] = max(2, round(length_s / float(rng.uniform(0.6, 0.95))))
        case "roll":
            fields["direction"] = "right" if x < 0.5 else "left"
            return fields, x, _mirrored(x)
        case "spin":
            fields["turns"] = max(1.0, round(length_s * float(rng.uniform(0.4, 0.9)) * 2) / 2)
        case "hide":
            fields["occluder"] = str(rng.choice(OCCLUDERS))
            return fields, x, x + (0.3 if x < 0.4 or (x < 0.6 and rng.random() < 0.5) else -0.3)
        case "change_color":
            fields["to_color"] = str(rng.choice([color for color in COLORS if color != thing.color]))
        case "enter":
            fields["side"] = near
            return fields, outside, x
        case "leave":
            fields["side"] = near
            return fields, x, outside
    return fields, x, x


def _plan_captions(
    rng: np.random.Generator, span_s: tuple[float, float], snap: Callable[[float], float]
) -> tuple[Caption, ...]:
    if rng.random() >= 0.22:
        return ()
    text = f"{rng.choice(_CAPTION_WORDS)} {rng.integers(1, 100)}"
    start_s, end_s = span_s
    if rng.random() < 0.4:
        start_s = snap(start_s + 0.25 * (span_s[1] - span_s[0]))
        end_s = snap(span_s[1] - 0.2 * (span_s[1] - span_s[0]))
    return (Caption(start_s, end_s, text, at_top=bool(rng.random() < 0.5)),)
