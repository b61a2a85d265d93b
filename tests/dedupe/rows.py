"""Writes what `collect` would have written, for tests of the stages after it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from curate.identity import span_id
from curate.vectors import pack
from curate.workspace import Workspace


@dataclass(frozen=True)
class Clip:
    """One clip; `frames` are its frame vectors, two a second, float32 [n, dim] of unit norm."""

    video_id: str
    frames: np.ndarray
    start_s: float = 0.0
    end_s: float = 2.0
    path: str = ""
    width: int = 320
    height: int = 180
    bitrate_bps: int = 100_000
    motion: float = 0.1
    source: str = "sample_world"

    @property
    def clip_id(self) -> str:
        return span_id(self.video_id, self.start_s, self.end_s)


def write_clips(workspace: Workspace, clips: Sequence[Clip], *, work_key: str = "w1", model_id: str = "test") -> None:
    """Tables `videos`, `clips`, `embeddings` and the `collect` outcomes."""
    videos, outcomes = {}, {}
    for clip in clips:
        path = clip.path or str(Path("/nowhere") / f"{clip.video_id}.mp4")
        videos[clip.video_id] = {
            "video_id": clip.video_id, "source": clip.source, "path": path, "licence": "CC0-1.0", "width": clip.width,
            "height": clip.height, "duration_s": clip.end_s, "fps": 30.0, "has_audio": False,
            "bitrate_bps": clip.bitrate_bps,
        }  # fmt: skip
        outcomes[clip.video_id] = {
            "stage": "collect", "item": f"{clip.source}/{clip.video_id}", "video_id": clip.video_id, "outcome": "ok",
        }  # fmt: skip
    rows = [
        {"clip_id": c.clip_id, "video_id": c.video_id, "start_s": c.start_s, "end_s": c.end_s, "motion": c.motion}
        for c in clips
    ]
    embeddings = [
        {
            "clip_id": clip.clip_id,
            "model_id": model_id,
            "vector": (mean := clip.frames.mean(axis=0)) / np.linalg.norm(mean),
            "frame_times_s": [clip.start_s + at / 2 for at in range(len(clip.frames))],
            "frame_vectors": pack(clip.frames),
        }
        for clip in clips
    ]
    for row in embeddings:
        row["vector"] = pack(row["vector"])
    tables = {
        "videos": list(videos.values()),
        "clips": rows,
        "embeddings": embeddings,
        "outcomes": list(outcomes.values()),
    }
    for table, content in tables.items():
        workspace.catalog.write(table, content, run_id="test", work_key=work_key)
