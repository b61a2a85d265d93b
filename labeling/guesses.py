"""Segments that are marked already when an annotator opens a task: what is right needs no drawing.

The newest trained segmenter says them where it knows the capability, fields included; before there is one, the best
span by score is the guess. Label Studio shows the guesses of one model in a project, so those of tasks that nobody has
begun are renewed when the model changes. A clip that models are measured on has no guess: an answer that leans on what
a model said would flatter it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
from label_studio_sdk.client import LabelStudio

from curate import views
from curate.model.definitions import Segment
from curate.review.answers import group_of_clips
from curate.specs import Capability
from curate.targets.gaps.frozen import frozen_groups
from curate.targets.scoring.trained import Trained, newest_trained
from curate.workspace import Workspace
from labeling.frames import Timeline
from labeling.interface import SEGMENT, VIDEO, control_name, control_type, write_value
from labeling.projects import Project
from labeling.proxies import task_timelines
from labeling.tasks import Task, batches, untouched

_CLIPS_AT_ONCE = 2048
_BATCH_TASKS = 250


@dataclass(frozen=True)
class Guesses:
    """What `model` says of clips; one of which it says nothing is missing."""

    model: str
    segments: dict[str, list[Segment]]


def guesses(workspace: Workspace, spec: Capability, clip_ids: Sequence[str]) -> Guesses:
    """The guesses for clips, less those of groups that are frozen for evaluation."""
    clip_ids = _not_measuring(workspace, clip_ids)
    trained, _ = newest_trained(workspace)
    if trained and trained.knows(spec):
        return Guesses(trained.directory.name, _of_segmenter(workspace, trained, spec, clip_ids))
    return _of_scores(workspace, spec, clip_ids)


def prediction(spec: Capability, model: str, segments: Sequence[Segment], timeline: Timeline) -> dict[str, Any]:
    """Segments as Label Studio's prediction for a task with `timeline`."""
    result: list[dict[str, Any]] = []
    for number, segment in enumerate(segments, start=1):
        first, last = timeline.to_frames(segment.start_s, segment.end_s)
        ranges = {"ranges": [{"start": first, "end": last}]}
        region = {"id": f"guess{number}", "to_name": VIDEO}
        value = {**ranges, "timelinelabels": [spec.id]}
        result.append({**region, "from_name": SEGMENT, "type": "timelinelabels", "value": value})
        for field in spec.segment.fields:
            said = segment.fields.get(field.name)
            if said is not None and (field.enum is None or said in field.enum):
                value = {**ranges, **write_value(field, said)}
                result.append({**region, "from_name": control_name(field), "type": control_type(field), "value": value})
    return {"model_version": model, "score": max(segment.score for segment in segments), "result": result}


def show_guesses(client: LabelStudio, workspace: Workspace, project: Project, spec: Capability, model: str) -> None:
    """Makes the guesses of `model` the ones that annotators see, also in tasks that were sent before there was it."""
    if not model or client.projects.get(project.number).model_version == model:
        return
    waiting = list(untouched(client, project))
    said = guesses(workspace, spec, [task.data["clip_id"] for task in waiting])
    if said.model == model:
        _add(client, workspace, project, spec, waiting, said)
    client.projects.update(project.number, model_version=model)


def _add(
    client: LabelStudio, workspace: Workspace, project: Project, spec: Capability, tasks: list[Task], said: Guesses
) -> None:
    lacking = [task for task in tasks if task.data["clip_id"] in said.segments and said.model not in task.models]
    timelines = task_timelines(workspace.catalog, [task.data for task in lacking])
    new = [
        {"task": task.number, **prediction(spec, said.model, said.segments[task.data["clip_id"]], timeline)}
        for task, timeline in zip(lacking, timelines, strict=True)
    ]
    for batch in batches(new, _BATCH_TASKS):
        client.projects.import_predictions(project.number, request=batch)


def _not_measuring(workspace: Workspace, clip_ids: Sequence[str]) -> list[str]:
    frozen = frozen_groups(workspace)
    groups = group_of_clips(workspace.catalog) if frozen else {}
    return [clip_id for clip_id in clip_ids if groups.get(clip_id) not in frozen]


def _of_segmenter(
    workspace: Workspace, trained: Trained, spec: Capability, clip_ids: Sequence[str]
) -> dict[str, list[Segment]]:
    found: dict[str, list[Segment]] = {}
    for some in batches(clip_ids, _CLIPS_AT_ONCE):
        clips = views.framed_clips(workspace.catalog).filter(pl.col("clip_id").is_in(some)).collect()
        found |= dict(zip(clips["clip_id"], trained.segments(spec, clips), strict=True))
    return {clip_id: segments for clip_id, segments in found.items() if segments}


def _of_scores(workspace: Workspace, spec: Capability, clip_ids: Sequence[str]) -> Guesses:
    """The best span of each clip by the capability's scores, where there is one."""
    rows = (
        workspace.catalog.scan("scores")
        .filter(
            pl.col("capability") == spec.id,
            pl.col("spec_version") == spec.version,
            pl.col("clip_id").is_in(list(clip_ids)),
            pl.col("best_end_s") > pl.col("best_start_s"),
        )
        .select("model_id", "clip_id", "best_start_s", "best_end_s", "probability")
        .collect()
    )
    if rows.is_empty():
        return Guesses("", {})
    model = max(rows["model_id"])
    found = rows.filter(pl.col("model_id") == model).drop("model_id")
    return Guesses(
        model,
        {clip: [Segment(start_s, end_s, score=chance or 0.0)] for clip, start_s, end_s, chance in found.iter_rows()},
    )
