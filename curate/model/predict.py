"""From frame vectors to segments by a trained model: windows, what it says of each frame, and the fields.

A `Track` is a clip or a whole video as frame vectors. Long tracks are read in overlapping windows, and each frame is
judged in the window where it lies most central, so a segment that crosses windows is found once. A frame speaks for no
time that its window does not show, and a segment is told from the frames near it: nothing depends on frames far away,
and `curate.model.stream` finds the same segments while a video is still being read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from curate.model.definitions import Encoded, Segment
from curate.model.segmenter import Dense, Segmenter, pool_weights
from curate.model.track import WINDOW_FRAMES, Predictor, Track
from curate.model.voting import decode_dense

DEFAULT_THRESHOLD = 0.7
"""Training draws each capability present half of the time, footage shows it seldom. On the sample world F1 at tIoU 0.5
is 0.83 at a threshold of 0.5 and 0.89 at 0.7 over all clips; over clips most of which show it, 0.97 and 0.98."""

_BATCH = 64


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
