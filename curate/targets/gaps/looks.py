"""What clips look like where it counts: one vector for the span in which a capability is best seen, or is labelled.

A clip's mean vector is mostly its background. Choosing unlike clips, predicting the color of a thing, or telling a clip
from what it is mistaken for asks for the moment itself. Frame vectors are read only for the clips that are asked for.
"""

import numpy as np
import polars as pl

from curate import views
from curate.catalog import Catalog
from curate.standing.frames import Frames
from curate.vectors import unit


def looks(catalog: Catalog, spans: pl.DataFrame) -> np.ndarray:
    """The mean frame vector of each span, float32 [n, dim] of unit norm, in the order of `spans`.

    Args:
        spans: clip_id, start_s, end_s in source seconds; a null start means the whole clip, and so does a span without
            a frame. A clip may have several.

    A clip without an embedding has zeros.
    """
    wanted = spans["clip_id"].unique()
    rows = (
        views.current_embeddings(catalog)
        .filter(pl.col("clip_id").is_in(wanted.implode()))
        .select("clip_id", "frame_times_s", "frame_vectors")
        .collect()
    )
    if rows.is_empty():
        return np.zeros((len(spans), 0), np.float32)
    placed = spans.with_row_index("at").join(rows.select("clip_id").with_row_index("row"), on="clip_id")
    frames = Frames.of_rows(rows[placed["row"].to_numpy()])
    begin = placed["start_s"].fill_null(-np.inf).to_numpy()[frames.owner]
    end = placed["end_s"].fill_null(np.inf).to_numpy()[frames.owner]
    inside = ((frames.times_s >= begin) & (frames.times_s < end)).astype(np.float32)
    none = np.add.reduceat(inside, frames.first) == 0
    inside[none[frames.owner]] = 1
    means = np.add.reduceat(frames.vectors.astype(np.float32) * inside[:, None], frames.first, axis=0)
    found = np.zeros((len(spans), means.shape[1]), np.float32)
    found[placed["at"].to_numpy()] = unit(means)
    return found


def labelled_spans(labels: pl.DataFrame) -> pl.DataFrame:
    """clip_id, start_s, end_s of every segment of labels with verdict present, and of absent ones the whole clip."""
    marked = (
        labels.filter(pl.col("verdict") == "present", pl.col("segments").list.len() > 0)
        .select("clip_id", "segments")
        .explode("segments")
        .select(
            "clip_id",
            start_s=pl.col("segments").struct.field("start_s"),
            end_s=pl.col("segments").struct.field("end_s"),
        )
    )
    whole = labels.join(marked, on="clip_id", how="anti").select(
        "clip_id", start_s=pl.lit(None, pl.Float64), end_s=pl.lit(None, pl.Float64)
    )
    return pl.concat([marked, whole])
