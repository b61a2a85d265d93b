"""Run facts: what made the numbers of a page, so that they can be traced and made again."""

import platform
from importlib import metadata
from typing import Any

import polars as pl

from curate.catalog import Catalog
from curate.identity import work_key
from curate.workspace import Workspace

_STAGES = {
    "collect": "videos", "dedupe": "duplicates", "measure": "measures", "score": "scores", "label": "labels",
    "mix": "splits", "evaluate": "evaluations",
}  # fmt: skip
"""The table that a stage writes last."""


def run_facts(workspace: Workspace) -> dict[str, Any]:
    """stages: name, at (its newest row) and hours spent (of work that is timed); versions: of tools; catalog: one key
    over the tables' versions, which are in `tables`; embedding: the model of the clips."""
    catalog = workspace.catalog
    tables = catalog.versions()
    spent = catalog.scan("outcomes").group_by("stage").agg(pl.col("seconds").sum()).collect()
    spent_s = dict(spent.iter_rows())
    stages = [
        {"name": name, "at": at, "hours": (spent_s.get(name) or 0.0) / 3600}
        for name, table in _STAGES.items()
        if (at := _newest(catalog, table)) is not None
    ]
    models = catalog.rows("embeddings").select(pl.col("model_id").unique().sort()).collect()["model_id"].to_list()
    versions = {name: metadata.version(name) for name in ("curate", "polars", "av")} | {
        "Python": platform.python_version()
    }
    return {
        "stages": sorted(stages, key=lambda stage: stage["at"]),
        "versions": versions,
        "catalog": work_key(tables),
        "tables": tables,
        "models": models,
    }


def _newest(catalog: Catalog, table: str) -> Any:
    return catalog.rows(table).select(pl.col("written_at").max()).collect().item()
