"""Every vector of a segment against every query on a GPU, where FAISS has one: exact, and faster there than cells here.

The k nearest of each block are taken, k growing until the last of them is below the threshold.
"""

from collections.abc import Iterator

import faiss
import numpy as np

from curate.index import flat

_QUERIES, _ROWS = 1 << 14, 1 << 20
_FIRST, _MOST = 32, 2048
_ROUNDING = 2e-3
"""By how much an inner product of half-precision vectors may miss the cosine: they are of unit norm to 2^-11."""


def available() -> bool:
    """Whether FAISS was built for GPUs (`faiss-gpu`) and sees one."""
    return bool(faiss.get_num_gpus())


def above(vectors: np.ndarray, queries: np.ndarray, threshold: float) -> Iterator[flat.Candidates]:
    """All of `vectors` that may reach `threshold`, some at a time; both are float16 [.., dim]."""
    resources = faiss.StandardGpuResources()
    bound = threshold - _ROUNDING
    for first in range(0, len(queries), _QUERIES):
        asked = np.ascontiguousarray(queries[first : first + _QUERIES])
        for start in range(0, len(vectors), _ROWS):
            rows = np.ascontiguousarray(vectors[start : start + _ROWS])
            waiting, count = np.arange(len(asked)), min(_FIRST, len(rows))
            while len(waiting) and count <= _MOST:
                scores, at = faiss.knn_gpu(resources, asked[waiting], rows, count, metric=faiss.METRIC_INNER_PRODUCT)
                complete = (scores[:, -1] < bound) | (count == len(rows))
                query, column = np.nonzero((scores >= bound) & complete[:, None])
                yield waiting[query] + first, at[query, column] + start, scores[query, column]
                waiting, count = waiting[~complete], min(4 * count, len(rows))
            if len(waiting):
                for query, row, score in flat.above(rows, asked[waiting], threshold):
                    yield waiting[query] + first, row + start, score
