"""Why a share is short: which constraint binds, by how much, and what lifts it.

Found by solving again with one limit lifted at a time: what the share then gains is what that limit holds back. What no
limit explains is missing labels, or for replay missing footage.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import polars as pl

from curate.mixes.solving.program import REPLAY, TOLERANCE, Cell, Feasible, Problem, maximise, pose, untargeted
from curate.specs.mix import Limits, Mix

Limit = Literal["licences", "per_video", "per_duplicate_group"]


@dataclass(frozen=True)
class Binding:
    """A constraint that keeps a share from its request: which, by how many clips or hours, and in words."""

    constraint: Literal["licences", "per_video", "per_duplicate_group", "other_shares", "max_repeat", "labels", "clips"]
    short_by: float
    words: str


@dataclass(frozen=True)
class Shortfall:
    """A share that got less than it asked for. Amounts in the budget's unit."""

    share: str
    requested: float
    realised: float
    unit: str
    bindings: tuple[Binding, ...]

    def record(self) -> dict[str, Any]:
        """JSON-ready, with its words."""
        return {**asdict(self), "bindings": [asdict(binding) for binding in self.bindings], "words": str(self)}

    def __str__(self) -> str:
        why = "; ".join(binding.words for binding in self.bindings)
        return f"{self.share}: {self.realised:.3g} of {amount_of(self.requested, self.unit)}: {why}"


def explain(
    problem: Problem,
    feasible: Feasible,
    requested: Mapping[str, float],
    amounts: Mapping[str, float],
    clips: pl.DataFrame,
    labels: pl.DataFrame,
    vectors: pl.DataFrame | None,
) -> list[Shortfall]:
    largest = max(problem.size.values(), default=0.0) if problem.unit == "h" else TOLERANCE
    short = {
        role: amount - amounts[role]
        for role, amount in requested.items()
        if amount - amounts[role] > (largest if amounts[role] else TOLERANCE)
    }
    if not short:
        return []
    lifted = {
        name: maximise(pose(clips, labels, mix, problem.negatives)).amounts
        for name, mix in _with_one_limit_lifted(problem.mix).items()
    }
    unlimited = problem.mix.model_copy(
        update={"limits": Limits(per_video=None, per_duplicate_group=max(clips.height, 1), licences=None)}
    )
    found = []
    for role, missing in short.items():
        if role == REPLAY:
            bindings = _replay_bindings(problem, missing, clips, labels, vectors)
        else:
            bindings = _bindings(problem, feasible, lifted, unlimited, role, missing, clips, labels)
        found.append(Shortfall(role, requested[role], amounts[role], problem.unit, tuple(bindings)))
    return found


def _with_one_limit_lifted(mix: Mix) -> dict[Limit, Mix]:
    limits = mix.limits
    without: dict[Limit, Limits] = {}
    if limits.licences is not None:
        without["licences"] = limits.model_copy(update={"licences": None})
    if limits.per_video is not None:
        without["per_video"] = limits.model_copy(update={"per_video": None})
    without["per_duplicate_group"] = limits.model_copy(update={"per_duplicate_group": 1 << 30})
    return {name: mix.model_copy(update={"limits": changed}) for name, changed in without.items()}


def _bindings(
    problem: Problem,
    feasible: Feasible,
    lifted: Mapping[Limit, Mapping[str, float]],
    unlimited: Mix,
    role: str,
    missing: float,
    clips: pl.DataFrame,
    labels: pl.DataFrame,
) -> list[Binding]:
    """What keeps a capability short: each limit by what lifting it alone would add, then what no limit explains."""
    found, unit, share = [], problem.unit, problem.mix.capabilities[role]
    for name, amounts in lifted.items():
        gain = min(amounts[role] - feasible.amounts[role], missing)
        if gain > max(TOLERANCE, 1e-3 * missing):
            value = getattr(problem.limits, name)
            found.append(Binding(name, round(gain, 4), f"limits.{name} ({value}) holds back {amount_of(gain, unit)}"))
    alone = replace(problem, demand={role: problem.demand[role]}, cells=_only(problem.cells, role))
    gain = min(maximise(alone).amounts[role] - feasible.amounts[role], missing)
    if gain > max(TOLERANCE, 1e-3 * missing):
        found.append(Binding("other_shares", round(gain, 4), f"{amount_of(gain, unit)} serve other shares"))
    free = pose(clips, labels, unlimited, problem.negatives)
    free = replace(free, demand={role: problem.demand[role]}, cells=_only(free.cells, role))
    lack = problem.demand[role] - maximise(free).amounts[role]
    if lack > max(TOLERANCE, 1e-3 * missing):
        present = labels.filter(
            pl.col("capability") == role,
            pl.col("verdict") == "present",
            pl.col("clip_id").is_in(clips["clip_id"].implode()),
        ).height
        mean = float(clips["duration_s"].mean() or 1.0) / 3600 if unit == "h" else 1.0  # type: ignore[arg-type]
        more = math.ceil(lack / mean / share.max_repeat - TOLERANCE)
        words = (
            f"{present} training clips are labelled present, each used at most {share.max_repeat} times (max_repeat)"
        )
        found.append(Binding("labels", round(lack, 4), f"{words}: label about {more} more"))
    if not found:
        found.append(
            Binding("clips", round(missing, 4), f"no clip is left that fits the last {amount_of(missing, unit)}")
        )
    return found


def _only(cells: Sequence[Cell], role: str) -> tuple[Cell, ...]:
    return tuple(
        replace(cell, roles=tuple(pair for pair in cell.roles if pair[0] == role))
        for cell in cells
        if any(name == role for name, _ in cell.roles)
    )


def _replay_bindings(
    problem: Problem, missing: float, clips: pl.DataFrame, labels: pl.DataFrame, vectors: pl.DataFrame | None
) -> list[Binding]:
    """What keeps replay short: how many untargeted clips there are, and what each limit removes from them."""
    found: list[Binding] = []
    here = untargeted(problem.mix, clips, labels, vectors).height
    for name, mix in _with_one_limit_lifted(problem.mix).items():
        more = untargeted(mix, clips, labels, vectors).height - here
        if more:
            value = getattr(problem.limits, name)
            found.append(Binding(name, float(more), f"limits.{name} ({value}) removes {more} untargeted clips"))
    words = f"{here} training clips are untargeted and embedded"
    if problem.limits.per_video is not None:
        words += f", at most {problem.limits.per_video} of a video (limits.per_video)"
    found.append(Binding("clips", round(missing, 4), f"{words}: collect more footage"))
    return found


def amount_of(amount: float, unit: str) -> str:
    return f"{amount:.3g} {'clip' if unit == 'clips' and amount == 1 else unit}"
