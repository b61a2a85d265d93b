"""Rows carry labels in the clip's own time, and the same rows are the same bytes."""

from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.mixes import rows as rows_module
from curate.mixes.rows import (
    FRAME_FEATURES,
    carried_labels,
    frame_digests,
    labels_by_clip,
    write_frames,
    write_rows,
)
from curate.vectors import pack

SEGMENTS = pl.List(pl.Struct({"start_s": pl.Float64, "end_s": pl.Float64, "fields": pl.String}))
LABELS = {
    "clip_id": pl.String, "capability": pl.String, "spec_version": pl.String, "verdict": pl.String,
    "exhaustive": pl.Boolean, "annotator": pl.String, "segments": SEGMENTS,
}  # fmt: skip
SPANS = {"c0": (0.0, 2.0), "c1": (1.5, 4.0), "c2": (10.0, 10.1)}

times = st.integers(0, 110).map(lambda tenths: tenths / 10)
segments = st.fixed_dictionaries(
    {"start_s": times, "end_s": times, "fields": st.sampled_from([None, "", "{}", '{"color": "red"}'])}
)
labels = st.fixed_dictionaries(
    {
        "clip_id": st.sampled_from([*SPANS, "unknown"]), "capability": st.sampled_from("ab"),
        "spec_version": st.just("v"),
        "verdict": st.sampled_from(["present", "absent"]), "exhaustive": st.sampled_from([True, False, None]),
        "annotator": st.just("ann"), "segments": st.none() | st.lists(segments, max_size=3),
    }
)  # fmt: skip


def clips() -> pl.DataFrame:
    rows = [(clip, *span) for clip, span in SPANS.items()]
    return pl.DataFrame(rows, schema=["clip_id", "start_s", "end_s"], orient="row")


def plainly(rows: list[dict]) -> dict[str, list[dict]]:
    """The same, a label at a time."""
    found: dict[str, list[dict]] = {}
    for row in sorted(rows, key=lambda row: (row["clip_id"], row["capability"])):
        if row["clip_id"] not in SPANS:
            continue
        start_s, end_s = SPANS[row["clip_id"]]
        inside = []
        for segment in row["segments"] or []:
            first, last = max(segment["start_s"], start_s), min(segment["end_s"], end_s)
            if last > first:
                inside.append((round(first - start_s, 6), round(last - start_s, 6), segment["fields"] or "{}"))
        kept = [dict(zip(("start_s", "end_s", "fields"), segment, strict=True)) for segment in sorted(inside)]
        label = {name: row[name] for name in LABELS if name != "clip_id"}
        found.setdefault(row["clip_id"], []).append(
            {**label, "exhaustive": bool(row["exhaustive"]), "segments": kept}
        )  # fmt: skip
    return found


@settings(max_examples=100, deadline=None)
@given(st.lists(labels, max_size=6, unique_by=lambda label: (label["clip_id"], label["capability"])))
def test_segments_are_cut_to_the_clip_and_told_from_its_start(rows: list[dict]) -> None:
    carried = carried_labels(pl.DataFrame(rows, schema=LABELS), clips())
    assert dict(labels_by_clip(carried).iter_rows()) == plainly(rows)


def row_table() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows of three clips, and where each lies."""
    rows = clips().with_columns(
        video_id=pl.lit("v"), source=pl.lit("s"), licence=pl.lit("CC0-1.0"), group_id=pl.lit("v"),
        repeat=pl.Series([1, 3, 1], dtype=pl.Int32), roles=pl.lit(["a"], dtype=pl.List(pl.String)),
        labels=pl.lit([], dtype=labels_by_clip(carried_labels(pl.DataFrame(schema=LABELS), clips())).schema["labels"]),
        embedding_model=pl.lit("m"),
    )  # fmt: skip
    places = rows.select("clip_id", pack=pl.lit("media/train-0.zip"), offset=pl.lit(7), size=pl.lit(9))
    return rows, places


def test_the_same_rows_in_any_order_are_the_same_bytes(tmp_path: Path) -> None:
    rows, places = row_table()
    paths = []
    for name, order in (("a", 1), ("b", -1)):
        (tmp_path / name).mkdir()
        paths += write_rows(tmp_path / name, "train", rows[::order], places[::order])
    assert [path.name for path in paths] == ["train-00000.parquet", "train-00000.parquet"]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    written = pq.read_table(paths[0]).to_pylist()
    assert [(row["clip_id"], row["repeat"]) for row in written] == [
        ("c0", 0), ("c1", 0), ("c1", 1), ("c1", 2), ("c2", 0)
    ]  # fmt: skip
    assert written[4]["duration_s"] == 0.1
    assert written[0]["video"] == {"bytes": None, "path": "zip://c0.mp4::media/train-0.zip"}
    assert written[0]["media"] == {"pack": "media/train-0.zip", "offset": 7, "size": 9}


def test_many_rows_are_several_files_that_read_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (whole,) = write_rows(tmp_path, "test", *row_table())
    monkeypatch.setattr(rows_module, "_FILE_ROWS", 2)
    paths = write_rows(tmp_path, "train", *row_table())
    assert [path.name for path in paths] == [f"train-{number:05}.parquet" for number in range(3)]
    assert pa.concat_tables(map(pq.read_table, paths)).equals(pq.read_table(whole))


def test_vectors_of_clips_of_any_length_come_back_as_they_were(tmp_path: Path) -> None:
    vectors = [np.eye(3, dtype=np.float16)[:2], np.full((4, 3), 0.5, np.float16)]
    frames = pl.DataFrame(
        {
            "clip_id": ["c0", "c1"],
            "start_s": [0.0, 1.5],
            "frame_times_s": [[0.0, 0.5], [1.5, 2.0, 2.5, 3.1]],
            "frame_vectors": [pack(each) for each in vectors],
        }
    )
    write_frames(tmp_path / "frames.parquet", frames)
    table = pq.read_table(tmp_path / "frames.parquet")
    assert table.schema == FRAME_FEATURES.arrow_schema
    assert table["frame_times_s"].to_pylist() == [[0.0, 0.5], [0.0, 0.5, 1.0, 1.6]]
    assert [np.array(each, np.float16).tolist() for each in table["frame_vectors"].to_pylist()] == [
        each.tolist() for each in vectors
    ]
    md5s, sizes = frame_digests(frames)
    assert sizes == [2 * 8 + 2 * 3 * 2, 4 * 8 + 4 * 3 * 2] and len(set(md5s)) == 2
