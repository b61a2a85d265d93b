"""Which videos may not be on two sides of a split: those that a chain of duplicate links joins.

Every edge counts, weak ones too, and so does one that a later run no longer finds: a link too many costs a little
freedom in splitting, one too few is leakage.
"""

import numpy as np
import polars as pl
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from curate.catalog import Catalog


def leakage_groups(catalog: Catalog) -> pl.DataFrame:
    """The group of every video: connected components over duplicate edges, lifted from clips to their videos.

    Files with the same bytes are one video already.

    Returns:
        video_id, group_id (the smallest video_id of the component), sorted by video_id.
    """
    videos = catalog.scan("videos").select("video_id").unique().sort("video_id").collect()["video_id"]
    clips = catalog.scan("clips").select("clip_id", "video_id").unique("clip_id")
    links = (
        catalog.scan("duplicates")
        .select("clip_id", "other_id")
        .join(clips, on="clip_id")
        .join(clips.select(other_id="clip_id", other_video="video_id"), on="other_id")
        .select("video_id", "other_video")
        .filter(pl.col("video_id").is_in(videos.implode()), pl.col("other_video").is_in(videos.implode()))
        .unique()
        .sort("video_id", "other_video")
        .collect()
    )
    group = components(len(videos), videos.search_sorted(links["video_id"]), videos.search_sorted(links["other_video"]))
    # Videos are sorted, so the first of a component is its smallest.
    return pl.DataFrame({"video_id": videos, "group": group}).select(
        "video_id", group_id=pl.col("video_id").first().over("group")
    )


def components(count: int, first: np.ndarray | pl.Series, second: np.ndarray | pl.Series) -> np.ndarray:
    """The component number of each of `count` nodes, joined by the edges first[i] - second[i]."""
    edges = (np.ones(len(first), dtype=np.int8), (np.asarray(first), np.asarray(second)))
    return connected_components(coo_array(edges, shape=(count, count)), directed=False)[1]
