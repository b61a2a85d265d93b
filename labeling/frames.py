"""Frames of Label Studio's timeline to source seconds and back, by when the source shows each picture.

Its timeline is a grid of the proxy's constant rate: frames count from 1, and a range includes its end. What a frame
shows began in the source up to a frame before its place on that grid, so the grid itself would be wrong by that much;
the proxy's own edges are not.
"""

from bisect import bisect
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Timeline:
    """The frames of one clip's proxy, and what of the source each stands for.

    Attributes:
        fps: the proxy's constant rate.
        edges_s: [frames + 1], source seconds, rising: where each frame begins, and where the last one ends.
    """

    fps: Fraction
    edges_s: tuple[float, ...]

    @property
    def frames(self) -> int:
        return len(self.edges_s) - 1

    def to_frames(self, start_s: float, end_s: float) -> tuple[int, int]:
        """The first and last frame, both inclusive, of the span within the clip that is nearest to these seconds."""
        first = min(self._nearest(start_s), self.frames - 1)
        return first + 1, max(self._nearest(end_s), first + 1)

    def to_seconds(self, first: int, last: int) -> tuple[float, float]:
        """Source seconds [start, end) of the frames `first` to `last` inclusive."""
        return self.edges_s[first - 1], self.edges_s[last]

    def _nearest(self, time_s: float) -> int:
        """The edge nearest to a time; the earlier of two."""
        after = min(max(bisect(self.edges_s, time_s), 1), self.frames)
        return after - (time_s - self.edges_s[after - 1] <= self.edges_s[after] - time_s)


def even_timeline(fps: Fraction, frames: int, start_s: float) -> Timeline:
    """The timeline of a proxy of which nothing but its grid is known: `frames` of equal length from `start_s` on."""
    return Timeline(fps, tuple(float(Fraction(start_s) + index / fps) for index in range(frames + 1)))
