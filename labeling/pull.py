"""Fetches what people have done in Label Studio: labels, reviews and votes. Nothing is ever overwritten.

Each version of an annotation is a row (`labeling.store`), a label's under the version of the spec that was in force in
its project then. Once all is there, agreement is brought up to date.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from label_studio_sdk.client import LabelStudio

from curate.catalog import Catalog
from curate.progress import Progress, silent
from curate.review.agreement import update
from curate.workspace import Workspace, new_run_id
from labeling.adjudicate import pull_reviews
from labeling.annotation import read_annotation
from labeling.changes import Change, Changes, annotations, annotators
from labeling.client import Server, session
from labeling.compare import pull_votes
from labeling.gold import is_gold
from labeling.projects import COMPARISON, LABEL, REVIEW, Project, Versions, deleted_projects, find_projects
from labeling.proxies import task_timelines
from labeling.send import settle
from labeling.store import Stored, store


@dataclass(frozen=True)
class PullSummary:
    """Annotations by what became of them: of annotators, reviewers and voters.

    Attributes:
        new: versions written now, first ones and re-annotations.
        unchanged: annotations that the catalog had already.
        deleted: those that are gone from the server or have become a skip.
        skipped: skips on the server; they are no labels.
        problems: how often what had to be mended in the new ones.
        missing: capabilities whose project was deleted on the server; its labels stay.
    """

    new: int
    unchanged: int
    deleted: int
    skipped: int
    problems: dict[str, int]
    missing: list[str]


def pull(
    workspace: Workspace,
    capabilities: Sequence[str] | None = None,
    *,
    server: Server,
    progress: Progress = silent,
) -> PullSummary:
    """Brings `labels`, `votes` and `agreements` up to date with every project of `capabilities` (all where None), those
    of old specs included.

    Raises:
        InputError: an unknown capability, or a refused token.
        CurateError: the server does not answer, or another pull is running.
    """
    for name in capabilities or []:
        workspace.capability(name)
    counts: Counter[str] = Counter()
    problems: Counter[str] = Counter()
    run_id = new_run_id("label-pull")
    with workspace.lock("label-pull"), session(server) as client:
        there = find_projects(client, kind=None)
        missing = deleted_projects(workspace.catalog, server, there)
        projects = [each for each in there if capabilities is None or each.capability in capabilities]
        emails = annotators(client) if projects else {}
        for done, project in enumerate(projects):
            progress("projects", done, len(projects))
            settle(client, workspace, project)
            changes = annotations(workspace, client, project, emails)
            stored = _PULLS[project.kind](workspace, client, project, changes, run_id, problems)
            counts.update(asdict(stored))
        progress("projects", len(projects), len(projects))
    update(workspace.catalog, workspace.capabilities(), run_id=run_id)
    figures = {name: counts[name] for name in ("new", "unchanged", "deleted", "skipped")}
    lost = [name for name in missing if capabilities is None or name in capabilities]
    return PullSummary(**figures, problems=dict(sorted(problems.items())), missing=lost)


def _pull_labels(
    workspace: Workspace, client: LabelStudio, project: Project, changes: Changes, run_id: str, problems: Counter[str]
) -> Stored:
    catalog, versions = workspace.catalog, Versions(workspace.catalog, project)

    def read(answered: Sequence[Change]) -> list[dict[str, Any]]:
        return _labels(catalog, project, versions, answered, problems)

    return store(catalog, "labels", project, changes, read, run_id)


def _labels(
    catalog: Catalog, project: Project, versions: Versions, answered: Sequence[Change], problems: Counter[str]
) -> list[dict[str, Any]]:
    rows = []
    timelines = task_timelines(catalog, [change.data for change in answered])
    for change, timeline in zip(answered, timelines, strict=True):
        reading = read_annotation(change.result, change.data, timeline)
        problems.update(reading.problems)
        row = {
            "label_id": change.label_id,
            **{name: change.data[name] for name in ("clip_id", "capability")},
            "spec_version": versions.at(change.updated_at, change.data),
            **{name: getattr(reading, name) for name in ("verdict", "exhaustive", "segments")},
            "annotator": change.annotator,
            "lead_time_s": change.lead_time_s,
            "updated_at": change.updated_at,
            "deleted": False,
            "purpose": "gold" if is_gold(project, change.data) else "label",
        }
        rows.append(row)
    return rows


_PULLS = {LABEL: _pull_labels, REVIEW: pull_reviews, COMPARISON: pull_votes}
