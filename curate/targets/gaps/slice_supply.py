"""What is there and what is missing in each slice of a capability: the rows of
`curate.targets.gaps.coverage.slice_gaps`."""

from collections.abc import Iterable

import numpy as np
import polars as pl

from curate.slices import Slice, clip_slices, floor, label_slices, slices
from curate.specs import Capability
from curate.targets.gaps.estimate import Estimate, count
from curate.targets.gaps.facts import Evaluated, Facts
from curate.targets.scoring.match import spec_path
from curate.workspace import Workspace

COUNT = {"candidates": pl.Float64(), "candidates_low": pl.Float64(), "candidates_high": pl.Float64()}
"""Columns of a number that is estimated."""

SLICES = {
    "capability": pl.String(), "slice": pl.String(), "value": pl.String(), "target": pl.Int64(),
    "positives": pl.Int64(), **COUNT, "in_mix": pl.Int64(), "gap_clips": pl.Int64(),
    "evaluation": pl.Float64(), "priority": pl.Float64(),
}  # fmt: skip
_IDS = pl.DataFrame(schema={"clip_id": pl.String()})


def counted(draws: np.ndarray | None) -> dict[str, float | None]:
    """The columns of COUNT, of the draws of an estimate; null without."""
    if draws is None:
        return dict.fromkeys(COUNT)
    found = count(draws)
    return dict(zip(COUNT, (found.expected, found.low, found.high), strict=True))


def slice_rows(workspace: Workspace, facts: Facts, spec: Capability, guess: Estimate | None) -> list[dict]:
    """A row, as SLICES has it, for each slice of a capability, in the order of its spec.

    Args:
        workspace: whose config errors name.
        facts: of its tables.
        spec: of the capability.
        guess: of the clips of `facts.scores` that are eligible; None where nothing allows an estimate.

    Raises:
        InputError: a condition of `slices.where` cannot be used.
    """
    positive = facts.labels.filter(pl.col("capability") == spec.id, pl.col("verdict") == "present")
    eligible = facts.scores[spec.id].filter("eligible") if spec.id in facts.scores else _IDS
    mixed = None if facts.in_mix is None else pl.Series(sorted(facts.in_mix.get(spec.id, ())), dtype=pl.String)
    of_clips = clip_slices(spec, facts.clips, config=spec_path(workspace, spec))
    members = pl.concat([of_clips, label_slices(spec, positive)])
    listed = _listed(spec, facts, members, pl.concat([positive.select("clip_id"), eligible.select("clip_id")]))
    inside = members.partition_by("slice", "value", as_dict=True)
    rows = []
    for each in listed:
        clips = inside.get((each.name, each.value), _IDS)["clip_id"].implode()
        evaluated = facts.slice_evaluations.get((spec.id, each.said, spec.evaluation.metric), Evaluated())
        positives = int(positive["clip_id"].is_in(clips).sum())
        among = eligible["clip_id"].is_in(clips).to_numpy()
        rows.append({
            "capability": spec.id,
            "slice": each.name,
            "value": each.value,
            "target": each.floor,
            "positives": positives,
            **counted(_draws(spec, guess, each, among, kinds=sum(other.name == each.name for other in listed))),
            "in_mix": None if mixed is None else int(mixed.is_in(clips).sum()),
            "gap_clips": max(0, each.floor - positives),
            "evaluation": evaluated.value,
            "priority": spec.weight * (1 - _filled(each, positives)) * evaluated.error,
        })  # fmt: skip
    return rows


def _listed(spec: Capability, facts: Facts, members: pl.DataFrame, supply: pl.DataFrame) -> list[Slice]:
    """The slices that are known, and those that only supply holds, in the order of the spec."""
    licences: Iterable[str] = set(facts.clips["licence"].drop_nulls())
    known = slices(spec, sources=facts.sources, licences=licences)
    seen = members.join(supply, on="clip_id", how="semi").select("slice", "value").unique().rows()
    more = set(seen) - {(each.name, each.value) for each in known}
    order = [*spec.slices.by, *spec.slices.where]
    every = known + [Slice(name, value, floor(spec, name, value)) for name, value in more]
    return sorted(every, key=lambda each: (order.index(each.name), each.value))


def _filled(each: Slice, positives: int) -> float:
    """The share of a slice's floor that is labelled; 1 of one that nothing is asked of."""
    return min(1.0, positives / each.floor) if each.floor else 1.0


def _draws(spec: Capability, guess: Estimate | None, each: Slice, among: np.ndarray, kinds: int) -> np.ndarray | None:
    """Of a slice's positives without a label; None where nothing is known of a field's values."""
    if guess is None:
        return None
    if each.name not in {field.name for field in spec.segment.fields}:
        return guess.slice_draws(among)
    return guess.field_draws(among, kinds) if (guess.clips.verdict == 1).any() else None
