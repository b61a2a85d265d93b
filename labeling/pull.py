"""Fetches what annotators have done as rows of `labels`, a batch at a time. Nothing is ever overwritten.

Each version of an annotation is a row, under the version of the spec that was in force in its project then; an
annotation that was deleted, or turned into a skip, gets a last row with `deleted`. What is known is what the catalog
holds, so a pull that was killed and repeated makes the same labels as one that was not.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from curate.catalog import Catalog
from curate.progress import Progress, silent
from curate.workspace import Workspace, new_run_id
from labeling.annotation import read_annotation
from labeling.changes import Change, Changes, annotations, annotators
from labeling.client import Server, session
from labeling.projects import LABEL, Project, Versions, deleted_projects, find_projects
from labeling.proxies import task_timelines

_ENDED = (
    "label_id",
    "clip_id",
    "capability",
    "spec_version",
    "verdict",
    "exhaustive",
    "segments",
    "annotator",
    "purpose",
)


@dataclass(frozen=True)
class PullSummary:
    """Annotations by what became of them; `problems` counts what had to be mended in the new ones.

    Attributes:
        new: versions written now, first ones and re-annotations.
        unchanged: annotations that the catalog had already.
        deleted: labels whose annotation is gone or has become a skip.
        skipped: skips on the server; they are no labels.
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
    """Brings the `labels` table up to date with every project of `capabilities` (all where None), old specs included.

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
            if project.kind == LABEL:
                changes = annotations(workspace, client, project, emails)
                _pull_labels(workspace.catalog, project, changes, run_id, counts, problems)
        progress("projects", len(projects), len(projects))
    figures = {name: counts[name] for name in ("new", "unchanged", "deleted", "skipped")}
    asked = [name for name in missing if capabilities is None or name in capabilities]
    return PullSummary(**figures, problems=dict(sorted(problems.items())), missing=asked)


def _pull_labels(
    catalog: Catalog,
    project: Project,
    changes: Changes,
    run_id: str,
    counts: Counter[str],
    problems: Counter[str],
) -> None:
    known = _known(catalog, project)
    versions = Versions(catalog, project)
    new = 0
    for batch in changes.batches():
        fresh = [change for change in batch if _is_news(change, known)]
        answers = [change for change in fresh if not change.skipped]
        rows = _labels(catalog, answers, versions, problems)
        new += len(rows)
        ended = {change.label_id: change.updated_at for change in fresh if change.skipped}
        rows += _deletions(catalog, ended)
        catalog.write("labels", rows, run_id=run_id)
        known |= {row["label_id"]: (row["updated_at"], row["deleted"]) for row in rows}
        counts.update(deleted=len(ended))
    alive = {label_id for label_id, (_, deleted) in known.items() if not deleted}
    gone = changes.gone(alive)
    catalog.write("labels", _deletions(catalog, dict.fromkeys(gone, datetime.now(UTC))), run_id=run_id)
    counts.update(new=new, unchanged=len(alive) - len(gone) - new, deleted=len(gone), skipped=changes.skips)


def _is_news(change: Change, known: dict[str, tuple[datetime, bool]]) -> bool:
    """Whether it is a version that the catalog lacks, or the end of a label that is in force there."""
    updated_at, deleted = known.get(change.label_id, (None, True))
    if change.skipped:
        return not deleted
    return updated_at is None or updated_at < change.updated_at


def _labels(
    catalog: Catalog, answers: Sequence[Change], versions: Versions, problems: Counter[str]
) -> list[dict[str, Any]]:
    rows = []
    timelines = task_timelines(catalog, [change.data for change in answers])
    for change, timeline in zip(answers, timelines, strict=True):
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
            "purpose": "label",
        }
        rows.append(row)
    return rows


def _known(catalog: Catalog, project: Project) -> dict[str, tuple[datetime, bool]]:
    """When the newest version of each label of the project is from, and whether it says that the label is no more."""
    rows = _newest(catalog, pl.col("label_id").str.starts_with(f"ls-{project.uid}-"))
    found = rows.select("label_id", "updated_at", pl.col("deleted").fill_null(False)).collect()
    return {label_id: (updated_at, deleted) for label_id, updated_at, deleted in found.iter_rows()}


def _deletions(catalog: Catalog, ended: dict[str, datetime]) -> list[dict[str, Any]]:
    """The rows that say that labels are no more, each newer than the one it ends."""
    if not ended:
        return []
    rows: Iterable[dict[str, Any]] = _newest(catalog, pl.col("label_id").is_in(list(ended))).collect().to_dicts()
    return [
        {
            **{name: row[name] for name in _ENDED},
            "updated_at": max(ended[row["label_id"]], row["updated_at"] + timedelta(microseconds=1)),
            "deleted": True,
        }
        for row in rows
    ]


def _newest(catalog: Catalog, which: pl.Expr) -> pl.LazyFrame:
    rows = catalog.scan("labels").filter(which).sort("updated_at")
    return rows.unique("label_id", keep="last", maintain_order=True)
