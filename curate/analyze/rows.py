"""Results of an analysis as rows of the catalog, committed in small batches.

Tables are written in one order, outcomes of files last, so that a run that is killed between two of them leaves rows
that the next run writes again, and never a file that is called done and is not.
"""

import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from curate.analyze.video import VideoAnalysis
from curate.catalog import Catalog
from curate.identity import span_id
from curate.media.gaps import what_is_lost
from curate.sources.files import SourceFile
from curate.vectors import pack

Row = dict[str, Any]

_BATCH_VIDEOS = 16
_BATCH_S = 5.0

_OF_CLIPS = "outcomes of clips"


class Writer:
    """Gathers rows and commits them table after table, outcomes of files last.

    A row in `videos` says that all there is of the video is written, the outcomes of its clips too: a run that was
    killed after it settles the file without decoding it again.
    """

    def __init__(self, catalog: Catalog, run_id: str) -> None:
        self._catalog, self._run_id = catalog, run_id
        self._tables: dict[str, list[Row]] = {
            name: []
            for name in ("shots", "clips", "embeddings", "fingerprints", "thumbnails", _OF_CLIPS, "videos", "outcomes")
        }
        self._committed = time.monotonic()
        self.clips, self.video_s, self.seconds = 0, 0.0, 0.0

    def add(self, rows: Mapping[str, list[Row]]) -> None:
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


def rows_of(file: SourceFile, key: str, made: VideoAnalysis, seconds: float) -> dict[str, list[Row]]:
    """The rows of one analysed video, for each table."""
    video_id, own = file.video_id, {"video_id": file.video_id, "work_key": key}
    clips: list[Row] = []
    embeddings: list[Row] = []
    fingerprints: list[Row] = []
    thumbnails: list[Row] = []
    of_clips: list[Row] = []
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
    loss: Row = {"lost": lost or None, "lost_s": lost_s if lost else None}
    outcome = outcome_row(file, key, "ok", loss["lost"], value=loss["lost_s"], seconds=seconds)
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


def outcome_row(
    file: SourceFile,
    key: str,
    outcome: str,
    reason: str | None = None,
    *,
    value: float | None = None,
    seconds: float | None = None,
) -> Row:
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
