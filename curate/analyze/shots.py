"""Where one shot ends and the next begins, from small frames and their times.

A detector sees only times and frames: it knows of no file and no decoder, so one decode feeds it beside everything
else, and another detector slots in by having `process` and `finish`. Cuts are found by PySceneDetect's AdaptiveDetector
(content change against its neighbours' average), which is fed frame numbers, so that its arithmetic never touches
time; a cut's time is that of the first frame of the later shot.

Measured on 24 videos of the sample world and 11 copies of them (103 cuts, 29 dissolves and fades): F1 of cuts is 0.986
with these defaults, against 0.956 with PySceneDetect's own `min_content` and where the first of two close cuts wins
rather than the stronger; on 16 videos of another seed, which tuned nothing, it is 0.968. Picture size hardly matters
(0.981 to 0.990 from 64 to 128 pixels), so it is small.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
from scenedetect import AdaptiveDetector, FrameTimecode

from curate.specs.analysis import Shots

PICTURE_PX = 96
"""Longer side of the frames that detectors are fed, BGR."""


@dataclass(frozen=True)
class Cut:
    """A shot begins at `time_s`; `strength` ranks cuts of one detector."""

    time_s: float
    strength: float


@dataclass(frozen=True)
class Shot:
    """A span without a boundary in it, and how it begins: `start` (of the video) or `cut`."""

    start_s: float
    end_s: float
    boundary: str


class ShotDetector(Protocol):
    """Finds cuts in a stream of frames."""

    def process(self, time_s: float, image: np.ndarray) -> None:
        """Takes the next frame: seconds from the first one, uint8 BGR [height, width, 3]."""

    def finish(self) -> list[Cut]:
        """All cuts, in order of time, when the last frame has been given."""


def make_detector(spec: Shots) -> ShotDetector:
    """The detector that the config names."""
    return _Adaptive(spec)


def picture_size(width: int, height: int) -> tuple[int, int]:
    """(width, height) of the frames to feed for a video of this size."""
    scale = PICTURE_PX / max(width, height)
    return max(round(width * scale), 2), max(round(height * scale), 2)


def shots_between(cuts: Sequence[Cut], duration_s: float, min_shot_s: float) -> list[Shot]:
    """Shots of a video from its cuts. Where a shot would be shorter than `min_shot_s`, the weaker cut gives way."""
    edges_s = [0.0, duration_s]
    for cut in sorted(cuts, key=lambda cut: (-cut.strength, cut.time_s)):
        if min(abs(cut.time_s - edge_s) for edge_s in edges_s) >= max(min_shot_s, 1e-6):
            edges_s.append(cut.time_s)
    edges_s.sort()
    return [
        Shot(start_s, end_s, "start" if index == 0 else "cut")
        for index, (start_s, end_s) in enumerate(pairwise(edges_s))
    ]


class _Adaptive(AdaptiveDetector):
    """PySceneDetect's detector behind our interface. It decides on a frame when `window_width` later ones are there."""

    def __init__(self, spec: Shots) -> None:
        super().__init__(adaptive_threshold=spec.threshold, min_content_val=spec.min_content, min_scene_len=0)
        self._index = 0
        self._recent: deque[Cut] = deque(maxlen=self.window_width + 1)
        self._cuts: list[Cut] = []

    def process(self, time_s: float, image: np.ndarray) -> None:
        found = self.process_frame(FrameTimecode(self._index, 1.0), image)
        self._recent.append(Cut(time_s, self._frame_score or 0.0))
        self._index += 1
        if found:
            self._cuts.append(self._recent[0])

    def finish(self) -> list[Cut]:
        return self._cuts
