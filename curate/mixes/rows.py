"""The rows of a mix: what a consumer reads of each clip, typed for `datasets`, without its media and its vectors.

Rows are what a version changes, so they are small and written anew each time; media and vectors stay in packs. A row
says where its clip is: `video.path` for fsspec and torchcodec, `media` for one who reads the slice itself. The same
rows give the same bytes: sorted by clip and occurrence, with nothing in them that says when they were made.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Features, List, Value, Video

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
        "media": {"pack": Value("string"), "offset": Value("int64"), "size": Value("int64")},
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
    }
)
"""A row is one occurrence of a clip; `repeat` counts its occurrences from 0. start_s, end_s: in the source video, of
which video_id is the hash. Times of label segments are from the clip's start. video.path: zip://CLIP.mp4::PACK, from
the version's directory; media: where the mp4's bytes lie in that pack. fields: JSON."""

FRAME_FEATURES = Features(
    {
        "clip_id": Value("string"),
        "frame_times_s": List(Value("float64")),
        "frame_vectors": List(List(Value("float16"))),
    }
)
"""Vectors of the frames of each clip, once: times from the clip's start, vectors of unit length."""

_DIGITS = 6
_FILE_ROWS = 1 << 18
_FRAME_GROUP_ROWS = 256
_LABEL = ("capability", "spec_version", "verdict", "exhaustive", "annotator", "segments")
_SEGMENT = pl.Struct({"start_s": pl.Float64, "end_s": pl.Float64, "fields": pl.String})
_CARRIED = pl.Struct({
    "capability": pl.String, "spec_version": pl.String, "verdict": pl.String, "exhaustive": pl.Boolean,
    "annotator": pl.String, "segments": pl.List(_SEGMENT),
})  # fmt: skip


def carried_labels(labels: pl.DataFrame, clips: pl.DataFrame) -> pl.DataFrame:
    """The labels that each clip carries, as its row has them: clip_id and the columns of a label, sorted.

    Segments are in seconds from the clip's start, cut to the clip; what lies outside it is left out.

    Args:
        labels: the columns of `views.labels`, segments in source seconds.
        clips: clip_id, start_s, end_s; each once.
    """
    own = (
        labels.select("clip_id", *_LABEL)
        .join(clips.select("clip_id", clip_start_s="start_s", clip_end_s="end_s"), on="clip_id")
        .sort("clip_id", "capability", "annotator", "spec_version")
        .with_row_index("label")
    )
    inside = (
        own.select("label", "clip_start_s", "clip_end_s", pl.col("segments").cast(pl.List(_SEGMENT)))
        .explode("segments")
        .filter(pl.col("segments").is_not_null())
        .unnest("segments")
        .with_columns(
            start_s=pl.max_horizontal("start_s", "clip_start_s"), end_s=pl.min_horizontal("end_s", "clip_end_s")
        )
        .filter(pl.col("end_s") > pl.col("start_s"))
        .select(
            "label",
            (pl.col("start_s") - pl.col("clip_start_s")).round(_DIGITS),
            (pl.col("end_s") - pl.col("clip_start_s")).round(_DIGITS),
            pl.when(pl.col("fields") == "").then(None).otherwise("fields").fill_null("{}").alias("fields"),
        )
        .sort("label", "start_s", "end_s", "fields")
        .group_by("label", maintain_order=True)
        .agg(segments=pl.struct("start_s", "end_s", "fields"))
    )
    nothing = pl.lit([], dtype=pl.List(_SEGMENT))
    return (
        own.drop("segments")
        .join(inside, on="label", how="left", maintain_order="left")
        .with_columns(pl.col("exhaustive").fill_null(False), pl.col("segments").fill_null(nothing))
        .select("clip_id", *_LABEL)
    )


def labels_by_clip(carried: pl.DataFrame) -> pl.DataFrame:
    """clip_id, labels: a list of structs, in the order of `carried_labels`."""
    return (
        carried.select("clip_id", label=pl.struct(_LABEL).cast(_CARRIED))
        .group_by("clip_id", maintain_order=True)
        .agg(labels="label")
    )


def write_rows(directory: Path, split: str, rows: pl.DataFrame, places: pl.DataFrame) -> list[Path]:
    """Writes SPLIT-00000.parquet, and further ones where there are many rows.

    Args:
        rows: the columns of `FEATURES` but video, media and duration_s; `repeat` says how often a clip occurs.
        places: clip_id, pack, offset, size of every clip of `rows`.
    """
    where = pl.format("zip://{}.mp4::{}", "clip_id", "pack")
    table = (
        rows.join(places, on="clip_id", how="left")
        .sort("clip_id")
        .with_columns(
            duration_s=(pl.col("end_s") - pl.col("start_s")).round(_DIGITS),
            video=pl.struct(bytes=pl.lit(None, dtype=pl.Binary), path=where),
            media=pl.struct("pack", "offset", "size"),
            repeat=pl.int_ranges(0, pl.col("repeat").cast(pl.Int64)),
        )
        .explode("repeat")
        .select(*FEATURES)
    )
    paths = []
    for number, start in enumerate(range(0, table.height, _FILE_ROWS)):
        paths.append(directory / f"{split}-{number:05}.parquet")
        part = table.slice(start, _FILE_ROWS).to_arrow(compat_level=pl.CompatLevel.oldest())
        pq.write_table(part.cast(FEATURES.arrow_schema), paths[-1], compression="zstd")
    return paths


def write_frames(path: Path, frames: pl.DataFrame) -> None:
    """Writes a pack of vectors.

    Args:
        frames: clip_id, start_s, frame_times_s in source seconds, frame_vectors as packed float16 bytes.
    """
    with pq.ParquetWriter(path, FRAME_FEATURES.arrow_schema, compression="zstd") as writer:
        for part in frames.iter_slices(_FRAME_GROUP_ROWS):
            writer.write_table(_frame_table(part))


def frame_digests(frames: pl.DataFrame) -> tuple[list[str], list[int]]:
    """MD5 and size in bytes of what a pack of vectors holds of each clip."""
    md5s, sizes = [], []
    for start_s, times_s, packed in frames.select("start_s", "frame_times_s", "frame_vectors").iter_rows():
        content = (np.asarray(times_s) - start_s).round(_DIGITS).tobytes() + packed
        md5s.append(hashlib.md5(content).hexdigest())
        sizes.append(len(content))
    return md5s, sizes


def _frame_table(frames: pl.DataFrame) -> pa.Table:
    counts = frames["frame_times_s"].list.len().to_numpy()
    values = np.frombuffer(b"".join(frames["frame_vectors"]), np.float16)
    total = int(counts.sum())
    dim = len(values) // total if total else 0
    by_clip = pa.array(np.concatenate([[0], np.cumsum(counts)]).astype(np.int32))
    by_frame = pa.array(np.arange(total + 1, dtype=np.int32) * dim)
    times = frames.select(
        (pl.col("frame_times_s").explode() - pl.col("start_s").repeat_by(pl.col("frame_times_s").list.len()).explode())
        .round(_DIGITS)
    )  # fmt: skip
    columns: Mapping[str, pa.Array] = {
        "clip_id": frames["clip_id"].to_arrow(compat_level=pl.CompatLevel.oldest()),
        "frame_times_s": pa.ListArray.from_arrays(by_clip, pa.array(times.to_series().to_numpy())),
        "frame_vectors": pa.ListArray.from_arrays(by_clip, pa.ListArray.from_arrays(by_frame, pa.array(values))),
    }
    return pa.table(dict(columns)).cast(FRAME_FEATURES.arrow_schema)
