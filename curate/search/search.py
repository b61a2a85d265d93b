"""Finds clips by text, by example and by condition.

Two stages where there are many clips: the moments index (`curate.standing.moments`) gives the WIDE best, and those are
ranked exactly, by the best window of their frames. Up to SCANNED clips all are ranked exactly. A condition is applied
first, to all clips, and the index looks among those that fulfil it, so it costs no recall.

How wide: in a synthetic world of 200,000 clips of 4 to 20 frames that drift, with an event of a second in every third,
the 20 clips with the best windows lie within the first 34 by moments in the median of 40 questions and 82 in the worst,
and the best 200 within 890 and 5,641. By mean vectors the 20 best lie within 15,607 and 74,859. With that world's index
the 20 clips found are those of a full scan for each of 20 questions, with a condition that a hundredth of the clips
fulfil and without; of the best 200, 0.9988 are found, and 0.995 in the worst question.
"""

import warnings
from collections.abc import Callable, Sequence

import numpy as np
import polars as pl

from curate import views
from curate.catalog import Catalog
from curate.conditions import matching, names_of
from curate.errors import InputError
from curate.progress import Progress, silent
from curate.search.diverse import diverse as choose_diverse
from curate.search.question import Exemplar, direction, require_model
from curate.standing.frames import Frames
from curate.standing.indexes import MOMENTS, Standing, standing
from curate.standing.windows import windows_of
from curate.vectors import unit
from curate.workspace import Workspace

SCANNED = 20_000
WIDE = 2_000
_WIDE_PER_RESULT = 30
_DIVERSE_OF = 10
"""Candidates for each result of a diverse search."""

_FIRST = ["clip_id", "similarity", "best_start_s", "best_end_s"]


def search_clips(
    workspace: Workspace,
    *,
    text: str | Sequence[str] = (),
    not_text: str | Sequence[str] = (),
    like: str | Sequence[str] = (),
    where: str | None = None,
    diverse: bool = False,
    limit: int = 20,
    tell: Callable[[str], None] = warnings.warn,
    progress: Progress = silent,
) -> pl.DataFrame:
    """The clips that best show what is asked for, best first.

    `curate.search.question` makes a direction of the question, and `curate.standing.windows` a score of that.

    Args:
        workspace: its current clips are searched, duplicates too.
        text: what a frame shows; several are averaged.
        not_text: what it must not be mistaken for.
        like: exemplars: clip ids, or paths of images and videos; `NAME@12.5-15` for a span of one.
        where: SQL condition over the columns of `views.clips`. Alone, it gives the clips that fulfil it, newest first.
        diverse: choose results that differ (`curate.search.diverse`) among ten times as many; best first.
        limit: most clips returned.
        tell: is told what one should know of the result: that the newest clips are not in it yet.
        progress: told the clips indexed, where this search is the first since clips were collected.

    Returns:
        clip_id, similarity (null where nothing but a condition was given), best_start_s, best_end_s (source seconds),
        and the other columns of `views.clips`.

    Raises:
        InputError: nothing is asked for, an exemplar cannot be read, or the condition cannot be used.
        CurateError: the index is being built for the first time by another process.
    """
    text, not_text, like = (_several(words) for words in (text, not_text, like))
    if not (text or like) and (not_text or not (where and where.strip())):
        raise InputError("nothing to search for", fix="Give a text, an example or a condition")
    if limit < 1:
        raise InputError(f"a limit of {limit}", fix="Give one above 0")
    catalog = workspace.catalog
    allowed = _fulfilling(catalog, where)
    pool = limit * _DIVERSE_OF if diverse else limit
    index = standing(workspace, MOMENTS, former_ok=True, progress=progress) if text or like or diverse else None
    if index is not None and index.note:
        tell(index.note)
    if (text or like) and index is not None:
        embedding = workspace.analysis().embedding
        require_model(embedding, [index.model_id] if index.model_id else [])
        examples = _rows_of(index, [Exemplar.parse(said).name for said in like])
        asked = direction(embedding, examples, text=text, not_text=not_text, like=like)
        ranked = _ranked(index, asked, allowed, pool, embedding.frames_per_s)
        found = _with_clips(catalog, ranked).sort(["similarity", "clip_id"], descending=[True, False]).head(pool)
    else:
        found = _newest(catalog, allowed, pool)
    if diverse and index is not None:
        found = _diverse(catalog, index, found, limit)
    return found.select(*_FIRST, pl.exclude(_FIRST))


def _several(words: str | Sequence[str]) -> list[str]:
    return [words] if isinstance(words, str) else list(words)


def _fulfilling(catalog: Catalog, where: str | None) -> pl.Series | None:
    """The clips that fulfil a condition; None where there is none."""
    if where is None or not where.strip():
        return None
    clips = views.clips(catalog)
    matching(pl.DataFrame(schema=clips.collect_schema()), where)  # an error lists every column there is
    rows = clips.select("clip_id", *sorted(names_of(where) - {"clip_id"})).collect()
    return rows.filter(matching(rows, where))["clip_id"]


def _rows_of(index: Standing, clip_ids: Sequence[str]) -> pl.LazyFrame:
    """Rows as of table `embeddings` for those of the clips that are held."""
    numbers = index.numbers(clip_ids)
    parts = [_frames(index, numbers[at : at + 1]) for at in range(len(numbers))]
    return pl.LazyFrame(
        {
            "clip_id": index.clip_ids(numbers),
            "model_id": [index.model_id] * len(parts),
            "frame_times_s": [part.times_s.tolist() for part in parts],
            "frame_vectors": [part.vectors.tobytes() for part in parts],
        },
        schema={
            "clip_id": pl.String,
            "model_id": pl.String,
            "frame_times_s": pl.List(pl.Float64),
            "frame_vectors": pl.Binary,
        },
    )


def _frames(index: Standing, numbers: np.ndarray) -> Frames:
    return Frames.of_blobs(index.index.blobs(numbers), index.dim)


def _ranked(
    index: Standing, asked: np.ndarray, allowed: pl.Series | None, pool: int, frames_per_s: float
) -> pl.DataFrame:
    """clip_id, similarity, best_start_s and best_end_s of `pool` clips or more, in no order."""
    numbers = None if allowed is None else index.numbers(allowed)
    if len(index.index.numbers if numbers is None else numbers) > SCANNED:
        wide = max(WIDE, pool * _WIDE_PER_RESULT)
        best, _ = index.index.search(unit(asked)[np.newaxis], wide, among=numbers)
        numbers = best[0][best[0] >= 0]
    elif numbers is None:
        numbers = index.index.numbers
    frames = _frames(index, numbers)
    [best_window] = windows_of(frames, asked[np.newaxis], frames_per_s=frames_per_s)
    return pl.DataFrame({
        "clip_id": index.clip_ids(numbers),
        "similarity": best_window.similarity,
        "best_start_s": best_window.start_s,
        "best_end_s": best_window.end_s,
    })  # fmt: skip


def _with_clips(catalog: Catalog, ranked: pl.DataFrame) -> pl.DataFrame:
    """`ranked` with the columns of `views.clips`, without clips that are no longer current."""
    clips = views.clips(catalog).filter(pl.col("clip_id").is_in(ranked["clip_id"].implode()))
    found = clips.join(ranked.lazy(), on="clip_id").collect()
    return found.with_columns(best_end_s=pl.min_horizontal("best_end_s", "end_s"))


def _newest(catalog: Catalog, allowed: pl.Series | None, pool: int) -> pl.DataFrame:
    clips = views.clips(catalog)
    if allowed is not None:
        clips = clips.filter(pl.col("clip_id").is_in(allowed.implode()))
    newest = clips.sort("written_at", "video_id", "start_s", descending=[True, False, False]).head(pool).collect()
    return newest.with_columns(
        similarity=pl.lit(None, pl.Float32), best_start_s=pl.col("start_s"), best_end_s=pl.col("end_s")
    )


def _diverse(catalog: Catalog, index: Standing, found: pl.DataFrame, limit: int) -> pl.DataFrame:
    """Of `found`, ordered, the results that differ, in the same order."""
    numbers = index.numbers(found["clip_id"])
    held = pl.DataFrame({"clip_id": index.clip_ids(numbers), "held": np.arange(len(numbers))})
    found = found.join(held, on="clip_id", maintain_order="left")
    place = {clip_id: at for at, clip_id in enumerate(found["clip_id"])}
    edges = catalog.scan("duplicates").select("clip_id", "other_id").filter(
        pl.col("clip_id").is_in(list(place)), pl.col("other_id").is_in(list(place))
    ).collect()  # fmt: skip
    links = [(place[first], place[second]) for first, second in edges.iter_rows()]
    relevance = found["similarity"].fill_null(0.0).to_numpy()
    means = _frames(index, numbers).means()[found["held"].to_numpy()]
    chosen = choose_diverse(relevance, means, found["video_id"].to_list(), links, limit)
    return found.drop("held")[np.sort(chosen)]
