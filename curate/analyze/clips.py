"""Shots into clips: spans of a length that a person can label and a model can learn from."""

import math
from collections import deque
from collections.abc import Iterable
from itertools import pairwise

import numpy as np

from curate.analyze.shots import Shot
from curate.specs.analysis import Clips

Span = tuple[float, float]
"""Start and end in seconds from the first shown frame; the end is not in it."""

Changes = tuple[np.ndarray, np.ndarray]
"""Times of a video's frames [n], ascending, and how much each differs from the one before [n], in any unit."""

_NEAR_S = 0.25
"""A split is worth the change within this of it: one quiet frame in the midst of an action is no pause."""

_UNEVEN = 0.5
_OFF_FRAMES = 1e6


def clips_of(shots: Iterable[Shot], spec: Clips, changes: Changes) -> tuple[list[Span], list[Span]]:
    """(clips, spans too short to be one). A shot longer than `max_s` is split into the fewest parts that fit.

    It is split on frames, where content changes least: of all ways to place the splits, with every part between `min_s`
    and `max_s`, the one with the least sum of change around them, relative to the shot's mean, plus a half of each
    split's squared distance from an even split, in lengths of a part. So a still shot is split evenly, and a pause in
    an action is worth moving for. Found by dynamic programming over frame times; the same input gives the same clips.

    Where frames are so sparse that none begins where a shot must be split, the split falls between two of them.
    """
    times_s, change = changes
    nearby = times_s, _mean_near(times_s, change)
    clips: list[Span] = []
    short: list[Span] = []
    for shot in shots:
        if shot.end_s - shot.start_s < spec.min_s - 1e-6:
            short.append((shot.start_s, shot.end_s))
        else:
            clips += pairwise([shot.start_s, *_splits(shot, spec, nearby), shot.end_s])
    return clips, short


def _mean_near(times_s: np.ndarray, change: np.ndarray) -> np.ndarray:
    """The mean change of the frames within _NEAR_S of each frame."""
    total = np.concatenate([[0.0], np.cumsum(change)])
    first, last = np.searchsorted(times_s, (times_s - _NEAR_S, times_s + _NEAR_S))
    return (total[last] - total[first]) / np.maximum(last - first, 1)


def _splits(shot: Shot, spec: Clips, nearby: Changes) -> list[float]:
    """Where to split a shot: times inside it, ascending."""
    fewest = max(math.ceil((shot.end_s - shot.start_s) / spec.max_s - 1e-6), 1)
    # A length that is a multiple of the longest clip leaves each split one place: one part more finds frames for all.
    cost, splits_s = _cheapest(shot, spec, nearby, fewest)
    if cost >= _OFF_FRAMES:
        more_cost, more_s = _cheapest(shot, spec, nearby, fewest + 1)
        return more_s if more_cost < _OFF_FRAMES else splits_s
    return splits_s


def _cheapest(shot: Shot, spec: Clips, nearby: Changes, parts: int) -> tuple[float, list[float]]:
    """(cost, times) of the cheapest way to split a shot into so many parts."""
    # Each layer holds the choices for one split, and for each choice the cheapest one before it that can precede it.
    layers: list[tuple[np.ndarray, np.ndarray]] = []
    times_s: np.ndarray = np.array([shot.start_s])
    costs: np.ndarray = np.zeros(1)
    for split in range(1, parts):
        next_s, own = _choices(shot, spec, nearby, split, parts)
        before = _cheapest_before(times_s, costs, next_s, spec)
        times_s, costs = next_s, np.where(before >= 0, costs[before] + own, np.inf)
        layers.append((times_s, before))
    found: list[float] = []
    at = int(np.argmin(costs))
    cost = float(costs[at])
    for choices_s, before in reversed(layers):
        found.append(float(choices_s[at]))
        at = int(before[at])
    return cost, found[::-1]


def _choices(shot: Shot, spec: Clips, nearby: Changes, split: int, parts: int) -> tuple[np.ndarray, np.ndarray]:
    """Times at which one of a shot's splits may lie so that the rest can still fit, and what each costs."""
    length_s, left = shot.end_s - shot.start_s, parts - split
    earliest_s = shot.start_s + max(split * spec.min_s, length_s - left * spec.max_s)
    latest_s = shot.start_s + min(split * spec.max_s, length_s - left * spec.min_s)
    even_s = shot.start_s + length_s * split / parts
    times_s, change = nearby
    inside = slice(*np.searchsorted(times_s, (shot.start_s, shot.end_s)))
    allowed = slice(*np.searchsorted(times_s, (earliest_s - 1e-6, latest_s + 1e-6)))
    mean = max(float(change[inside].mean()), 1e-9) if inside.stop > inside.start else 1.0
    uneven = (times_s[allowed] - even_s) / (length_s / parts)
    cost = change[allowed] / mean + _UNEVEN * uneven**2
    # The even split is always possible, so there is always a way, but it need not be on a frame.
    at = int(np.searchsorted(times_s[allowed], even_s))
    return np.insert(times_s[allowed], at, even_s), np.insert(cost, at, _OFF_FRAMES)


def _cheapest_before(times_s: np.ndarray, costs: np.ndarray, next_s: np.ndarray, spec: Clips) -> np.ndarray:
    """For each next split the cheapest one before it that leaves a part of an allowed length, -1 where none does."""
    best = np.full(len(next_s), -1)
    window: deque[int] = deque()  # ascending times and costs: its head is the cheapest that is still near enough
    entered = 0
    for index, time_s in enumerate(next_s):
        while entered < len(times_s) and times_s[entered] <= time_s - spec.min_s + 1e-6:
            while window and costs[window[-1]] > costs[entered]:
                window.pop()
            window.append(entered)
            entered += 1
        while window and times_s[window[0]] < time_s - spec.max_s - 1e-6:
            window.popleft()
        if window and np.isfinite(costs[window[0]]):
            best[index] = window[0]
    return best
