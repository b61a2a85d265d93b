"""Costly signals, for the clips that need them: on-screen text, speech and transcripts.

A capability's `where` may name them, and most clips are decided without: where "motion > 0.1 and speech_share > 0.3" is
false for want of motion, nobody listens. Conditions are evaluated with what is not measured as null, in SQL's logic of
three values, and what comes out null is measured, the cheapest signal first and the conditions asked again after it.

Each measurement is keyed by its clip, this stage's version and its parameters, so running again does nothing. Rows are
committed as videos finish, and outcomes follow from them, so a run that is killed goes on where it was.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import polars as pl

from curate import engine, views
from curate.analyze.clips import Span
from curate.analyze.transcript import model_key, require_model
from curate.catalog import Catalog
from curate.conditions import matching, names_of, undecided
from curate.errors import DecodeError, InputError
from curate.identity import work_key
from curate.progress import Progress, silent
from curate.specs.analysis import Engine, Signals
from curate.workspace import Workspace, new_run_id

STAGE_VERSION = 1
"""Raised when a signal changes so that earlier results are wrong."""

SIGNALS = tuple(views.MEASURED)
"""The costly signals, cheapest first."""

_CLIPS_AT_ONCE = 64
"""Clips of a video in one item of work: an hour of talk is some, and a crash costs no more than these."""

_COMMIT_S = 5.0

_NOTHING = {"share": None, "text": None, "found": None, "problem": None}

_Row = dict[str, Any]
_Condition = tuple[str, object]
"""SQL, and where it is written."""


@dataclass(frozen=True)
class MeasureSummary:
    """`clips` that are kept, how many of them this run `measured` for each signal, and how many failed."""

    run_id: str
    clips: int
    measured: dict[str, int]
    failed: int
    seconds: float


def measure(
    workspace: Workspace,
    signals: Sequence[str] | None = None,
    *,
    where: str | None = None,
    retry_failed: bool = False,
    progress: Progress = silent,
) -> MeasureSummary:
    """Measures what conditions need, or what is asked for. Writes `measures`, and `outcomes` of the stage "measure".

    Args:
        workspace: its clips must have been collected and deduplicated; only kept clips are measured.
        signals: of `SIGNALS`, for all kept clips; where not given, what the capabilities' conditions leave open.
        where: with `signals`: only for clips that fulfil this condition. What it needs is measured first.
        retry_failed: measure again what failed before under the same parameters.
        progress: told the clips done, for each signal.

    Raises:
        InputError: no such signal, a condition cannot be used, or a transcript is needed and there is no model.
        CurateError: another run of this stage holds the workspace's lock.
    """
    started = time.monotonic()
    if where is not None and not signals:
        raise InputError("a condition without signals", fix=f"Say what to measure: {', '.join(SIGNALS)}")
    _check_names(signals or ())
    check_conditions(workspace, signals=signals, where=where)
    conditions = _conditions(workspace) if signals is None else [(where, "--where")] if where else []
    with workspace.lock("measure"):
        run = _Run(workspace, retry_failed, progress)
        for signal in SIGNALS:
            run.measure(signal, partial(_needing, signal=signal, conditions=conditions))
        for signal in SIGNALS:
            if signal in (signals or ()):
                run.measure(signal, partial(matching, where=where, source="--where"))
        clips, failed = run.write_outcomes()
        return MeasureSummary(run.run_id, clips, run.measured, failed, time.monotonic() - started)


def check_conditions(workspace: Workspace, *, signals: Sequence[str] | None = None, where: str | None = None) -> None:
    """Makes sure, before hours of work, that conditions can be evaluated and what they name can be measured here.

    Raises:
        InputError: a condition cannot be used, or one names `transcript` and there is no model.
    """
    conditions = _conditions(workspace) if signals is None else [(where, "--where")] if where else []
    columns = views.clips(workspace.catalog).head(0).collect()
    for sql, source in conditions:
        matching(columns, sql, source=source)
    asking: list[object] = [source for sql, source in conditions if "transcript" in names_of(sql, source=source)]
    if "transcript" in (signals or ()):
        asking.append("--signals")
    if asking:
        require_model(workspace.analysis().signals, asked_by=asking[0])


def _check_names(signals: Sequence[str]) -> None:
    for name in signals:
        if name not in SIGNALS:
            raise InputError(f"no costly signal {name!r}", where="--signals", fix=f"Known: {', '.join(SIGNALS)}")


def _conditions(workspace: Workspace) -> list[_Condition]:
    directory = workspace.configs / "capabilities"
    return [
        (spec.match.where, directory / f"{name}.yaml")
        for name, spec in workspace.capabilities().items()
        if spec.match.where
    ]


def _needing(clips: pl.DataFrame, signal: str, conditions: Sequence[_Condition]) -> pl.Series:
    """Which clips a condition that names this signal leaves open. Unmeasured signals are null in `clips`."""
    columns, every = set(views.MEASURED[signal]), {name for columns in views.MEASURED.values() for name in columns}
    needed = pl.Series([False] * len(clips), dtype=pl.Boolean)
    for where, source in conditions:
        if columns & names_of(where, source=source):
            needed |= undecided(clips, where, every, source=source)
    return needed


class _Run:
    """One run of the stage: which clips are known, what is measured, and what became of it."""

    def __init__(self, workspace: Workspace, retry_failed: bool, progress: Progress) -> None:
        self._workspace, self._catalog, self._analysis = workspace, workspace.catalog, workspace.analysis()
        self._retry_failed, self._progress = retry_failed, progress
        self._tried: set[tuple[str, str]] = set()
        self.run_id = new_run_id("measure")
        self.measured: dict[str, int] = {}

    def measure(self, signal: str, choose: Callable[[pl.DataFrame], pl.Series]) -> None:
        """Measures a signal of the clips that `choose` marks and of which it is not known."""
        clips, keys = self._clips(), self._known()
        wanted = clips.filter(choose(clips))
        pending = [
            row
            for row in wanted.iter_rows(named=True)
            if (row["clip_id"], signal) not in keys and (row["clip_id"], signal) not in self._tried
        ]
        if not pending:
            return
        self._tried |= {(row["clip_id"], signal) for row in pending}
        self.measured[signal] = self.measured.get(signal, 0) + len(pending)
        self._work(signal, pending)

    def write_outcomes(self) -> tuple[int, int]:
        """(kept clips, failed ones). One row for each clip of which something was measured, where it has changed."""
        kept = self._clips()
        current = self._current(self._catalog.read("measures")).join(kept, on="clip_id", how="semi")
        problem = pl.format("{}: {}", "signal", "problem")
        rows = current.sort("clip_id", "signal").group_by("clip_id", maintain_order=True).agg(
            reason=problem.filter(pl.col("problem").is_not_null()).str.join("; "),
            work_key=pl.col("work_key").str.join(" "),
        ).with_columns(
            reason=pl.when(pl.col("reason") != "").then("reason"),
            stage=pl.lit("measure"),
            item=pl.col("clip_id"),
        ).join(kept.select("clip_id", "video_id"), on="clip_id").with_columns(
            outcome=pl.when(pl.col("reason").is_null()).then(pl.lit("ok")).otherwise(pl.lit("failed"))
        ).drop("clip_id")  # fmt: skip
        before = self._catalog.scan("outcomes").filter(pl.col("stage") == "measure").collect()
        new = rows.join(before, on=["item", "outcome", "work_key"], how="anti")
        self._catalog.write("outcomes", new, run_id=self.run_id)
        return len(kept), int((rows["outcome"] == "failed").sum())

    def _clips(self) -> pl.DataFrame:
        """Kept clips, with null for what was measured under other parameters."""
        clips = views.kept_clips(self._catalog).collect()
        rows = self._catalog.read("measures")
        stale = rows.join(self._current(rows), on=["clip_id", "signal"], how="anti")
        for signal, columns in views.MEASURED.items():
            old = stale.filter(pl.col("signal") == signal)["clip_id"].to_list()
            if old:
                clips = clips.with_columns(
                    pl.when(~pl.col("clip_id").is_in(old)).then(pl.col(name)).alias(name) for name in columns
                )
        return clips

    def _current(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The measurements that were made under today's parameters."""
        keep = [
            key == _key(clip_id, signal, self._analysis.signals)
            for clip_id, signal, key in rows.select("clip_id", "signal", "work_key").iter_rows()
        ]
        return rows.filter(pl.Series(keep, dtype=pl.Boolean))

    def _known(self) -> set[tuple[str, str]]:
        rows = self._current(self._catalog.read("measures"))
        if self._retry_failed:
            rows = rows.filter(pl.col("problem").is_null())
        return set(rows.select("clip_id", "signal").iter_rows())

    def _work(self, signal: str, pending: list[_Row]) -> None:
        items = list(_items(signal, pending, self._catalog))
        done, rows, committed = 0, list[_Row](), time.monotonic()
        self._progress(f"clips measured for {signal}", 0, len(pending))
        try:
            spec = self._analysis.signals
            work, prepare = partial(_measure_clips, spec=spec), partial(_load, signal, spec)
            for result in engine.run(work, items, self._engine(len(items)), prepare=prepare):
                found = result.value if isinstance(result, engine.Success) else None
                for at, clip_id in enumerate(result.item.clip_ids):
                    row = found[at] if found is not None else {"problem": getattr(result, "reason", None)}
                    key = _key(clip_id, signal, self._analysis.signals)
                    rows.append({"clip_id": clip_id, "signal": signal, "work_key": key} | _NOTHING | row)
                done += len(result.item.clip_ids)
                if time.monotonic() - committed > _COMMIT_S:
                    self._commit(rows)
                    committed = time.monotonic()
                self._progress(f"clips measured for {signal}", done, len(pending))
        finally:
            self._commit(rows)

    def _commit(self, rows: list[_Row]) -> None:
        self._catalog.write("measures", rows, run_id=self.run_id)
        rows.clear()

    def _engine(self, items: int) -> Engine:
        workers = min(engine.worker_count(self._analysis.engine), items)
        return self._analysis.engine.model_copy(update={"workers": workers})


@dataclass(frozen=True)
class _Item:
    """Some clips of one video, and what to measure of them."""

    signal: str
    path: str
    size: tuple[int, int]
    start_offset_s: float
    has_audio: bool
    clip_ids: tuple[str, ...]
    spans: tuple[Span, ...]


def _items(signal: str, pending: list[_Row], catalog: Catalog) -> Iterator[_Item]:
    offsets = dict(catalog.scan("videos").select("video_id", "start_offset_s").collect().iter_rows())
    by_video: dict[str, list[_Row]] = {}
    for row in pending:
        by_video.setdefault(row["video_id"], []).append(row)
    for video_id, clips in by_video.items():
        for first in range(0, len(clips), _CLIPS_AT_ONCE):
            some = clips[first : first + _CLIPS_AT_ONCE]
            yield _Item(
                signal,
                some[0]["path"],
                (some[0]["width"], some[0]["height"]),
                offsets[video_id],
                some[0]["has_audio"],
                tuple(row["clip_id"] for row in some),
                tuple((row["start_s"], row["end_s"]) for row in some),
            )


def _load(signal: str, spec: Signals) -> None:
    """Loads what a signal is measured with, once in each worker."""
    if signal == "text":
        from curate.analyze.text import load
    elif signal == "speech":
        from curate.analyze.speech import load
    else:
        from curate.analyze.transcript import load_model

        assert spec.whisper is not None
        load_model(spec.whisper)
        return
    load()


def _measure_clips(item: _Item, spec: Signals) -> list[_Row]:
    """Columns of `measures` for each clip of an item; a clip that cannot be decoded has a problem."""
    rows: list[_Row] = []
    for span in item.spans:
        engine.heartbeat()
        try:
            rows.append(_MEASURE[item.signal](item, span, spec))
        except DecodeError as error:
            rows.append({"problem": error.what})
    return rows


def _text(item: _Item, span: Span, spec: Signals) -> _Row:
    from curate.analyze.text import text_between

    found = text_between(item.path, item.size, span, every_s=spec.text_every_s, longer_px=spec.text_px)
    lines = [
        {"start_s": line.start_s, "end_s": line.end_s, "text": line.text}
        | dict(zip(("left", "top", "width", "height"), line.box, strict=True))
        for line in found.lines
    ]
    return {"share": found.share, "text": found.text, "found": lines}


def _speech(item: _Item, span: Span, spec: Signals) -> _Row:
    from curate.analyze.speech import speech_between

    found = speech_between(item.path, item.start_offset_s, span) if item.has_audio else []
    share = sum(end_s - start_s for start_s, end_s in found) / (span[1] - span[0])
    return {"share": share, "found": [{"start_s": start_s, "end_s": end_s} for start_s, end_s in found]}


def _transcript(item: _Item, span: Span, spec: Signals) -> _Row:
    from curate.analyze.transcript import transcribe

    said = transcribe(item.path, item.start_offset_s, span, spec) if item.has_audio else []
    found = [{"start_s": part.start_s, "end_s": part.end_s, "text": part.text} for part in said]
    return {"text": " ".join(part.text for part in said), "found": found}


_MEASURE: dict[str, Callable[[_Item, Span, Signals], _Row]] = {
    "speech": _speech,
    "text": _text,
    "transcript": _transcript,
}


def _key(clip_id: str, signal: str, spec: Signals) -> str:
    """Of one measurement: the clip's own id is a hash of content and span."""
    parameters: tuple[object, ...] = ()
    if signal == "text":
        parameters = (spec.text_every_s, spec.text_px)
    elif signal == "transcript":
        parameters = (model_key(spec.whisper), spec.language)
    return work_key(clip_id, "measure", STAGE_VERSION, signal, parameters)
