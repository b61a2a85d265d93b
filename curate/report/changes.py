"""What changed since the last report: what came in is read off the catalog, what was said then off a small file.

Rows say when they were written, so new footage, labels and decisions need no memory. Gaps are computed, not stored, so
the page keeps what it said of them in `told.json`. While nothing changes in between, writing the page again changes
nothing on it: it still compares with the report before.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from curate import views
from curate.catalog import TABLES, Catalog
from curate.decisions import PROPOSED
from curate.identity import work_key
from curate.workspace import Workspace

_KEPT = ("positives", "gap_clips", "evaluation")


def told(gaps: Sequence[Mapping[str, Any]], state: Mapping[str, Any], before: Mapping[str, Any] | None) -> dict:
    """What to remember of a report: `at`, a key of the `state` it describes, each capability's figures, and the report
    that it compares with."""
    if before is not None and before["state"] == work_key(state):
        return dict(before)
    figures = {row["capability"]: {name: row[name] for name in _KEPT} for row in gaps}
    made = {"at": datetime.now(UTC).isoformat(), "state": work_key(state), "gaps": figures}
    previous = None if before is None else {name: before[name] for name in made}
    return {**made, "previous": previous}


def recall(path: Path) -> dict[str, Any] | None:
    """What the last report said; None where there is none, or not one that this release wrote."""
    try:
        found = json.loads(path.read_text())
        return found if {"at", "state", "gaps", "previous"} <= set(found) else None
    except (OSError, ValueError):
        return None


def remember(path: Path, said: Mapping[str, Any]) -> None:
    """Keeps it for the next report, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path.with_suffix(".new")
    written.write_text(json.dumps(said))
    written.replace(path)


def changes(workspace: Workspace, gaps: Sequence[Mapping[str, Any]], versions: Sequence[Mapping[str, Any]],
            last: Mapping[str, Any]) -> dict[str, Any]:  # fmt: skip
    """What is new since the report `last`.

    Returns:
        since; facts: dicts of value and words, of what there is any; gaps: capabilities whose figures changed, before
        and now; mixes: versions published; evaluations: of all capabilities, by model; decisions: each one's newest
        step.
    """
    catalog = workspace.catalog
    since = datetime.fromisoformat(last["at"])
    second = since.replace(microsecond=0)  # what git dates are exact to
    return {
        "since": since,
        "facts": [fact for fact in _facts(catalog, since) if fact["value"]],
        "gaps": _changed(gaps, last["gaps"]),
        "mixes": [version for version in versions if datetime.fromisoformat(version["date"]) >= second],
        "evaluations": _evaluations(catalog, since),
        "decisions": _decisions(catalog, since),
    }


def _facts(catalog: Catalog, since: datetime) -> list[dict[str, Any]]:
    footage = _first_seen(catalog, "videos", since, pl.col("duration_s").last())
    clips = len(_first_seen(catalog, "clips", since))
    labels = len(_first_seen(catalog, "labels", since, keys=("label_id",)))
    changed = catalog.rows("labels").filter(pl.col("written_at") > since).select(pl.col("label_id").n_unique())
    duplicates = _first_seen(catalog, "duplicates", since, pl.col("kind").last())
    kinds = duplicates["kind"].value_counts().sort("kind").rows() if len(duplicates) else []
    newly = catalog.scan("outcomes").filter(pl.col("written_at") > since)
    outcomes = dict(newly.group_by("outcome").len().collect().iter_rows())
    hours = float(footage["duration_s"].sum()) / 3600 if len(footage) else 0.0
    relabelled = int(changed.collect().item()) - labels
    return [
        {
            "value": f"{hours:.2f} h" if hours else "",
            "words": f"footage, {len(footage)} {_plural('video', len(footage))}",
        },
        {"value": clips, "words": f"new {_plural('clip', clips)}"},
        {"value": labels, "words": f"new {_plural('label', labels)}"},
        {"value": relabelled, "words": f"{_plural('label', relabelled)} changed"},
        {
            "value": len(duplicates),
            "words": "duplicate pairs: " + ", ".join(f"{count} {kind}" for kind, count in kinds),
        },
        {"value": outcomes.get("failed", 0), "words": "failed", "short": True},
        {"value": outcomes.get("filtered", 0), "words": "filtered"},
    ]


def _first_seen(
    catalog: Catalog, table: str, since: datetime, *values: pl.Expr, keys: Sequence[str] = ()
) -> pl.DataFrame:
    """The keys of a table that no row had before `since`."""
    key = list(keys or TABLES[table].key)
    rows = catalog.rows(table).group_by(key).agg(*values, begun=pl.col("written_at").min())
    return rows.filter(pl.col("begun") > since).collect()


def _changed(gaps: Sequence[Mapping[str, Any]], before: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = []
    for row in gaps:
        now = {name: row[name] for name in _KEPT}
        earlier = before.get(row["capability"])
        if now != earlier:
            found.append({"capability": row["capability"], "now": now, "before": earlier})
    return found


def _evaluations(catalog: Catalog, since: datetime) -> list[dict[str, Any]]:
    rows = views.evaluations(catalog).filter(
        pl.col("written_at") > since, pl.col("metric") == "f1@0.5", pl.col("capability") == "all"
    )
    shown = ("model", "mix", "revision", "split", "value", "low", "high")
    return rows.sort("written_at", "model").select(shown).collect().to_dicts()


def _decisions(catalog: Catalog, since: datetime) -> list[dict[str, Any]]:
    """The newest step of each decision that had one."""
    rows = catalog.scan("decisions").filter(pl.col("written_at") > since, pl.col("status") != PROPOSED)
    return rows.select("decision_id", "kind", "subject", "status", "who", "why", "written_at").collect().to_dicts()


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"
