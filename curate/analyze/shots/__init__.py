"""Where one shot ends and the next begins: what a detector is, which one the config names, and shots from its findings.

A detector sees only times and frames: it knows of no file and no decoder, so one decode feeds it beside everything
else, and another one slots in by having `process` and `finish`. It tells cuts, which are moments, from gradual
transitions (dissolves and fades), which have an extent that belongs to neither shot.

Measured as benchmarks.shots does: F1 of cuts against the exact frame, and of gradual transitions by half overlap.
`unseen` are 140 videos of four sample worlds (384 cuts, 158 gradual) that set no final threshold of `blend`; but they
were looked at while it was made: on two worlds that nobody had looked at (40 videos, seeds 901 and 902) it has 1.00 and
0.966, two transitions missed and one made up. `real` (17 and 7) and `edited`, real footage cut together with
transitions between moving shots (29 and 61), are of the footage that its thresholds were set on, so they say that it
can be had and not how it carries over. Frames/s of one core.

| detector | unseen: cuts, gradual | real: cuts, gradual | edited: cuts, gradual | frames/s |
|---|---|---|---|---|
| `blend`, the default | 0.993, 0.994 | 1.00, 1.00 | 1.00, 0.88 | 57,000 |
| `adaptive`, PySceneDetect's | 0.90, none | 0.83, none | 0.55, none | 15,700 |
| AdaptiveDetector as PySceneDetect sets it | 0.92, none | 0.80, none | 0.71, none | 15,900 |
| `transnet` | not measured | 0.91, 1.00 | not measured | 45 |

What `adaptive` makes up are mostly cuts within dissolves. `transnet`, on `real` within two frames of a cut, has 0.97;
on unseen and edited footage it was run on one file each, too few for a figure, though it does see dissolves between
moving shots that `blend` misses. At a thousandth of the speed it is for a GPU, or for few videos. No cascade of the two
has been tried. `blend` misses cuts between shots that share most of their picture, and wipes; insets that cover less
than two fifths of the picture are no cuts to it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from curate.specs.analysis import Shots

PICTURE_PX = 96
"""Longer side of the frames that detectors are fed, BGR."""

LEAST_PX = 16

_EPSILON_S = 1e-6


@dataclass(frozen=True)
class Transition:
    """A change of shot.

    Attributes:
        start_s: of a cut, the time of the first frame of the later shot; else of the first frame that shows a mix.
        end_s: of a cut, the same; else the time of the first frame of the later shot alone.
        kind: `cut` or `gradual`.
        strength: above 0; ranks the findings of one detector.
    """

    start_s: float
    end_s: float
    kind: Literal["cut", "gradual"]
    strength: float


@dataclass(frozen=True)
class Shot:
    """A span without a transition in it, and what it begins with: `start` (of the video), `cut`, `gradual` or `gap`."""

    start_s: float
    end_s: float
    boundary: str


class Extent(Protocol):
    """A span of time that belongs to no shot, such as a damaged part of a file."""

    @property
    def start_s(self) -> float: ...
    @property
    def end_s(self) -> float: ...


class ShotDetector(Protocol):
    """Finds transitions in a stream of frames."""

    def process(self, time_s: float, image: np.ndarray) -> None:
        """Takes the next frame: seconds from the first one, uint8 BGR [height, width, 3], longer side PICTURE_PX."""

    def finish(self) -> list[Transition]:
        """All transitions, in order of time, when the last frame has been given; gradual ones do not overlap."""


def make_detector(spec: Shots) -> ShotDetector:
    """The detector that the config names. What a detector needs is imported when it is asked for."""
    match spec.detector:
        case "blend":
            from curate.analyze.shots.blend import Blend

            return Blend(spec.threshold)
        case "transnet":
            from curate.analyze.shots.transnet import TransNet

            return TransNet(spec.threshold)
        case name:
            from curate.analyze.shots.pyscenedetect import SceneDetect

            return SceneDetect(name, spec.threshold)


def picture_size(width: int, height: int) -> tuple[int, int]:
    """(width, height) of the frames to feed for a video of this size; no side is too short to measure movement on."""
    scale = PICTURE_PX / max(width, height)
    return max(round(width * scale), LEAST_PX), max(round(height * scale), LEAST_PX)


def shots_between(
    transitions: Iterable[Transition], duration_s: float, min_shot_s: float, gaps: Iterable[Extent] = ()
) -> list[Shot]:
    """The shots of a video, in order of time: what lies between its transitions and its gaps.

    Gradual transitions and gaps lie between shots and in none of them. A cut inside or at the edge of one belongs to
    it. Of two cuts nearer to each other than `min_shot_s` the weaker gives way, and so does one that near to the start
    or the end of the video; extents never do, so what is left between two of them may be shorter.
    """
    transitions = list(transitions)
    extents = [(found.start_s, found.end_s, "gradual") for found in transitions if found.kind == "gradual"]
    extents = sorted([*extents, *((gap.start_s, gap.end_s, "gap") for gap in gaps)])
    cuts_s = _kept_cuts([found for found in transitions if found.kind == "cut"], extents, duration_s, min_shot_s)
    shots = []
    at_s, boundary = 0.0, "start"
    for start_s, end_s, kind in sorted([*extents, *((time_s, time_s, "cut") for time_s in cuts_s)]):
        if start_s - at_s >= _EPSILON_S:
            shots.append(Shot(at_s, start_s, boundary))
        if end_s >= at_s:
            at_s, boundary = end_s, kind
    if duration_s - at_s >= _EPSILON_S:
        shots.append(Shot(at_s, duration_s, boundary))
    return shots


def _kept_cuts(
    cuts: Sequence[Transition], extents: Sequence[tuple[float, float, str]], duration_s: float, min_shot_s: float
) -> list[float]:
    edges_s = [0.0, duration_s]
    for cut in sorted(cuts, key=lambda cut: (-cut.strength, cut.start_s)):
        apart = min(abs(cut.start_s - edge_s) for edge_s in edges_s) >= max(min_shot_s, _EPSILON_S)
        if apart and not any(
            start_s - _EPSILON_S <= cut.start_s <= end_s + _EPSILON_S for start_s, end_s, _ in extents
        ):
            edges_s.append(cut.start_s)
    return edges_s[2:]
