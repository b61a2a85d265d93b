"""How large a segment is, what it is made of, and when segments are merged: the numbers, and where they come from."""

from collections.abc import Sequence
from dataclasses import dataclass

CELLS_FROM = 10_000
"""Rows from which a segment has cells and codes; smaller ones are compared whole.

Measured with vectors of 512 dimensions as clips have them (benchmarks/clip_vectors.py), in CPU time of one core:

| for one query, the 10 best of 1,000,000 | ms    | recall@10 | made in  |
|-----------------------------------------|-------|-----------|----------|
| all scored (from 200,000)               | 1,500 | 1         | -        |
| codes (PQ, 128 x 4 bits), 2,000 scored  | 8     | 0.993     | 50 s *   |

| 100,000 vectors, the best 1,000 then scored | ms per query | recall@10, like a text | made in |
|---------------------------------------------|--------------|------------------------|---------|
| PQ 128 x 4 bits (taken)                     | 0.4          | 0.999                  | 1.6 s   |
| PQ 64 x 4 bits                              | 0.3          | 0.974                  | 0.7 s   |
| RaBitQ, 1 bit a dimension                   | 1.7          | 0.997                  | 0.5 s   |

* with the cells. HNSW (32 links) took 4.4 s to make over 20,000 vectors, and its graph comes on top: not taken.
For all pairs above 0.9 among 100,000, cells took 12 s on two busy cores; brute force takes about 60 s on two idle ones.
"""

MOST_ROWS = 1 << 22
"""Rows of the largest segment: what one machine builds in bounded memory, and what a cluster is given at a time."""

FANOUT = 8
"""Segments of like size that are merged into one, so that a row is written again once for each 8 times as many."""

GONE = 0.25
"""Share of a segment's items that may be gone before it is written again without them."""

GATHERED = 10_000
"""Rows that a filter may leave for a search to score them all, in 17 ms; beyond, the codes rank all in 8 to 18 ms."""

RANKED = 2_000
"""Least rows that the codes name for exact scoring, of a search."""


@dataclass(frozen=True)
class Sizes:
    """What decides on merging, and what the tests make small."""

    cells_from: int = CELLS_FROM
    most_rows: int = MOST_ROWS
    fanout: int = FANOUT


def merges(rows: Sequence[float], gone: Sequence[float], sizes: Sizes) -> list[list[int]]:
    """Which segments become one: lists of positions, each of one segment or more.

    Args:
        rows: of each segment, what is alive.
        gone: share of its items that are gone.
    """
    groups = [[at] for at in range(len(rows))]
    while True:
        tiers: dict[int, list[list[int]]] = {}
        for group in sorted(groups, key=lambda group: sum(rows[at] for at in group)):
            total = sum(rows[at] for at in group)
            if total <= sizes.most_rows / 2:
                tiers.setdefault(_tier(total, sizes.fanout), []).append(group)
        full = next((tier for tier in tiers.values() if len(tier) >= sizes.fanout), None)
        if full is None:
            break
        joined: list[int] = []
        for group in full:
            if not joined or sum(rows[at] for at in joined + group) <= sizes.most_rows:
                joined += group
                groups.remove(group)
        groups.append(sorted(joined))
    return [group for group in groups if len(group) > 1 or gone[group[0]] > GONE]


def _tier(rows: float, fanout: int) -> int:
    tier = 0
    while rows >= fanout:
        rows, tier = rows / fanout, tier + 1
    return tier
