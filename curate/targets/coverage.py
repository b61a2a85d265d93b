"""What is there and what is missing, for each capability and slice. Supply is counted over kept clips only, so that
ten copies of a clip are one.

- `positives`, `negatives`: clips labelled present and absent. `labelled`: clips with any verdict.
- `candidates`: how many unlabelled clips are expected to show it, the sum of their probabilities. It is null where
  scores are ranks: a rank says which clip is likelier, not how many are.
- `gap_clips`: target less positives. `gap_s`: that many times the median duration of the positive clips (of all kept
  clips where there is none).
- `priority`: weight x share of the target that is missing x (1 - evaluation); without an evaluation the last factor
  is 1, for nothing says that the model can do it.
"""

import json
from collections.abc import Sequence

import polars as pl

from curate import views
from curate.model import ZERO_SHOT
from curate.specs import Capability
from curate.workspace import Workspace

_GAPS = {
    "capability": pl.String(), "spec_version": pl.String(), "target": pl.Int64(), "candidates": pl.Float64(),
    "labelled": pl.Int64(), "positives": pl.Int64(), "negatives": pl.Int64(), "in_mix": pl.Int64(),
    "evaluation": pl.Float64(), "floor": pl.Float64(), "gap_clips": pl.Int64(), "gap_s": pl.Float64(),
    "priority": pl.Float64(),
}  # fmt: skip
_SLICES = {
    "capability": pl.String(), "slice": pl.String(), "value": pl.String(), "target": pl.Int64(),
    "positives": pl.Int64(), "gap_clips": pl.Int64(),
}  # fmt: skip


def gaps(workspace: Workspace) -> pl.DataFrame:
    """One row for each capability, the most urgent first.

    Returns:
        capability, spec_version, target (clips), candidates, labelled, positives, negatives, in_mix (clips of it in the
        newest published mix; null where none is published), evaluation (newest f1@0.5 on a test split; null where
        none), floor, gap_clips, gap_s, priority.
    """
    catalog = workspace.catalog
    kept = views.kept_clips(catalog).select("clip_id", "duration_s").collect()
    labels = views.labels(catalog).join(kept.lazy(), on="clip_id").collect()
    scores = catalog.scan("scores").join(kept.lazy(), on="clip_id", how="semi").collect()
    evaluations = _newest_evaluations(workspace)
    in_mix = _in_newest_mix(workspace)
    rows = []
    for name, spec in workspace.capabilities().items():
        own = labels.filter(pl.col("capability") == name)
        positive = own.filter(pl.col("verdict") == "present")
        target, positives = spec.target.clips, len(positive)
        gap_clips = max(0, target - positives)
        typical_s = (positive if positives else kept)["duration_s"].median()
        evaluation = evaluations.get(name)
        shortfall = 1.0 if evaluation is None else 1.0 - evaluation
        rows.append({
            "capability": name,
            "spec_version": spec.version,
            "target": target,
            "candidates": _candidates(scores.filter(pl.col("capability") == name), own),
            "labelled": len(own),
            "positives": positives,
            "negatives": own["verdict"].to_list().count("absent"),
            "in_mix": None if in_mix is None else in_mix.get(name, 0),
            "evaluation": evaluation,
            "floor": spec.evaluation.floor,
            "gap_clips": gap_clips,
            "gap_s": None if typical_s is None else gap_clips * float(typical_s),  # type: ignore[arg-type]
            "priority": spec.weight * gap_clips / target * shortfall,
        })  # fmt: skip
    return pl.DataFrame(rows, schema=_GAPS).sort(["priority", "capability"], descending=[True, False])


def slice_gaps(workspace: Workspace) -> pl.DataFrame:
    """Positives in each slice that a capability asks for, against its floor.

    A clip is in every slice that one of its segments is in. Values are those of a field's enum, `true` and `false`, the
    workspace's sources, and whatever else the labels hold.

    Returns:
        capability, slice (a segment field, or "source"), value, target (clips), positives, gap_clips.
    """
    clips = views.kept_clips(workspace.catalog).select("clip_id", "source")
    labels = views.labels(workspace.catalog).filter(pl.col("verdict") == "present").join(clips, on="clip_id").collect()
    sources = sorted(workspace.sources())
    rows: list[tuple] = []
    for name, spec in workspace.capabilities().items():
        own = labels.filter(pl.col("capability") == name)
        for slice_ in spec.slices.by:
            found = [_values(slice_, *row) for row in own.select("source", "segments").iter_rows()]
            for value in sorted({*_known_values(spec, slice_, sources), *(v for values in found for v in values)}):
                positives = sum(value in values for values in found)
                floor = spec.target.per_slice
                rows.append((name, slice_, value, floor, positives, max(0, floor - positives)))
    return pl.DataFrame(rows, schema=_SLICES, orient="row")


def _candidates(scores: pl.DataFrame, labels: pl.DataFrame) -> float | None:
    if scores.is_empty() or (scores["calibration"] != "platt").any():
        return None
    open_ = scores.filter("eligible").join(labels, on="clip_id", how="anti")
    return float(open_["probability"].sum())


def _newest_evaluations(workspace: Workspace) -> dict[str, float]:
    """Of the model trained last, or of the baseline where none is: evaluating that again closes no gap."""
    rows = (
        workspace.catalog.scan("evaluations")
        .filter(pl.col("metric") == "f1@0.5", pl.col("split") == "test", pl.col("value").is_not_null())
        .sort(pl.col("model") != ZERO_SHOT, "written_at", maintain_order=True)
        .unique("capability", keep="last", maintain_order=True)
        .select("capability", "value")
        .collect()
    )
    return dict(rows.iter_rows())


def _in_newest_mix(workspace: Workspace) -> dict[str, int] | None:
    """Distinct clips by role in the mix that was published, or fetched, last."""
    locks = sorted(workspace.data.glob("*/lock.json"), key=lambda path: (path.stat().st_mtime_ns, path))
    if not locks:
        return None
    roles: dict[str, set[str]] = {}
    for clip in json.loads(locks[-1].read_text())["clips"]:
        for role in clip["roles"]:
            roles.setdefault(role, set()).add(clip["clip_id"])
    return {role: len(clip_ids) for role, clip_ids in roles.items()}


def _known_values(spec: Capability, slice_: str, sources: Sequence[str]) -> list[str]:
    if slice_ == "source":
        return list(sources)
    field = next(field for field in spec.segment.fields if field.name == slice_)
    return ["false", "true"] if field.type == "boolean" else list(field.enum or [])


def _values(slice_: str, source: str, segments: list[dict] | None) -> set[str]:
    if slice_ == "source":
        return {source}
    held = (json.loads(segment["fields"] or "{}").get(slice_) for segment in segments or [])
    return {value if isinstance(value, str) else json.dumps(value) for value in held if value is not None}
