"""Vectors in half precision, and cosines that depend on nothing but the two vectors.

Matrix products give sums that differ in the last bits with the shape of the matrices, so a score taken from one would
change as an index grows. Here they only choose candidates; a score that is reported is `exact`.
"""

import numpy as np

SLACK = 1e-5
"""By how much the cosine of a float32 matrix product may miss the exact one."""

_PAIRS_AT_ONCE = 4096
_ROWS_AT_ONCE = 1 << 16


def halved(vectors: np.ndarray) -> np.ndarray:
    """float [n, dim] to float16, scaled to unit norm; zero vectors stay zero.

    Raises:
        ValueError: a vector is not finite.
    """
    halves = np.empty(vectors.shape, np.float16)
    for start in range(0, len(vectors), _ROWS_AT_ONCE):
        wide = np.asarray(vectors[start : start + _ROWS_AT_ONCE], dtype=np.float32)
        norms = np.linalg.norm(wide, axis=1, keepdims=True)
        if not np.isfinite(norms).all():
            raise ValueError(f"vector {start + int(np.flatnonzero(~np.isfinite(norms[:, 0]))[0])} is not finite")
        halves[start : start + len(wide)] = wide / np.maximum(norms, np.finfo(np.float32).tiny)
    return halves


def widened(vectors: np.ndarray) -> np.ndarray:
    """float16 [n, dim] to float32 of unit norm again, so that an inner product is a cosine to within SLACK."""
    wide = vectors.astype(np.float32)
    norms = np.sqrt(np.einsum("ij,ij->i", wide, wide))
    wide /= np.maximum(norms, np.finfo(np.float32).tiny)[:, None]
    return wide


def exact(first: np.ndarray, at_first: np.ndarray, second: np.ndarray, at_second: np.ndarray) -> np.ndarray:
    """Cosines float32 [n] of rows of two float16 arrays [.., dim]: the same for two vectors wherever they stand.

    Args:
        at_first, at_second: int64 [n], the rows of `first` and `second` to compare.
    """
    scores = np.zeros(len(at_first))
    for start in range(0, len(at_first), _PAIRS_AT_ONCE):
        part = slice(start, start + _PAIRS_AT_ONCE)
        a, b = first[at_first[part]].astype(np.float64), second[at_second[part]].astype(np.float64)
        squared = (a * a).sum(axis=1) * (b * b).sum(axis=1)
        np.divide((a * b).sum(axis=1), np.sqrt(squared), out=scores[part], where=squared > 0)
    return scores.astype(np.float32)
