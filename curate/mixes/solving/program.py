"""How much of each share the limits allow: the linear program behind a mix, solved with HiGHS through SciPy.

Clips of one video that can serve the same shares are one cell; the variables say how many distinct clips of each cell
serve each share, and how many repeats. Filling a share is worth less the fuller it is (concave, piecewise linear), so
where two shares want a clip, the emptier one gets it. Small costs prefer another clip to a repeat and another video to
a second clip of one; a small gain takes negatives where they are allowed. Cells grow with the number of videos: 5,000
labelled clips of 625 videos with ten shares take about 3 s on a busy core, 20,000 of 2,500 videos about 50 s.
"""

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from scipy.optimize import linprog
from scipy.sparse import coo_array

from curate.errors import CurateError
from curate.identity import work_key
from curate.specs.mix import Limits, Mix

REPLAY = "replay"
TOLERANCE = 1e-6
_WORTH = (4.0, 3.0, 2.0, 1.0)
"""Worth of a unit in each quarter of a share."""
_REPEAT_COST, _NEGATIVE_BONUS, _SAME_VIDEO_COST = 0.02, 0.005, 0.001


@dataclass(frozen=True)
class Cell:
    """Clips of one video that can serve the same roles. roles: (capability, is it a positive there)."""

    video_id: str
    roles: tuple[tuple[str, bool], ...]
    clip_ids: tuple[str, ...]
    size: float  # mean over the clips, in the budget's unit


@dataclass(frozen=True)
class Problem:
    mix: Mix
    cells: tuple[Cell, ...]
    size: dict[str, float]  # of each clip: 1, or hours
    demand: dict[str, float]  # of each capability, in the budget's unit
    negatives: Mapping[str, float]
    unit: Literal["clips", "h"]

    @property
    def limits(self) -> Limits:
        return self.mix.limits


@dataclass(frozen=True)
class Feasible:
    amounts: dict[str, float]
    taken: dict[tuple[int, str], float]  # distinct clips by cell number and role


def budget_of(mix: Mix) -> float:
    return float(mix.budget.clips) if mix.budget.clips is not None else float(mix.budget.hours or 0)


def shares_of(mix: Mix) -> dict[str, float]:
    shares = {name: share.share for name, share in sorted(mix.capabilities.items())}
    return {**shares, REPLAY: mix.replay.share} if mix.replay.share > 0 else shares


def demand_of(mix: Mix) -> dict[str, float]:
    """Each share in the budget's unit; whole clips by largest remainder."""
    exact = {role: share * budget_of(mix) for role, share in shares_of(mix).items()}
    if mix.budget.clips is None:
        return exact
    whole: dict[str, float] = {role: math.floor(amount + TOLERANCE) for role, amount in exact.items()}
    left = math.floor(sum(exact.values()) + TOLERANCE) - sum(whole.values())
    for role in sorted(exact, key=lambda role: (whole[role] - exact[role], role))[: int(left)]:
        whole[role] += 1
    return whole


def allowed_clips(clips: pl.DataFrame, labels: pl.DataFrame, limits: Limits, seed: int) -> pl.DataFrame:
    """`clips` under the licence and duplicate limits, sorted by a hash of the seed and the clip id."""
    if limits.licences is not None:
        clips = clips.filter(pl.col("licence").is_in(limits.licences))
    counts = labels.group_by("clip_id").agg(
        present=(pl.col("verdict") == "present").sum(), labelled=pl.col("verdict").is_in(["present", "absent"]).sum()
    )
    order = pl.Series([work_key(seed, clip_id) for clip_id in clips["clip_id"]], dtype=pl.String)
    return (
        clips.join(counts, on="clip_id", how="left", maintain_order="left")
        .with_columns(pl.col("present", "labelled").fill_null(0), order=order)
        .sort("present", "labelled", "order", descending=[True, True, False])
        .filter(pl.int_range(pl.len()).over("duplicate_group") < limits.per_duplicate_group)
        .sort("order")
    )


def pose(clips: pl.DataFrame, labels: pl.DataFrame, mix: Mix, negatives: Mapping[str, float]) -> Problem:
    by_clips = mix.budget.clips is not None
    wanted = {role: amount for role, amount in demand_of(mix).items() if role != REPLAY}
    usable = allowed_clips(clips, labels, mix.limits, mix.seed)
    sizes = dict(usable.select("clip_id", pl.lit(1.0) if by_clips else pl.col("duration_s") / 3600).iter_rows())
    roles: defaultdict[str, list[tuple[str, bool]]] = defaultdict(list)
    for clip_id, capability, verdict in labels.select("clip_id", "capability", "verdict").iter_rows():
        if capability in wanted and (verdict == "present" or (verdict == "absent" and negatives[capability] > 0)):
            roles[clip_id].append((capability, verdict == "present"))
    members: defaultdict[tuple[str, tuple[tuple[str, bool], ...]], list[str]] = defaultdict(list)
    for clip_id, video_id in usable.select("clip_id", "video_id").iter_rows():
        if roles[clip_id]:
            members[video_id, tuple(sorted(roles[clip_id]))].append(clip_id)
    cells = tuple(
        Cell(video_id, signature, tuple(ids), sum(sizes[clip_id] for clip_id in ids) / len(ids))
        for (video_id, signature), ids in sorted(members.items())
    )
    return Problem(mix, cells, sizes, wanted, negatives, "clips" if by_clips else "h")


def maximise(problem: Problem) -> Feasible:
    """The linear program over (cell, role): distinct clips, repeats, and how full each share gets."""
    if not problem.cells:
        return Feasible(dict.fromkeys(problem.demand, 0.0), {})
    scale = sum(cell.size for cell in problem.cells) / len(problem.cells)  # so that a typical clip measures 1
    pairs = [(k, role, positive) for k, cell in enumerate(problem.cells) for role, positive in cell.roles]
    clip_of = {(k, role): index for index, (k, role, _) in enumerate(pairs)}
    repeatable = [
        (k, role) for k, role, positive in pairs if positive and problem.mix.capabilities[role].max_repeat > 1
    ]
    repeat_of = {pair: len(pairs) + index for index, pair in enumerate(repeatable)}
    fill_from = len(pairs) + len(repeatable)
    fill_of = {role: fill_from + index * len(_WORTH) for index, role in enumerate(problem.demand)}
    crowd_from = fill_from + len(problem.demand) * len(_WORTH)
    videos = {video_id: index for index, video_id in enumerate(sorted({cell.video_id for cell in problem.cells}))}
    count = crowd_from + len(videos)

    cost, upper = np.zeros(count), np.full(count, np.inf)
    limits, balances = _Rows(), _Rows()
    in_cell, in_video = [limits.add(len(cell.clip_ids)) for cell in problem.cells], {}
    for video_id, index in videos.items():
        crowd = limits.add(1.0)
        limits.set(crowd, crowd_from + index, -1.0)
        cost[crowd_from + index] = _SAME_VIDEO_COST
        in_video[video_id] = [crowd]
        if problem.limits.per_video is not None:
            in_video[video_id].append(limits.add(problem.limits.per_video))
    negative_of = {role: limits.add(0.0) for role in problem.demand}
    amount_of = {role: balances.add(0.0) for role in problem.demand}
    for k, role, positive in pairs:
        cell, clip = problem.cells[k], clip_of[k, role]
        size = cell.size / scale
        for row in (in_cell[k], *in_video[cell.video_id]):
            limits.set(row, clip, 1.0)
        balances.set(amount_of[role], clip, size)
        limits.set(negative_of[role], clip, size * ((not positive) - problem.negatives[role]))
        if not positive:
            cost[clip] = -_NEGATIVE_BONUS * size
        if (k, role) in repeat_of:
            repeat = repeat_of[k, role]
            balances.set(amount_of[role], repeat, size)
            limits.set(negative_of[role], repeat, -size * problem.negatives[role])
            cost[repeat] = _REPEAT_COST * size
            room = limits.add(0.0)
            limits.set(room, repeat, 1.0)
            limits.set(room, clip, 1.0 - problem.mix.capabilities[role].max_repeat)
    for role, first in fill_of.items():
        for step, worth in enumerate(_WORTH):
            balances.set(amount_of[role], first + step, -1.0)
            cost[first + step] = -worth
            upper[first + step] = problem.demand[role] / scale / len(_WORTH)
    solved = linprog(
        cost,
        A_ub=limits.matrix(count),
        b_ub=limits.bounds,
        A_eq=balances.matrix(count),
        b_eq=balances.bounds,
        bounds=np.column_stack([np.zeros(count), upper]),
        method="highs",
    )
    if solved.x is None:
        raise CurateError(f"the mix could not be solved: {solved.message}", where=problem.mix.name)
    amounts = {role: float(solved.x[first : first + len(_WORTH)].sum()) * scale for role, first in fill_of.items()}
    return Feasible(amounts, {pair: float(solved.x[clip]) for pair, clip in clip_of.items()})


class _Rows:
    """Rows of a sparse constraint matrix, as they are written down."""

    def __init__(self) -> None:
        self.bounds: list[float] = []
        self._entries: list[tuple[int, int, float]] = []

    def add(self, bound: float) -> int:
        self.bounds.append(bound)
        return len(self.bounds) - 1

    def set(self, row: int, column: int, value: float) -> None:
        self._entries.append((row, column, value))

    def matrix(self, columns: int) -> coo_array:
        rows, at, values = zip(*self._entries, strict=True)
        return coo_array((values, (rows, at)), shape=(len(self.bounds), columns)).tocsr()


def untargeted(mix: Mix, clips: pl.DataFrame, labels: pl.DataFrame, vectors: pl.DataFrame | None) -> pl.DataFrame:
    """Clips under the limits with a vector, and not labelled present for any of the mix's capabilities."""
    targeted = labels.filter(pl.col("verdict") == "present", pl.col("capability").is_in(list(mix.capabilities)))
    known = vectors if vectors is not None else pl.DataFrame(schema={"clip_id": pl.String, "vector": pl.Binary})
    return (
        allowed_clips(clips, labels, mix.limits, mix.seed)
        .join(targeted, on="clip_id", how="anti", maintain_order="left")
        .join(known.select("clip_id", "vector"), on="clip_id", maintain_order="left")
    )
