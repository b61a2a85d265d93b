"""Segments without training: where frames are more like the definition's texts than like what it is mistaken for.

The baseline that a trained model must beat. The similarity of a frame has a level of its own in each scene, and
differs between definitions, so the threshold is set from the tracks themselves: see `level`. It needs no label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from curate.model.definitions import Encoded, Segment
from curate.model.predict import pooled_vectors
from curate.model.track import Track
from curate.model.voting import settle


def predict(tracks: Sequence[Track], encoded: Encoded) -> list[list[Segment]]:
    """Segments of one definition for each track. A `predict.Predictor`."""
    curves = [curve(track, encoded) for track in tracks]
    threshold = level(np.concatenate([*curves, np.zeros(0)]))
    found = []
    for track, values in zip(tracks, curves, strict=True):
        segments = settle(above(track, values, threshold), encoded.definition, track.edges_s)
        found.append([replace(segment, fields=_fields(track, encoded, segment)) for segment in segments])
    return found


def curve(track: Track, encoded: Encoded) -> np.ndarray:
    """[T]: similarity to the nearest of the frame texts less that to the nearest of the not-texts, smoothed (1 2 1)."""
    if not len(track.times_s):
        return np.zeros(0)
    values = (track.vectors @ encoded.frame_texts.T).max(1) - (track.vectors @ encoded.not_texts.T).max(1)
    padded = np.pad(values, 1, mode="edge")
    return np.asarray((padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4)


def level(values: np.ndarray) -> float:
    """The value that splits `values` [n] best in two (Otsu 1979), and at least 0: nearer to a not-text is never on."""
    ordered = np.sort(values)
    if len(ordered) < 2:
        return 0.0
    below = np.arange(1, len(ordered))
    sums = np.cumsum(ordered)
    low, high = sums[:-1] / below, (sums[-1] - sums[:-1]) / (len(ordered) - below)
    split = int((below * (len(ordered) - below) * (high - low) ** 2).argmax())
    return max(0.0, float(ordered[split] + ordered[split + 1]) / 2)


def above(track: Track, values: np.ndarray, threshold: float) -> list[Segment]:
    """Runs of frames above `threshold`, with boundaries where the line between two frames crosses it."""
    on = values > threshold
    edges = np.flatnonzero(np.diff(np.concatenate([[False], on, [False]]).astype(int)))
    segments = []
    for first, end in zip(edges[::2], edges[1::2], strict=True):
        start_s = 0.0 if first == 0 else _crossing(track, values, threshold, first - 1)
        end_s = track.duration_s if end == len(values) else _crossing(track, values, threshold, end - 1)
        score = float(values[first:end].mean() - threshold)
        segments.append(Segment(start_s, max(end_s, start_s), score=score))
    return segments


def _crossing(track: Track, values: np.ndarray, threshold: float, at: int) -> float:
    """When the line from frame `at` to the next one is at the threshold, which lies between the two."""
    share = (threshold - values[at]) / (values[at + 1] - values[at])
    return float(track.times_s[at] + share * (track.times_s[at + 1] - track.times_s[at]))


def _fields(track: Track, encoded: Encoded, segment: Segment) -> dict[str, str | bool]:
    mean = pooled_vectors(track, segment)[0]
    return {field.name: field.values[int((field.value_vectors @ mean).argmax())] for field in encoded.fields}
