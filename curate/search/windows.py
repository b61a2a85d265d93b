"""Where in a clip what is asked for is best seen, and how well: the mean score of its best WINDOW frames in a row.

So a short event in a long clip counts, and a single odd frame does not. With the sample CLIP, windows of 1 to 3 frames
make no difference to the mean average precision over its nine capabilities.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from curate.vectors import unpack

WINDOW = 2


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
        frames_per_s: at which the frames were embedded: a window ends when its last frame does.

    Returns:
        One for each direction, its arrays in the order of the rows.
    """
    kept: list[list[tuple[float, float, float]]] = [[] for _ in directions]
    for times, packed, clip_end_s in embeddings.select("frame_times_s", "frame_vectors", "end_s").iter_rows():
        scores = unpack(packed, len(times)) @ directions.T
        width = min(WINDOW, len(times))
        sums = np.concatenate([np.zeros((1, len(directions))), np.cumsum(scores, axis=0, dtype=np.float64)])
        means = (sums[width:] - sums[:-width]) / width
        for at, first in enumerate(means.argmax(axis=0)):
            end_s = min(times[first + width - 1] + 1 / frames_per_s, clip_end_s)
            kept[at].append((float(means[first, at]), times[first], end_s))
    columns = (np.array(rows, dtype=np.float64).reshape(-1, 3) for rows in kept)
    return [Best(rows[:, 0].astype(np.float32), rows[:, 1], rows[:, 2]) for rows in columns]
