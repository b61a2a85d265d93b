"""Sources into clips: analyses what is new in them, and leaves every file with an outcome.

The work of a video is keyed by its content, the version of this stage, the parameters that matter and the embedding
model, so running again does nothing and changing a parameter redoes only what depends on it. Results are committed in
small batches, outcomes last: a video without an outcome is looked at again, and its rows fold into the same keys, so
`kill -9` at any moment and a rerun end as an undisturbed run does.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import polars as pl

from curate import engine, views
from curate.analyze.embed import load_embedder, model_id, pick_device
from curate.analyze.embed.place import Placed, placed
from curate.analyze.pace import Pace
from curate.analyze.rows import Row, Writer, outcome_row, rows_of
from curate.analyze.video import VideoAnalysis, analyze_video
from curate.catalog import Catalog
from curate.errors import CurateError, InputError
from curate.identity import work_key
from curate.progress import Progress, silent
from curate.sources.files import SourceFile, find_files, identify
from curate.specs import Analysis, Source
from curate.workspace import Workspace, new_run_id

STAGE_VERSION = 3
"""Raised when the analysis changes so that earlier results are wrong."""

_GONE = "the file is gone"

Left = tuple[SourceFile, str, float | None]
"""A pending file that is not analysed: the rule that says so, and its value."""


@dataclass(frozen=True)
class CollectSummary:
    """What a run found and did. Every input is ok, filtered or failed; `skipped` of them were settled before.

    `clips` are all that the sources have now, `new_clips` and `video_s` what this run analysed, with so many `workers`
    on so many `cores`: `times_real` hours of footage an hour, and `bottleneck` (decode, embed, write) took most of it.
    """

    run_id: str
    inputs: int
    ok: int
    filtered: int
    failed: int
    skipped: int
    new_clips: int
    clips: int
    video_s: float
    seconds: float
    device: str
    workers: int
    cores: int
    times_real: float | None
    bottleneck: str | None
    failures: list[tuple[str, str]]


class Collecting:
    """A run under way: what is pending, and how to analyse or to leave it. `collecting` makes one.

    Attributes:
        run_id: of all rows that come of analysing.
        files: all files of the sources, identified.
        pending: those that have to be analysed, sorted by item.
    """

    def __init__(
        self, workspace: Workspace, sources: set[str], files: list[SourceFile], plan: "_Plan", run_id: str
    ) -> None:
        self.run_id, self.files, self.pending = run_id, files, plan.pending
        self._catalog, self._analysis, self._sources = workspace.catalog, workspace.analysis(), sources
        self._changed = {row["item"] for row in plan.settled} | {file.item for file in plan.pending}
        self._writer, self._pace = Writer(workspace.catalog, run_id), Pace(0)
        self._started = time.monotonic()

    def analyse(self, files: Sequence[SourceFile], progress: Progress = silent) -> None:
        """Runs pending files through the engine, first first; what is finished is kept whatever ends the run."""
        if not files:
            return
        analysis, writer, pace = self._analysis, self._writer, self._pace
        workers = min(engine.worker_count(analysis.engine), len(files))
        here = analysis.engine.model_copy(update={"workers": workers})
        parameters = _parameters(analysis)
        progress("videos", 0, len(files))
        with placed(analysis.embedding, here) as model, pace.running(workers):
            analyse = partial(_analyse_file, analysis=analysis, model=model)
            try:
                for done, result in enumerate(engine.run(analyse, files, here, prepare=model.open), 1):
                    file, key = result.item, work_key(result.item.video_id, *parameters)
                    if isinstance(result, engine.Success):
                        writer.add(rows_of(file, key, result.value, result.seconds))
                        pace.add(result.value.info.duration_s, result.seconds, result.value.embed_s)
                    else:
                        row = outcome_row(file, key, "failed", result.reason, seconds=result.seconds)
                        writer.add({"outcomes": [row]})
                    if writer.is_due():
                        writer.commit()
                    pace.write_s = writer.seconds
                    progress("videos", done, len(files), str(pace))
            finally:
                writer.commit()

    def leave(self, left: Sequence[Left]) -> None:
        """Writes the outcomes of files that wait; one with clips under earlier parameters keeps them and its outcome.

        They stay pending: the next run takes them up.
        """
        done = self._catalog.scan("outcomes").filter(pl.col("stage") == "collect", pl.col("outcome") == "ok")
        in_force = set(done.select("item").collect()["item"])
        parameters = _parameters(self._analysis)
        rows = [
            outcome_row(file, work_key(file.video_id, *parameters), "filtered", reason, value=value)
            for file, reason, value in left
            if file.item not in in_force
        ]
        self._catalog.write("outcomes", rows, run_id=self.run_id)

    def summary(self) -> CollectSummary:
        """What became of every file so far.

        Raises:
            CurateError: a file has no outcome: it was neither analysed nor left.
        """
        outcomes = _outcomes_of(self._catalog, {file.item for file in self.files})
        number_of = dict(outcomes["outcome"].value_counts().iter_rows())
        failures = outcomes.filter(pl.col("outcome") == "failed").sort("item")
        pace, writer = self._pace, self._writer
        return CollectSummary(
            run_id=self.run_id,
            inputs=len(self.files),
            ok=number_of.get("ok", 0),
            filtered=number_of.get("filtered", 0),
            failed=number_of.get("failed", 0),
            skipped=sum(file.item not in self._changed for file in self.files),
            new_clips=writer.clips,
            clips=_clip_count(self._catalog, self._sources),
            video_s=writer.video_s,
            seconds=time.monotonic() - self._started,
            device=pick_device(self._analysis.embedding.device),
            workers=pace.workers,
            cores=len(os.sched_getaffinity(0)),
            times_real=pace.times_real if pace.footage_s else None,
            bottleneck=pace.bottleneck if pace.footage_s else None,
            failures=list(failures.select("item", "reason").iter_rows()),
        )


@contextmanager
def collecting(
    workspace: Workspace,
    sources: Sequence[str] | None = None,
    *,
    run_id: str | None = None,
    retry_failed: bool = False,
    progress: Progress = silent,
) -> Iterator[Collecting]:
    """Holds the lock of `collect`, and says what there is to do; whoever asks decides what is analysed, and when.

    Args:
        workspace: where configs and catalog are.
        sources: ids of sources; all where not given.
        run_id: of the rows that come of analysing; a new one where not given.
        retry_failed: try files again that failed before under the same parameters.
        progress: told of files looked at.

    Raises:
        InputError: no such source or directory, or the embedding model cannot be had: nothing was decoded then.
        CurateError: another collect is running in this workspace.
    """
    analysis, wanted, own_id = workspace.analysis(), _wanted(workspace, sources), new_run_id("collect")
    pick_device(analysis.embedding.device)
    with workspace.lock("collect"):
        catalog = workspace.catalog
        files = identify(catalog, find_files(workspace, wanted.values(), progress), own_id, progress)
        plan = _plan(catalog, files, set(wanted), analysis, retry_failed=retry_failed)
        # Under an id of their own: no footage was decoded for them, and a campaign counts what its id has decoded.
        catalog.write("videos", plan.moved, run_id=own_id)
        catalog.write("outcomes", plan.settled, run_id=own_id)
        if plan.pending:
            load_embedder(analysis.embedding)
        yield Collecting(workspace, set(wanted), files, plan, run_id or own_id)


def collect(
    workspace: Workspace,
    sources: Sequence[str] | None = None,
    *,
    retry_failed: bool = False,
    progress: Progress = silent,
) -> CollectSummary:
    """Analyses all new and changed files of some sources, or of all, by name.

    Writes `files`, `videos`, `shots`, `clips`, `embeddings`, `fingerprints`, `thumbnails`, and `outcomes` of the stages
    "collect" and "clips". `curate.targets.collection.campaign` collects for one capability, and chooses.

    Args:
        workspace: where configs and catalog are.
        sources: ids of sources; all where not given.
        retry_failed: try files again that failed before under the same parameters.
        progress: told of files looked at and videos analysed.

    Raises:
        InputError: no such source or directory, or the embedding model cannot be had: nothing was decoded then.
        CurateError: another collect is running in this workspace.
    """
    started = time.monotonic()
    with collecting(workspace, sources, retry_failed=retry_failed, progress=progress) as here:
        here.analyse(here.pending, progress)
        return replace(here.summary(), seconds=time.monotonic() - started)


@dataclass(frozen=True)
class _Plan:
    """What to do: outcomes that need no analysis, rows of videos whose file moved, and files to analyse."""

    settled: list[Row]
    moved: list[Row]
    pending: list[SourceFile]


def _plan(
    catalog: Catalog, files: list[SourceFile], sources: set[str], analysis: Analysis, *, retry_failed: bool
) -> _Plan:
    """Compares the files with what the catalog says of them.

    Of files with the same bytes the first item stands for all. What is known of the content stays known when a file
    is renamed, so only content without a finished analysis under these parameters is pending.
    """
    before = catalog.scan("outcomes").filter(pl.col("stage") == "collect").collect()
    earlier = {row["item"]: row for row in before.iter_rows(named=True)}
    withdrawn = _withdrawn(catalog)
    videos = {row["video_id"]: row for row in catalog.read("videos").iter_rows(named=True)}
    originals = _originals([file for file in files if not withdrawn(file)], earlier, sources)
    parameters = _parameters(analysis)
    settled: list[Row] = []
    moved: list[Row] = []
    pending: list[SourceFile] = []
    for file in files:
        key = work_key(file.video_id or [file.size_bytes, file.modified_ns], *parameters)
        known, original = earlier.get(file.item), originals.get(file.video_id)
        video = videos.get(file.video_id)
        if why := withdrawn(file):
            row = outcome_row(file, key, "filtered", why)
        elif file.problem:
            row = outcome_row(file, key, "failed", file.problem)
        elif original != file.item:
            row = outcome_row(file, key, "filtered", f"same bytes as {original}")
        elif video is not None and video["work_key"] == key:
            row = outcome_row(file, key, "ok", video["lost"], value=video["lost_s"])
            if (video["source"], video["path"], video["licence"]) != (file.source, file.path, file.licence):
                moved.append(_own(video) | {"source": file.source, "path": file.path, "licence": file.licence})
        elif known and known["work_key"] == key and _is_settled(known) and not retry_failed:
            continue
        else:
            pending.append(file)
            continue
        if known is None or any(known[name] != row[name] for name in ("outcome", "reason", "work_key")):
            settled.append(row)
    here = {file.item for file in files}
    for item, row in earlier.items():
        is_gone = row["outcome"] == "filtered" and row["reason"] == _GONE
        if item.partition("/")[0] in sources and item not in here and not is_gone:
            settled.append(_own(row) | {"outcome": "filtered", "reason": _GONE, "seconds": None})
    return _Plan(settled, moved, pending)


def _withdrawn(catalog: Catalog) -> Callable[[SourceFile], str]:
    """Says why a file may not be collected: its content, source or licence is withdrawn; "" where none is."""
    rows = views.withdrawals(catalog).filter(pl.col("kind") != "clip").select("kind", "item", "asked", "why").collect()
    held = {(kind, item): f"withdrawn with {asked}: {why}" for kind, item, asked, why in rows.iter_rows()}

    def why(file: SourceFile) -> str:
        asked = (("video", file.video_id), ("source", file.source), ("licence", file.licence))
        return next((held[named] for named in asked if named in held), "")

    return why


def _is_settled(known: Row) -> bool:
    """Whether a failure is the file's; a worker that was killed from outside says nothing of it."""
    return bool(known["outcome"] == "failed" and known["reason"] != engine.KILLED)


def _originals(files: list[SourceFile], earlier: Mapping[str, Row], sources: set[str]) -> dict[str, str]:
    """The item that stands for each content: one of a source that is not collected now, else the first of the files."""
    found = {
        row["video_id"]: item
        for item, row in earlier.items()
        if row["outcome"] == "ok" and item.partition("/")[0] not in sources
    }
    for file in files:
        found.setdefault(file.video_id, file.item)
    return found


def _analyse_file(file: SourceFile, analysis: Analysis, model: Placed) -> VideoAnalysis:
    return analyze_video(file.path, analysis, embedder=model.open())


def _own(row: Row) -> Row:
    """A catalog row without the columns that each write sets anew."""
    return {name: value for name, value in row.items() if name not in ("run_id", "written_at")}


def _parameters(analysis: Analysis) -> tuple[Any, ...]:
    """What a video's rows depend on beside its content."""
    embedding = {"model_id": model_id(analysis.embedding), "frames_per_s": analysis.embedding.frames_per_s}
    return STAGE_VERSION, analysis.shots.model_dump(), analysis.clips.model_dump(), embedding


def _wanted(workspace: Workspace, names: Sequence[str] | None) -> dict[str, Source]:
    known = workspace.sources()
    directory = workspace.configs / "sources"
    if not known:
        raise InputError("no source yet", where=directory, fix="Describe one in a YAML file there")
    unknown = [name for name in names or () if name not in known]
    if unknown:
        raise InputError(f"no source {unknown[0]!r}", where=directory, fix=f"Known: {', '.join(known)}")
    return {name: source for name, source in known.items() if names is None or name in names}


def _outcomes_of(catalog: Catalog, items: set[str]) -> pl.DataFrame:
    """The outcomes of these items: exactly one each."""
    rows = catalog.scan("outcomes").filter(pl.col("stage") == "collect").collect()
    rows = rows.filter(pl.col("item").is_in(list(items)))
    if rows.height != len(items):
        lost = sorted(items - set(rows["item"]))[:3]
        raise CurateError(f"{len(items)} inputs but {rows.height} outcomes; without one: {', '.join(lost)}")
    return rows


def _clip_count(catalog: Catalog, sources: set[str]) -> int:
    clips = views.clips(catalog).filter(pl.col("source").is_in(list(sources)))
    return int(clips.select(pl.len()).collect().item())
