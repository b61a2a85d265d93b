"""Cases for a reviewer: two answers about one clip, settled in Label Studio by a label of purpose "review".

A case is a task of the capability's review project, known by its id, so that it is asked once; worst first. One that
is no longer open, because its answers have changed or an annotator has come to agree, is withdrawn while nobody has
begun it. Which answer is whose is in `reviews` alone.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from label_studio_sdk.client import LabelStudio

from curate.catalog import Catalog
from curate.progress import Progress, silent
from curate.review.agreement import update
from curate.review.cases import Case, cases, open_cases, read_cases, record
from curate.specs import Capability
from curate.workspace import Workspace, new_run_id
from labeling import two_answers as page
from labeling.annotation import read_annotation
from labeling.changes import Change, Changes
from labeling.client import Server, session
from labeling.media import media
from labeling.projects import REVIEW, Project, Versions, find_projects, open_project
from labeling.proxies import task_timelines
from labeling.send import Sent, send
from labeling.shown import Shown, shown
from labeling.store import Stored, store
from labeling.tasks import delete_untouched, untouched


@dataclass(frozen=True)
class AdjudicateSummary:
    """Cases by what became of them.

    Attributes:
        pushed: sent to reviewers now.
        already_there: that wait for a reviewer since earlier.
        withdrawn: that need no reviewer any more; nobody had begun them.
        failed: whose clip could not be cut.
        url: of the review project; "" where there is none, as there was never a case.
    """

    capability: str
    pushed: int
    already_there: int
    withdrawn: int
    failed: int
    url: str


def adjudicate(
    workspace: Workspace,
    server: Server,
    capability: str,
    *,
    limit: int = 100,
    restore_interface: bool = False,
    progress: Progress = silent,
) -> AdjudicateSummary:
    """Sends open cases of a capability to its reviewers, worst first; sending again adds nothing twice.

    Args:
        limit: so many of the worst cases at most become open ones.
        restore_interface: put back an interface that was edited by hand.

    Raises:
        InputError: an unknown capability, a refused token, an interface edited by hand, or a server that cannot reach
            the media.
        CurateError: the server does not answer, or another push is running.
    """
    spec = workspace.capability(capability)
    catalog = workspace.catalog
    with workspace.lock("label-push"), session(server) as client:
        run_id = new_run_id("adjudicate")
        update(catalog, {spec.id: spec}, run_id=run_id)
        record(catalog, cases(workspace, capability, limit=limit), run_id=run_id)
        waiting = open_cases(catalog, capability)
        serving = media(workspace, server)
        serving.check()
        ready, failures = shown(workspace, serving, [case.clip_id for case in waiting], progress)
        tasks = [_task(spec, case, ready[case.clip_id]) for case in waiting if case.clip_id in ready]
        project, sent = None, Sent(set(), set())
        if tasks:
            project = open_project(
                client, workspace, server, spec, REVIEW,
                title=f"{spec.id} review",
                config=page.review_config(spec),
                instructions=page.review_instructions(spec),
                media=serving,
                restore_interface=restore_interface,
            )  # fmt: skip
            sent = send(client, workspace, project, tasks, progress)
            page.show_answers(client, project, tasks)
            serving.renew(client, project.number)
        withdrawn = _withdraw(client, capability, project, {case.case_id for case in waiting})
    return AdjudicateSummary(
        capability,
        pushed=len(sent.new),
        already_there=len(sent.there),
        withdrawn=withdrawn,
        failed=len(failures),
        url=project.url(server) if project else "",
    )


def pull_reviews(
    workspace: Workspace, client: LabelStudio, project: Project, changes: Changes, run_id: str, problems: Counter[str]
) -> Stored:
    """What reviewers have settled in `project`, as labels of purpose "review".

    The answer that was taken is copied from the case, so nothing that a page does to its segments changes it.
    """
    catalog, versions = workspace.catalog, Versions(workspace.catalog, project)

    def read(answered: Sequence[Change]) -> list[dict[str, Any]]:
        return _labels(catalog, versions, answered, problems)

    return store(catalog, "labels", project, changes, read, run_id)


def _task(spec: Capability, case: Case, clip: Shown) -> dict[str, Any]:
    said = [
        page.words(answer.verdict, answer.exhaustive, answer.segments, clip.data["start_s"]) for answer in case.answers
    ]
    words = dict(zip(page.WORDS, said, strict=True))
    data = {**clip.data, "key": case.case_id, "capability": spec.id, "spec_version": spec.version, **words}
    segments = [answer.segments for answer in case.answers]
    return {"data": data, "predictions": page.predictions(spec.segment.fields, segments, clip.timeline)}


def _withdraw(client: LabelStudio, capability: str, current: Project | None, open_ids: set[str]) -> int:
    """Deletes the tasks that ask what is no longer open, or ask it under another meaning, unless somebody began."""
    withdrawn = 0
    for project in find_projects(client, REVIEW):
        if project.capability != capability:
            continue
        kept = open_ids if current and project.number == current.number else set()
        over = [task.number for task in untouched(client, project) if task.data["key"] not in kept]
        delete_untouched(client, project, over)
        withdrawn += len(over)
    return withdrawn


def _labels(
    catalog: Catalog, versions: Versions, answered: Sequence[Change], problems: Counter[str]
) -> list[dict[str, Any]]:
    known = read_cases(catalog, [change.data["key"] for change in answered])
    rows = []
    timelines = task_timelines(catalog, [change.data for change in answered])
    for change, timeline in zip(answered, timelines, strict=True):
        choice, case = page.taken(change.result), known.get(change.data["key"])
        if choice == page.CORRECTED:
            reading = read_annotation(page.own(change.result, change.data["capability"]), change.data, timeline)
            problems.update(reading.problems)
            said = (reading.verdict, reading.exhaustive, reading.segments)
        elif choice == page.UNSURE:
            said = ("unsure", False, [])
        elif choice and case:
            answer = case.answers[choice == page.SECOND]
            said = (answer.verdict, answer.exhaustive, answer.rows())
        else:
            problems["unknown case" if choice else "no choice"] += 1
            continue
        row = {
            "label_id": change.label_id,
            "clip_id": change.data["clip_id"],
            "capability": change.data["capability"],
            "spec_version": versions.at(change.updated_at, change.data),
            **dict(zip(("verdict", "exhaustive", "segments"), said, strict=True)),
            "annotator": change.annotator,
            "lead_time_s": change.lead_time_s,
            "updated_at": change.updated_at,
            "deleted": False,
            "purpose": "review",
        }
        rows.append(row)
    return rows
