"""Small pictures of a video, taken as it passes, for the pages that people look at.

One JPEG is kept for each step of time while the video is decoded (about 3 kB a second: 30 MB for three hours), and a
clip takes a few of those that lie in it. So a page needs no footage: it shows what was seen when the clip was made.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from curate.media.decode import Branch

LONGER_SIDE_PX = 192
_PER_CLIP = 4
_QUALITY = 80


@dataclass(frozen=True)
class Strip:
    """Pictures of one span in order of time: seconds from the first shown frame, and JPEG."""

    times_s: tuple[float, ...]
    jpegs: tuple[bytes, ...]


class Thumbnails:
    """Compresses the pictures of a branch and gives those of a span."""

    def __init__(self) -> None:
        self._times_s: list[float] = []
        self._jpegs: list[bytes] = []

    @staticmethod
    def branch(width: int, height: int, every_s: float = 1.0) -> Branch:
        """What to ask of the decoder for a width x height video."""
        scale = LONGER_SIDE_PX / max(width, height)
        return Branch(max(round(width * scale), 1), max(round(height * scale), 1), "bgr24", every_s=every_s)

    def add(self, time_s: float, image: np.ndarray) -> None:
        """Takes the next picture: seconds from the first shown frame, uint8 BGR [height, width, 3]."""
        self._times_s.append(time_s)
        self._jpegs.append(cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, _QUALITY))[1].tobytes())

    def between(self, span: tuple[float, float]) -> Strip:
        """At most 4 pictures of [start_s, end_s), spread evenly; none where none was taken in it."""
        first, last = np.searchsorted(self._times_s, np.array(span) - 1e-9)
        count = min(last - first, _PER_CLIP)
        chosen = [first + (2 * at + 1) * (last - first) // (2 * count) for at in range(count)]
        return Strip(tuple(self._times_s[at] for at in chosen), tuple(self._jpegs[at] for at in chosen))


def nearest(times_s: Sequence[float], jpegs: Sequence[bytes], time_s: float) -> bytes | None:
    """The picture of a clip that was taken nearest to `time_s`; None where the clip has none."""
    pairs = zip(times_s, jpegs, strict=True)
    return min(pairs, key=lambda pair: abs(pair[0] - time_s), default=(0.0, None))[1]
