"""PySceneDetect's detectors behind our interface: cuts alone, and no extents.

They are fed frame numbers, so that their arithmetic never touches time; a cut's time is that of the first frame of the
later shot. `adaptive` (content change against its neighbours' average) is the best of them, and what the others of the
field use; it costs about a third of decoding at 360p.
"""

from collections import deque

import numpy as np
from scenedetect import AdaptiveDetector, FrameTimecode

from curate.analyze.shots import Transition

_THRESHOLD = 3.0
_MIN_CONTENT = 13.0
"""Content change below which nothing is a cut, 0 to 255; PySceneDetect's own 15 misses cuts between dark shots."""


class Adaptive(AdaptiveDetector):
    """AdaptiveDetector. It decides on a frame when `window_width` later ones are there."""

    def __init__(self, threshold: float | None = None) -> None:
        super().__init__(adaptive_threshold=threshold or _THRESHOLD, min_content_val=_MIN_CONTENT, min_scene_len=0)
        self._index = 0
        self._recent: deque[Transition] = deque(maxlen=self.window_width + 1)
        self._cuts: list[Transition] = []

    def process(self, time_s: float, image: np.ndarray) -> None:
        found = self.process_frame(FrameTimecode(self._index, 1.0), image)
        self._recent.append(Transition(time_s, time_s, "cut", self._frame_score or 0.0))
        self._index += 1
        if found:
            self._cuts.append(self._recent[0])

    def finish(self) -> list[Transition]:
        return self._cuts
