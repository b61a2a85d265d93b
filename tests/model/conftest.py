"""A workspace with a published mix to train on: real configs, catalog, build and DVC; frame vectors of known segments.

A frame's vector is the sample CLIP's text vector of what the frame shows, with noise.
"""

from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import yaml

from curate.analyze.embed import load_embedder
from curate.identity import span_id
from curate.mixes.build import build
from curate.vectors import pack, unit
from curate.workspace import Workspace, create_workspace

CLIP_S = 4.0
VIDEOS = 16


@pytest.fixture(scope="session")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight seconds at 25 frames a second of a square that moves to the right and back."""
    path = tmp_path_factory.mktemp("footage") / "square.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(25), options={"crf": "20", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for k in range(200):
            image = np.full((96, 128, 3), 90, dtype=np.uint8)
            left = 100 - abs(100 - k)
            image[40:64, left : left + 24] = (220, 40, 40)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory, footage: Path) -> Workspace:
    """Mix `base` v1: two clips of each of 16 videos, labelled for `bounce`; the first of each shows it. Read only."""
    workspace = create_workspace(tmp_path_factory.mktemp("model") / "workspace", sample=True)
    for path in (workspace.configs / "capabilities").glob("*.yaml"):
        if path.stem != "bounce":
            path.unlink()
    mix = {
        "name": "base",
        "budget": {"clips": 2 * VIDEOS},
        "capabilities": {"bounce": {"share": 1.0, "max_repeat": 2}},
        "limits": {"per_duplicate_group": 1},
        "splits": {"train": 0.6, "validation": 0.2, "test": 0.2},
    }
    (workspace.configs / "mixes" / "base.yaml").write_text(yaml.safe_dump(mix))
    _write_catalog(workspace, footage)
    build(workspace, "base", who="tests", why="to train on")
    return workspace


def _write_catalog(workspace: Workspace, footage: Path) -> None:
    embedder = load_embedder(workspace.analysis().embedding)
    still, bouncing = embedder.texts(["a red ball standing still", "a red ball bouncing"])
    rng = np.random.default_rng(0)
    videos, clips, embeddings, labels, outcomes = [], [], [], [], []
    for number in range(VIDEOS):
        video = f"video{number:02}"
        common = {"video_id": video, "source": "sample_world", "path": str(footage), "licence": "CC0-1.0"}
        videos.append({**common, "duration_s": 2 * CLIP_S, "fps": 25.0, "width": 128, "height": 96})
        outcomes.append({"stage": "collect", "item": f"sample_world/{video}", "video_id": video, "outcome": "ok"})
        for index in (0, 1):
            begin_s = index * CLIP_S
            clip = span_id(video, begin_s, begin_s + CLIP_S)
            clips.append({"clip_id": clip, "video_id": video, "start_s": begin_s, "end_s": begin_s + CLIP_S})
            start_s = begin_s + float(rng.uniform(0.2, 1.5))
            segment = {"start_s": start_s, "end_s": start_s + 2.0, "fields": '{"color": "red", "shape": "ball"}'}
            times_s = begin_s + np.arange(0, CLIP_S, 0.5)
            on = (times_s >= start_s) & (times_s < start_s + 2.0) & (index == 0)
            noise = 0.5 * unit(rng.standard_normal((len(times_s), embedder.dim)))
            vectors = unit(np.where(on[:, None], bouncing, still) + noise).astype(np.float32)
            embeddings.append(
                {
                    "clip_id": clip,
                    "model_id": embedder.model_id,
                    "vector": pack(unit(vectors.mean(0))),
                    "frame_times_s": times_s.tolist(),
                    "frame_vectors": pack(vectors),
                }
            )
            labels.append(
                {
                    "label_id": clip,
                    "clip_id": clip,
                    "capability": "bounce",
                    "spec_version": workspace.capability("bounce").version,
                    "verdict": "absent" if index else "present",
                    "exhaustive": True,
                    "segments": [] if index else [segment],
                    "annotator": "truth",
                    "updated_at": datetime.now(UTC),
                    "deleted": False,
                }
            )
    tables = {"videos": videos, "clips": clips, "embeddings": embeddings, "labels": labels, "outcomes": outcomes}
    for table, rows in tables.items():
        workspace.catalog.write(table, rows, run_id="tests", work_key="w")
