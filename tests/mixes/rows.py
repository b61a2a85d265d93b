"""Catalog rows and configs as collection and labelling leave them."""

from collections.abc import Iterable
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import polars as pl
import yaml

from curate.catalog import Catalog
from curate.dedupe.groups import join_groups
from curate.identity import span_id
from curate.vectors import pack, unit
from curate.workspace import Workspace

MODEL, DIM, CLIP_S = "test-model", 8, 2.0
CAPABILITIES = ("bounce", "roll", "spin")


def clip_id(video: str, index: int) -> str:
    return span_id(video, index * CLIP_S, (index + 1) * CLIP_S)


def still(path: Path, seconds: int) -> None:
    """A video of that length in which nothing happens."""
    picture = np.random.default_rng(0).integers(0, 255, (64, 96, 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(25))
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for _ in range(25 * seconds):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def add_videos(workspace: Workspace, names: Iterable[str], path: Path, *, licence: str = "CC0-1.0") -> None:
    """Videos of two clips each, embedded, as `collect` writes them."""
    catalog, names = workspace.catalog, list(names)
    common = {"source": "test", "path": str(path), "licence": licence}
    catalog.write("videos", [{"video_id": name, **common, "duration_s": 4.0, "fps": 25.0} for name in names],
                  run_id="t", work_key="w")  # fmt: skip
    spans = [(name, index) for name in names for index in (0, 1)]
    clips = [
        {"clip_id": clip_id(name, i), "video_id": name, "start_s": i * CLIP_S, "end_s": (i + 1) * CLIP_S}
        for name, i in spans
    ]
    catalog.write("clips", clips, run_id="t", work_key="w")
    rows = []
    for name, index in spans:
        seed = int(clip_id(name, index)[:8], 16)
        vectors = unit(np.random.default_rng(seed).normal(size=(4, DIM))).astype(np.float32)
        times_s = [index * CLIP_S + 0.5 * k for k in range(4)]
        rows.append({"clip_id": clip_id(name, index), "model_id": MODEL, "vector": pack(unit(vectors.mean(axis=0))),
                     "frame_times_s": times_s, "frame_vectors": pack(vectors)})  # fmt: skip
    catalog.write("embeddings", rows, run_id="t", work_key="w")
    outcomes = [{"stage": "collect", "item": f"test/{name}", "video_id": name, "outcome": "ok"} for name in names]
    catalog.write("outcomes", outcomes, run_id="t", work_key="w")


def add_label(
    workspace: Workspace,
    clip: str,
    capability: str,
    verdict: str = "present",
    segments: list | None = None,
    **more: Any,
) -> None:
    row = {
        "label_id": f"{clip}/{capability}",
        "clip_id": clip,
        "capability": capability,
        "spec_version": "v",
        "verdict": verdict,
        "exhaustive": True,
        "segments": segments or [],
        "annotator": "ann",
        "updated_at": datetime.now(UTC),
        "deleted": False,
        **more,
    }
    workspace.catalog.write("labels", [row], run_id="t", work_key="l")


def bind_videos(catalog: Catalog, first: str, second: str) -> None:
    """Puts the videos of two clips into one leakage group, as an edge between the clips does."""
    of = dict(catalog.read("clips").select("clip_id", "video_id").iter_rows())
    links = pl.DataFrame([{"video_id": of[first], "other_video": of[second]}])
    catalog.write("groups", join_groups(catalog.read("groups").select("video_id", "group_id"), links), run_id="t")


def write_mix(workspace: Workspace, name: str = "base", **changed: Any) -> None:
    content = {
        "name": name,
        "budget": {"clips": 24},
        "seed": 1,
        "replay": {"share": 0.25},
        "capabilities": {each: {"share": 0.25, "max_repeat": 2} for each in CAPABILITIES},
        "limits": {"per_duplicate_group": 1},
        "splits": {"train": 0.6, "validation": 0.2, "test": 0.2},
        **changed,
    }
    path = workspace.configs / "mixes" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content))


def write_capability(workspace: Workspace, name: str) -> None:
    content = {
        "id": name, "title": name, "owner": "test", "why": "test", "definition": f"A {name}.",
        "segment": {"description": name}, "match": {"text": [name]}, "target": {"clips": 10},
    }  # fmt: skip
    path = workspace.configs / "capabilities" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content))
