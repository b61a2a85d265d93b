"""What goes into an index and what comes out of it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np


@dataclass(frozen=True)
class Batch:
    """Items with their vectors, as they are put into an index.

    Attributes:
        keys: dtype S [n], what the items are called; no trailing NUL bytes.
        vectors: float32 [v, dim]; scaled to unit norm here, and a zero vector stays zero (its cosine to all is 0).
        owner: int64 [v], the row in `keys` that each vector is of; an item may have several vectors, or none.
        blobs: bytes kept for each item; none where not given.
    """

    keys: np.ndarray
    vectors: np.ndarray
    owner: np.ndarray
    blobs: list[bytes] | None = None


@dataclass(frozen=True)
class Changes:
    """What an update did.

    Attributes:
        added: keys that came in.
        removed: keys that went out.
        absent: wanted keys of which `load` gave nothing; the next update asks for them again.
        built: segments written, merges included.
    """

    added: np.ndarray
    removed: np.ndarray
    absent: np.ndarray
    built: int


@dataclass(frozen=True)
class Matches:
    """Items near queries, ordered by query row, then best first; equals in the order of their keys.

    Attributes:
        query: int64 [m], row of the query.
        number: int64 [m], the item.
        score: float32 [m], cosine of the query and the nearest vector of the item.
        capped: query rows that had more items than the limit.
    """

    query: np.ndarray
    number: np.ndarray
    score: np.ndarray
    capped: int


class Run(Protocol):
    """Maps a picklable function over items, here or on a cluster; answers may come in any order."""

    def __call__(self, function: Callable[[Any], Any], items: Sequence[Any], /) -> Iterator[Any]: ...


def here(function: Callable[[Any], Any], items: Sequence[Any], /) -> Iterator[Any]:
    """In this process, one after the other."""
    return map(function, items)
