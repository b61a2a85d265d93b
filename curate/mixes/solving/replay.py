"""Which untargeted clips a mix replays: an even spread over embedding space, not over what happens to be abundant.

Clips are clustered by k-means, and the clusters take turns: after Vo et al., "Automatic Data Curation for
Self-Supervised Learning: A Clustering-Based Approach" (2024), with one level of clusters.
"""

import math

import numpy as np
import polars as pl

from curate.identity import work_key
from curate.vectors import matrix, unit

_MAX_CLUSTERS = 256
_ROUNDS = 20


def spread(vectors: pl.Series, count: int, *, seed: int) -> list[int]:
    """All row numbers in the order they should be taken: any first part of it is spread over the clusters.

    Args:
        vectors: packed (`curate.vectors`), unit norm; rows in an order that does not depend on the catalog's.
        count: how many will be taken, about; sets the number of clusters.
        seed: of the clustering.
    """
    if vectors.is_empty() or count <= 0:
        return []
    points = matrix(vectors)
    clusters = min(len(points), _MAX_CLUSTERS, max(1, math.isqrt(count * 4)))
    member = _clusters(points, clusters, np.random.default_rng(int(work_key("replay", seed), 16)))
    turn = np.zeros(len(points), dtype=np.int64)
    for cluster in range(clusters):
        mine = np.flatnonzero(member == cluster)
        turn[mine] = np.arange(len(mine))
    return [int(index) for index in np.lexsort((member, turn))]


def _clusters(points: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Spherical k-means (Lloyd), started from points far apart. Returns the cluster of each point."""
    centres = points[[int(rng.integers(len(points)))]]
    nearest = points @ centres[0]
    while len(centres) < count:
        farthest = int(nearest.argmin())
        centres = np.vstack([centres, points[farthest]])
        nearest = np.maximum(nearest, points @ points[farthest])
    member = (points @ centres.T).argmax(axis=1)
    for _ in range(_ROUNDS):
        sums = np.zeros_like(centres)
        np.add.at(sums, member, points)
        filled = np.linalg.norm(sums, axis=1) > 0
        centres[filled] = unit(sums[filled])
        moved = (points @ centres.T).argmax(axis=1)
        if np.array_equal(moved, member):
            break
        member = moved
    return member
