"""Every vector of a segment, or of a part of it, against every query, by blocks of matrix products."""

from collections.abc import Iterator

import numpy as np

from curate.index import cosine

_QUERIES, _ROWS = 1024, 8192

Candidates = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Query rows int64 [m], rows int64 [m] and their cosines to within SLACK, float32 [m]."""


def above(vectors: np.ndarray, queries: np.ndarray, threshold: float) -> Iterator[Candidates]:
    """All of `vectors` that may reach `threshold`, some at a time; both are float16 [.., dim]."""
    for first, wide in _blocks(queries, _QUERIES):
        for start, rows in _blocks(vectors, _ROWS):
            scores = wide @ rows.T
            query, row = np.nonzero(scores >= threshold - cosine.SLACK)
            yield query + first, row + start, scores[query, row]


def nearest(
    vectors: np.ndarray, queries: np.ndarray, count: int, rows: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """The `count` nearest of `rows` (int64; all where None) for each query, in no order.

    Returns:
        int64 rows [q, at most count] and their cosines to within SLACK, float32.
    """
    total = len(vectors) if rows is None else len(rows)
    count = min(count, total)
    found = np.zeros((len(queries), count), np.int64)
    scores = np.zeros((len(queries), count), np.float32)
    for first, wide in _blocks(queries, _QUERIES):
        best: np.ndarray = np.zeros((len(wide), 0), np.float32)
        at: np.ndarray = np.zeros((len(wide), 0), np.int64)
        for start in range(0, total, _ROWS):
            part = np.arange(start, min(start + _ROWS, total)) if rows is None else rows[start : start + _ROWS]
            block = wide @ cosine.widened(vectors[part]).T
            best = np.concatenate([best, block], axis=1)
            at = np.concatenate([at, np.broadcast_to(part, block.shape)], axis=1)
            if best.shape[1] > count:
                kept = np.argpartition(-best, count - 1, axis=1)[:, :count]
                best, at = np.take_along_axis(best, kept, 1), np.take_along_axis(at, kept, 1)
        found[first : first + len(wide)], scores[first : first + len(wide)] = at, best
    return found, scores


def _blocks(vectors: np.ndarray, size: int) -> Iterator[tuple[int, np.ndarray]]:
    for start in range(0, len(vectors), size):
        yield start, cosine.widened(vectors[start : start + size])
