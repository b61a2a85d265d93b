"""Segments while a video is still being read: memory that does not grow with it, and the answer of all of it at once.

A window is read as soon as its frames and those of the next are there. What a frame proposes lies around its own time
and inside its window, so proposals that touch are neighbours in time, and what ends before the next window begins can
be touched by nothing that comes: those segments are final. Kept are the frames of two windows, and of a run of
proposals that goes on. Zero-shot has no such end, since its level is taken from the whole video: it answers last.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from curate.model import zero_shot
from curate.model.definitions import Encoded, Segment
from curate.model.predict import DEFAULT_THRESHOLD, Window, read_windows, windows, with_fields
from curate.model.segmenter import Segmenter
from curate.model.track import WINDOW_FRAMES, Track
from curate.model.voting import runs, segments_of

Found = tuple[str, Segment]
"""A definition's id, and a segment of it."""

_STEP = WINDOW_FRAMES // 2
_LOOK_BACK = 2 * WINDOW_FRAMES
"""A segment of frames to come may begin a window before them, and is told from frames up to a window before that."""


class Stream(Protocol):
    """What finds segments of some definitions in one video. Of each definition they come in time order."""

    def feed(self, times_s: np.ndarray, vectors: np.ndarray) -> list[Found]:
        """Takes the next frames, [n] and [n, dim]; returns the segments that are final now."""
        ...

    def finish(self, duration_s: float) -> list[Found]:
        """Returns the other segments, the video being over."""
        ...


Opener = Callable[[Sequence[Encoded], np.ndarray | None], Stream]
"""Begins a stream: definitions, and when pictures of the source begin (`Track.edges_s`)."""


def trained_stream(model: Segmenter, *, threshold: float = DEFAULT_THRESHOLD) -> Opener:
    """Streams that run a trained model; together they find what `predict.trained` finds in the whole track."""
    return lambda encoded, edges_s: _Trained(model, threshold, edges_s, [_Open(one) for one in encoded])


def zero_shot_stream(encoded: Sequence[Encoded], edges_s: np.ndarray | None) -> Stream:
    """A stream that answers when the video is over. It keeps the vectors: 30 MB for two hours at 512 dimensions."""
    return _ZeroShot(encoded, edges_s)


@dataclass
class _Open:
    """What is not final of one definition: chances and reaches of the frames from `first` on, counted from the start
    of the video."""

    encoded: Encoded
    first: int = 0
    low_s: float = -np.inf  # where a run before `first` was cut off
    scores: np.ndarray = field(default_factory=lambda: np.zeros(0))
    reach_s: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))


class _Trained:
    def __init__(self, model: Segmenter, threshold: float, edges_s: np.ndarray | None, opened: list[_Open]) -> None:
        self._model, self._threshold, self._edges_s, self._opened = model, threshold, edges_s, opened
        self._times_s: np.ndarray = np.zeros(0)
        self._vectors: np.ndarray = np.zeros((0, model.shape.dim), np.float32)
        self._dropped = 0  # frames before those that are kept
        self._low = 0  # where the next window begins, from the start of the video
        self._judged = 0  # frames that a window has answered for

    def feed(self, times_s: np.ndarray, vectors: np.ndarray) -> list[Found]:
        self._times_s = np.concatenate([self._times_s, times_s])
        self._vectors = np.concatenate([self._vectors, vectors])
        ready = []
        while self._dropped + len(self._times_s) >= self._low + WINDOW_FRAMES + _STEP:
            keep = self._low + WINDOW_FRAMES - WINDOW_FRAMES // 4
            ready.append(self._window(self._low, self._low + WINDOW_FRAMES, keep, ends=False))
            self._judged, self._low = keep, self._low + _STEP
        return self._read(ready, self._times_s[self._low - self._dropped], np.inf) if ready else []

    def finish(self, duration_s: float) -> list[Found]:
        count = self._dropped + len(self._times_s)
        last = []
        for window in windows(count - self._low) if count else []:
            low, high, keep = (at + self._low for at in (window.low, window.high, window.keep_high))
            last.append(self._window(low, high, keep, ends=window.ends))
            self._judged = keep
        return self._read(last, np.inf, duration_s) if last else []

    def _window(self, low: int, high: int, keep_high: int, *, ends: bool) -> Window:
        begins, offset = low == 0, self._dropped
        return Window(low - offset, high - offset, self._judged - offset, keep_high - offset, begins=begins, ends=ends)

    def _read(self, ready: list[Window], horizon_s: float, duration_s: float) -> list[Found]:
        """Judges windows, and returns what ends before the horizon, which nothing that comes reaches beyond."""
        kept = Track(self._times_s, self._vectors, duration_s, self._edges_s)
        found: list[Found] = []
        for opened in self._opened:
            dense = read_windows(self._model, [(kept, window) for window in ready], opened.encoded)
            opened.scores = np.concatenate([opened.scores, *(scores for scores, _ in dense)])
            opened.reach_s = np.concatenate([opened.reach_s, *(reach_s for _, reach_s in dense)])
            found += self._closed(opened, kept, horizon_s)
        needed = min([self._low, *(opened.first for opened in self._opened)]) - _LOOK_BACK
        if needed > self._dropped:
            self._times_s = self._times_s[needed - self._dropped :]
            self._vectors = self._vectors[needed - self._dropped :]
            self._dropped = needed
        return sorted(found, key=lambda one: one[1].start_s)

    def _closed(self, opened: _Open, kept: Track, horizon_s: float) -> list[Found]:
        at = opened.first - self._dropped
        own = slice(at, at + len(opened.scores))
        part = Track(kept.times_s[own], kept.vectors[own], kept.duration_s, kept.edges_s)
        dense = opened.scores, opened.reach_s
        closed, count = runs(part, *dense, self._threshold, horizon_s=horizon_s, low_s=opened.low_s)
        segments = segments_of(part, *dense, closed, opened.encoded.definition, self._threshold)
        if closed:
            last = closed[-1]
            opened.low_s = last.high_s if last.high_s < np.inf else last.low_s
        opened.first, opened.scores, opened.reach_s = (
            opened.first + count,
            opened.scores[count:],
            opened.reach_s[count:],
        )
        told = with_fields(self._model, kept, opened.encoded, segments)
        return [(opened.encoded.definition.id, segment) for segment in told]


class _ZeroShot:
    def __init__(self, encoded: Sequence[Encoded], edges_s: np.ndarray | None) -> None:
        self._encoded, self._edges_s = encoded, edges_s
        self._parts: list[tuple[np.ndarray, np.ndarray]] = []

    def feed(self, times_s: np.ndarray, vectors: np.ndarray) -> list[Found]:
        self._parts.append((times_s, vectors))
        return []

    def finish(self, duration_s: float) -> list[Found]:
        if not self._parts:
            return []
        times_s, vectors = (np.concatenate(part) for part in zip(*self._parts, strict=True))
        track = Track(times_s, vectors, duration_s, self._edges_s)
        return [
            (encoded.definition.id, segment)
            for encoded in self._encoded
            for segment in zero_shot.predict([track], encoded)[0]
        ]
