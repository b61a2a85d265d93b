"""A workspace with all that a report shows, written as rows: no decoding, and every figure known."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from curate.decisions import COLLECTION, LABEL_ORDER, propose
from curate.workspace import Workspace
from tests.dedupe.rows import Clip, write_clips
from tests.targets.conftest import frames_like, write_capability

MARKUP = "<script>document.title='broken'</script><img src=x onerror=alert(1)>"
"""What a hostile file name, reason or title would be."""


def write_world(workspace: Workspace, footage: Path, capabilities: int = 3, clips: int = 24) -> list[Clip]:
    """Clips of two sources, scored for each capability; the first capability is labelled, calibrated and evaluated.

    Clip 0 and each third plays: its file is here. The last one's file name and source would be markup.
    """
    for path in [*(workspace.configs / "capabilities").glob("*.yaml"), *(workspace.configs / "mixes").glob("*.yaml")]:
        path.unlink()
    names = [f"skill_{at:02d}" for at in range(capabilities)]
    for at, name in enumerate(names):
        write_capability(
            workspace, name, title=f"Skill {at} {MARKUP if at == 1 else ''}".strip(), owner=("ana", "ben")[at % 2],
            target={"clips": 2 if at == 2 else 8, "per_slice": 1 if at == 0 else 0}, slices={"by": ["color", "source"]},
        )  # fmt: skip
    made = [
        Clip(
            f"v{at:03d}", frames_like([0.05 + 0.9 * at / clips] * 4, at), end_s=2.0,
            path=str(footage) if at % 3 == 0 else f"/nowhere/{MARKUP if at == clips - 1 else f'film_{at}'}.mp4",
            source="phone" if at % 2 else "archive",
        )
        for at in range(clips)
    ]  # fmt: skip
    write_clips(workspace, made)
    catalog = workspace.catalog
    catalog.write("thumbnails", [
        {"clip_id": clip.clip_id, "times_s": [0.5, 1.5], "jpegs": [picture(at), picture(at + 9)]}
        for at, clip in enumerate(made[1:], start=1)
    ], run_id="t")  # fmt: skip
    write_scores(workspace, names, made)
    begun = datetime(2026, 3, 1, tzinfo=UTC)
    labels = [
        {
            "label_id": f"l{at}", "clip_id": clip.clip_id, "capability": names[0],
            "verdict": "present" if at < 4 else "absent", "exhaustive": True, "annotator": "ana",
            "segments": [{"start_s": 0.0, "end_s": 1.0, "fields": '{"color": "red"}'}] if at < 4 else [],
            "updated_at": begun + timedelta(days=at), "deleted": False,
        }
        for at, clip in enumerate(made[::-2][:10])
    ]  # fmt: skip
    catalog.write("labels", labels, run_id="t")
    evaluations = [
        {"model": model, "mix": "base", "revision": revision, "split": "test", "capability": of, "metric": "f1@0.5",
         "value": value, "low": value - 0.1, "high": value + 0.1, "videos": 9, "segments": 20}
        for model, revision, value in (("zero-shot", "v1", 0.2), ("base-v1-s0", "v1", 0.3), ("base-v2-s0", "v2", 0.4))
        for of in (names[0], "all")
    ]  # fmt: skip
    for row in evaluations:
        catalog.write("evaluations", [row], run_id="t")
    edge = {"start_s": 0.0, "end_s": 2.0, "other_start_s": 0.0, "other_end_s": 2.0, "speed": 1.0, "mirrored": False}
    one, other = sorted([made[1].clip_id, made[2].clip_id])
    catalog.write(
        "duplicates", [{"clip_id": one, "other_id": other, "kind": "copy", "score": 0.95, **edge}], run_id="t"
    )
    outcomes = [("phone/empty.mp4", "the file is empty"), (f"phone/{MARKUP}", f"cannot be read: {MARKUP}")]
    outcomes += [(f"archive/slow{at}.mp4", f"no frame within {at}.5 seconds") for at in range(7)]
    catalog.write("outcomes", [
        {"stage": "collect", "item": item, "outcome": "failed", "reason": reason, "seconds": 1.0}
        for item, reason in outcomes
    ], run_id="t")  # fmt: skip
    return made


def write_scores(workspace: Workspace, names: list[str], clips: list[Clip]) -> None:
    """Scores that rise with the clip's number, from another first clip for each capability; the first is calibrated."""
    count = len(clips)
    kinds = ["platt"] + ["rank"] * len(names)
    strength = [[((at + 5 * order) % count + 0.5) / count for at in range(count)] for order in range(len(names))]
    rows = [
        {"clip_id": clip.clip_id, "capability": name, "similarity": 0.3 * value, "probability": value,
         "calibration": kind, "matches": value >= 0.5, "eligible": True, "best_start_s": 0.5, "best_end_s": 1.5}
        for name, kind, values in zip(names, kinds, strength, strict=False)
        for clip, value in zip(clips, values, strict=True)
    ]  # fmt: skip
    workspace.catalog.write("scores", rows, run_id="t")
    bins = [{"low": at / 5, "high": (at + 1) / 5, "clips": 4 + at, "predicted": at / 5 + 0.1, "observed": at / 5}
            for at in range(5)]  # fmt: skip
    told = {"level": 0.15, "level_from": "clips", "labels": 10, "positives": 4, "brier": 0.1, "brier_base_rate": 0.24}
    calibrations = [
        {"capability": name, "calibration": kind, **told, "reliability": bins if kind == "platt" else []}
        for name, kind in zip(names, kinds, strict=False)
    ]
    workspace.catalog.write("calibrations", calibrations, run_id="t")


def propose_two(workspace: Workspace) -> list[str]:
    """Two decisions that wait; their ids, oldest first."""
    looked = [{"folder": f"folder {at}", "expected_clips": 9.5 - at, "clips_per_h": 31.0} for at in range(10)]
    first = propose(
        workspace.catalog, COLLECTION, "skill_00", plan={"budget_hours": 1.5, "sources": ["phone"]},
        evidence={"expected_yield": looked, "gap_clips": 4}, cost={"decode_h": 1.5}, who="nightly",
        why=f"4 missing {MARKUP}",
    )  # fmt: skip
    second = propose(
        workspace.catalog, LABEL_ORDER, "skill_01", plan={"clips": 40}, evidence={"reasons": {"likely": 12}},
        cost={"annotator_min": 26}, who="ana", why="half of them should show it",
    )  # fmt: skip
    return [first.decision_id, second.decision_id]


def picture(number: int) -> bytes:
    """A JPEG whose grey is the number's."""
    return bytes(cv2.imencode(".jpg", np.full((90, 160, 3), 20 + number * 7 % 200, np.uint8))[1].tobytes())


def told(workspace: Workspace) -> dict[str, Any]:
    """What the last report kept for the next one."""
    return dict(json.loads((workspace.reports / "told.json").read_text()))
