"""From what each frame proposes to segments: runs of proposals that touch, votes within them, and a settlement.

A frame whose chance is above the threshold proposes a segment around its own time, so proposals that touch are of
neighbouring frames, and a run of them depends on no other frame: runs are what a stream can hand out one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from curate.model.definitions import Definition, Segment
from curate.model.track import WINDOW_FRAMES, Track

RUN_FRAMES = 5 * WINDOW_FRAMES


BOUNDARY_REACH_S = 0.5


def decode_dense(
    track: Track, scores: np.ndarray, reach_s: np.ndarray, definition: Definition, *, threshold: float
) -> list[Segment]:
    """Non-overlapping segments: the most certain frame first, its neighbours voting on where it starts and ends.

    Each frame above `threshold` proposes a segment. Proposals that share half of the shorter with the best one vote on
    its boundaries, a frame's vote on a boundary weighing less the farther away it is (box voting, Gidaris & Komodakis
    2015, with the distance that suits sparse frames), and are used up.
    """
    return segments_of(track, scores, reach_s, runs(track, scores, reach_s, threshold)[0], definition, threshold)


def segments_of(
    track: Track,
    scores: np.ndarray,
    reach_s: np.ndarray,
    found: Sequence[Run],
    definition: Definition,
    threshold: float,
) -> list[Segment]:
    """The segments of some runs, as `decode_dense` finds them in all."""
    starts, ends = _proposals(track, reach_s)
    segments: list[Segment] = []
    for run in found:
        own = slice(run.first, run.end)
        within = (starts[own].clip(min=run.low_s), ends[own].clip(max=run.high_s))
        segments += _voted(track.times_s[own], *within, scores[own], threshold)
    return settle(segments, definition, track.edges_s)


@dataclass(frozen=True)
class Run:
    """Frames first to end whose proposals touch no other frame's, or were cut at low_s and high_s."""

    first: int
    end: int
    low_s: float = -np.inf
    high_s: float = np.inf


def runs(
    track: Track,
    scores: np.ndarray,
    reach_s: np.ndarray,
    threshold: float,
    *,
    horizon_s: float = np.inf,
    low_s: float = -np.inf,
) -> tuple[list[Run], int]:
    """The runs of frames that propose something, and how many frames from the first are done with.

    A run that goes on and on is cut where its score is least, `RUN_FRAMES` or more from its start: nothing that is said
    of a frame reaches so far.

    Args:
        horizon_s: what is not known yet proposes nothing before this time. What it may still touch is left out.
        low_s: where a run before these frames was cut off.
    """
    starts, ends = _proposals(track, reach_s)
    on = scores >= threshold
    later_s = np.minimum.accumulate(np.append(np.where(on, starts, np.inf), np.inf)[::-1])[::-1][1:]
    found: list[Run] = []
    first, at, end_s, any_on = 0, 0, -np.inf, False
    while at < len(scores):
        if on[at]:
            end_s, any_on = max(end_s, float(ends[at])), True
        high_s = np.inf
        if end_s <= later_s[at]:
            if end_s > horizon_s:
                break
            end = at + 1
        elif at + 1 - first > 2 * RUN_FRAMES + WINDOW_FRAMES:
            end = first + RUN_FRAMES + int(scores[first + RUN_FRAMES : first + 2 * RUN_FRAMES].argmin())
            high_s = float(track.times_s[end])
        else:
            at += 1
            continue
        if any_on:
            found.append(Run(first, end, low_s, high_s))
        low_s = high_s if high_s < np.inf else low_s
        first, at, end_s, any_on = end, end, -np.inf, False
    return found, first


def _proposals(track: Track, reach_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each frame says that its segment starts and ends, [T] and [T]: around its own time."""
    starts = np.clip(track.times_s - reach_s[:, 0], 0, track.duration_s)
    ends = np.clip(track.times_s + reach_s[:, 1], 0, track.duration_s)
    return starts, ends


def _voted(
    times_s: np.ndarray, starts: np.ndarray, ends: np.ndarray, scores: np.ndarray, threshold: float
) -> list[Segment]:
    """Segments of one run, the surest first."""
    left, found = scores >= threshold, []
    for best in np.argsort(-scores, kind="stable"):
        if not left[best]:
            continue
        group = np.flatnonzero(left & _same(starts, ends, int(best)))
        left[group] = False
        start_s = _vote(times_s[group], starts[group], scores[group])
        end_s = _vote(times_s[group], ends[group], scores[group])
        found.append(Segment(start_s, end_s, score=float(scores[group].mean())))
    return found


def _same(starts: np.ndarray, ends: np.ndarray, best: int) -> np.ndarray:
    """[T]: whether a proposal shares half of the shorter one with the best, which shares all with itself."""
    shared = np.minimum(ends[best], ends) - np.maximum(starts[best], starts)
    same = shared > 0.5 * np.minimum(ends[best] - starts[best], ends - starts)
    same[best] = True
    return same


def _vote(times_s: np.ndarray, boundaries_s: np.ndarray, scores: np.ndarray) -> float:
    nearness = np.exp(-np.abs(times_s - boundaries_s) / BOUNDARY_REACH_S) + 1e-6
    return float(np.average(boundaries_s, weights=nearness * scores))


def settle(segments: Sequence[Segment], definition: Definition, edges_s: np.ndarray | None = None) -> list[Segment]:
    """In time order, without overlap (of two, the surer stays whole), inside the definition's time ranges and between
    its least and greatest length; starting and ending with pictures of the source where those are known."""
    kept: list[Segment] = []
    for segment in sorted(segments, key=lambda s: -s.score):
        start_s, end_s = (_at_edge(time_s, edges_s) for time_s in (segment.start_s, segment.end_s))
        for other in kept:
            if start_s < other.end_s and end_s > other.start_s:
                if (start_s + end_s) < (other.start_s + other.end_s):
                    end_s = other.start_s
                else:
                    start_s = other.end_s
        if end_s > start_s:
            kept.append(replace(segment, start_s=start_s, end_s=end_s))
    ranges = definition.time_ranges_s or ((0.0, float("inf")),)
    cut = [
        replace(segment, start_s=max(segment.start_s, low), end_s=min(segment.end_s, high))
        for segment in kept
        for low, high in ranges
    ]
    fitting = [s for s in cut if max(definition.min_s, 1e-6) <= s.end_s - s.start_s <= definition.max_s]
    return sorted(fitting, key=lambda s: s.start_s)


def _at_edge(time_s: float, edges_s: np.ndarray | None) -> float:
    """The edge nearest in time."""
    if edges_s is None:
        return time_s
    at = int(np.searchsorted(edges_s, time_s).clip(1, len(edges_s) - 1))
    before_s, after_s = float(edges_s[at - 1]), float(edges_s[at])
    return before_s if time_s - before_s <= after_s - time_s else after_s
