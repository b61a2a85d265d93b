"""Where in a clip what is asked for is best seen, and how well: the mean score of its best WINDOW frames in a row.

So a short event in a long clip counts, and a single odd frame does not. With the sample CLIP, windows of 1 to 3 frames
make no difference to the mean average precision over its nine capabilities.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from curate.standing.frames import Frames

WINDOW = 2
_CLIPS_AT_ONCE = 4096


@dataclass(frozen=True)
class Best:
    """For each clip: float32 `similarity` [n], and where it is best, in source seconds, float64 [n] each."""

    similarity: np.ndarray
    start_s: np.ndarray
    end_s: np.ndarray


def best_windows(embeddings: pl.DataFrame, directions: np.ndarray, *, frames_per_s: float) -> list[Best]:
    """The best window of each clip for each direction.

    Args:
        embeddings: rows with `frame_times_s`, `frame_vectors`, and the clip's `end_s`.
        directions: float32 [d, dim].
        frames_per_s: at which the frames were embedded: a window ends when its last frame does, or the clip.

    Returns:
        One for each direction, its arrays in the order of the rows.
    """
    parts = [
        windows_of(Frames.of_rows(rows), directions, frames_per_s=frames_per_s)
        for rows in embeddings.iter_slices(_CLIPS_AT_ONCE)
    ]
    clip_end_s = embeddings["end_s"].to_numpy()
    found = []
    for at in range(len(directions)):
        of = [part[at] for part in parts] or [Best(np.zeros(0, np.float32), np.zeros(0), np.zeros(0))]
        end_s = np.minimum(np.concatenate([best.end_s for best in of]), clip_end_s)
        similarity = np.concatenate([best.similarity for best in of])
        found.append(Best(similarity, np.concatenate([best.start_s for best in of]), end_s))
    return found


def windows_of(frames: Frames, directions: np.ndarray, *, frames_per_s: float) -> list[Best]:
    """`best_windows` of frames; a window's end may lie beyond the clip's by less than a frame."""
    if not len(frames.counts):
        return [Best(np.zeros(0, np.float32), np.zeros(0), np.zeros(0)) for _ in directions]
    width = np.minimum(frames.counts, WINDOW)
    first = frames.first
    place = np.arange(len(frames.times_s)) - np.repeat(first, frames.counts)
    beyond = place > np.repeat(frames.counts - width, frames.counts)
    scores = frames.vectors.astype(np.float32) @ directions.T
    found = []
    for score in scores.T:
        means = window_sums(score, frames.counts) / np.repeat(width, frames.counts)
        means[beyond] = -np.inf
        similarity = np.maximum.reduceat(means, first)
        reached = np.flatnonzero(means == np.repeat(similarity, frames.counts))
        best = reached[np.searchsorted(reached, first)]
        end_s = frames.times_s[best + width - 1] + 1 / frames_per_s
        found.append(Best(similarity.astype(np.float32), frames.times_s[best], end_s))
    return found


def window_sums(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """For each frame the sum over the window that it begins, float64 [frames, ...]; cut off where the clip ends.

    Args:
        values: [frames, ...].
        counts: int64 [n], frames of each clip.
    """
    left = np.repeat(np.cumsum(counts), counts) - np.arange(len(values))
    sums = values.astype(np.float64)
    for step in range(1, min(WINDOW, len(values))):
        inside = left[:-step] > step
        sums[:-step][inside] += values[step:][inside]
    return sums
