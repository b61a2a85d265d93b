"""The catalog: every fact the workspace knows, as Delta Lake tables.

One table is one directory of Parquet files and a commit log, so a write is atomic, readers see a snapshot and
never wait, several writers may append at once, and DuckDB, Spark or pandas open the tables without us.

Tables are append-only. Each has a primary key (`Table.key`), and the newest row of a key is the one `scan`
shows: an upsert is an append, which costs milliseconds where a merge rewrites files, and two workers that do
the same work agree. Many small files are merged now and then, which changes no row.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError

from curate.errors import CurateError, InputError

SEGMENT = pl.Struct({"start_s": pl.Float64, "end_s": pl.Float64, "fields": pl.String})
"""A labelled or predicted segment: source seconds, and its typed fields as a JSON object."""

SCORED = pl.Struct({"start_s": pl.Float64, "end_s": pl.Float64, "fields": pl.String, "score": pl.Float64})
"""A predicted segment, and how sure the model is of it."""


FOUND = pl.Struct({
    "start_s": pl.Float64, "end_s": pl.Float64, "text": pl.String,
    "left": pl.Float32, "top": pl.Float32, "width": pl.Float32, "height": pl.Float32,
})  # fmt: skip
"""A line of text with its box in shares of the picture, or a span of speech, or a sentence; in source seconds."""


BIN = pl.Struct({
    "low": pl.Float64, "high": pl.Float64, "clips": pl.Int64, "predicted": pl.Float64, "observed": pl.Float64,
})  # fmt: skip
"""Held-out labelled clips whose probability is from `low` to `high`: its mean, and the share that are positive."""


@dataclass(frozen=True)
class Table:
    """A table's columns and the columns that identify a row."""

    key: tuple[str, ...]
    columns: dict[str, Any]


_WORK: dict[str, Any] = {"run_id": pl.String, "work_key": pl.String, "written_at": pl.Datetime("us", "UTC")}
"""Columns every row carries: the run and the work (content, stage version, parameters) that made it, and when."""

TABLES: dict[str, Table] = {
    # One row for each file found in a source, whatever became of it (see `outcomes`).
    "files": Table(
        key=("source", "path"),
        columns={
            "source": pl.String,
            "path": pl.String,  # absolute, or a URI
            "video_id": pl.String,
            "size_bytes": pl.Int64,
            "modified_ns": pl.Int64,
            "licence": pl.String,
        },
    ),
    # One row for each distinct decodable content.
    "videos": Table(
        key=("video_id",),
        columns={
            "video_id": pl.String,
            "source": pl.String,
            "path": pl.String,
            "licence": pl.String,
            "container": pl.String,
            "codec": pl.String,
            "width": pl.Int32,  # as shown, after rotation
            "height": pl.Int32,
            "rotation_deg": pl.Int32,
            "start_offset_s": pl.Float64,  # presentation time of the first shown frame
            "time_base": pl.String,
            "duration_s": pl.Float64,  # from the first frame's start to the last frame's end
            "frames": pl.Int64,
            "fps": pl.Float64,  # frames / duration
            "variable_rate": pl.Boolean,
            "has_audio": pl.Boolean,
            "bitrate_bps": pl.Int64,
            "lost": pl.String,  # what of it could not be decoded; null where all of it was
            "lost_s": pl.Float64,
        },
    ),
    "shots": Table(
        key=("video_id", "start_s"),
        columns={
            "video_id": pl.String,
            "start_s": pl.Float64,
            "end_s": pl.Float64,
            "boundary": pl.String,  # what the shot begins with: start, cut, gradual, gap
        },
    ),
    # A clip is a span of a video, not a file. Its measured signals sit beside it as columns for SQL conditions.
    "clips": Table(
        key=("clip_id",),
        columns={
            "clip_id": pl.String,
            "video_id": pl.String,
            "start_s": pl.Float64,
            "end_s": pl.Float64,
            "motion": pl.Float32,
            "camera_motion": pl.Float32,
            "object_motion": pl.Float32,
            "brightness": pl.Float32,
            "contrast": pl.Float32,
            "sharpness": pl.Float32,
            "underexposed": pl.Float32,
            "overexposed": pl.Float32,
            "black": pl.Float32,
            "freeze": pl.Float32,
            "letterbox": pl.Float32,
            "static_border": pl.Float32,
            "loudness_lufs": pl.Float32,
            "silence": pl.Float32,
        },
    ),
    # Costly signals of the clips that somebody asked them of: text, speech, transcript.
    "measures": Table(
        key=("clip_id", "signal"),
        columns={
            "clip_id": pl.String,
            "signal": pl.String,
            "share": pl.Float32,  # of the area, or of the time
            "text": pl.String,
            "found": pl.List(FOUND),
            "problem": pl.String,  # why there is no value
        },
    ),
    "embeddings": Table(
        key=("clip_id", "model_id"),
        columns={
            "clip_id": pl.String,
            "model_id": pl.String,
            "vector": pl.Binary,  # float16 [dim], unit norm: mean of the frame vectors
            "frame_times_s": pl.List(pl.Float64),  # source seconds
            "frame_vectors": pl.Binary,  # float16 [frames, dim], unit norm, row-major
        },
    ),
    # What a clip looks like over time, to find its copies: curate/dedupe/fingerprint.py.
    "fingerprints": Table(
        key=("clip_id",),
        columns={
            "clip_id": pl.String,
            "content": pl.String,  # equal where all frames decode to the same pictures
            "pictures": pl.Binary,  # Fingerprint.pack()
        },
    ),
    # A few moments of a clip as small JPEGs, for the pages that people look at.
    "thumbnails": Table(
        key=("clip_id",),
        columns={
            "clip_id": pl.String,
            "times_s": pl.List(pl.Float64),  # source seconds
            "jpegs": pl.List(pl.Binary),
        },
    ),
    # A look at a video's keyframes alone, before it is analysed.
    "triage": Table(
        key=("video_id", "model_id"),
        columns={
            "video_id": pl.String,
            "model_id": pl.String,
            "duration_s": pl.Float64,
            "times_s": pl.List(pl.Float64),  # of the keyframes looked at, source seconds
            "vectors": pl.Binary,  # float16 [keyframes, dim], unit norm, row-major
        },
    ),
    # An edge: clip_id shows what other_id shows (clip_id < other_id). A fact of the two, written once.
    "duplicates": Table(
        key=("clip_id", "other_id"),
        columns={
            "clip_id": pl.String,
            "other_id": pl.String,
            "kind": pl.String,  # exact, copy, semantic
            "score": pl.Float32,
            "start_s": pl.Float64,  # what clip_id has in common with other_id, in its own video's seconds
            "end_s": pl.Float64,
            "other_start_s": pl.Float64,  # and where other_id shows it
            "other_end_s": pl.Float64,
            "speed": pl.Float32,  # of other_id, in seconds of its video for each of clip_id's
            "mirrored": pl.Boolean,
        },
    ),
    # Which clip stands for a dropped one; without keeper_id it is kept again.
    "keepers": Table(
        key=("clip_id",),
        columns={
            "clip_id": pl.String,
            "keeper_id": pl.String,
            "kind": pl.String,
            "score": pl.Float32,
        },
    ),
    # The videos that may not be on two sides of a split; one that is not here is a group of its own.
    "groups": Table(
        key=("video_id",),
        columns={
            "video_id": pl.String,
            "group_id": pl.String,  # the smallest video_id of the group
        },
    ),
    "scores": Table(
        key=("clip_id", "capability"),
        columns={
            "clip_id": pl.String,
            "capability": pl.String,
            "spec_version": pl.String,
            "model_id": pl.String,
            "similarity": pl.Float32,
            "segmenter": pl.Float32,  # the trained segmenter's score of its best segment; null where none is trained
            "probability": pl.Float32,  # or rank
            "calibration": pl.String,  # rank, platt, isotonic
            "matches": pl.Boolean,  # eligible, and probable, or similar enough where there is no probability
            "eligible": pl.Boolean,  # fulfils the capability's `where`, and is of a source and licence it allows
            "best_start_s": pl.Float64,
            "best_end_s": pl.Float64,
        },
    ),
    # How a capability's scores became probabilities, and how far to trust them: curate/targets/scoring/calibrate.py.
    "calibrations": Table(
        key=("capability",),
        columns={
            "capability": pl.String,
            "spec_version": pl.String,
            "calibration": pl.String,  # rank, platt, isotonic
            "level": pl.Float64,  # similarity from which a clip matches, where there is no probability
            "level_from": pl.String,  # spec, clips
            "features": pl.String,  # what the probability is made of: similarity, and segmenter where one is trained
            "labels": pl.Int64,
            "positives": pl.Int64,
            "audits": pl.Int64,  # of the labels, those drawn at random
            "shift": pl.Float64,  # log odds by which the audits moved the level; null where there are none
            "brier": pl.Float64,  # of held-out labels; and what saying the base rate of every clip would give
            "brier_base_rate": pl.Float64,
            "log_loss": pl.Float64,
            "reliability": pl.List(BIN),
        },
    ),
    # Append-only: a re-annotation is a new version, never an overwrite.
    "labels": Table(
        key=("label_id", "updated_at"),
        columns={
            "label_id": pl.String,
            "clip_id": pl.String,
            "capability": pl.String,
            "spec_version": pl.String,
            "verdict": pl.String,  # present, absent, unsure, bad_clip
            "exhaustive": pl.Boolean,  # unmarked time was looked at, and counts as negative
            "segments": pl.List(SEGMENT),
            "annotator": pl.String,
            "lead_time_s": pl.Float64,
            "updated_at": pl.Datetime("us", "UTC"),
            "deleted": pl.Boolean,
            "purpose": pl.String,  # label; gold: asked to measure the annotator; review: settles a case of `reviews`
        },
    ),
    # The projects of Label Studio, with each version of the spec that they were labelled under, and since when.
    "label_projects": Table(
        key=("project", "spec_version"),
        columns={
            "project": pl.String,  # ours, unique everywhere: labeling/projects.py
            "server": pl.String,
            "number": pl.Int64,  # the server's
            "kind": pl.String,  # label, review, comparison
            "capability": pl.String,
            "spec_version": pl.String,
            "guideline": pl.String,  # JSON: what annotators were told, Capability.guideline
            "since": pl.Datetime("us", "UTC"),
        },
    ),
    # A clip as annotators watch it: a file of constant rate, and when each of its frames is in the source.
    "proxies": Table(
        key=("clip_id", "settings"),
        columns={
            "clip_id": pl.String,
            "settings": pl.String,  # how it is cut; a part of its path
            "fps": pl.String,  # a fraction
            "frames": pl.Int64,
            "duration_s": pl.Float64,
            "edges_s": pl.List(pl.Float64),  # [frames + 1], source seconds: where frame i begins, and the last ends
        },
    ),
    # How far the annotators of a clip agree: curate/review/agreement.py.
    "agreements": Table(
        key=("capability", "clip_id"),
        columns={
            "capability": pl.String,
            "clip_id": pl.String,
            "annotators": pl.List(pl.String),
            "verdicts": pl.Float64,  # share of pairs of annotators with the same verdict
            "f1": pl.Float64,  # mean over pairs, of segments matched at tIoU 0.5; null where nobody marked any
            "boundary_s": pl.Float64,  # mean distance of the ends of matched segments
            "fields": pl.Float64,  # share of the fields of matched segments that are equal
            "agreement": pl.Float64,  # of these, what is held against the capability's `quality.agreement`
            "contested": pl.Boolean,  # below it, and no review has settled it
        },
    ),
    # A case for a reviewer: two answers about one clip, of annotators or of a model, to be settled by a third label.
    "reviews": Table(
        key=("case_id",),
        columns={
            "case_id": pl.String,  # 16 hex digits over capability, clip and answers: a new answer is a new case
            "capability": pl.String,
            "spec_version": pl.String,
            "clip_id": pl.String,
            "reason": pl.String,  # annotators: they differ; model: it is sure, and the label says otherwise
            "severity": pl.Float64,  # 0 to 1, worst first
            "answers": pl.String,  # JSON, two of {by, verdict, exhaustive, segments}, in the order shown
        },
    ),
    # A blind comparison: which model's segments were shown on which side, of which clip.
    "comparisons": Table(
        key=("comparison_id", "clip_id", "repeat"),
        columns={
            "comparison_id": pl.String,
            "capability": pl.String,
            "spec_version": pl.String,
            "clip_id": pl.String,
            "repeat": pl.Int64,  # 0, or 1 where the clip is asked again, sides exchanged
            "first": pl.String,  # the model on side 1
            "second": pl.String,
            "segments_first": pl.List(SEGMENT),
            "segments_second": pl.List(SEGMENT),
        },
    ),
    # Append-only, as labels are.
    "votes": Table(
        key=("vote_id", "updated_at"),
        columns={
            "vote_id": pl.String,
            "comparison_id": pl.String,
            "clip_id": pl.String,
            "repeat": pl.Int64,
            "annotator": pl.String,
            "answer": pl.String,  # 1, 2, tie, neither
            "lead_time_s": pl.Float64,
            "updated_at": pl.Datetime("us", "UTC"),
            "deleted": pl.Boolean,
        },
    ),
    # Which clips were sent to annotators, and why: what an estimate must know of how its labels were chosen.
    "orders": Table(
        key=("capability", "clip_id"),
        columns={
            "capability": pl.String,
            "clip_id": pl.String,
            "decision_id": pl.String,
            "reason": pl.String,  # why it was chosen: curate/targets/choosing/choose.py
            "inclusion": pl.Float64,  # audit: the share of all that could be labelled that was drawn; else null
        },
    ),
    "splits": Table(
        key=("video_id",),
        columns={
            "video_id": pl.String,
            "group_id": pl.String,
            "split": pl.String,  # train, validation, test
        },
    ),
    # What may not be used any more: curate/mixes/withdraw.py. A row for each thing that was asked to be withdrawn, and
    # for each video that was known to belong to it; undone where `in_force` is false.
    "withdrawals": Table(
        key=("kind", "item", "asked"),
        columns={
            "kind": pl.String,  # source, licence, video, clip
            "item": pl.String,
            "asked": pl.String,  # whose withdrawal brought this one: "source phone"
            "video_id": pl.String,  # of a video or clip
            "start_s": pl.Float64,  # of a clip: what overlaps it is withdrawn, however the video is cut up
            "end_s": pl.Float64,
            "in_force": pl.Boolean,
            "erased": pl.Boolean,
            "decision_id": pl.String,
            "who": pl.String,
            "why": pl.String,
        },
    ),
    "evaluations": Table(
        key=("model", "mix", "revision", "split", "capability", "slice", "metric"),
        columns={
            "model": pl.String,
            "mix": pl.String,
            "revision": pl.String,
            "split": pl.String,
            "capability": pl.String,
            "slice": pl.String,  # color=red, night; null: all of the capability
            "spec_version": pl.String,
            "metric": pl.String,
            "value": pl.Float64,
            "low": pl.Float64,
            "high": pl.Float64,
            "videos": pl.Int64,
            "segments": pl.Int64,
            "unanswered": pl.Int64,  # clips that the model said nothing of, counted as nothing found
        },
    ),
    # What a model that is not run here said of judged clips: curate/evaluation/predictions.py.
    "predictions": Table(
        key=("model", "clip_id", "capability"),
        columns={
            "model": pl.String,
            "clip_id": pl.String,
            "capability": pl.String,
            "spec_version": pl.String,
            "scored": pl.Boolean,  # scores rank the segments
            "segments": pl.List(SCORED),
        },
    ),
    # What became of every input of every stage: ok, filtered (by which rule, at which value) or failed (why).
    "outcomes": Table(
        key=("stage", "item"),
        columns={
            "stage": pl.String,
            "item": pl.String,
            "video_id": pl.String,
            "outcome": pl.String,
            "reason": pl.String,
            "value": pl.Float64,
            "seconds": pl.Float64,
        },
    ),
    # A row for each step of a decision, newest in force; `history` has who proposed and who approved.
    "decisions": Table(
        key=("decision_id",),
        columns={
            "decision_id": pl.String,
            "kind": pl.String,  # collection, label-order, release, withdrawal
            "subject": pl.String,  # a capability, a mix, or what is withdrawn
            "status": pl.String,  # proposed, approved, rejected, done
            "who": pl.String,
            "why": pl.String,
            "plan": pl.String,  # JSON: what is carried out, exactly
            "evidence": pl.String,  # JSON: what speaks for it; once done, what came of it
            "cost": pl.String,  # JSON: quantities with their unit in the name
        },
    ),
}

_ESCAPED = frozenset(' #?%[]{}"<>`^|\\')
"""ASCII characters that a table's URI escapes and its reader takes as they then stand (polars 2.1, deltalake 1.6)."""
_COMPACT_AFTER_FILES = 64
_ERASED_AT_ONCE = 5_000


@dataclass(frozen=True)
class Catalog:
    """The tables under one directory, local or on an object store."""

    root: str

    def schema(self, table: str) -> pl.Schema:
        """Columns and types of `table`, the work columns included."""
        return pl.Schema({**TABLES[table].columns, **_WORK})

    def write(self, table: str, rows: pl.DataFrame | Sequence[dict], *, run_id: str, work_key: str = "") -> int:
        """Adds `rows` in one atomic commit; a row whose key exists replaces it for every later reader.

        Args:
            rows: a frame or dicts with the table's own columns; missing ones become null, unknown ones raise.
                A `work_key` column, where present, wins over the argument.

        Returns:
            The number of rows written.
        """
        own = TABLES[table].columns
        frame = rows if isinstance(rows, pl.DataFrame) else pl.DataFrame(rows, schema_overrides=own)
        if frame.is_empty():
            return 0
        unknown = set(frame.columns) - set(own) - set(_WORK)
        if unknown:
            raise ValueError(f"table {table!r} has no columns {sorted(unknown)}")
        if "work_key" not in frame.columns:
            frame = frame.with_columns(work_key=pl.lit(work_key))
        stamp = pl.lit(datetime.now(UTC)).cast(pl.Datetime("us", "UTC"))
        frame = frame.with_columns(run_id=pl.lit(run_id), written_at=stamp)
        frame = frame.select(
            (pl.col(name) if name in frame.columns else pl.lit(None)).cast(dtype).alias(name)
            for name, dtype in self.schema(table).items()
        )
        self._commit(table, frame)
        return frame.height

    def scan(self, table: str, *, version: int | None = None) -> pl.LazyFrame:
        """The newest row of each key, as of now or of an earlier `version` of the table."""
        if not self._exists(table):
            return pl.LazyFrame(schema=self.schema(table))
        key = TABLES[table].key
        return (
            self.rows(table, version)
            .sort("written_at", maintain_order=True)
            .unique(key, keep="last", maintain_order=True)
        )

    def read(self, table: str, *, version: int | None = None) -> pl.DataFrame:
        """`scan`, collected."""
        return self.scan(table, version=version).collect()

    def history(self, table: str) -> pl.LazyFrame:
        """Every row ever written, oldest first: what was replaced too."""
        if not self._exists(table):
            return pl.LazyFrame(schema=self.schema(table))
        return self.rows(table).sort("written_at", maintain_order=True)

    def versions(self) -> dict[str, int]:
        """The current version of each table that exists: what a lock pins."""
        return {name: DeltaTable(self._path(name)).version() for name in TABLES if self._exists(name)}

    def erase(self, table: str, column: str, values: Sequence[str]) -> int:
        """Takes the rows with one of these values away for good, from every version of the table.

        Only a takedown may: earlier versions of the table cannot be read after it. Hold the locks of whoever writes.

        Returns:
            The number of rows taken from the newest version.
        """
        if not self._exists(table) or not values:
            return 0
        delta, gone = DeltaTable(self._path(table)), 0
        for start in range(0, len(values), _ERASED_AT_ONCE):
            quoted = (value.replace("'", "''") for value in values[start : start + _ERASED_AT_ONCE])
            listed = ", ".join(f"'{value}'" for value in quoted)
            gone += int(delta.delete(f"{column} IN ({listed})")["num_deleted_rows"])
        delta.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
        return gone

    def compact(self, table: str) -> None:
        """Merges small files. Rows stay as they are, so a reader of any version sees what it saw."""
        if self._exists(table):
            DeltaTable(self._path(table)).optimize.compact()

    def rows(self, table: str, version: int | None = None) -> pl.LazyFrame:
        """`history` in no order, for reading with bounded memory: a filter on `written_at` skips files.

        Today's columns: null in a row that an earlier release of this library did not write.
        """
        if not self._exists(table):
            return pl.LazyFrame(schema=self.schema(table))
        rows = pl.scan_delta(self._path(table), version=version)
        found = rows.collect_schema()
        for name, dtype in self.schema(table).items():
            if found.get(name, dtype) != dtype:
                raise CurateError(
                    f"column {name!r} is {found[name]}, as an earlier release wrote it, and must be {dtype}",
                    where=self._path(table),
                    fix="Move that directory away and run `curate collect`: it makes the table again",
                )
        return rows.select(
            (pl.col(name) if name in found else pl.lit(None, dtype)).alias(name)
            for name, dtype in self.schema(table).items()
        )

    def _path(self, table: str) -> str:
        if table not in TABLES:
            raise ValueError(f"no table {table!r}; the catalog has {', '.join(TABLES)}")
        return f"{self.root}/{table}"

    def _exists(self, table: str) -> bool:
        return DeltaTable.is_deltatable(self._path(table))

    def _commit(self, table: str, frame: pl.DataFrame, attempts: int = 5) -> None:
        for attempt in range(attempts):
            try:
                frame.write_delta(self._path(table), mode="append", delta_write_options={"schema_mode": "merge"})
                break
            except CommitFailedError as error:
                if attempt == attempts - 1:
                    raise CurateError(
                        f"could not commit {frame.height} rows: {error}",
                        where=self._path(table),
                        fix="Run the command again; nothing was written",
                    ) from error
                time.sleep(0.05 * 2**attempt)
        if len(DeltaTable(self._path(table)).file_uris()) > _COMPACT_AFTER_FILES:
            self.compact(table)


def local_catalog(directory: Path) -> Catalog:
    """The catalog in a local directory, made if it is missing.

    Raises:
        InputError: the path holds a character that tables are written under and not found again.
    """
    strange = next(
        (one for one in str(directory) if one in _ESCAPED or not one.isascii() or not one.isprintable()), None
    )
    if strange is not None:
        raise InputError(
            f"the path holds {strange!r}, under which polars cannot read Delta tables back",
            where=directory,
            fix="Keep the workspace under a path of letters, digits and - _ . / alone",
        )
    directory.mkdir(parents=True, exist_ok=True)
    return Catalog(str(directory))
