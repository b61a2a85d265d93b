"""A clip or a whole video as a segmenter reads it: frame vectors at their times."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from curate.model.definitions import Encoded, Segment

WINDOW_FRAMES = 40
"""Frames that a window holds: 20 s at 2 a second, the longest clip a mix holds by default."""


@dataclass(frozen=True)
class Track:
    """Frame vectors [T, D] of unit norm at times_s [T], seconds from where the clip or video starts.

    `edges_s`, where given, is when each picture of the source begins, and when the last one ends: sorted, and segments
    start and end there.
    """

    times_s: np.ndarray
    vectors: np.ndarray
    duration_s: float
    edges_s: np.ndarray | None = None


Predictor = Callable[[Sequence[Track], Encoded], list[list[Segment]]]
"""Segments of one definition for each track, in time order and without overlap."""
