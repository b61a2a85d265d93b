"""Finds clips by text, by example and by condition. Every clip is scored, so a filter costs no recall."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from curate import views
from curate.conditions import matching
from curate.search.question import direction
from curate.search.windows import best_windows
from curate.workspace import Workspace


def search(
    workspace: Workspace,
    *,
    text: Sequence[str] = (),
    not_text: Sequence[str] = (),
    like: Sequence[str] = (),
    where: str | None = None,
    limit: int = 20,
) -> pl.DataFrame:
    """The clips that best show what is asked for, best first; see `curate.search.question` and `windows` for the score.

    Args:
        workspace: its current clips are searched, duplicates too.
        text: what a frame shows; several are averaged.
        not_text: what it must not be mistaken for.
        like: exemplars: clip ids, or paths of images and videos.
        where: SQL condition over the columns of `views.clips`.
        limit: most clips returned.

    Returns:
        clip_id, similarity, best_start_s, best_end_s (source seconds), and the other columns of `views.clips`.

    Raises:
        InputError: nothing is asked for, an exemplar cannot be read, or the condition cannot be used.
    """
    catalog, embedding = workspace.catalog, workspace.analysis().embedding
    clips = views.clips(catalog).collect()
    wanted = clips.filter(matching(clips, where))
    embeddings = views.current_embeddings(catalog).collect()
    asked = direction(embedding, embeddings, text=text, not_text=not_text, like=like)
    rows = wanted.join(embeddings.select("clip_id", "frame_times_s", "frame_vectors"), on="clip_id")
    (best,) = best_windows(rows, asked[np.newaxis], frames_per_s=embedding.frames_per_s)
    found = rows.drop("frame_times_s", "frame_vectors").with_columns(
        similarity=best.similarity, best_start_s=best.start_s, best_end_s=best.end_s
    )
    first = ["clip_id", "similarity", "best_start_s", "best_end_s"]
    return found.sort(["similarity", "clip_id"], descending=[True, False]).head(limit).select(*first, pl.exclude(first))
