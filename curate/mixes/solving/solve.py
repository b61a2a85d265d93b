"""Which clips make up the training split of a mix, and how often: as much of every share as the limits allow.

`program` says what is feasible; clips are then picked to it, in an order that is a hash of the seed and the clip id, so
that the result depends on neither the order of the input nor chance. What shares and limits mean:

- A share is a fraction of the budget. A share that cannot be filled leaves its part of the budget empty.
- A clip counts for one share only, though it carries all its labels.
- A clip labelled absent may serve its capability as a negative, up to `target.negatives` of the share's rows.
- Only clips labelled present repeat.
- `per_video` and `per_duplicate_group` count distinct clips. Of a duplicate group those with the most labels stay.
- Capabilities are served first; replay is spread over embedding space within what they leave (`replay`).
"""

import itertools
import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from curate.errors import CurateError
from curate.mixes.solving.program import (
    REPLAY,
    TOLERANCE,
    Feasible,
    Problem,
    budget_of,
    demand_of,
    maximise,
    pose,
    shares_of,
    untargeted,
)
from curate.mixes.solving.replay import spread
from curate.mixes.solving.shortfall import Shortfall, explain
from curate.specs.mix import Mix


@dataclass(frozen=True)
class Solution:
    """picks: clip_id, role (the share it counts for), repeat (how often it occurs), sorted by clip_id.

    requested, feasible, realised: by share, as fractions of the budget.
    """

    picks: pl.DataFrame
    requested: dict[str, float]
    feasible: dict[str, float]
    realised: dict[str, float]
    shortfalls: list[Shortfall]

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
) -> Solution:
    """Chooses the clips of a training split.

    Args:
        clips: the clips that may be used: clip_id, video_id, licence, duration_s, and duplicate_group (clips that
            show the same).
        labels: clip_id, capability, verdict; one row for each pair. Only present and absent count.
        negatives: for each capability of the mix, the largest fraction of its rows that may be labelled absent.
        vectors: clip_id, vector (List(Float32), unit norm) of the clips that replay may choose from.

    Raises:
        CurateError: a share is short, and the mix says `on_shortfall: fail`.
    """
    problem = pose(clips, labels, mix, negatives)
    feasible = maximise(problem)
    chosen = _pick(problem, feasible)
    amounts = {role: chosen.amount(role) for role in problem.demand}
    bounds = dict(feasible.amounts)
    if mix.replay.share > 0:
        bounds[REPLAY], amounts[REPLAY] = _replay(problem, chosen, clips, labels, vectors)
    requested = demand_of(mix)
    shortfalls = explain(problem, feasible, requested, amounts, clips, labels, vectors)
    if shortfalls and mix.on_shortfall == "fail":
        raise CurateError(
            f"mix {mix.name} cannot be filled: {' | '.join(map(str, shortfalls))}",
            fix="Lift what binds, label more, or set `on_shortfall: report`",
        )
    budget = budget_of(mix)
    picks = pl.DataFrame(
        [
            {"clip_id": clip_id, "role": role, "repeat": repeat}
            for role, rows in chosen.repeats.items()
            for clip_id, repeat in rows.items()
        ],
        schema={"clip_id": pl.String, "role": pl.String, "repeat": pl.Int32},
    ).sort("clip_id")
    return Solution(
        picks=picks,
        requested=shares_of(mix),
        feasible={role: round(bounds.get(role, 0.0) / budget, 6) for role in requested},
        realised={role: round(amounts.get(role, 0.0) / budget, 6) for role in requested},
        shortfalls=shortfalls,
    )


class _Chosen:
    """Clips as they are picked, held to the limits at every step."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.repeats: dict[str, dict[str, int]] = {role: {} for role in [*sorted(problem.demand), REPLAY]}
        self.used: set[str] = set()
        self.per_video: defaultdict[str, int] = defaultdict(int)
        self._amounts: defaultdict[tuple[str, bool], float] = defaultdict(float)

    def amount(self, role: str) -> float:
        return self._amounts[role, True] + self._amounts[role, False]

    def fits(self, role: str, clip_id: str) -> bool:
        return self.amount(role) + self.problem.size[clip_id] <= self.problem.demand[role] + TOLERANCE

    def add(self, role: str, positive: bool, clip_id: str, video_id: str) -> None:
        self.repeats[role][clip_id] = 1
        self.used.add(clip_id)
        self.per_video[video_id] += 1
        self._amounts[role, positive] += self.problem.size[clip_id]

    def drop(self, role: str, clip_id: str, video_id: str) -> None:
        """Takes back a negative."""
        del self.repeats[role][clip_id]
        self.used.discard(clip_id)
        self.per_video[video_id] -= 1
        self._amounts[role, False] -= self.problem.size[clip_id]

    def repeat(self, role: str, clip_id: str) -> None:
        self.repeats[role][clip_id] += 1
        self._amounts[role, True] += self.problem.size[clip_id]

    def room(self, video_id: str) -> bool:
        limit = self.problem.limits.per_video
        return limit is None or self.per_video[video_id] < limit

    def negatives_within(self, role: str, more: float = 0.0) -> bool:
        negative = self._amounts[role, False] + more
        return negative <= self.problem.negatives[role] * (self.amount(role) + more) + TOLERANCE


def _pick(problem: Problem, feasible: Feasible) -> _Chosen:
    """Whole clips from the program's fractions: the whole parts first, then what is left by largest fraction."""
    chosen = _Chosen(problem)
    order = {clip_id: index for index, clip_id in enumerate(problem.size)}
    offers: dict[tuple[str, bool], list[tuple[float, int, str, str]]] = defaultdict(list)
    for k, cell in enumerate(problem.cells):
        free = iter(cell.clip_ids)
        for role, positive in cell.roles:
            taken = feasible.taken[k, role]
            whole = math.floor(taken + TOLERANCE)
            for clip_id in itertools.islice(free, whole):
                if chosen.fits(role, clip_id) and chosen.room(cell.video_id):
                    chosen.add(role, positive, clip_id, cell.video_id)
            fraction = taken - whole
            for clip_id in cell.clip_ids:
                offers[role, positive].append((-fraction, order[clip_id], clip_id, cell.video_id))
    roles = sorted(problem.demand, key=lambda role: (chosen.amount(role) - feasible.amounts[role], role))
    for rows in offers.values():
        rows.sort()
    for role in roles:
        planned = sum(feasible.taken[k, name] for k, name in feasible.taken if name == role)
        _take(chosen, role, True, offers, most=math.ceil(planned - TOLERANCE))
    for role in roles:
        _repeat(chosen, role, offers)
        for _, _, clip_id, video_id in reversed(offers[role, False]):
            if not chosen.negatives_within(role) and clip_id in chosen.repeats[role]:
                chosen.drop(role, clip_id, video_id)
        _take(chosen, role, True, offers)
        _repeat(chosen, role, offers)
        _take(chosen, role, False, offers)
        _repeat(chosen, role, offers)
    return chosen


def _take(chosen: _Chosen, role: str, positive: bool, offers: Mapping, most: float = math.inf) -> None:
    """Adds unused clips to a share until it is full or holds `most` distinct clips."""
    for _, _, clip_id, video_id in offers.get((role, positive), ()):
        if len(chosen.repeats[role]) >= most:
            return
        if clip_id in chosen.used or not chosen.room(video_id) or not chosen.fits(role, clip_id):
            continue
        if positive or chosen.negatives_within(role, chosen.problem.size[clip_id]):
            chosen.add(role, positive, clip_id, video_id)


def _repeat(chosen: _Chosen, role: str, offers: Mapping) -> None:
    """Repeats a share's positives until it is full, every clip once before any twice."""
    mine = sorted(
        (rank, clip_id) for _, rank, clip_id, _ in offers.get((role, True), ()) if clip_id in chosen.repeats[role]
    )
    for times in range(1, chosen.problem.mix.capabilities[role].max_repeat):
        for _, clip_id in mine:
            if chosen.repeats[role][clip_id] <= times and chosen.fits(role, clip_id):
                chosen.repeat(role, clip_id)


def _replay(
    problem: Problem, chosen: _Chosen, clips: pl.DataFrame, labels: pl.DataFrame, vectors: pl.DataFrame | None
) -> tuple[float, float]:
    """Fills the replay share with untargeted clips; gives what was feasible, and what was realised."""
    demand = demand_of(problem.mix)[REPLAY]
    free = untargeted(problem.mix, clips, labels, vectors).filter(~pl.col("clip_id").is_in(list(chosen.used)))
    limit, left, bound = problem.limits.per_video, dict(chosen.per_video), 0.0
    size_of = problem.size
    for clip_id, video_id in sorted(
        free.select("clip_id", "video_id").iter_rows(), key=lambda row: (-size_of[row[0]], row[0])
    ):
        if limit is None or left.get(video_id, 0) < limit:
            left[video_id] = left.get(video_id, 0) + 1
            bound += size_of[clip_id]
    amount = 0.0
    typical = sum(size_of[clip_id] for clip_id in free["clip_id"]) / max(free.height, 1)
    for index in spread(free["vector"], math.ceil(demand / max(typical, TOLERANCE)), seed=problem.mix.seed):
        clip_id, video_id = free["clip_id"][index], free["video_id"][index]
        if amount + size_of[clip_id] <= demand + TOLERANCE and chosen.room(video_id):
            chosen.add(REPLAY, True, clip_id, video_id)
            amount += size_of[clip_id]
    return min(demand, bound), amount
