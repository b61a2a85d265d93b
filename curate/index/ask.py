"""What one segment answers: candidates of its kind, scored exactly, as items.

Top-level functions of a picklable question, so that a cluster can run them.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from curate.index import cosine, flat, gpu, kinds
from curate.index.segment import Segment

_AT_ONCE = 1 << 16
_MOST_WAITING = 1 << 22
_SPARE = 32

Scored = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Query rows int64 [m], items int64 [m] and scores float32 [m]."""

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
    """Answers `Above`: all of it on a GPU, or what lies in the cells near a query where a segment has cells."""
    segment = asked.part.segment
    if gpu.available():
        return _scored(asked, gpu.above(segment.vectors, asked.queries, asked.threshold), close=False)
    if segment.cells:
        return _scored(asked, segment.cells.above(asked.queries, asked.threshold), close=False)
    return exactly_above(asked)


def exactly_above(asked: Above) -> Found:
    """Answers `Above` by brute force here: the truth that recall is measured against."""
    return _scored(asked, flat.above(asked.part.segment.vectors, asked.queries, asked.threshold), close=True)


def _scored(asked: Above, candidates: Iterator[flat.Candidates], *, close: bool) -> Found:
    """What of the candidates reaches the threshold; `close` says that they come with cosines to within SLACK."""
    segment, alive = asked.part.segment, asked.part.alive
    found: list[Scored] = []
    waiting = 0
    for query, row, rough in _in_larger_parts(candidates):
        item = segment.owner[row]
        kept = np.flatnonzero(alive[item])
        if close:
            kept = kept[_worth_scoring(query[kept], item[kept], rough[kept], asked.limit)]
        query, row, item = query[kept], row[kept], item[kept]
        score = cosine.exact(asked.queries, query, segment.vectors, row)
        good = score >= np.float32(asked.threshold)
        found.append((query[good], item[good], score[good]))
        waiting += int(good.sum())
        if waiting > _MOST_WAITING:
            found, waiting = [best(*_joined(found), segment.keys, asked.limit)], 0
    return asked.part.position, *best(*_joined(found), segment.keys, asked.limit)


def nearest(asked: Nearest) -> Found:
    """Answers `Nearest`: exactly where few rows are allowed, else among what the codes rank first."""
    segment = asked.part.segment
    rows = None if asked.allowed.all() else np.flatnonzero(asked.allowed[segment.owner])
    available = len(segment.vectors) if rows is None else len(rows)
    if not segment.cells or available <= kinds.GATHERED:
        return asked.part.position, *_exactly_nearest(segment, asked.queries, asked.k, rows)
    found: list[Scored] = []
    waiting: np.ndarray = np.arange(len(asked.queries))
    count = math.ceil(max(kinds.RANKED, 8 * asked.k) * len(segment.vectors) / available)
    while len(waiting):
        ranked = segment.cells.nearest(asked.queries[waiting], count)
        unfinished = []
        for at, row in zip(waiting.tolist(), ranked, strict=True):
            row = np.sort(row[row >= 0])
            row = row[asked.allowed[segment.owner[row]]]
            query, item, score = _exactly_nearest(segment, asked.queries[at : at + 1], asked.k, row)
            if len(item) < asked.k and count < len(segment.vectors):
                unfinished.append(at)
            else:
                found.append((query + at, item, score))
        waiting, count = np.array(unfinished, np.int64), 4 * count
    return asked.part.position, *best(*_joined(found), segment.keys, asked.k)


def exactly_nearest(asked: Nearest) -> Found:
    """Answers `Nearest` by brute force."""
    return nearest(replace(asked, part=replace(asked.part, segment=replace(asked.part.segment, cells=None))))


def _exactly_nearest(segment: Segment, queries: np.ndarray, k: int, rows: np.ndarray | None) -> Scored:
    """The `k` best items with one of `rows`: more rows are scored until those left out cannot matter."""
    available = len(segment.vectors) if rows is None else len(rows)
    waiting = np.arange(len(queries))
    found: list[Scored] = []
    count = 2 * k + _SPARE
    while len(waiting) and available:
        some = queries[waiting]
        row, rough = flat.nearest(segment.vectors, some, count, rows)
        query = np.repeat(np.arange(len(some)), row.shape[1])
        score = cosine.exact(some, query, segment.vectors, row.ravel())
        query, item, score = best(query, segment.owner[row.ravel()], score, segment.keys, k)
        last = np.searchsorted(query, np.arange(len(some)), side="right") - 1
        full = np.bincount(query, minlength=len(some)) >= k
        complete = (row.shape[1] >= available) | (full & (score[last] > rough.min(axis=1) + 2 * cosine.SLACK))
        kept = complete[query]
        found.append((waiting[query[kept]], item[kept], score[kept]))
        waiting, count = waiting[~complete], 4 * count
    return best(*_joined(found), segment.keys, k)


def _worth_scoring(query: np.ndarray, item: np.ndarray, rough: np.ndarray, limit: int) -> np.ndarray:
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


def best(query: np.ndarray, item: np.ndarray, score: np.ndarray, keys: np.ndarray, limit: int) -> Scored:
    """The best score of each item for each query; the `limit` best items a query, ordered by query, score and key.

    Args:
        keys: of the items.
    """
    order = np.lexsort((-score, item, query))
    query, item, score = query[order], item[order], score[order]
    new = np.ones(len(query), bool)
    new[1:] = (np.diff(query) != 0) | (np.diff(item) != 0)
    query, item, score = query[new], item[new], score[new]
    order = ranking(query, score, keys[item])
    query, item, score = query[order], item[order], score[order]
    kept = place(query) < limit
    return query[kept], item[kept], score[kept]


def place(query: np.ndarray) -> np.ndarray:
    """For each row of answers its place among those of its query, from 0; `query` is sorted."""
    return np.arange(len(query)) - np.searchsorted(query, query)


def ranking(query: np.ndarray, score: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """The order by query, then score from best to worst, then key. Keys are compared between equals only."""
    order = np.lexsort((-score, query))
    same = (np.diff(query[order]) == 0) & (np.diff(score[order]) == 0)
    equal = np.flatnonzero(np.r_[False, same] | np.r_[same, False])
    if len(equal):
        some = order[equal]
        order[equal] = some[np.lexsort((keys[some], -score[some], query[some]))]
    return order


def _in_larger_parts(candidates: Iterator[flat.Candidates]) -> Iterator[flat.Candidates]:
    """The same, so many at a time that what a part costs does not count."""
    waiting: list[flat.Candidates] = []
    count = 0
    for some in candidates:
        waiting.append(some)
        count += len(some[0])
        if count >= _AT_ONCE:
            yield _joined(waiting)
            waiting, count = [], 0
    yield _joined(waiting)


def _joined(parts: list[Scored]) -> Scored:
    parts = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32)), *parts]
    query, item, score = (np.concatenate(column) for column in zip(*parts, strict=True))
    return query, item, score
