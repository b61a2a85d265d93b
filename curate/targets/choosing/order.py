"""An order of labels: exactly which clips annotators are to see, why each, and what their time will be.

The chosen clips are the plan of a decision (`curate.decisions`), so those that were approved are those that are sent.
"""

from typing import Any

import polars as pl

from curate import views
from curate.catalog import Catalog
from curate.decisions import LABEL_ORDER, PROPOSED, Decision, propose
from curate.workspace import Workspace

_COLUMNS = {
    "clip_id": pl.String(), "probability": pl.Float64(), "reason": pl.String(), "detail": pl.String(),
    "inclusion": pl.Float64(),
}  # fmt: skip


def order_labels(
    workspace: Workspace, capability: str, clips: pl.DataFrame, *, who: str, why: str, status: str = PROPOSED
) -> Decision:
    """Records an order of labels; the same clips for the same spec are the same order, sent or not.

    Args:
        capability: its id.
        clips: clip_id, and where known the other columns of `curate.targets.choosing.choose.choose`.
        who, why: whose order it is, and its reason; the gap where none is given.
        status: proposed, or approved where who orders may decide.

    Raises:
        InputError: no such capability.
    """
    spec = workspace.capability(capability)
    full = clips.select(
        (pl.col(name) if name in clips.columns else pl.lit(None)).cast(dtype).alias(name)
        for name, dtype in _COLUMNS.items()
    )
    plan = {"capability": capability, "spec_version": spec.version, "clips": full.to_dicts()}
    evidence = _evidence(workspace, capability, full)
    short = f"{evidence['gap_clips']} of {evidence['target']} labelled clips are missing"
    return propose(
        workspace.catalog, LABEL_ORDER, capability,
        plan=plan, evidence=evidence, cost=_cost(workspace.catalog, capability, full),
        who=who, why=why or short, status=status, once=True,
    )  # fmt: skip


def ordered_clips(order: Decision) -> pl.DataFrame:
    """The clips of an order: clip_id, probability (or rank), reason, detail, inclusion."""
    return pl.DataFrame(order.plan["clips"], schema=_COLUMNS)


def _evidence(workspace: Workspace, capability: str, clips: pl.DataFrame) -> dict[str, Any]:
    """The gap that asks for labels, and how many clips were chosen for which reason."""
    from curate.targets.gaps.coverage import coverage

    gap = coverage(workspace, [capability]).capabilities.row(0, named=True)
    said = ("target", "positives", "gap_clips", "evaluation", "floor", "priority")
    reasons = clips.filter(pl.col("reason").is_not_null()).group_by("reason").len().sort("reason")
    return {**{name: gap[name] for name in said}, "reasons": dict(reasons.iter_rows())}


def _cost(catalog: Catalog, capability: str, clips: pl.DataFrame) -> dict[str, Any]:
    """Clips, minutes of footage, and of an annotator by the median label so far; null before there is any."""
    durations = views.clips(catalog).select("clip_id", "duration_s").join(clips.lazy(), on="clip_id", how="semi")
    labels = views.labels(catalog).filter(pl.col("lead_time_s").is_not_null()).collect()
    own = labels.filter(pl.col("capability") == capability)
    lead_time_s = (own if len(own) else labels)["lead_time_s"].median()
    return {
        "clips": len(clips),
        "footage_min": round(float(durations.collect()["duration_s"].sum()) / 60, 2),
        "annotator_min": None if lead_time_s is None else round(float(lead_time_s) * len(clips) / 60, 1),  # type: ignore[arg-type]
    }
