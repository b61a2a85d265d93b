"""Annotators, reviewers and voters for the sample world: they post what its truth says, through the real API.

Only for demos and tests. With `Errors` they are as people are: ends a little off, segments overlooked, a field or a
verdict wrong, the same errors for the same seed.
"""

import json
import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from label_studio_sdk.client import LabelStudio

from curate.identity import work_key
from curate.model.definitions import Segment
from curate.model.metrics import THRESHOLDS, match
from curate.progress import Progress, silent
from curate.sample.against_truth import truth_by_video
from curate.specs import Capability, Field
from curate.workspace import Workspace
from labeling.client import Server, session
from labeling.frames import Timeline
from labeling.interface import (
    EXHAUSTIVE,
    SEGMENT,
    VERDICT,
    VIDEO,
    Value,
    control_name,
    control_type,
    write_value,
)
from labeling.projects import COMPARISON, LABEL, REVIEW, find_projects
from labeling.proxies import task_timelines
from labeling.two_answers import CORRECTED, FIRST, NEITHER, SECOND, TAKE, TIE, marked

_THREADS = 4
"""Label Studio on SQLite takes about 12 annotations/s from one client, and 23 from four."""

_RIGHT = 0.9
"""A reviewer takes an answer that is at least this near to the truth, and marks it anew where neither is."""


@dataclass(frozen=True)
class Errors:
    """How somebody errs; nobody does by default.

    Attributes:
        boundary_s: standard deviation of each end of a segment.
        missed: share of segments that are overlooked.
        field: share of field values that are other ones.
        verdict: share of clips that are said to show it and do not, or the reverse; of two answers, of those where
            the worse is taken.
        seed: the same errors for the same clips.
    """

    boundary_s: float = 0.0
    missed: float = 0.0
    field: float = 0.0
    verdict: float = 0.0
    seed: int = 0

    def of(self, *what: Any) -> random.Random:
        """Chance for one thing, whatever is done before it."""
        return random.Random(work_key("errors", self.seed, *what))


NO_ERRORS = Errors()


@dataclass(frozen=True)
class _Task:
    """A waiting task, with what its clip shows: segments as truth.json has them, in source seconds."""

    number: int
    data: dict[str, Any]
    spec: Capability
    timeline: Timeline
    truth: list[dict[str, Any]]
    shown: tuple[list[Segment], list[Segment]]
    """Of two answers, the segments of each."""


def annotate(
    workspace: Workspace,
    truth: dict[str, Any],
    server: Server,
    *,
    capabilities: Sequence[str] | None = None,
    errors: Errors = NO_ERRORS,
    progress: Progress = silent,
) -> int:
    """Annotates every task of the current specs of `capabilities` (all where None) that waits for this account.

    A capability shows the action of the truth that has its id. A task waits while fewer people than it is meant for
    have answered, nobody has skipped it, and this account is none of them.

    Args:
        server: whose account annotates (`labeling.accounts.sign_up` makes others).

    Returns:
        How many tasks were annotated.

    Raises:
        InputError: an unknown capability, or a refused token.
        CurateError: the server does not answer.
    """
    return _do(workspace, truth, server, LABEL, capabilities, partial(_label, errors), progress)


def review(
    workspace: Workspace,
    truth: dict[str, Any],
    server: Server,
    *,
    capabilities: Sequence[str] | None = None,
    errors: Errors = NO_ERRORS,
    progress: Progress = silent,
) -> int:
    """Settles every waiting case: takes the answer that the truth is like, and marks it anew where neither is.

    Arguments, result and errors are those of `annotate`.
    """
    return _do(workspace, truth, server, REVIEW, capabilities, partial(_review, errors), progress)


def vote(
    workspace: Workspace,
    truth: dict[str, Any],
    server: Server,
    *,
    capabilities: Sequence[str] | None = None,
    errors: Errors = NO_ERRORS,
    progress: Progress = silent,
) -> int:
    """Votes in every waiting comparison for the answer that is nearer to the truth.

    Arguments, result and errors are those of `annotate`.
    """
    return _do(workspace, truth, server, COMPARISON, capabilities, partial(_vote, errors), progress)


def _do(
    workspace: Workspace,
    truth: dict[str, Any],
    server: Server,
    kind: str,
    capabilities: Sequence[str] | None,
    answer: Callable[[_Task], list[dict[str, Any]]],
    progress: Progress,
) -> int:
    specs = workspace.capabilities(capabilities or None)
    with session(server) as client:
        waiting = _waiting(workspace, truth, client, kind, specs)
        progress("annotations", 0, len(waiting))
        with ThreadPoolExecutor(_THREADS) as pool:
            jobs = [pool.submit(_post, client, task, answer(task)) for task in waiting]
            for done, job in enumerate(as_completed(jobs), start=1):
                job.result()
                progress("annotations", done, len(waiting))
    return len(waiting)


def _waiting(
    workspace: Workspace, truth: dict[str, Any], client: LabelStudio, kind: str, specs: dict[str, Capability]
) -> list[_Task]:
    videos = truth_by_video(workspace.catalog, truth)
    me = client.users.whoami().id
    found = []
    for project in find_projects(client, kind):
        spec = specs.get(project.capability)
        if spec is None or spec.version != project.spec_version:
            continue
        tasks = client.tasks.list(
            project=project.number,
            query=json.dumps({"ordering": ["tasks:id"]}),
            fields="all",
            include="id,data,overlap,annotators,total_annotations,cancelled_annotations,predictions",
            resolve_uri=False,
            page_size=1000,
        )
        found += [(spec, task) for task in tasks if _waits(task, me) and task.data["video_id"] in videos]
    timelines = task_timelines(workspace.catalog, [task.data for _, task in found])
    tasks = []
    for (spec, task), timeline in zip(found, timelines, strict=True):
        seen = _seen(spec.id, videos[task.data["video_id"]]["segments"], task.data)
        shown = ([], []) if kind == LABEL or not task.predictions else marked(task.predictions[0].result, timeline)
        tasks.append(_Task(task.id, task.data, spec, timeline, seen, shown))
    return tasks


def _waits(task: Any, me: int) -> bool:
    answered = {person if isinstance(person, int) else person["user_id"] for person in task.annotators or []}
    return task.total_annotations < task.overlap and not task.cancelled_annotations and me not in answered


def _post(client: LabelStudio, task: _Task, result: list[dict[str, Any]]) -> None:
    segments = sum(entry["type"] == "timelinelabels" for entry in result)
    lead_time_s = round(4 + 1.5 * task.data["duration_s"] + 5 * segments, 1)
    client.annotations.create(task.number, result=result, lead_time=lead_time_s)


def _seen(action: str, segments: list[dict[str, Any]], data: dict[str, Any]) -> list[dict[str, Any]]:
    """What the clip shows of each segment of `action`, in source seconds, unless it is less than half a frame."""
    clip_start_s, clip_end_s = data["start_s"], data["start_s"] + data["duration_s"]
    found = []
    for segment in segments:
        start_s, end_s = max(segment["start_s"], clip_start_s), min(segment["end_s"], clip_end_s)
        if segment["action"] == action and end_s - start_s >= 0.5 / data["fps"]:
            found.append({**segment, "start_s": start_s, "end_s": end_s})
    return found


def _label(errors: Errors, task: _Task) -> list[dict[str, Any]]:
    segments = _mark(errors, task)
    result = [_choice(VERDICT, "present" if segments else "absent"), _choice(EXHAUSTIVE, EXHAUSTIVE)]
    for number, segment in enumerate(segments):
        result += _region(f"segment{number}", task.spec, segment, task.timeline)
    return result


def _mark(errors: Errors, task: _Task) -> list[dict[str, Any]]:
    """What somebody who errs marks of the truth."""
    chance = errors.of(task.data["clip_id"])
    if chance.random() < errors.verdict:
        return [] if task.truth else [_made_up(chance, task)]
    return [_mistaken(errors, chance, task.spec, s) for s in task.truth if chance.random() >= errors.missed]


def _made_up(chance: random.Random, task: _Task) -> dict[str, Any]:
    """A segment where there is none: somewhere, with any values."""
    ends = sorted(chance.uniform(0, task.data["duration_s"]) for _ in range(2))
    start_s, end_s = (task.data["start_s"] + time_s for time_s in ends)
    fields = {field.name: chance.choice(field.enum) for field in task.spec.segment.fields if field.enum}
    return {"start_s": start_s, "end_s": end_s, "fields": fields}


def _mistaken(errors: Errors, chance: random.Random, spec: Capability, segment: dict[str, Any]) -> dict[str, Any]:
    ends = sorted(segment[name] + chance.gauss(0, errors.boundary_s) for name in ("start_s", "end_s"))
    values = dict(segment["fields"])
    for field in spec.segment.fields:
        if field.name in values and chance.random() < errors.field:
            values[field.name] = _another(chance, field, values[field.name])
    return {"start_s": ends[0], "end_s": ends[1], "fields": values}


def _another(chance: random.Random, field: Field, value: Value) -> Value:
    """A value of the field that is not `value`."""
    if field.enum:
        return chance.choice([other for other in field.enum if other != value] or field.enum)
    if isinstance(value, bool):
        return not value
    return f"{value}?" if isinstance(value, str) else value + 1


def _review(errors: Errors, task: _Task) -> list[dict[str, Any]]:
    names = [field.name for field in task.spec.segment.fields]
    first, second = (_nearness(task, segments, names) for segments in task.shown)
    chance = errors.of(task.data["clip_id"])
    if chance.random() < errors.verdict:
        return [_choice(TAKE, SECOND if first >= second else FIRST)]
    if max(first, second) >= _RIGHT:
        return [_choice(TAKE, FIRST if first >= second else SECOND)]
    return [_choice(TAKE, CORRECTED), *_label(errors, task)]


def _vote(errors: Errors, task: _Task) -> list[dict[str, Any]]:
    first, second = (_nearness(task, segments) for segments in task.shown)
    chance = errors.of(task.data["key"])
    if chance.random() < errors.verdict:
        first, second = second, first
    if abs(first - second) < 1e-6:
        return [_choice(TAKE, TIE if first > 0 else NEITHER)]
    return [_choice(TAKE, FIRST if first > second else SECOND)]


def _nearness(task: _Task, segments: Sequence[Segment], fields: Sequence[str] = ()) -> float:
    """How near an answer is to what is there: mean F1 over the thresholds of tIoU, with these fields right."""
    there = [Segment(segment["start_s"], segment["end_s"], segment["fields"]) for segment in task.truth]
    if not segments and not there:
        return 1.0
    hits = [len(match(there, segments, threshold, fields)) for threshold in THRESHOLDS]
    return float(np.mean(hits)) * 2 / (len(there) + len(segments))


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
