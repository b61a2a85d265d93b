"""Which clips make up the training split of a mix, and how often: as much of every share as the limits allow.

`program` says what is feasible; clips are then picked to it, in an order that is a hash of the seed and the clip id, so
that the result depends on neither the order of the input nor chance. What shares and limits mean:

- A share is a fraction of the budget. A share that cannot be filled leaves its part of the budget empty.
- A clip counts for one share only, though it carries all its labels.
- A clip labelled absent may serve its capability as a negative, up to `target.negatives` of the share's rows.
- Only clips labelled present repeat, and only they count for minimums.
- Minimums come before shares, and where two of them want a clip, as many are met as can be.
- Limits count distinct clips. Of a duplicate group those with the most labels that count stay.
- Capabilities are served first; replay is spread over embedding space within what they leave (`replay`).

1,000,000 clips with 1,200,000 labels, 20 shares with 50 slices each and 100,000 videos are solved in about 7 s
(`benchmarks.mix_solve`): the program's size is the number of kinds of clips, not of clips or videos.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from curate.errors import CurateError
from curate.mixes.solving.pick import UNUSED, Picked, pick
from curate.mixes.solving.problem import REPLAY, TOLERANCE, Problem, budget_of, demand_of, pose, shares_of
from curate.mixes.solving.program import best, full_worth, worth_of_amounts
from curate.mixes.solving.replay import spread
from curate.mixes.solving.shortfall import Shortfall, Solved, explain, floors_of
from curate.specs.mix import Mix


@dataclass(frozen=True)
class Solution:
    """picks: clip_id, role (the share it counts for), repeat (how often it occurs), sorted by clip_id.

    requested, feasible, realised: by share, as fractions of the budget.
    gap: how far the capabilities' shares are from the best that any selection could reach, at most; as a fraction of
        what full shares are worth.
    """

    picks: pl.DataFrame
    requested: dict[str, float]
    feasible: dict[str, float]
    realised: dict[str, float]
    shortfalls: list[Shortfall]
    gap: float

    def record(self) -> dict[str, Any]:
        """The part of it that a lock keeps, JSON-ready."""
        return {
            "requested": self.requested,
            "feasible": self.feasible,
            "realised": self.realised,
            "shortfalls": [shortfall.record() for shortfall in self.shortfalls],
        }


def solve(
    clips: pl.DataFrame,
    labels: pl.DataFrame,
    mix: Mix,
    *,
    negatives: Mapping[str, float],
    vectors: pl.DataFrame | None = None,
    slices: pl.DataFrame | None = None,
) -> Solution:
    """Chooses the clips of a training split.

    Args:
        clips: the clips that may be used: clip_id, video_id, source, licence, duration_s, duplicate_group (clips that
            show the same), and the columns that the mix's conditions name.
        labels: clip_id, capability, verdict, and `reviewed` where a share asks for that; one row for each pair. Only
            present and absent count.
        negatives: for each capability of the mix, the largest fraction of its rows that may be labelled absent.
        vectors: clip_id, vector (packed, unit norm) of the clips that replay may choose from.
        slices: capability, slice, clip_id: the slices that `per_slice` counts, a row for each clip in one; a slice
            without any has a row without clip_id.

    Raises:
        InputError: a condition cannot be used.
        CurateError: a share is short, and the mix says `on_shortfall: fail`.
    """
    problem = pose(clips, labels, mix, negatives, slices)
    kinds, feasible = best(problem)
    picked = pick(problem, kinds, feasible)
    gap = _gap(problem, picked, feasible.bound, feasible.scale)
    amounts = {role: picked.amount(number) for number, role in enumerate(problem.roles)}
    bounds = dict(zip(problem.roles, feasible.amounts.tolist(), strict=True))
    untargeted = np.zeros(0, dtype=np.int64)
    if mix.replay.share > 0:
        untargeted, bounds[REPLAY], amounts[REPLAY] = _replay(problem, picked, labels, vectors)
    shortfalls = explain(Solved(problem, kinds, feasible, picked, untargeted), demand_of(mix), amounts)
    if shortfalls and mix.on_shortfall == "fail":
        raise CurateError(
            f"mix {mix.name} cannot be filled: {' | '.join(map(str, shortfalls))}",
            fix="Lift what binds, label more, or set `on_shortfall: report`",
        )
    budget, requested = budget_of(mix), shares_of(mix)
    used = np.flatnonzero(picked.role != UNUSED)
    names = pl.Series([*problem.roles, REPLAY], dtype=pl.String)
    picks = pl.DataFrame(
        {
            "clip_id": problem.clip_ids.gather(used),
            "role": names.gather(picked.role[used]),
            "repeat": pl.Series(picked.repeat[used], dtype=pl.Int32),
        }
    )
    return Solution(
        picks=picks.sort("clip_id"),
        requested=requested,
        feasible={role: round(bounds.get(role, 0.0) / budget, 6) for role in requested},
        realised={role: round(amounts.get(role, 0.0) / budget, 6) for role in requested},
        shortfalls=shortfalls,
        gap=gap,
    )


def _gap(problem: Problem, picked: Picked, bound: float, scale: float) -> float:
    roles = range(len(problem.roles))
    amounts = np.array([picked.amount(role) for role in roles])
    negatives = np.array([picked.amount(role, positive=False) for role in roles])
    once = [float(problem.size[picked.role == role].sum()) for role in roles]
    reached = worth_of_amounts(
        problem,
        amounts,
        repeats=amounts - np.array(once),
        negatives=negatives,
        minimum=np.array([((picked.role == role) & picked.positive).sum() for role in roles]),
        floors=floors_of(problem, picked),
        scale=scale,
    )
    return max(bound - reached, 0.0) / max(full_worth(problem, scale), TOLERANCE)


def _replay(
    problem: Problem, picked: Picked, labels: pl.DataFrame, vectors: pl.DataFrame | None
) -> tuple[np.ndarray, float, float]:
    """Fills the replay share. Returns the clips it may choose from, but for limits, what was feasible, and realised."""
    demand, role = demand_of(problem.mix)[REPLAY], len(problem.roles)
    targeted = labels.filter(pl.col("verdict") == "present", pl.col("capability").is_in(list(problem.mix.capabilities)))
    known = vectors if vectors is not None else pl.DataFrame(schema={"clip_id": pl.String, "vector": pl.Binary})
    free = (
        pl.DataFrame({"clip_id": problem.clip_ids, "clip": np.arange(len(problem.size))})
        .join(targeted, on="clip_id", how="anti", maintain_order="left")
        .join(known.select("clip_id", "vector"), on="clip_id", maintain_order="left")
    )
    untargeted = free["clip"].to_numpy()
    open_ = (problem.why[untargeted] == 0) & (picked.role[untargeted] == UNUSED)
    clips = untargeted[open_]
    feasible = min(demand, picked.most(clips))
    typical = float(problem.size[clips].mean()) if len(clips) else 1.0
    order = spread(free["vector"].filter(open_), math.ceil(demand / max(typical, TOLERANCE)), seed=problem.mix.seed)
    picked.take(clips[order], role, room=demand)
    realised = picked.amount(role)
    return untargeted, max(feasible, realised), realised
