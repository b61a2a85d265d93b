"""Frames of Label Studio's timeline to seconds and back, exactly.

Its timeline is a grid of `frameRate`: frames count from 1, a range includes its end, and a video of `frames` frames
ends with frame `frames`. Fractions keep 29.97 (30000/1001) from drifting; the grid is the proxy's, whose rate is
constant whatever the source's was.
"""

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Grid:
    """The timeline of one clip's proxy, and where it lies in its source.

    Attributes:
        fps: the proxy's constant rate.
        frames: its length.
        start_s: the clip's start in the source video, in seconds.
    """

    fps: Fraction
    frames: int
    start_s: float

    def to_frames(self, start_s: float, end_s: float) -> tuple[int, int]:
        """The first and last frame of a span of source seconds, both inclusive, within the clip."""
        first = min(max(round(self._clip_time(start_s) * self.fps) + 1, 1), self.frames)
        return first, min(max(round(self._clip_time(end_s) * self.fps), first), self.frames)

    def to_seconds(self, first: int, last: int) -> tuple[float, float]:
        """Source seconds [start, end) of the frames `first` to `last` inclusive."""
        origin = Fraction(self.start_s)
        return float(origin + Fraction(first - 1) / self.fps), float(origin + Fraction(last) / self.fps)

    def _clip_time(self, source_s: float) -> Fraction:
        return Fraction(source_s) - Fraction(self.start_s)
