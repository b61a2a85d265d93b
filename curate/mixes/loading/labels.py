"""Labels of a clip as dense targets: for each frame and capability whether it shows, and whether that is known.

What a label says, and no more: an `absent` clip shows nothing throughout; unmarked time of a `present` clip shows
nothing where the annotator looked at all of it (`exhaustive`), and is unknown otherwise. No label: unknown.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np


def dense_targets(
    labels: Iterable[Mapping[str, Any]], times_s: np.ndarray, capabilities: Sequence[str], duration_s: float
) -> tuple[np.ndarray, np.ndarray]:
    """(on, known), bool [T, C] each, of frames at `times_s` [T].

    Where a segment is too short for any frame, the one nearest to its middle shows it. Of several labels of one
    capability each adds what it knows.

    Args:
        labels: of a row; segments in seconds from the clip's start.
        capabilities: the columns.
        duration_s: of the clip.
    """
    on = np.zeros((len(times_s), len(capabilities)), bool)
    known = on.copy()
    column = {capability: at for at, capability in enumerate(capabilities)}
    for label in labels:
        at = column.get(label["capability"])
        if at is None or not len(times_s):
            continue
        if label["verdict"] == "absent":
            known[:, at] = True
        if label["verdict"] != "present":
            continue
        shown = np.zeros(len(times_s), bool)
        for segment in label["segments"] or ():
            start_s, end_s = max(segment["start_s"], 0.0), min(segment["end_s"], duration_s)
            if end_s > start_s:
                shown[frames_inside(times_s, start_s, end_s)] = True
        if shown.any():
            on[:, at] |= shown
            known[:, at] |= True if label["exhaustive"] else shown
    return on, known


def frames_inside(times_s: np.ndarray, start_s: float, end_s: float) -> np.ndarray:
    """Indices of the frames that show a segment; of one too short for any, the frame nearest to its middle."""
    inside = np.flatnonzero((times_s >= start_s) & (times_s < end_s))
    if len(inside):
        return inside
    return np.array([np.abs(times_s - (start_s + end_s) / 2).argmin()])
