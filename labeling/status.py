"""Where the work of annotators and reviewers stands: counts that the server keeps, beside what the catalog holds.

The server is asked for its projects' counters and for how many tasks fulfil a condition, never for tasks: 0.3 s for a
project, however many tasks it has. A server that is down leaves what the catalog knows.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from curate.review.annotators import annotators
from curate.review.cases import open_cases
from curate.specs import Capability
from curate.workspace import Workspace
from labeling.client import Server, session
from labeling.projects import LABEL, REVIEW, find_projects
from labeling.tasks import UNANSWERED, condition, count

_COUNTERS = "id,task_number,num_tasks_with_annotations,finished_task_number,skipped_annotations_number"
_COUNTED = ("sent", "labelled", "waiting", "drafts", "skips", "second", "reviews", "votes")
_BEGUN = [condition("draft_exists", "equal", "Boolean", True)]


@dataclass(frozen=True)
class Work:
    """The work on one capability; None where only the server knows, and it does not answer.

    Attributes:
        sent: tasks of annotators on the server, in projects of earlier meanings too; without it, clips ever ordered.
        labelled: those with an answer at least.
        waiting: those that nobody has answered or skipped.
        drafts: those that somebody has begun and not submitted.
        skips: how often one was skipped.
        second: those that wait for a second opinion.
        reviews, votes: tasks of reviewers, and of those who compare models, that nobody has answered or skipped.
        labels: annotators' labels that were pulled and stand.
        cases: recorded cases that no review has settled.
        minutes: that annotators and reviewers spent, as far as it was pulled.
    """

    capability: str
    sent: int | None
    labelled: int | None
    waiting: int | None
    drafts: int | None
    skips: int | None
    second: int | None
    reviews: int | None
    votes: int | None
    labels: int
    cases: int
    minutes: float


def work(workspace: Workspace, server: Server | None, capabilities: Sequence[str] | None = None) -> list[Work]:
    """The work on each of `capabilities`, on all that have any where None.

    Args:
        server: None leaves what only a server knows out.

    Raises:
        InputError: an unknown capability, or a refused token.
        CurateError: the server does not answer.
    """
    specs = workspace.capabilities(capabilities or None)
    nothing = dict.fromkeys(_COUNTED, 0 if server else None)
    counted = _on_server(server) if server else {}
    found = []
    for name, held in _in_catalog(workspace, specs).items():
        if capabilities or name in counted or any(held.values()):
            counts = {**nothing, **counted.get(name, {})}
            if server is None:
                counts["sent"] = int(held["ordered"])
            labels, cases = int(held["labels"]), int(held["cases"])
            found.append(Work(name, **counts, labels=labels, cases=cases, minutes=round(held["minutes"], 1)))
    return found


def _on_server(server: Server) -> dict[str, dict[str, int]]:
    """Counts by capability and what is counted."""
    found: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(_COUNTED, 0))
    with session(server) as client:
        counters = {project.id: project for project in client.projects.list(page_size=100, include=_COUNTERS)}
        for project in find_projects(client, None):
            counts, said = found[project.capability], counters[project.number]
            waiting = count(client, project.number, UNANSWERED)
            if project.kind == LABEL:
                counts["sent"] += said.task_number
                counts["labelled"] += said.num_tasks_with_annotations
                counts["waiting"] += waiting
                counts["drafts"] += count(client, project.number, _BEGUN)
                counts["skips"] += said.skipped_annotations_number
                counts["second"] += said.num_tasks_with_annotations - said.finished_task_number
            else:
                counts["reviews" if project.kind == REVIEW else "votes"] += waiting
    return dict(found)


def _in_catalog(workspace: Workspace, specs: Mapping[str, Capability]) -> dict[str, dict[str, float]]:
    """What the catalog holds of each capability: clips ordered, labels, open cases, minutes."""
    catalog = workspace.catalog
    ordered = dict(catalog.scan("orders").group_by("capability").len().collect().iter_rows())
    cases = Counter(case.capability for case in open_cases(catalog))
    people = annotators(catalog, specs).group_by("capability").agg(pl.col("labels", "minutes").sum())
    done = {name: {"labels": labels, "minutes": minutes} for name, labels, minutes in people.iter_rows()}
    none = {"labels": 0, "minutes": 0.0}
    return {name: {"ordered": ordered.get(name, 0), "cases": cases[name], **done.get(name, none)} for name in specs}
