"""From frame vectors to segments: what the trained model and the zero-shot baseline share.

A `Track` is a clip or a whole video as frame vectors. Long tracks are read in overlapping windows, and each frame is
judged in the window where it lies most central, so a segment that crosses windows is found once. A frame speaks for no
time that its window does not show, and a segment is told from the frames near it: nothing depends on frames far away,
and `curate.model.stream` finds the same segments while a video is still being read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from curate.model.definitions import Definition, Encoded, Segment
from curate.model.segmenter import Dense, Segmenter, pool_weights

WINDOW_FRAMES = 40
"""Frames that a window holds: 20 s at 2 a second, the longest clip a mix holds by default."""

DEFAULT_THRESHOLD = 0.7
"""Training draws each capability present half of the time, footage shows it seldom. On the sample world F1 at tIoU 0.5
is 0.83 at a threshold of 0.5 and 0.89 at 0.7 over all clips; over clips most of which show it, 0.97 and 0.98."""

RUN_FRAMES = 5 * WINDOW_FRAMES

BOUNDARY_REACH_S = 0.5
_BATCH = 64


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


def trained(model: Segmenter, *, threshold: float = DEFAULT_THRESHOLD) -> Predictor:
    """A predictor that runs a trained model."""

    def predict(tracks: Sequence[Track], encoded: Encoded) -> list[list[Segment]]:
        dense = dense_predictions(model, tracks, encoded)
        found = []
        for track, (scores, reach_s) in zip(tracks, dense, strict=True):
            segments = decode_dense(track, scores, reach_s, encoded.definition, threshold=threshold)
            found.append(with_fields(model, track, encoded, segments))
        return found

    return predict


def definition_vectors(encoded: Encoded) -> tuple[np.ndarray, np.ndarray]:
    """The two vectors [dim] a model takes for a definition: what a frame of it shows, and what it is mistaken for."""
    return _unit_mean(encoded.texts), _unit_mean(encoded.not_texts)


def _unit_mean(vectors: np.ndarray) -> np.ndarray:
    mean = vectors.mean(0)
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-12), dtype=np.float32)


@torch.inference_mode()
def dense_predictions(
    model: Segmenter, tracks: Sequence[Track], encoded: Encoded
) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each track: the chance [T] that the segment is on at a frame, and the seconds [T, 2] to its start and end."""
    found = [(np.zeros(len(track.times_s)), np.zeros((len(track.times_s), 2))) for track in tracks]
    spans = [(at, span) for at, track in enumerate(tracks) for span in windows(len(track.times_s))]
    for first in range(0, len(spans), _BATCH):
        batch = spans[first : first + _BATCH]
        dense = read_windows(model, [(tracks[at], window) for at, window in batch], encoded)
        for (at, window), (scores, reach_s) in zip(batch, dense, strict=True):
            found[at][0][window.keep_low : window.keep_high] = scores
            found[at][1][window.keep_low : window.keep_high] = reach_s
    return found


@dataclass(frozen=True)
class Window:
    """Frames low to high of a track, of which it answers for keep_low to keep_high."""

    low: int
    high: int
    keep_low: int
    keep_high: int
    begins: bool = True  # whether low is where the track begins, high where it ends: other bounds cut what is seen
    ends: bool = True


@torch.inference_mode()
def read_windows(
    model: Segmenter, parts: Sequence[tuple[Track, Window]], encoded: Encoded
) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each window the chances and seconds of the frames that it answers for, as `dense_predictions` gives them."""
    device = next(model.parameters()).device
    text, not_text = (torch.from_numpy(vector).to(device) for vector in definition_vectors(encoded))
    frames, times_s, mask = pad([(track.vectors[w.low : w.high], track.times_s[w.low : w.high]) for track, w in parts])
    inputs = (part.to(device) for part in (frames, times_s, mask))
    dense: Dense = model(*inputs, text.expand(len(parts), -1), not_text.expand(len(parts), -1))
    scores, reach_s = dense.logits.sigmoid().float().cpu().numpy(), dense.reach_s.float().cpu().numpy()
    found = []
    for row, (track, w) in enumerate(parts):
        own, kept_s = slice(w.keep_low - w.low, w.keep_high - w.low), track.times_s[w.keep_low : w.keep_high]
        reach = reach_s[row, own].astype(np.float64)
        if not w.begins:
            reach[:, 0] = np.minimum(reach[:, 0], kept_s - track.times_s[w.low])
        if not w.ends:
            reach[:, 1] = np.minimum(reach[:, 1], track.times_s[w.high - 1] - kept_s)
        found.append((scores[row, own].astype(np.float64), reach))
    return found


def windows(frames: int, size: int = WINDOW_FRAMES) -> list[Window]:
    """Windows that overlap by half; the parts that they answer for tile the frames."""
    if frames <= size:
        return [Window(0, frames, 0, frames)] if frames else []
    lows = [*range(0, frames - size, size // 2), frames - size]
    edges = [0, *((low + size + following) // 2 for low, following in pairwise(lows)), frames]
    return [
        Window(low, low + size, edges[at], edges[at + 1], begins=low == 0, ends=low + size == frames)
        for at, low in enumerate(lows)
    ]


def pad(parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(vectors [T, D], times [T]) of several lengths to frames [B, T, D], times from the first [B, T], mask [B, T]."""
    longest = max(len(times_s) for _, times_s in parts)
    frames = np.zeros((len(parts), longest, parts[0][0].shape[1]), dtype=np.float32)
    times, mask = np.zeros((len(parts), longest), dtype=np.float32), np.zeros((len(parts), longest), dtype=bool)
    for row, (vectors, times_s) in enumerate(parts):
        count = len(times_s)
        frames[row, :count], times[row, :count], mask[row, :count] = vectors, times_s - times_s[0], True
    return torch.from_numpy(frames), torch.from_numpy(times), torch.from_numpy(mask)


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


def pooled_vectors(track: Track, segment: Segment) -> np.ndarray:
    """[POOLS, D]: the segment's frames as the field head sees them, beside others no farther than a window holds."""
    first, end = np.searchsorted(track.times_s, (segment.start_s, segment.end_s))
    around = max(WINDOW_FRAMES - int(end - first), 0)
    near = slice(max(int(first) - around, 0), int(end) + around)
    return pool_weights(track.times_s[near], segment.start_s, segment.end_s) @ track.vectors[near]


@torch.inference_mode()
def with_fields(model: Segmenter, track: Track, encoded: Encoded, segments: Sequence[Segment]) -> list[Segment]:
    """The segments of a track with the value that the model chooses for each field it can fill."""
    if not segments:
        return []
    device = next(model.parameters()).device
    pooled = torch.from_numpy(np.stack([pooled_vectors(track, segment) for segment in segments])).to(device)
    count = len(segments)
    text = torch.from_numpy(definition_vectors(encoded)[0]).to(device).expand(count, -1)
    fields: list[dict[str, Any]] = [{} for _ in segments]
    for field in encoded.fields:
        values = torch.from_numpy(field.value_vectors).to(device).expand(count, -1, -1)
        name = torch.from_numpy(field.vector).to(device).expand(count, -1)
        mask = torch.ones(values.shape[:2], dtype=torch.bool, device=device)
        choices = model.choose(pooled, text, name, values, mask).argmax(1).tolist()
        for found, choice in zip(fields, choices, strict=True):
            found[field.name] = field.values[choice]
    return [replace(segment, fields=found) for segment, found in zip(segments, fields, strict=True)]
