"""Which videos may not be on two sides of a split: those that a chain of duplicate links joins.

Every edge counts, weak ones too, and so does one that a later run no longer finds: a link too many costs a little
freedom in splitting, one too few is leakage. So groups only ever grow, and new edges are folded into the standing ones.
"""

import numpy as np
import polars as pl
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from curate.catalog import Catalog


def leakage_groups(catalog: Catalog) -> pl.DataFrame:
    """The group of every video. Files with the same bytes are one video already.

    Returns:
        video_id, group_id (the smallest video_id of the group), sorted by video_id.
    """
    videos = catalog.scan("videos").select("video_id").unique()
    known = catalog.scan("groups").select("video_id", "group_id")
    named = videos.join(known, on="video_id", how="left").with_columns(pl.col("group_id").fill_null(pl.col("video_id")))
    return named.sort("video_id").collect()


def join_groups(known: pl.DataFrame, links: pl.DataFrame) -> pl.DataFrame:
    """The rows that change when links are folded into groups.

    Args:
        known: video_id, group_id; a video that is not in it is a group of its own.
        links: video_id, other_video.

    Returns:
        video_id, group_id of every video whose group has another name now, sorted by video_id. The cost follows the
        links and the groups they join.
    """
    of, of_other = known, known.rename({"video_id": "other_video", "group_id": "other_group"})
    joined = (
        links.unique()
        .join(of, on="video_id", how="left")
        .join(of_other, on="other_video", how="left")
        .select(
            pl.col("group_id").fill_null(pl.col("video_id")), pl.col("other_group").fill_null(pl.col("other_video"))
        )
        .filter(pl.col("group_id") != pl.col("other_group"))
    )
    groups = pl.concat([joined["group_id"], joined["other_group"]]).unique().sort()
    parts = components(
        len(groups), groups.search_sorted(joined["group_id"]), groups.search_sorted(joined["other_group"])
    )
    # Groups are sorted, so the first of a component is its smallest.
    renamed = (
        pl.DataFrame({"group_id": groups, "part": parts})
        .with_columns(new=pl.col("group_id").first().over("part"))
        .filter(pl.col("group_id") != pl.col("new"))
        .select("group_id", "new")
    )
    members = pl.concat(
        [known.select("video_id", "group_id"), renamed.select(video_id="group_id", group_id="group_id")]
    )
    moved = members.join(renamed, on="group_id").select("video_id", group_id="new")
    return moved.unique("video_id").sort("video_id")


def components(count: int, first: np.ndarray | pl.Series, second: np.ndarray | pl.Series) -> np.ndarray:
    """The component number of each of `count` nodes, joined by the edges first[i] - second[i]."""
    edges = (np.ones(len(first), dtype=np.int8), (np.asarray(first), np.asarray(second)))
    return connected_components(coo_array(edges, shape=(count, count)), directed=False)[1]
