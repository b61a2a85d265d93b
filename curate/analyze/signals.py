"""How a clip looks, in four numbers that SQL conditions can use, from the small frames that shot detection gets.

All are shares of the full range of luma, so they compare between videos, and are measured on frames of one size (96
pixels on the longer side), so that resolution does not enter:

- motion: mean absolute change of luma between consecutive frames, for each 1/25 s of time, so that the frame rate does
  not enter either. The change at a cut does not count. 0 is a still picture; a talking head is about 0.005, a busy
  street 0.03.
- brightness: mean luma, 0 black to 1 white.
- contrast: standard deviation of luma over half the range, 0 flat to 1.
- sharpness: mean absolute Laplacian of luma, 0 blurred or flat.
"""

from array import array
from dataclasses import dataclass

import cv2
import numpy as np

from curate.analyze.clips import Span

_MOTION_STEP_S = 1 / 25


@dataclass(frozen=True)
class Signals:
    """The signal columns of the `clips` table."""

    motion: float
    brightness: float
    contrast: float
    sharpness: float


class SignalMeter:
    """Measures frames as they pass and keeps five numbers of each: 40 bytes, 9 MB for two hours."""

    def __init__(self) -> None:
        self._columns = tuple(array("d") for _ in range(5))
        self._previous: np.ndarray | None = None

    def process(self, time_s: float, image: np.ndarray) -> None:
        """Takes the next frame: seconds from the first one, uint8 BGR [height, width, 3]."""
        luma = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        change = 0.0 if self._previous is None else float(cv2.norm(luma, self._previous, cv2.NORM_L1)) / luma.size / 255
        mean, deviation = cv2.meanStdDev(luma)
        edges = cv2.Laplacian(luma, cv2.CV_16S)
        sharpness = float(cv2.norm(edges, cv2.NORM_L1)) / luma.size / 255
        measured = (time_s, change, float(mean[0, 0]) / 255, float(deviation[0, 0]) / 127.5, sharpness)
        for column, value in zip(self._columns, measured, strict=True):
            column.append(value)
        self._previous = luma

    @property
    def frames(self) -> int:
        """How many frames have passed."""
        return len(self._columns[0])

    def last_s(self) -> float:
        """The time of the last frame, 0 where there was none."""
        return self._columns[0][-1] if self.frames else 0.0

    def changes(self) -> tuple[np.ndarray, np.ndarray]:
        """Times of the frames [n], and how much the luma of each differs from the one before [n]."""
        return np.array(self._columns[0]), np.array(self._columns[1])

    def between(self, span: Span, *, begins_with_cut: bool = True) -> Signals:
        """Signals of a span, over the frames that begin in it; of the one on screen where none begins.

        The change into the span's first frame is left out where the span begins with a cut.
        """
        times, changes, brightness, contrast, sharpness = (np.frombuffer(column) for column in self._columns)
        first, last = np.searchsorted(times, np.array(span) - 1e-9)
        first, last = (first, last) if last > first else (max(first - 1, 0), max(first, 1))
        skip = first + 1 if begins_with_cut or first == 0 else first
        elapsed_s = float(times[last - 1] - times[skip - 1]) if last > skip else 0.0
        motion = float(changes[skip:last].sum()) * _MOTION_STEP_S / elapsed_s if elapsed_s > 0 else 0.0
        here = slice(first, last)
        return Signals(motion, *(float(column[here].mean()) for column in (brightness, contrast, sharpness)))
