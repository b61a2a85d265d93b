"""Which untargeted clips a mix replays: an even spread over embedding space, not over what happens to be abundant.

Clips are clustered, and the clusters again, after Vo et al., "Automatic Data Curation for Self-Supervised Learning: A
Clustering-Based Approach" (2024): fine clusters follow the density of the footage, clusters of their centres do not. Of
a cluster's parts each gives min(its clips, t), with t such that the sum is what is asked of the cluster, and so on down
to clips. Parts that take turns give just that, for every amount at once: so the answer is one order of all clips.

Centres are fitted to a sample; each clip then goes to the nearest cluster of centres, and to the nearest centre in it.
1,000,000 vectors of 512 numbers take about a quarter of a minute on two cores, and memory for one block at a time.
"""

import math

import numpy as np
import polars as pl
from scipy.sparse import csr_array

from curate.identity import work_key
from curate.mixes.solving.chance import turns
from curate.vectors import matrix, unit

_MOST_CENTRES, _SAMPLE = 512, 20_000
_BLOCK = 1 << 15
_ROUNDS = 10


def spread(vectors: pl.Series, count: int, *, seed: int) -> np.ndarray:
    """All row numbers in the order they should be taken: any first part of it is spread over the clusters.

    Args:
        vectors: packed (`curate.vectors`), unit norm; rows in an order that does not depend on the catalog's.
        count: how many will be taken, about; sets the number of clusters.
        seed: of the clustering.
    """
    if vectors.is_empty() or count <= 0:
        return np.zeros(0, dtype=np.int64)
    rng = np.random.default_rng(int(work_key("replay", seed), 16))
    some = np.sort(rng.permutation(len(vectors))[:_SAMPLE])
    points = matrix(vectors.gather(some))
    centres = _centres(points, min(len(points), _MOST_CENTRES, 2 * count), rng)
    tops = _centres(centres, 2 * math.isqrt(len(centres)), rng)
    top_of = (centres @ tops.T).argmax(axis=1)
    fine, coarse = np.empty(len(vectors), dtype=np.int64), np.empty(len(vectors), dtype=np.int64)
    for start in range(0, len(vectors), _BLOCK):
        block = matrix(vectors.slice(start, _BLOCK))
        coarse[start : start + _BLOCK], fine[start : start + _BLOCK] = _nearest(block, centres, tops, top_of)
    order = np.lexsort((fine, turns(fine)))
    turn = np.empty(len(vectors), dtype=np.int64)
    turn[order] = turns(coarse[order])
    return np.lexsort((coarse, turn))


def _nearest(
    points: np.ndarray, centres: np.ndarray, tops: np.ndarray, top_of: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Of each point the nearest top that has centres, and the nearest of its centres."""
    held = np.unique(top_of)
    coarse = held[(points @ tops[held].T).argmax(axis=1)]
    fine = np.empty(len(points), dtype=np.int64)
    for top in np.unique(coarse):
        mine, under = np.flatnonzero(coarse == top), np.flatnonzero(top_of == top)
        fine[mine] = under[(points[mine] @ centres[under].T).argmax(axis=1)]
    return coarse, fine


def _centres(points: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Spherical k-means (Lloyd), started from points far apart."""
    centres = np.empty((count, points.shape[1]), dtype=points.dtype)
    centres[0] = points[int(rng.integers(len(points)))]
    nearest = points @ centres[0]
    for at in range(1, count):
        centres[at] = points[int(nearest.argmin())]
        nearest = np.maximum(nearest, points @ centres[at])
    for _ in range(_ROUNDS):
        member = (points @ centres.T).argmax(axis=1)
        of = csr_array(
            (np.ones(len(points), points.dtype), (member, np.arange(len(points)))), shape=(count, len(points))
        )
        sums = of @ points
        filled = np.linalg.norm(sums, axis=1) > 0
        moved = centres.copy()
        moved[filled] = unit(sums[filled])
        if np.array_equal(moved, centres):
            break
        centres = moved
    return centres
