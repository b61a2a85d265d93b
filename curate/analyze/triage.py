"""A first look at a video: its keyframes alone, embedded, for a small share of what analysing it costs.

A decoder that skips all but keyframes (`skip_frame nokey`) touches one frame in fifty or more, and they stand at cuts
and every few seconds. That is enough to say what a video is about, whether it is known already, and which of many to
analyse first; it finds no shot and no clip. A look is kept by content and model like any other work, and a long video
costs no more memory than a short one: of its keyframes at most `triage.keyframes` are kept, spread evenly.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import polars as pl

from curate import engine
from curate.analyze.embed import PictureEmbedder, load_embedder, model_id
from curate.analyze.embed.place import Placed, placed
from curate.catalog import Catalog
from curate.identity import work_key
from curate.media.decode import keyframes
from curate.media.probe import probe
from curate.progress import Progress, silent
from curate.sources.files import SourceFile
from curate.specs import Analysis
from curate.vectors import pack, unpack

VERSION = 1

_COMMIT_S = 5.0
_ROWS_AT_ONCE = 256

T = TypeVar("T")


@dataclass(frozen=True)
class Look:
    """What the keyframes of a video show: `times_s` float64 [n], `vectors` float32 [n, dim] of unit norm."""

    duration_s: float
    times_s: np.ndarray
    vectors: np.ndarray


def triage(
    catalog: Catalog, files: Sequence[SourceFile], analysis: Analysis, run_id: str, progress: Progress = silent
) -> dict[str, Look]:
    """A look at each video, by video_id; one that cannot be had is left out, and analysing the file will say why."""
    return dict(looks(catalog, files, analysis, run_id, progress))


def looks(
    catalog: Catalog, files: Sequence[SourceFile], analysis: Analysis, run_id: str, progress: Progress = silent
) -> Iterator[tuple[str, Look]]:
    """`triage`, one by one, so that those of a large archive need not be held: video_id and look, in any order.

    Looks are kept in the table `triage`; a video is looked at once under each model and number of keyframes.
    """
    missing = {file.video_id: file for file in files}
    for video_id, look in known_looks(catalog, list(missing), analysis):
        del missing[video_id]
        yield video_id, look
    if not missing:
        return
    with closing(_Rows(catalog, run_id)) as rows:
        for done, result in enumerate(_run(list(missing.values()), analysis), 1):
            if isinstance(result, engine.Success):
                video_id, look = result.item.video_id, result.value
                rows.add(_row(video_id, _work_key(video_id, analysis), analysis, look))
                # To the digits that are kept, so that a look says the same now and when it is read again.
                yield video_id, replace(look, vectors=unpack(pack(look.vectors), len(look.times_s)))
            progress("triaged", done, len(missing))


def known_looks(catalog: Catalog, video_ids: Sequence[str], analysis: Analysis) -> Iterator[tuple[str, Look]]:
    """The looks at some videos that were had under this model and number of keyframes, each once."""
    left = {_work_key(video_id, analysis) for video_id in video_ids}
    known = catalog.rows("triage").filter(pl.col("work_key").is_in(list(left)))
    for batch in known.collect_batches(chunk_size=_ROWS_AT_ONCE):
        for row in batch.iter_rows(named=True):
            if row["work_key"] in left:
                left.remove(row["work_key"])
                vectors = unpack(row["vectors"], len(row["times_s"]))
                yield row["video_id"], Look(row["duration_s"], np.array(row["times_s"]), vectors)


def look_at(path: Path | str, analysis: Analysis, *, embedder: PictureEmbedder | None = None) -> Look:
    """Decodes and embeds the keyframes of one video, with the analysis' own model where none is given.

    Raises:
        DecodeError: it cannot be opened, or has no keyframe that decodes.
    """
    embedder = embedder or load_embedder(analysis.embedding)
    info, most = probe(path, analysis.limits), analysis.triage.keyframes
    branch = embedder.branch(info.width, info.height, every_s=info.duration_s / most)
    frames = spread(_alive(keyframes(path, branch, limits=analysis.limits)), most)
    vectors = [
        embedder.images(np.stack([frame.image for frame in frames[at : at + analysis.embedding.batch]]))
        for at in range(0, len(frames), analysis.embedding.batch)
    ]
    return Look(info.duration_s, np.array([frame.time_s for frame in frames]), np.concatenate(vectors))


def _run(
    files: Sequence[SourceFile], analysis: Analysis
) -> Iterator[engine.Success[SourceFile, Look] | engine.Failure[SourceFile]]:
    workers = min(engine.worker_count(analysis.engine), len(files))
    here = analysis.engine.model_copy(update={"workers": workers})
    with placed(analysis.embedding, here) as model:
        yield from engine.run(partial(_look_at, analysis=analysis, model=model), files, here, prepare=model.open)


class _Rows:
    """Gathers rows of `triage` and commits them now and then, and at the end whatever ends the run."""

    def __init__(self, catalog: Catalog, run_id: str) -> None:
        self._catalog, self._run_id = catalog, run_id
        self._rows: list[dict] = []
        self._committed = time.monotonic()

    def add(self, row: dict) -> None:
        self._rows.append(row)
        if time.monotonic() - self._committed > _COMMIT_S:
            self.close()

    def close(self) -> None:
        self._catalog.write("triage", self._rows, run_id=self._run_id)
        self._rows.clear()
        self._committed = time.monotonic()


def _alive(frames: Iterable[T]) -> Iterator[T]:
    for frame in frames:
        engine.heartbeat()
        yield frame


def _look_at(file: SourceFile, analysis: Analysis, model: Placed) -> Look:
    return look_at(file.path, analysis, embedder=model.open())


def spread(items: Iterable[T], most: int) -> list[T]:
    """At most `most` of them, evenly spaced from the first on, and at least half as many where there are so many.

    Needs no count beforehand: each time too many are held, every second one goes, and so does every second one after.
    """
    kept: list[T] = []
    step = 1
    for number, item in enumerate(items):
        if number % step:
            continue
        kept.append(item)
        if len(kept) > most:
            del kept[1::2]
            step *= 2
    return kept


def _row(video_id: str, key: str, analysis: Analysis, look: Look) -> dict:
    return {
        "video_id": video_id,
        "model_id": model_id(analysis.embedding),
        "duration_s": look.duration_s,
        "times_s": look.times_s.tolist(),
        "vectors": pack(look.vectors),
        "work_key": key,
    }


def _work_key(video_id: str, analysis: Analysis) -> str:
    return work_key("triage", VERSION, video_id, analysis.triage.keyframes, model_id(analysis.embedding))
