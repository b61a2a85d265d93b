"""From frame vectors to segments: what the trained model and the zero-shot baseline share.

A `Track` is a clip or a whole video as frame vectors. Long tracks are read in overlapping windows, and each frame is
judged in the window where it lies most central, so a segment that crosses windows is found once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from curate.model.definitions import Definition, Encoded, EncodedField, Segment
from curate.model.segmenter import Dense, Segmenter, pool_weights

WINDOW_FRAMES = 40
"""Frames that a window holds: 20 s at 2 a second, the longest clip a mix holds by default."""

DEFAULT_THRESHOLD = 0.7
"""Training draws each capability present half of the time, footage shows it seldom. On the sample world F1 at tIoU 0.5
is 0.83 at a threshold of 0.5 and 0.89 at 0.7 over all clips; over clips most of which show it, 0.97 and 0.98."""

BOUNDARY_REACH_S = 0.5
_BATCH = 64


@dataclass(frozen=True)
class Track:
    """Frame vectors [T, D] of unit norm at times_s [T], seconds from where the clip or video starts."""

    times_s: np.ndarray
    vectors: np.ndarray
    duration_s: float


Predictor = Callable[[Sequence[Track], Encoded], list[list[Segment]]]
"""Segments of one definition for each track, in time order and without overlap."""


def trained(model: Segmenter, *, threshold: float = DEFAULT_THRESHOLD) -> Predictor:
    """A predictor that runs a trained model."""

    def predict(tracks: Sequence[Track], encoded: Encoded) -> list[list[Segment]]:
        dense = dense_predictions(model, tracks, encoded)
        found = []
        for track, (scores, reach_s) in zip(tracks, dense, strict=True):
            segments = decode_dense(track, scores, reach_s, encoded.definition, threshold=threshold)
            found.append(_with_fields(segments, _chosen(model, track, encoded, segments)))
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
    device = next(model.parameters()).device
    text, not_text = (torch.from_numpy(vector).to(device) for vector in definition_vectors(encoded))
    spans = [(at, span) for at, track in enumerate(tracks) for span in windows(len(track.times_s))]
    found = [(np.zeros(len(track.times_s)), np.zeros((len(track.times_s), 2))) for track in tracks]
    for first in range(0, len(spans), _BATCH):
        batch = spans[first : first + _BATCH]
        frames, times_s, mask = pad(
            [(tracks[at].vectors[low:high], tracks[at].times_s[low:high]) for at, (low, high, _, _) in batch]
        )
        inputs = (part.to(device) for part in (frames, times_s, mask))
        size = len(batch)
        dense: Dense = model(*inputs, text.expand(size, -1), not_text.expand(size, -1))
        scores, reach_s = dense.logits.sigmoid().float().cpu().numpy(), dense.reach_s.float().cpu().numpy()
        for row, (at, (low, _, keep_low, keep_high)) in enumerate(batch):
            found[at][0][keep_low:keep_high] = scores[row, keep_low - low : keep_high - low]
            found[at][1][keep_low:keep_high] = reach_s[row, keep_low - low : keep_high - low]
    return found


def windows(frames: int, size: int = WINDOW_FRAMES) -> list[tuple[int, int, int, int]]:
    """Windows (low, high) that overlap by half, and the part (keep_low, keep_high) each answers for; parts tile."""
    if frames <= size:
        return [(0, frames, 0, frames)] if frames else []
    lows = [*range(0, frames - size, size // 2), frames - size]
    edges = [0, *((low + size + following) // 2 for low, following in pairwise(lows)), frames]
    return [(low, low + size, edges[at], edges[at + 1]) for at, low in enumerate(lows)]


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
    starts = np.clip(track.times_s - reach_s[:, 0], 0, track.duration_s)
    ends = np.clip(track.times_s + reach_s[:, 1], 0, track.duration_s)
    left = {int(at) for at in np.flatnonzero(scores >= threshold)}
    found: list[Segment] = []
    for best in np.argsort(-scores, kind="stable"):
        if int(best) not in left:
            continue
        group = np.array(sorted(at for at in left if _same(starts, ends, int(best), at)))
        left -= {*group.tolist(), int(best)}
        start_s = _vote(track.times_s[group], starts[group], scores[group])
        end_s = _vote(track.times_s[group], ends[group], scores[group])
        found.append(Segment(start_s, end_s, score=float(scores[group].mean())))
    return settle(found, definition)


def _same(starts: np.ndarray, ends: np.ndarray, best: int, other: int) -> bool:
    shared = min(ends[best], ends[other]) - max(starts[best], starts[other])
    shorter = min(ends[best] - starts[best], ends[other] - starts[other])
    return bool(best == other or shared > 0.5 * shorter)


def _vote(times_s: np.ndarray, boundaries_s: np.ndarray, scores: np.ndarray) -> float:
    nearness = np.exp(-np.abs(times_s - boundaries_s) / BOUNDARY_REACH_S) + 1e-6
    return float(np.average(boundaries_s, weights=nearness * scores))


def settle(segments: Sequence[Segment], definition: Definition) -> list[Segment]:
    """In time order, without overlap (of two, the surer stays whole), inside the definition's time ranges and between
    its least and greatest length."""
    kept: list[Segment] = []
    for segment in sorted(segments, key=lambda s: -s.score):
        start_s, end_s = segment.start_s, segment.end_s
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


def pooled_vectors(track: Track, segment: Segment) -> np.ndarray:
    """[POOLS, D]: the segment's frames as the field head sees them."""
    return pool_weights(track.times_s, segment.start_s, segment.end_s) @ track.vectors


@torch.inference_mode()
def _chosen(model: Segmenter, track: Track, encoded: Encoded, segments: Sequence[Segment]) -> list[dict[str, Any]]:
    fields: list[dict[str, Any]] = [{} for _ in segments]
    if not segments:
        return fields
    device = next(model.parameters()).device
    pooled = torch.from_numpy(np.stack([pooled_vectors(track, segment) for segment in segments])).to(device)
    count = len(segments)
    text = torch.from_numpy(definition_vectors(encoded)[0]).to(device).expand(count, -1)
    for field in encoded.fields:
        values = torch.from_numpy(field.value_vectors).to(device).expand(count, -1, -1)
        name = torch.from_numpy(field.vector).to(device).expand(count, -1)
        mask = torch.ones(values.shape[:2], dtype=torch.bool, device=device)
        _fill(fields, field, model.choose(pooled, text, name, values, mask).argmax(1).tolist())
    return fields


def _fill(fields: list[dict[str, Any]], field: EncodedField, choices: Sequence[int]) -> None:
    for found, choice in zip(fields, choices, strict=True):
        found[field.name] = field.values[choice]


def _with_fields(segments: Sequence[Segment], fields: Sequence[dict[str, Any]]) -> list[Segment]:
    return [replace(segment, fields=found) for segment, found in zip(segments, fields, strict=True)]
