"""A capability's record: how it was evaluated over versions, and how its labels came in."""

from typing import Any

import polars as pl

from curate import views
from curate.catalog import Catalog
from curate.model import ZERO_SHOT

_MOST = 12
"""Evaluations in a trend: the newest."""
_LABEL = 12
"""Characters of a model's name under its point."""


def read_evaluations(catalog: Catalog) -> pl.DataFrame:
    """Evaluations on test splits that have a value, oldest first."""
    rows = views.evaluations(catalog).filter(pl.col("split") == "test", pl.col("value").is_not_null())
    return rows.sort("written_at", "model", "capability", maintain_order=True).collect()


def trend_points(evaluations: pl.DataFrame, capability: str, metric: str) -> list[dict[str, Any]]:
    """What was evaluated, by mix version and then by time: label, model, mix, revision, baseline, value, low, high.

    A model that was trained again from another seed has a point of its own; the baseline has the newest one only.
    """
    own = evaluations.filter(pl.col("capability") == capability, pl.col("metric") == metric)
    baseline = pl.col("model") == ZERO_SHOT
    version = pl.col("revision").str.strip_prefix("v").cast(pl.Int64, strict=False)
    trained = own.filter(~baseline).sort("mix", version, "written_at", maintain_order=True, nulls_last=False)
    rows = pl.concat([own.filter(baseline).tail(1), trained.tail(_MOST - 1)])
    mixes = rows["mix"].n_unique()
    return [
        {
            "label": "zero-shot" if row["model"] == ZERO_SHOT else _label(row, mixes > 1),
            "baseline": row["model"] == ZERO_SHOT,
            **{name: row[name] for name in ("model", "mix", "revision", "value", "low", "high", "videos", "segments")},
        }
        for row in rows.iter_rows(named=True)
    ]


def _label(row: dict[str, Any], with_mix: bool) -> str:
    """The mix's version, for a model that was trained on it; else the model's name, as of one that is not ours."""
    mix, revision, model = (str(row[name]) for name in ("mix", "revision", "model"))
    if not model.startswith(f"{mix}-{revision}-"):
        return model if len(model) <= _LABEL else f"{model[: _LABEL - 1]}\N{HORIZONTAL ELLIPSIS}"
    return f"{mix} {revision}" if with_mix else revision


def label_times(catalog: Catalog) -> pl.DataFrame:
    """capability, clip_id, verdict in force, and `at`, when the clip first had a label for it; oldest first."""
    force = views.labels(catalog).select("capability", "clip_id", "verdict").collect()
    asked = catalog.scan("labels").filter(pl.col("purpose").fill_null("label") != "gold")
    begun = asked.group_by("clip_id", "capability").agg(at=pl.col("updated_at").min()).collect()
    return force.join(begun, on=["clip_id", "capability"]).sort("at", "clip_id")


def growth(times: pl.DataFrame, capability: str) -> dict[str, list] | None:
    """times, present, labelled: how many there were from each time on, at most a hundred steps; None without labels."""
    own = times.filter(pl.col("capability") == capability)
    if own.is_empty():
        return None
    counts = own.select(
        "at", labelled=pl.int_range(1, pl.len() + 1), present=(pl.col("verdict") == "present").cum_sum()
    )
    steps = counts.group_by("at", maintain_order=True).last()
    stride = max(-(-len(steps) // 100), 1)
    shown = pl.concat([steps.gather_every(stride), steps.tail(1)]).unique("at", maintain_order=True)
    return {
        "times": shown["at"].to_list(),
        "present": shown["present"].to_list(),
        "labelled": shown["labelled"].to_list(),
    }
