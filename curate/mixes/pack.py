"""Writes the files of a mix: one Parquet shard for each split, typed for `datasets`, with the media inside.

The same rows give the same bytes: rows are sorted by clip and occurrence, cuts are deterministic, and nothing in a
shard says when it was made. Cuts are kept in the workspace's cache by clip, so a version costs only the cuts it adds.
The media column is dictionary-encoded: a clip that repeats is stored once in its row group.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Features, List, Value, Video

from curate import engine
from curate.errors import CurateError
from curate.media.cut import cut
from curate.progress import Progress, silent
from curate.specs.analysis import Engine
from curate.vectors import unpack
from curate.workspace import Workspace, new_run_id

FEATURES = Features(
    {
        "clip_id": Value("string"),
        "video_id": Value("string"),
        "source": Value("string"),
        "licence": Value("string"),
        "group_id": Value("string"),
        "repeat": Value("int32"),
        "start_s": Value("float64"),
        "end_s": Value("float64"),
        "duration_s": Value("float64"),
        "video": Video(decode=False),
        "roles": List(Value("string")),
        "labels": List(
            {
                "capability": Value("string"),
                "spec_version": Value("string"),
                "verdict": Value("string"),
                "exhaustive": Value("bool"),
                "annotator": Value("string"),
                "segments": List({"start_s": Value("float64"), "end_s": Value("float64"), "fields": Value("string")}),
            }
        ),
        "embedding_model": Value("string"),
        "frame_times_s": List(Value("float64")),
        "frame_vectors": List(List(Value("float16"))),
    }
)
"""A row is one occurrence of a clip; `repeat` counts its occurrences from 0. start_s, end_s: in the source video, of
which video_id is the hash. Times of label segments and frames are from the clip's start. video: an mp4 as bytes."""

_ROW_GROUP_BYTES, _ROW_GROUP_ROWS = 64 << 20, 512
_DIGITS = 6


@dataclass(frozen=True)
class _Span:
    clip_id: str
    path: str
    start_s: float
    end_s: float
    target: Path


def cut_media(workspace: Workspace, rows: pl.DataFrame, *, progress: Progress = silent) -> dict[str, Path]:
    """The mp4 of every clip, from the cache or cut now, in parallel.

    Args:
        rows: clip_id, path, start_s, end_s.

    Raises:
        CurateError: clips could not be cut; each has its reason in `outcomes` (stage `cut`).
    """
    cache = workspace.cache("cuts")
    spans = [
        _Span(clip_id, path, start_s, end_s, cache / clip_id[:2] / f"{clip_id}.mp4")
        for clip_id, path, start_s, end_s in rows.select("clip_id", "path", "start_s", "end_s").unique().iter_rows()
    ]
    missing = sorted((span for span in spans if not span.target.exists()), key=lambda span: span.clip_id)
    failures = []
    for done, result in enumerate(_run_cuts(missing, workspace.analysis().engine), start=1):
        if isinstance(result, engine.Failure):
            failures.append(result)
        progress("cuts", done, len(missing))
    if failures:
        outcomes = [
            {"stage": "cut", "item": failure.item.clip_id, "outcome": "failed", "reason": failure.reason}
            for failure in failures
        ]
        workspace.catalog.write("outcomes", outcomes, run_id=new_run_id("mix"))
        first = failures[0]
        raise CurateError(
            f"{len(failures)} of {len(spans)} clips could not be cut; clip {first.item.clip_id}: {first.reason}",
            where=first.item.path,
            fix="Put the file back, or `curate collect` to take note that it changed, and build again",
        )
    return {span.clip_id: span.target for span in spans}


def write_shard(path: Path, rows: pl.DataFrame, media: Mapping[str, Path]) -> None:
    """Writes one split.

    Args:
        rows: the columns of `FEATURES` but video, duration_s, frame_vectors; with `repeat` saying how often a clip
            occurs, label segments and frame_times_s in source seconds, and frame_vectors as packed float16 bytes.
        media: the mp4 of each clip.
    """
    schema = FEATURES.arrow_schema
    options = {"compression": "zstd", "use_dictionary": ["video.bytes"], "dictionary_pagesize_limit": 1 << 30}
    with pq.ParquetWriter(path, schema, **options) as writer:
        for group in _row_groups(rows.sort("clip_id").iter_rows(named=True), media):
            writer.write_table(pa.Table.from_pylist(group, schema=schema))


def relative_segments(segments: Iterable[Mapping[str, Any]], start_s: float, end_s: float) -> list[dict[str, Any]]:
    """Segments in source seconds as seconds from a clip's start, cut to the clip; what lies outside it is left out."""
    found = []
    for segment in segments:
        first, last = max(segment["start_s"], start_s), min(segment["end_s"], end_s)
        if last > first:
            times = {"start_s": round(first - start_s, _DIGITS), "end_s": round(last - start_s, _DIGITS)}
            found.append({**times, "fields": segment["fields"] or "{}"})
    return sorted(found, key=lambda segment: (segment["start_s"], segment["end_s"], segment["fields"]))


def _run_cuts(spans: list[_Span], how: Engine) -> Iterator[engine.Success | engine.Failure]:
    yield from engine.run(_cut, spans, how) if spans else ()


def _cut(span: _Span) -> None:
    span.target.parent.mkdir(parents=True, exist_ok=True)
    cut(span.path, span.start_s, span.end_s, span.target)


def _row_groups(rows: Iterable[dict[str, Any]], media: Mapping[str, Path]) -> Iterator[list[dict[str, Any]]]:
    """Rows in groups of bounded size; the occurrences of one clip stay together."""
    group: list[dict[str, Any]] = []
    size_bytes = 0
    for row in rows:
        content = media[row["clip_id"]].read_bytes()
        if group and (size_bytes + len(content) > _ROW_GROUP_BYTES or len(group) >= _ROW_GROUP_ROWS):
            yield group
            group, size_bytes = [], 0
        made = _row(row, content)
        group += [{**made, "repeat": occurrence} for occurrence in range(row["repeat"])]
        size_bytes += len(content)
    if group:
        yield group


def _row(row: Mapping[str, Any], content: bytes) -> dict[str, Any]:
    start_s, end_s = row["start_s"], row["end_s"]
    times_s = row["frame_times_s"] or []
    vectors = list(unpack(row["frame_vectors"], len(times_s)).astype(np.float16)) if times_s else []
    labels = [
        {**label, "segments": relative_segments(label["segments"] or (), start_s, end_s)} for label in row["labels"]
    ]
    return {
        **{name: row[name] for name in FEATURES if name in row},
        "duration_s": round(end_s - start_s, _DIGITS),
        "video": {"bytes": content, "path": f"{row['clip_id']}.mp4"},
        "labels": labels,
        "frame_times_s": [round(time_s - start_s, _DIGITS) for time_s in times_s],
        "frame_vectors": vectors,
    }
