"""The HTML report: one file that needs nothing else, for a person who asks where we stand and why."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from curate import views
from curate.mixes.load import read_lock
from curate.progress import Progress, silent
from curate.report.render import best_picture, render, write_page
from curate.report.status import status
from curate.workspace import Workspace

_THUMBNAILS = 6


def write_report(workspace: Workspace, *, progress: Progress = silent) -> Path:
    """Writes .curate/reports/report.html and returns its path."""
    standing = status(workspace)
    titles = {name: spec.title for name, spec in workspace.capabilities().items()}
    names = [row["capability"] for row in standing.gaps]
    strips = {}
    for index, name in enumerate(names):
        strips[name] = _strip(workspace, name)
        progress("thumbnails", index + 1, len(names))
    html = render(
        "page.html",
        name=workspace.root.name,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        status=standing,
        titles=titles,
        strips=strips,
        models=sorted({row["model"] for row in standing.evaluations}),
        scores=_scores_by_model(standing.evaluations),
        losses=_losses(workspace),
        mixes=[
            {**mix, "lock": read_lock(mix["name"], mix["revision"], workspace=workspace.root)} for mix in standing.mixes
        ],
    )
    return write_page(workspace.reports / "report.html", html)


def _strip(workspace: Workspace, capability: str) -> list[dict[str, Any]]:
    """The clips that score highest, each as its picture nearest to the middle of its best span."""
    best = (
        views.kept_clips(workspace.catalog)
        .join(workspace.catalog.scan("scores").filter(pl.col("capability") == capability, "eligible"), on="clip_id")
        .join(workspace.catalog.scan("thumbnails").select("clip_id", "times_s", "jpegs"), on="clip_id")
        .sort("similarity", "clip_id", descending=[True, False])
        .head(_THUMBNAILS)
        .collect()
    )
    shown = []
    for row in best.iter_rows(named=True):
        picture = best_picture(row)
        if picture is None:
            continue
        shown.append(
            {
                "jpeg": picture,
                "clip_id": row["clip_id"],
                "file": Path(row["path"]).name,
                "start_s": row["start_s"],
                "probability": row["probability"],
            }
        )
    return shown


def _scores_by_model(evaluations: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, Any]]]:
    """F1@0.5 as capability -> model -> row."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for row in evaluations:
        found.setdefault(row["capability"], {})[row["model"]] = row
    return found


def _losses(workspace: Workspace) -> list[dict[str, Any]]:
    """Inputs that were filtered or failed, counted by stage and reason, with an example of each."""
    return (
        workspace.catalog.scan("outcomes")
        .filter(pl.col("outcome") != "ok")
        .with_columns(rule=pl.col("reason").str.replace(r"\s(of|as) .*$", ""))
        .group_by("stage", "outcome", "rule")
        .agg(count=pl.len(), example=pl.col("item").min())
        .sort("stage", "outcome", "count", descending=[False, False, True])
        .collect()
        .to_dicts()
    )
