"""What one segment answers: candidates of its kind, scored exactly, as items.

Top-level functions of a picklable question, so that a cluster can run them.
"""

from dataclasses import dataclass

import numpy as np

from curate.index import cosine, flat
from curate.index.segment import Segment

_GATHERED = 1 << 20
_SPARE = 32

Found = tuple[int, np.ndarray, np.ndarray, np.ndarray]
"""Position of the segment, and query rows, items and exact scores of what was found in it."""


@dataclass(frozen=True, eq=False)
class Part:
    """A segment in an index.

    Attributes:
        position: of the segment in the index.
        first: the number of its first item.
        alive: bool [items], which items are not gone.
    """

    position: int
    first: int
    segment: Segment
    alive: np.ndarray


@dataclass(frozen=True, eq=False)
class Above:
    """All items with a cosine of at least `threshold`, at most `limit` a query row."""

    part: Part
    queries: np.ndarray
    threshold: float
    limit: int


@dataclass(frozen=True, eq=False)
class Nearest:
    """The `k` best of the items where `allowed`, bool [items]."""

    part: Part
    queries: np.ndarray
    k: int
    allowed: np.ndarray


def above(asked: Above) -> Found:
    """Answers `Above`."""
    segment, alive = asked.part.segment, asked.part.alive
    gathered: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    waiting = 0
    for query, row, rough in flat.above(segment, asked.queries, asked.threshold):
        item = segment.owner[row]
        kept = np.flatnonzero(alive[item])
        kept = kept[worth_scoring(query[kept], item[kept], rough[kept], asked.limit)]
        query, row, item = query[kept], row[kept], item[kept]
        score = cosine.exact(asked.queries, query, segment.vectors, row)
        good = score >= np.float32(asked.threshold)
        gathered.append((query[good], item[good], score[good]))
        waiting += int(good.sum())
        if waiting > _GATHERED:
            gathered = [best(*_joined(gathered), segment.keys, asked.limit)]
            waiting = 0
    return asked.part.position, *best(*_joined(gathered), segment.keys, asked.limit)


def nearest(asked: Nearest) -> Found:
    """Answers `Nearest`: more rows are taken until those left out cannot matter."""
    segment = asked.part.segment
    rows = None if asked.allowed.all() else np.flatnonzero(asked.allowed[segment.owner])
    available = len(segment.vectors) if rows is None else len(rows)
    open_queries = np.arange(len(asked.queries))
    gathered: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    count = 2 * asked.k + _SPARE
    while len(open_queries) and available:
        queries = asked.queries[open_queries]
        found, rough = flat.nearest(segment, queries, count, rows)
        query = np.repeat(np.arange(len(queries)), found.shape[1])
        score = cosine.exact(queries, query, segment.vectors, found.ravel())
        query, item, score = best(query, segment.owner[found.ravel()], score, segment.keys, asked.k)
        left_out = rough.min(axis=1) + 2 * cosine.SLACK
        complete = np.full(len(queries), found.shape[1] >= available)
        kth = np.searchsorted(query, np.arange(len(queries)), side="right") - 1
        full = np.bincount(query, minlength=len(queries)) >= asked.k
        complete |= full & (score[kth] > left_out)
        kept = complete[query]
        gathered.append((open_queries[query[kept]], item[kept], score[kept]))
        open_queries, count = open_queries[~complete], 4 * count
    return asked.part.position, *best(*_joined(gathered), segment.keys, asked.k)


def worth_scoring(query: np.ndarray, item: np.ndarray, rough: np.ndarray, limit: int) -> np.ndarray:
    """Positions of the candidates that can be among the best of their query and the best row of their item.

    Where more than 8 `limit` items come within rounding of the last that is listed, the rest of these is left out.
    """
    if not len(query) or np.bincount(query - query.min()).max() <= limit:
        return np.arange(len(query))
    order = np.lexsort((-rough, item, query))
    new_item = np.r_[True, (np.diff(query[order]) != 0) | (np.diff(item[order]) != 0)]
    group = np.cumsum(new_item) - 1
    top = rough[order][new_item]
    near_top = rough[order] >= top[group] - 2 * cosine.SLACK
    group_query = query[order][new_item]
    ranked = np.lexsort((-top, group_query))
    first = np.searchsorted(group_query, group_query)
    rank = np.empty(len(top), np.int64)
    rank[ranked] = np.arange(len(top))
    rank -= first
    last = np.minimum(first + limit, np.searchsorted(group_query, group_query, side="right")) - 1
    bound = top[ranked][last] - 2 * cosine.SLACK
    kept = (top >= bound) & (rank < 8 * limit)
    return order[near_top & kept[group]]


def best(
    query: np.ndarray, item: np.ndarray, score: np.ndarray, keys: np.ndarray, limit: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The best score of each item for each query; the `limit` best items a query, ordered by query, score and key."""
    order = np.lexsort((-score, item, query))
    query, item, score = query[order], item[order], score[order]
    new = np.flatnonzero(np.r_[np.ones(min(1, len(query)), bool), (np.diff(query) != 0) | (np.diff(item) != 0)])
    query, item, score = query[new], item[new], score[new]
    order = np.lexsort((keys[item], -score, query))
    query, item, score = query[order], item[order], score[order]
    kept = np.arange(len(query)) - np.searchsorted(query, query) < limit
    return query[kept], item[kept], score[kept]


def _joined(parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    parts = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32)), *parts]
    query, item, score = (np.concatenate(column) for column in zip(*parts, strict=True))
    return query, item, score
