"""An annotator for the sample world: posts its truth for every waiting task, through the real API.

Only for demos and tests: it marks exactly what truth.json says, which no person does.
"""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

from label_studio_sdk.client import LabelStudio

from curate.progress import Progress, silent
from curate.sample.against_truth import truth_by_video
from curate.specs import Capability
from curate.workspace import Workspace
from labeling.client import Server, session
from labeling.frames import Timeline
from labeling.interface import EXHAUSTIVE, SEGMENT, VERDICT, VIDEO, control_name, control_type, write_value
from labeling.projects import Project, find_projects
from labeling.proxies import task_timelines

_THREADS = 4
"""Label Studio on SQLite takes about 12 annotations/s from one client, and 23 from four."""


def annotate(
    workspace: Workspace,
    truth: dict[str, Any],
    server: Server,
    *,
    capabilities: Sequence[str] | None = None,
    progress: Progress = silent,
) -> int:
    """Annotates every task nobody has touched of the current specs of `capabilities` (all where None).

    A capability shows the action of the truth that has its id.

    Returns:
        How many tasks were annotated.

    Raises:
        InputError: an unknown capability, or a refused token.
        CurateError: the server does not answer.
    """
    specs = [workspace.capability(name) for name in capabilities or workspace.capabilities()]
    videos = truth_by_video(workspace.catalog, truth)
    with session(server) as client:
        waiting = [
            (spec, task)
            for project in find_projects(client)
            for spec in specs
            if (spec.id, spec.version) == (project.capability, project.spec_version)
            for task in _waiting(client, project)
            if task.data["video_id"] in videos
        ]
        timelines = task_timelines(workspace.catalog, [task.data for _, task in waiting])
        progress("annotations", 0, len(waiting))
        with ThreadPoolExecutor(_THREADS) as pool:
            jobs = [
                pool.submit(_annotate, client, task, spec, videos[task.data["video_id"]]["segments"], timeline)
                for (spec, task), timeline in zip(waiting, timelines, strict=True)
            ]
            for done, job in enumerate(as_completed(jobs), start=1):
                job.result()
                progress("annotations", done, len(waiting))
    return len(waiting)


def _waiting(client: LabelStudio, project: Project) -> list[Any]:
    untouched = [
        {"filter": f"filter:tasks:{name}", "operator": "equal", "type": "Number", "value": 0}
        for name in ("total_annotations", "cancelled_annotations")
    ]
    query = json.dumps({"filters": {"conjunction": "and", "items": untouched}})
    pages = client.tasks.list(
        project=project.number, query=query, fields="task_only", include="id,data", resolve_uri=False, page_size=1000
    )
    return list(pages)


def _annotate(
    client: LabelStudio, task: Any, spec: Capability, segments: list[dict[str, Any]], timeline: Timeline
) -> None:
    shown = _shown(spec.id, segments, task.data)
    result = [_choice(VERDICT, "present" if shown else "absent"), _choice(EXHAUSTIVE, EXHAUSTIVE)]
    for number, segment in enumerate(shown):
        result += _region(f"segment{number}", spec, segment, timeline)
    lead_time_s = round(4 + 1.5 * task.data["duration_s"] + 5 * len(shown), 1)
    client.annotations.create(task.id, result=result, lead_time=lead_time_s)


def _shown(action: str, segments: list[dict[str, Any]], data: dict[str, Any]) -> list[dict[str, Any]]:
    """What the clip shows of each segment of `action`, in source seconds, unless it is less than half a frame."""
    clip_start_s, clip_end_s = data["start_s"], data["start_s"] + data["duration_s"]
    found = []
    for segment in segments:
        start_s, end_s = max(segment["start_s"], clip_start_s), min(segment["end_s"], clip_end_s)
        if segment["action"] == action and end_s - start_s >= 0.5 / data["fps"]:
            found.append({**segment, "start_s": start_s, "end_s": end_s})
    return found


def _region(region_id: str, spec: Capability, segment: dict[str, Any], timeline: Timeline) -> list[dict[str, Any]]:
    first, last = timeline.to_frames(segment["start_s"], segment["end_s"])
    ranges = {"ranges": [{"start": first, "end": last}]}
    entries = [_entry(SEGMENT, "timelinelabels", {**ranges, "timelinelabels": [spec.id]}, region_id)]
    for field in spec.segment.fields:
        if field.name in segment["fields"]:
            value = {**ranges, **write_value(field, segment["fields"][field.name])}
            entries.append(_entry(control_name(field), control_type(field), value, region_id))
    return entries


def _choice(control: str, value: str) -> dict[str, Any]:
    return _entry(control, "choices", {"choices": [value]}, control)


def _entry(control: str, kind: str, value: dict[str, Any], entry_id: str) -> dict[str, Any]:
    return {"id": entry_id, "from_name": control, "to_name": VIDEO, "type": kind, "value": value}
