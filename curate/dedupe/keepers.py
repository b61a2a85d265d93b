"""Which clip stands for its duplicates: leader selection, best quality first, against kept clips only.

A clip is dropped only for a clip that is itself kept, so every dropped clip is as close to its keeper as an edge
demands, any two that one keeper stands for are two edges apart at most, and chains of ever less similar clips cannot
form. (Dropping what resembles any earlier row, kept or not, is what SemDeDup-style rules do: 19 points along an arc of
90 degrees leave one or two.)

The result is a function of the clips and their edges, whatever order they came in. Added footage replaces a keeper in
one way alone: by a clip that shows it and comes before it in `by_quality`.
"""

import numpy as np
import polars as pl

COVERED = 0.9
"""Least share of a clip that its keeper must show: a longer clip is not dropped for a part of it."""
STRENGTH = ("exact", "copy", "semantic")
"""Kinds of edges, the surest first."""


def by_quality(clips: pl.DataFrame) -> pl.Series:
    """Clip ids, best first.

    First come clips with a label, whose loss would cost a person's time, and of equals those with a licence, since a
    clip without one may not stand for one that can be used. Then picture area, bitrate, sharpness and duration decide,
    and the clip_id where all are equal.

    Args:
        clips: clip_id, labelled, licence, width, height, bitrate_bps, sharpness, duration_s.
    """
    better = ["labelled", pl.col("licence").is_not_null(), pl.col("width") * pl.col("height")]
    keys = [*better, "bitrate_bps", "sharpness", "duration_s", "clip_id"]
    return clips.sort(keys, descending=[True] * 6 + [False], nulls_last=True)["clip_id"]


def select_keepers(best_first: pl.Series, edges: pl.DataFrame) -> pl.DataFrame:
    """The keeper of each dropped clip.

    Args:
        best_first: every clip, in the order of `by_quality`; it alone decides, the order of `edges` does not.
        edges: clip_id, other_id, kind, score, share, other_share: how much of each clip the other one shows. At most
            one row for a pair, in either direction; ends that are not in `best_first` do not count.

    Returns:
        clip_id, keeper_id, kind, score of the dropped clips, sorted by clip_id. Of the kept clips that show COVERED of
        a clip its keeper is the one with the surest kind of edge, of equals the best score, and then the best quality.
    """
    rank = pl.DataFrame({"clip_id": best_first}).with_row_index("rank").with_columns(pl.col("rank").cast(pl.Int64))
    other = rank.rename({"clip_id": "other_id", "rank": "other_rank"})
    ends = edges.join(rank, on="clip_id").join(other, on="other_id")
    ends = ends.select("rank", "other_rank", "kind", "score", "share", "other_share")
    turned = ends.rename({"rank": "other_rank", "other_rank": "rank", "share": "other_share", "other_share": "share"})
    # Best clip first, and each clip's likely keepers in the order in which they are asked.
    leaders = (
        pl.concat([ends, turned.select(ends.columns)])
        .filter(pl.col("share") >= COVERED, pl.col("other_rank") < pl.col("rank"))
        .with_columns(sure=pl.col("kind").replace_strict(STRENGTH, range(len(STRENGTH)), return_dtype=pl.Int8))
        .sort("rank", "sure", -pl.col("score"), "other_rank")
    )
    kept = np.ones(len(best_first), dtype=bool)
    chosen = []
    for at, (clip, leader) in enumerate(leaders.select("rank", "other_rank").iter_rows()):
        if kept[clip] and kept[leader]:
            kept[clip] = False
            chosen.append(at)
    found = leaders[chosen]
    return pl.DataFrame(
        {
            "clip_id": best_first.gather(found["rank"]),
            "keeper_id": best_first.gather(found["other_rank"]),
            "kind": found["kind"],
            "score": found["score"],
        }
    ).sort("clip_id")
