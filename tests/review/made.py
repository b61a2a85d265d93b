"""Labels of clips in a catalog, without footage."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from curate.catalog import Catalog
from curate.specs import Capability

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

Marks = Sequence[tuple[float, float] | tuple[float, float, dict[str, Any]]]


def spec(name: str = "jump", *, agreement: float = 0.8, fields: Sequence[Mapping[str, Any]] = ()) -> Capability:
    """A capability whose segments have a required colour and a free text, or the fields given."""
    default = [
        {"name": "color", "type": "string", "enum": ["red", "green", "blue"], "required": True},
        {"name": "fast", "type": "boolean"},
        {"name": "speed", "type": "number"},
        {"name": "note", "type": "string"},
    ]
    return Capability.model_validate({
        "id": name, "title": name, "owner": "tests", "why": "tests", "definition": name,
        "segment": {"description": name, "fields": list(fields) or default}, "match": {"text": [name]},
        "target": {"clips": 4}, "quality": {"agreement": agreement},
    })  # fmt: skip


def label(
    clip: str,
    annotator: str,
    marks: Marks | None = None,
    *,
    verdict: str | None = None,
    exhaustive: bool = True,
    minute: float = 0,
    capability: str = "jump",
    purpose: str | None = None,
    version: str = "v1",
    deleted: bool = False,
    lead_time_s: float | None = None,
    label_id: str | None = None,
) -> dict[str, Any]:
    """A row of `labels`: present with the marks, (start_s, end_s, fields); absent without any."""
    segments = [
        {"start_s": float(m[0]), "end_s": float(m[1]), "fields": json.dumps(m[2] if len(m) > 2 else {})}
        for m in marks or ()
    ]
    return {
        "label_id": label_id or f"{clip}/{capability}/{annotator}/{purpose}",
        "clip_id": clip, "capability": capability, "spec_version": version,
        "verdict": verdict or ("present" if segments else "absent"), "exhaustive": exhaustive, "segments": segments,
        "annotator": annotator, "lead_time_s": lead_time_s, "updated_at": NOON + timedelta(minutes=minute),
        "deleted": deleted, "purpose": purpose,
    }  # fmt: skip


def write(catalog: Catalog, labels: Iterable[dict[str, Any]]) -> None:
    catalog.write("labels", list(labels), run_id="test")


def write_clips(catalog: Catalog, videos: Mapping[str, str]) -> None:
    """The current clips, by clip the video it is of."""
    rows = [{"clip_id": clip, "video_id": video, "start_s": 0.0, "end_s": 10.0} for clip, video in videos.items()]
    catalog.write("clips", rows, run_id="test")
    names = sorted(set(videos.values()))
    catalog.write("videos", [{"video_id": video} for video in names], run_id="test")
    outcomes = [{"stage": "collect", "item": video, "video_id": video, "outcome": "ok"} for video in names]
    catalog.write("outcomes", outcomes, run_id="test")
