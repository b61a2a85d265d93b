"""The order of an epoch, and how it is dealt to ranks: pure functions, so that any rank knows what all of them do.

The order is a permutation of the rows that (rows, seed, epoch) alone decide. A step takes the next piece of it, and the
ranks take consecutive parts of that piece. So what was consumed is always a prefix of the order, and its length says
all about where training stands: it resumes exactly in mid-epoch, also with another number of ranks or batch size.

Rows are drawn from all packs, not in blocks within one: a clip is one read of some hundred kilobytes at a known place,
which takes a disk or an object store as long wherever it lies, and blocks would put clips of one pack side by side.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

_GOLDEN = 0x9E3779B97F4A7C15


@dataclass(frozen=True)
class Position:
    """Where training stands: `consumed` rows of the epoch's order, over all ranks."""

    epoch: int = 0
    consumed: int = 0


def epoch_order(rows: int, seed: int, epoch: int, *, shuffle: bool = True) -> np.ndarray:
    """The rows [rows] int64 in the order of an epoch.

    Sorted by a 64-bit hash of (seed, epoch, row), splitmix64 (Steele, Lea and Flood 2014): numpy promises no stream of
    its generators for ever, and an order must be the same on the machine where training resumes.
    """
    if not shuffle:
        return np.arange(rows)
    start = _mixed(_mixed(np.array([seed], np.int64).view(np.uint64)) + np.array([epoch], np.uint64))
    keys = start + np.arange(1, rows + 1, dtype=np.uint64) * np.array([_GOLDEN], np.uint64)
    return np.argsort(_mixed(keys), kind="stable")


def steps(rows: int, ranks: int, batch_size: int, *, drop_last: bool = False) -> Iterator[int]:
    """How many rows each step takes of `rows` that are left, over all ranks.

    All are ranks x batch_size but the last, which takes what is left, or is left out with `drop_last`. Where that would
    be fewer rows than ranks, the step before leaves it one for each rank, as far as it has two.
    """
    full = ranks * batch_size
    count, left = divmod(rows, full)
    if drop_last or not left:
        yield from (full for _ in range(count))
        return
    last = ranks if count and batch_size > 1 and left < ranks else left
    yield from (full for _ in range(count - (last > left)))
    if last > left:
        yield full + left - last
    yield last


def part(size: int, rank: int, ranks: int) -> slice:
    """The part of a step that a rank takes; parts differ in length by one row at most."""
    return slice(rank * size // ranks, (rank + 1) * size // ranks)


def _mixed(keys: np.ndarray) -> np.ndarray:
    """Uint64 [n], each turned into another by the last steps of splitmix64; arrays wrap around and say nothing."""
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return keys ^ (keys >> np.uint64(31))
