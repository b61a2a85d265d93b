"""What is there and what is missing, for each capability and slice.

- `target`, `gap_clips`, `gap_s`: labelled clips that show it, asked for and lacking. A target in hours counts clips of
  the typical duration, the median of the positive ones (of all kept clips where there is none).
- `candidates`: how many clips without a label show it, with a 95% interval (`curate.targets.gaps.estimate`): whether
  labelling can fill the gap, or footage has to be found. Null where nothing allows an estimate. `matches` are those
  that look it, and need no label; nothing says how many of them are right.
- `filled`: the share of the target that is labelled. `probe_coverage`: the share of the clips it is measured on that
  have a labelled clip near them (`curate.targets.gaps.probes`): a target can be filled with clips of one kind.
- `priority`: weight x (1 - filled x probe_coverage) x error, which is 1 - evaluation, less sure where videos are few
  (`facts.Evaluated`). Where coverage is unknown it counts as 1, so that what is lacking in number speaks alone; an
  unknown evaluation as 0, for nothing says that the model can do it.

20,000 clips and 20 capabilities with 400 labels each take 2.0 s of one core, 3.0 s with 14 slices each.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import polars as pl

from curate.specs import Capability
from curate.targets.gaps.estimate import Estimate, allows, estimate
from curate.targets.gaps.facts import Evaluated, Facts, for_estimate, read_facts
from curate.targets.gaps.probes import probe_coverage
from curate.targets.gaps.slice_supply import COUNT, SLICES, counted, slice_rows
from curate.workspace import Workspace

_GAPS = {
    "capability": pl.String(), "spec_version": pl.String(), "target": pl.Int64(), "target_s": pl.Float64(),
    "matches": pl.Int64(), **COUNT, "labelled": pl.Int64(), "positives": pl.Int64(), "positives_s": pl.Float64(),
    "negatives": pl.Int64(), "reviewed": pl.Int64(), "in_mix": pl.Int64(), "metric": pl.String(),
    "evaluation": pl.Float64(), "evaluation_low": pl.Float64(), "evaluation_high": pl.Float64(),
    "floor": pl.Float64(), "filled": pl.Float64(), "probes": pl.Int64(), "probe_coverage": pl.Float64(),
    "gap_clips": pl.Int64(), "gap_s": pl.Float64(), "priority": pl.Float64(),
}  # fmt: skip


@dataclass(frozen=True)
class Coverage:
    """`capabilities` as `gaps` gives them, and `slices` as `slice_gaps` does."""

    capabilities: pl.DataFrame
    slices: pl.DataFrame


def gaps(workspace: Workspace) -> pl.DataFrame:
    """One row for each capability, the most urgent first.

    Returns:
        capability, spec_version, target (clips), target_s (null unless the target is in hours), matches, candidates,
        candidates_low, candidates_high, labelled, positives, positives_s, negatives, reviewed (clips whose
        label a review has settled, or annotators who agree), in_mix (clips of it in the newest mix; null where none is
        published), metric, evaluation, evaluation_low, evaluation_high (of the model evaluated last on a test split;
        null where none), floor, filled (0 to 1), probes (clips), probe_coverage (0 to 1; null with too few), gap_clips,
        gap_s, priority.

    Raises:
        InputError: a config cannot be used.
    """
    return _coverage(workspace, workspace.capabilities(), with_slices=False).capabilities


def slice_gaps(workspace: Workspace) -> pl.DataFrame:
    """One row for each slice of each capability (`curate.slices`), those without a floor too.

    A clip counts in every slice that it, or one of its segments, is in. Values are those that the spec and the
    workspace know, and whatever else clips and labels hold.

    Returns:
        capability, slice, value ("" for a condition), target (clips), positives, candidates, candidates_low,
        candidates_high, in_mix, gap_clips, evaluation (by the capability's metric, of the model evaluated last; null
        where none), priority (weight x (1 - filled) x error; 0 without a floor).

    Raises:
        InputError: a config cannot be used.
    """
    return coverage(workspace).slices


def coverage(workspace: Workspace, capabilities: Iterable[str] | None = None) -> Coverage:
    """Both at the cost of one.

    Args:
        workspace: with scores as `curate collect` leaves them.
        capabilities: ids; all where not given.

    Raises:
        InputError: no such capability, or a config cannot be used.
    """
    specs = workspace.capabilities()
    if capabilities is not None:
        specs = workspace.capabilities(capabilities)
    return _coverage(workspace, specs, with_slices=True)


def _coverage(workspace: Workspace, specs: Mapping[str, Capability], *, with_slices: bool) -> Coverage:
    facts = read_facts(workspace)
    present = facts.labels.filter(pl.col("verdict") == "present")
    probed = probe_coverage(workspace.catalog, specs, present, facts.clips, facts.measuring)
    rows: list[dict] = []
    parts: list[dict] = []
    for name, spec in specs.items():
        guess = _estimate(facts.scores.get(name))
        rows.append(_row(facts, spec, guess, *probed[name]))
        if with_slices:
            parts += slice_rows(workspace, facts, spec, guess)
    found = pl.DataFrame(rows, schema=_GAPS).sort(["priority", "capability"], descending=[True, False])
    return Coverage(found, pl.DataFrame(parts, schema=SLICES))


def _row(facts: Facts, spec: Capability, guess: Estimate | None, probes: int, covered: float | None) -> dict:
    own = facts.labels.filter(pl.col("capability") == spec.id)
    positive = own.filter(pl.col("verdict") == "present")
    have_s = float(positive["duration_s"].sum())
    typical_s = _typical_s(positive, facts.clips.filter("kept"))
    asked = _asked(spec, len(positive), have_s, typical_s, longest_s=facts.longest_s)
    evaluated = facts.evaluations.get((spec.id, spec.evaluation.metric), Evaluated())
    scored = facts.scores.get(spec.id)
    reached = 1.0 if covered is None else covered
    return {
        "capability": spec.id,
        "spec_version": spec.version,
        **asked,
        "matches": 0 if scored is None else int((scored["matches"] & ~scored["labelled"]).sum()),
        **counted(None if guess is None else guess.draws),
        "labelled": len(own),
        "positives": len(positive),
        "positives_s": have_s,
        "negatives": own.filter(pl.col("verdict") == "absent").height,
        "reviewed": facts.reviewed.get(spec.id, 0),
        "in_mix": None if facts.in_mix is None else len(facts.in_mix.get(spec.id, ())),
        "metric": spec.evaluation.metric,
        "evaluation": evaluated.value,
        "evaluation_low": evaluated.low,
        "evaluation_high": evaluated.high,
        "floor": spec.evaluation.floor,
        "probes": probes,
        "probe_coverage": covered,
        "priority": spec.weight * (1 - asked["filled"] * reached) * evaluated.error,
    }


def _asked(spec: Capability, have: int, have_s: float, typical_s: float | None, *, longest_s: float) -> dict:
    """The target and what of it is lacking; a target in hours takes clips to be `longest_s` where there are none."""
    if spec.target.clips is not None:
        lacking = max(0, spec.target.clips - have)
        return {
            "target": spec.target.clips,
            "target_s": None,
            "filled": min(1.0, have / spec.target.clips),
            "gap_clips": lacking,
            "gap_s": None if typical_s is None else lacking * typical_s,
        }
    assert spec.target.hours is not None
    target_s, each_s = spec.target.hours * 3600, typical_s or longest_s
    lacking_s = max(0.0, target_s - have_s)
    return {
        "target": math.ceil(target_s / each_s),
        "target_s": target_s,
        "filled": min(1.0, have_s / target_s),
        "gap_clips": math.ceil(lacking_s / each_s),
        "gap_s": lacking_s,
    }


def _typical_s(positive: pl.DataFrame, kept: pl.DataFrame) -> float | None:
    found = (positive if len(positive) else kept)["duration_s"].median()
    return None if found is None else float(found)  # type: ignore[arg-type]


def _estimate(scored: pl.DataFrame | None) -> Estimate | None:
    if scored is None:
        return None
    clips = for_estimate(scored)
    calibrated = bool(scored.filter("eligible")["calibrated"].any())
    return estimate(clips) if allows(clips, calibrated=calibrated) else None
