"""A workspace with two capabilities over a dozen clips, without decoding anything."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from curate.vectors import unit
from curate.workspace import Workspace
from tests.dedupe.conftest import bare_workspace
from tests.dedupe.rows import Clip, write_clips

DIM = 8
DIRECTION = np.eye(DIM, dtype=np.float32)[0]


def frames_like(strengths: Sequence[float], seed: int) -> np.ndarray:
    """Frame vectors whose cosine with DIRECTION is given, otherwise at random; float32 [n, DIM]."""
    rest = np.random.default_rng(seed).standard_normal((len(strengths), DIM)).astype(np.float32)
    rest[:, 0] = 0
    strength = np.float32(strengths)[:, None]
    return strength * DIRECTION + np.sqrt(1 - strength**2) * unit(rest)


def write_capability(workspace: Workspace, name: str, **changes: Any) -> None:
    spec: dict[str, Any] = {
        "id": name,
        "title": name,
        "owner": "tests",
        "why": "tests",
        "definition": name,
        "segment": {
            "description": name,
            "fields": [
                {"name": "color", "type": "string", "enum": ["red", "blue"]},
                {"name": "fast", "type": "boolean"},
            ],
        },
        "match": {"like": ["nothing"]},
        "target": {"clips": 4},
        **changes,
    }
    path = workspace.configs / "capabilities" / f"{name}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(spec))


def write_labels(
    workspace: Workspace, capability: str, verdicts: dict[str, str], fields: str = "{}", version: int = 0
) -> None:
    """One label for each clip id, with one segment where it is present."""
    at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=version)
    rows = [
        {
            "label_id": f"{capability}-{clip_id}", "clip_id": clip_id, "capability": capability, "verdict": verdict,
            "segments": [{"start_s": 0.0, "end_s": 1.0, "fields": fields}] if verdict == "present" else [],
            "updated_at": at, "deleted": False,
        }
        for clip_id, verdict in verdicts.items()
    ]  # fmt: skip
    workspace.catalog.write("labels", rows, run_id="test")


def write_scores(
    workspace: Workspace, capability: str, probability: dict[str, float], calibration: str = "platt"
) -> None:
    rows = [
        {
            "clip_id": clip_id, "capability": capability, "similarity": value, "probability": value,
            "calibration": calibration, "eligible": True,
        }
        for clip_id, value in probability.items()
    ]  # fmt: skip
    workspace.catalog.write("scores", rows, run_id="test")


@pytest.fixture
def empty(tmp_path: Path) -> Workspace:
    """A workspace without clips and capabilities."""
    workspace = bare_workspace(tmp_path / "workspace")
    for path in (workspace.configs / "capabilities").glob("*.yaml"):
        path.unlink()
    return workspace


@pytest.fixture
def clips(empty: Workspace) -> list[Clip]:
    """Twelve clips of twelve videos, half of them of another source, in `empty`."""
    made = [
        Clip(
            f"v{at:02d}", frames_like([0.1, 0.1, 0.1, 0.1], at), end_s=2.0 + at,
            source="sample_world" if at < 6 else "archive", motion=at / 10,
        )
        for at in range(12)
    ]  # fmt: skip
    write_clips(empty, made)
    return made
