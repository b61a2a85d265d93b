"""Which clip stands for its duplicates: leader selection, best quality first, against kept clips only.

A clip is dropped only for a clip that is itself kept, so every dropped clip is as close to its keeper as an edge
demands, and chains of ever less similar clips cannot form. (Dropping what resembles any earlier row, kept or not, is
what SemDeDup-style rules do: 19 points along an arc of 90 degrees leave one or two.)
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import polars as pl

COVERED = 0.9
"""Least share of a clip that its keeper must show: a longer clip is not dropped for a part of it."""


@dataclass(frozen=True)
class Edge:
    """`first` and `second` show the same; share_*: how much of each clip the other one shows."""

    first: str
    second: str
    kind: Literal["exact", "near"]
    score: float
    share_first: float = 1.0
    share_second: float = 1.0


def by_quality(clips: pl.DataFrame) -> list[str]:
    """Clip ids, best first: picture area, then bitrate, sharpness, duration, and clip_id where all are equal.

    Args:
        clips: rows of `views.clips`.
    """
    keys = [pl.col("width") * pl.col("height"), "bitrate_bps", "sharpness", "duration_s", "clip_id"]
    descending = [True, True, True, True, False]
    return clips.sort(keys, descending=descending, nulls_last=True)["clip_id"].to_list()


def select_keepers(best_first: Sequence[str], edges: Iterable[Edge]) -> dict[str, Edge]:
    """The edge from each dropped clip to the clip that is kept for it.

    Args:
        best_first: every clip, in the order of `by_quality`; it alone decides, the order of `edges` does not.
        edges: at most one for a pair of clips.

    Returns:
        By dropped clip id, the edge to its keeper: of the kept clips that show COVERED of it, the one with the best
        score, and of equals the one of the best quality.
    """
    rank = {clip_id: at for at, clip_id in enumerate(best_first)}
    stands_for: dict[str, list[tuple[str, Edge]]] = defaultdict(list)
    for edge in edges:
        if edge.share_first >= COVERED:
            stands_for[edge.first].append((edge.second, edge))
        if edge.share_second >= COVERED:
            stands_for[edge.second].append((edge.first, edge))
    kept: set[str] = set()
    dropped: dict[str, Edge] = {}
    for clip_id in best_first:
        leaders = [(-edge.score, rank[other], edge) for other, edge in stands_for[clip_id] if other in kept]
        if leaders:
            dropped[clip_id] = min(leaders, key=lambda leader: leader[:2])[2]
        else:
            kept.add(clip_id)
    return dropped
