"""Sources into clips: analyses what is new in them, and leaves every file with an outcome.

The work of a video is keyed by its content, the version of this stage, the parameters that matter and the embedding
model, so running again does nothing and changing a parameter redoes only what depends on it. Results are committed in
small batches, outcomes last: a video without an outcome is looked at again, and its rows fold into the same keys, so
`kill -9` at any moment and a rerun end as an undisturbed run does.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import polars as pl

from curate import engine, views
from curate.analyze.embed import load_embedder, model_id, pick_device
from curate.analyze.embed.place import Placed, placed
from curate.analyze.pace import Pace
from curate.analyze.video import VideoAnalysis, analyze_video
from curate.catalog import Catalog
from curate.errors import CurateError, InputError
from curate.identity import span_id, work_key
from curate.media.gaps import what_is_lost
from curate.progress import Progress, silent
from curate.sources.files import SourceFile, find_files, identify
from curate.specs import Analysis, Source
from curate.vectors import pack
from curate.workspace import Workspace, new_run_id

STAGE_VERSION = 3
"""Raised when the analysis changes so that earlier results are wrong."""

_BATCH_VIDEOS = 16
_BATCH_S = 5.0

_GONE = "the file is gone"
_OF_CLIPS = "outcomes of clips"

_Row = dict[str, Any]


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


@dataclass(frozen=True)
class Turn:
    """Pending files in the order in which to analyse them, and those to leave, with the rule and its value."""

    files: list[SourceFile]
    left: list[tuple[SourceFile, str, float | None]]


Order = Callable[[list[SourceFile], str, Progress], Turn]
"""Orders the pending files; called with them, the run's id and the progress. `curate.targets.aim` makes one."""


def collect(
    workspace: Workspace,
    sources: Sequence[str] | None = None,
    *,
    order: Order | None = None,
    retry_failed: bool = False,
    progress: Progress = silent,
) -> CollectSummary:
    """Analyses the new and changed files of some sources, or of all.

    Writes `files`, `videos`, `shots`, `clips`, `embeddings`, `fingerprints`, `thumbnails`, and `outcomes` of the stages
    "collect" and "clips".

    Args:
        workspace: where configs and catalog are.
        sources: ids of sources; all where not given.
        order: what to analyse first, and what to leave; all files, by name, where not given.
        retry_failed: try files again that failed before under the same parameters.
        progress: told of files looked at and videos analysed.

    Raises:
        InputError: no such source or directory, or the embedding model cannot be had: nothing was decoded then.
        CurateError: another collect is running in this workspace.
    """
    started = time.monotonic()
    analysis, wanted = workspace.analysis(), _wanted(workspace, sources)
    device, run_id = pick_device(analysis.embedding.device), new_run_id("collect")
    with workspace.lock("collect"):
        catalog = workspace.catalog
        files = identify(catalog, find_files(workspace, wanted.values(), progress), run_id, progress)
        plan = _plan(catalog, files, set(wanted), analysis, retry_failed=retry_failed)
        writer, pace = _Writer(catalog, run_id), Pace(0)
        catalog.write("videos", plan.moved, run_id=run_id)
        catalog.write("outcomes", plan.settled, run_id=run_id)
        if plan.pending:
            load_embedder(analysis.embedding)
            turn = order(plan.pending, run_id, progress) if order else Turn(plan.pending, [])
            catalog.write("outcomes", _left_out(catalog, turn, analysis), run_id=run_id)
            pace = _analyse(turn.files, analysis, writer, progress)
        changed = {row["item"] for row in plan.settled} | {file.item for file in plan.pending}
        outcomes = _outcomes_of(catalog, {file.item for file in files})
        number_of = dict(outcomes["outcome"].value_counts().iter_rows())
        failures = outcomes.filter(pl.col("outcome") == "failed").sort("item")
        return CollectSummary(
            run_id=run_id,
            inputs=len(files),
            ok=number_of.get("ok", 0),
            filtered=number_of.get("filtered", 0),
            failed=number_of.get("failed", 0),
            skipped=sum(file.item not in changed for file in files),
            new_clips=writer.clips,
            clips=_clip_count(catalog, set(wanted)),
            video_s=writer.video_s,
            seconds=time.monotonic() - started,
            device=device,
            workers=pace.workers,
            cores=len(os.sched_getaffinity(0)),
            times_real=pace.times_real if pace.footage_s else None,
            bottleneck=pace.bottleneck if pace.footage_s else None,
            failures=list(failures.select("item", "reason").iter_rows()),
        )


@dataclass(frozen=True)
class _Plan:
    """What to do: outcomes that need no analysis, rows of videos whose file moved, and files to analyse."""

    settled: list[_Row]
    moved: list[_Row]
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
    videos = {row["video_id"]: row for row in catalog.read("videos").iter_rows(named=True)}
    originals = _originals(files, earlier, sources)
    parameters = _parameters(analysis)
    settled: list[_Row] = []
    moved: list[_Row] = []
    pending: list[SourceFile] = []
    for file in files:
        key = work_key(file.video_id or [file.size_bytes, file.modified_ns], *parameters)
        known, original = earlier.get(file.item), originals[file.video_id]
        video = videos.get(file.video_id)
        if file.problem:
            row = _outcome(file, key, "failed", file.problem)
        elif original != file.item:
            row = _outcome(file, key, "filtered", f"same bytes as {original}")
        elif video is not None and video["work_key"] == key:
            row = _outcome(file, key, "ok", video["lost"], value=video["lost_s"])
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


def _is_settled(known: _Row) -> bool:
    """Whether a failure is the file's; a worker that was killed from outside says nothing of it."""
    return bool(known["outcome"] == "failed" and known["reason"] != engine.KILLED)


def _left_out(catalog: Catalog, turn: Turn, analysis: Analysis) -> list[_Row]:
    """Outcomes of the files that are left; one with clips under earlier parameters keeps them and its outcome."""
    done = catalog.scan("outcomes").filter(pl.col("stage") == "collect", pl.col("outcome") == "ok")
    in_force = set(done.select("item").collect()["item"])
    parameters = _parameters(analysis)
    return [
        _outcome(file, work_key(file.video_id, *parameters), "filtered", reason, value=value)
        for file, reason, value in turn.left
        if file.item not in in_force
    ]


def _originals(files: list[SourceFile], earlier: Mapping[str, _Row], sources: set[str]) -> dict[str, str]:
    """The item that stands for each content: one of a source that is not collected now, else the first of the files."""
    found = {
        row["video_id"]: item
        for item, row in earlier.items()
        if row["outcome"] == "ok" and item.partition("/")[0] not in sources
    }
    for file in files:
        found.setdefault(file.video_id, file.item)
    return found


def _analyse(pending: list[SourceFile], analysis: Analysis, writer: "_Writer", progress: Progress) -> Pace:
    """Runs the pending files through the engine; what is finished is kept whatever ends the run."""
    if not pending:
        return Pace(0)
    workers = min(engine.worker_count(analysis.engine), len(pending))
    here = analysis.engine.model_copy(update={"workers": workers})
    parameters = _parameters(analysis)
    progress("videos", 0, len(pending))
    with placed(analysis.embedding, here) as model:
        pace, analyse = Pace(workers), partial(_analyse_file, analysis=analysis, model=model)
        try:
            for done, result in enumerate(engine.run(analyse, pending, here, prepare=model.open), 1):
                file, key = result.item, work_key(result.item.video_id, *parameters)
                if isinstance(result, engine.Success):
                    writer.add(_rows_of(file, key, result.value, result.seconds))
                    pace.add(result.value.info.duration_s, result.seconds, result.value.embed_s)
                else:
                    writer.add({"outcomes": [_outcome(file, key, "failed", result.reason, seconds=result.seconds)]})
                if writer.is_due():
                    writer.commit()
                pace.write_s = writer.seconds
                progress("videos", done, len(pending), str(pace))
        finally:
            writer.commit()
    return pace


def _analyse_file(file: SourceFile, analysis: Analysis, model: Placed) -> VideoAnalysis:
    return analyze_video(file.path, analysis, embedder=model.open())


class _Writer:
    """Gathers rows and commits them table after table, outcomes of files last.

    A row in `videos` says that all there is of the video is written, the outcomes of its clips too: a run that was
    killed after it settles the file without decoding it again.
    """

    def __init__(self, catalog: Catalog, run_id: str) -> None:
        self._catalog, self._run_id = catalog, run_id
        self._tables: dict[str, list[_Row]] = {
            name: []
            for name in ("shots", "clips", "embeddings", "fingerprints", "thumbnails", _OF_CLIPS, "videos", "outcomes")
        }
        self._committed = time.monotonic()
        self.clips, self.video_s, self.seconds = 0, 0.0, 0.0

    def add(self, rows: Mapping[str, list[_Row]]) -> None:
        for table, some in rows.items():
            self._tables[table] += some
        self.clips += len(rows.get("clips", ()))
        self.video_s += sum(row["duration_s"] for row in rows.get("videos", ()))

    def is_due(self) -> bool:
        return len(self._tables["videos"]) >= _BATCH_VIDEOS or time.monotonic() - self._committed > _BATCH_S

    def commit(self) -> None:
        started = time.monotonic()
        for table, rows in self._tables.items():
            self._catalog.write("outcomes" if table == _OF_CLIPS else table, rows, run_id=self._run_id)
            rows.clear()
        self._committed = time.monotonic()
        self.seconds += self._committed - started


def _rows_of(file: SourceFile, key: str, made: VideoAnalysis, seconds: float) -> dict[str, list[_Row]]:
    """The rows of one analysed video, for each table."""
    video_id, own = file.video_id, {"video_id": file.video_id, "work_key": key}
    clips: list[_Row] = []
    embeddings: list[_Row] = []
    fingerprints: list[_Row] = []
    thumbnails: list[_Row] = []
    of_clips: list[_Row] = []
    for clip in made.clips:
        clip_id = span_id(video_id, clip.start_s, clip.end_s)
        clips.append(
            own | {"clip_id": clip_id, "start_s": clip.start_s, "end_s": clip.end_s} | asdict(clip.signals),
        )
        embeddings.append(
            {
                "clip_id": clip_id,
                "model_id": made.model_id,
                "vector": pack(clip.vector),
                "frame_times_s": list(clip.frame_times_s),
                "frame_vectors": clip.frame_vectors,
                "work_key": key,
            }
        )
        fingerprints.append({"clip_id": clip_id, "content": clip.content, "pictures": clip.pictures, "work_key": key})
        strip = clip.thumbnails
        thumbnails.append({"clip_id": clip_id, "times_s": strip.times_s, "jpegs": strip.jpegs, "work_key": key})
        of_clips.append(own | {"stage": "clips", "item": clip_id, "outcome": "ok"})
    for start_s, end_s in made.too_short:
        item = f"{video_id}@{start_s:.6f}"
        why = {"outcome": "filtered", "reason": "shorter than clips.min_s", "value": end_s - start_s}
        of_clips.append(own | {"stage": "clips", "item": item} | why)
    lost, lost_s = what_is_lost(made.gaps)
    loss: _Row = {"lost": lost or None, "lost_s": lost_s if lost else None}
    outcome = _outcome(file, key, "ok", loss["lost"], value=loss["lost_s"], seconds=seconds)
    place = {"source": file.source, "path": file.path, "licence": file.licence}
    return {
        "shots": [own | asdict(shot) for shot in made.shots],
        "clips": clips,
        "embeddings": embeddings,
        "fingerprints": fingerprints,
        "thumbnails": thumbnails,
        _OF_CLIPS: of_clips,
        "videos": [own | place | asdict(made.info) | loss],
        "outcomes": [outcome],
    }


def _outcome(
    file: SourceFile,
    key: str,
    outcome: str,
    reason: str | None = None,
    *,
    value: float | None = None,
    seconds: float | None = None,
) -> _Row:
    return {
        "stage": "collect",
        "item": file.item,
        "video_id": file.video_id or None,
        "outcome": outcome,
        "reason": reason,
        "value": value,
        "seconds": seconds,
        "work_key": key,
    }


def _own(row: _Row) -> _Row:
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
