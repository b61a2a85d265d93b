"""The linear program behind a mix as columns and rows, and what its solution says.

Columns: distinct clips of each pair of a kind and a share, repeats of each share, quarters of each share, what each
minimum lacks; and, where the limit per video is written out, clips of each kind in each crowded video.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, linprog, milp
from scipy.sparse import coo_array, csr_array, vstack

from curate.errors import CurateError
from curate.mixes.solving.kinds import Kinds
from curate.mixes.solving.problem import Problem

PER_VIDEO, PER_SOURCE, PER_LICENCE = 32, 64, 128
"""Limits that are rows of the program, as bits beside those of `curate.mixes.solving.problem`."""

WORTH = np.array([4.0, 3.0, 2.0, 1.0])
"""Worth of a unit in each quarter of a share."""
MINIMUM_WORTH = 1000.0
"""Worth of a clip that a minimum lacks."""
REPEAT_COST, NEGATIVE_BONUS = 0.02, 0.005
"""Of a unit."""
_MOST_CELLS, _NODES = 6_000, 200


@dataclass(frozen=True)
class Prices:
    """What a unit of each constraint is worth, none below 0: amounts in clips of a typical size."""

    amount: np.ndarray
    negatives: np.ndarray
    repeats: np.ndarray
    minimum: np.ndarray
    floors: np.ndarray
    source: np.ndarray
    licence: np.ndarray
    videos: np.ndarray
    cuts: np.ndarray

    def binds(self, limit: int) -> bool:
        """Whether lifting a limit of the program's rows can change what is best."""
        of = {PER_VIDEO: np.append(self.cuts, self.videos), PER_SOURCE: self.source, PER_LICENCE: self.licence}[limit]
        return bool((of > 1e-9).any())


@dataclass(frozen=True)
class Feasible:
    """A solution of the program.

    Attributes:
        amounts: of each share, in the unit.
        taken: distinct clips of each pair of `Kinds`.
        floors: distinct positives in each slice with a minimum. minimum: of each share.
        value: the program's objective. bound: what no selection under the limits exceeds, the value itself where kinds
            are exact.
        cuts: the sets of kinds that had to be held to the limit per video.
        prices: the duals.
        scale: the typical size.
    """

    amounts: np.ndarray
    taken: np.ndarray
    floors: np.ndarray
    minimum: np.ndarray
    value: float
    bound: float
    cuts: tuple[np.ndarray, ...]
    prices: Prices | None
    scale: float


@dataclass(frozen=True)
class _Cells:
    """Kinds in the videos that the limit can crowd. kind, video, clips (at most the limit): of each cell; roomy: of
    each kind its clips in other videos."""

    kind: np.ndarray
    video: np.ndarray
    clips: np.ndarray
    roomy: np.ndarray


def _cells(kinds: Kinds, usable: np.ndarray, limit: int | None) -> _Cells | None:
    """The cells of the kinds that may be used; None where no limit needs them, or they are too many to write out."""
    if kinds.in_video is None or limit is None:
        return None
    mask = np.zeros(len(kinds.count))
    mask[usable] = 1.0
    crowded = kinds.in_video.T @ mask > limit
    found = csr_array(kinds.in_video.multiply(mask[:, None]).multiply(crowded[None, :]))
    found.eliminate_zeros()
    if found.nnz > _MOST_CELLS:
        return None
    cells = found.tocoo()
    roomy = kinds.count - np.asarray(found.sum(axis=1)).ravel()
    return _Cells(cells.row, cells.col, np.minimum(cells.data, limit), roomy)


class _Rows:
    """Constraints of one sense, as they are written down: sparse rows and their bounds."""

    def __init__(self) -> None:
        self.bounds: list[np.ndarray] = []
        self.entries: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self.count = 0

    def add(self, bounds: np.ndarray) -> int:
        """The number of the first of new rows."""
        self.bounds.append(np.asarray(bounds, dtype=np.float64))
        self.count += len(bounds)
        return self.count - len(bounds)

    def set(self, rows: np.ndarray, columns: np.ndarray, values: Any) -> None:
        rows, columns, values = np.broadcast_arrays(rows, columns, np.asarray(values, dtype=np.float64))
        self.entries.append((rows, columns, values))

    def matrix(self, columns: int) -> csr_array:
        rows, at, values = (np.concatenate(part) for part in zip(*self.entries, strict=True))
        return csr_array(coo_array((values, (rows, at)), shape=(self.count, columns)))


class Program:
    """The program's columns: pairs, repeats of each role, quarters of each share, what each minimum lacks."""

    def __init__(
        self,
        problem: Problem,
        kinds: Kinds,
        pairs: np.ndarray,
        lifted: int,
        only: int | None,
        crowding: np.ndarray,
    ) -> None:
        self.problem, self.kinds, self.pairs, self.crowding = problem, kinds, pairs, crowding
        roles = len(problem.roles)
        self.kind, self.role = kinds.pair_kind[pairs], kinds.pair_role[pairs]
        self.positive = kinds.pair_positive[pairs]
        self.scale = float(np.average(kinds.pair_size[pairs], weights=kinds.pair_count[pairs])) or 1.0
        self.size = kinds.pair_size[pairs] / self.scale
        self.repeat = len(pairs)
        self.fill = self.repeat + roles
        self.lack = self.fill + roles * len(WORTH)
        self.lack_slice = self.lack + roles
        self.cell = self.lack_slice + len(problem.slices)
        limit = None if lifted & PER_VIDEO else problem.mix.limits.per_video
        cells = _cells(kinds, self.kind, limit)
        self.written_out = cells is not None
        self.columns = self.cell + (len(cells.clips) if cells is not None else 0)
        every = np.arange(roles)
        self.cost = np.zeros(self.columns)
        self.cost[: len(pairs)] = -NEGATIVE_BONUS * self.size * ~self.positive
        self.cost[self.repeat : self.fill] = REPEAT_COST
        self.cost[self.fill : self.lack] = -np.tile(WORTH, roles)
        self.cost[self.lack : self.cell] = MINIMUM_WORTH
        mine = np.ones(roles) if only is None else every == only
        demand = problem.demand / self.scale * mine
        self.minimum = problem.minimum * mine
        self.floors = problem.floors * mine[np.array([role for role, _ in problem.slices], dtype=np.int64)]
        most = np.minimum(kinds.pair_count[pairs], crowding[self.kind])
        self.upper = np.concatenate(
            [most, np.full(roles, np.inf), np.repeat(demand / len(WORTH), len(WORTH)), self.minimum, self.floors]
            + ([cells.clips] if cells is not None else [])
        )
        self.limits, self.balance = _Rows(), _Rows()
        self._rows(lifted, every)
        self.video_at = self.limits.count
        if cells is not None and limit is not None:
            self._videos(cells, limit)
        self.cut_at = self.limits.count

    def _rows(self, lifted: int, every: np.ndarray) -> None:
        problem, kinds, limits = self.problem, self.kinds, self.limits
        column = np.arange(len(self.pairs))
        roles = len(every)
        self.amount_at = self.balance.add(np.zeros(roles))
        self.balance.set(self.role, column, self.size)
        self.balance.set(every, self.repeat + every, 1.0)
        self.balance.set(np.repeat(every, len(WORTH)), np.arange(self.fill, self.lack), -1.0)
        self.negative_at = limits.add(np.zeros(roles))
        limits.set(self.role, column, self.size * (~self.positive - problem.negatives[self.role]))
        limits.set(every, self.repeat + every, -problem.negatives)
        self.repeat_at = limits.add(np.zeros(roles))
        mine = np.flatnonzero(self.positive)
        room = self.size[mine] * (1 - problem.most[self.role[mine]])
        limits.set(self.repeat_at + self.role[mine], mine, room)
        limits.set(self.repeat_at + every, self.repeat + every, 1.0)
        self.minimum_at = limits.add(-self.minimum)
        limits.set(self.minimum_at + self.role[mine], mine, -1.0)
        limits.set(self.minimum_at + every, self.lack + every, -1.0)
        self.floor_at = limits.add(-self.floors)
        if len(problem.slices):
            members = kinds.slices[:, self.pairs].tocoo()
            limits.set(self.floor_at + members.row, members.col, -members.data)
            slices = np.arange(len(problem.slices))
            limits.set(self.floor_at + slices, self.lack_slice + slices, -1.0)
        several = np.bincount(self.kind, minlength=len(kinds.count)) > 1
        row_of = np.cumsum(several) - 1
        at = limits.add(self.crowding[several])
        shared = np.flatnonzero(several[self.kind])
        limits.set(at + row_of[self.kind[shared]], shared, 1.0)
        self.source_at, self.licence_at = limits.count, limits.count
        per_source = problem.mix.limits.per_source
        if per_source is not None and not lifted & PER_SOURCE:
            self.source_at = limits.add(np.full(len(problem.sources), float(per_source)))
            limits.set(self.source_at + kinds.source[self.kind], column, 1.0)
        self.sources = limits.count - self.source_at
        self.licence_at = limits.count
        if problem.mix.limits.per_licence and not lifted & PER_LICENCE:
            held = np.where(np.isfinite(problem.licence_limits), problem.licence_limits, len(problem.size))
            self.licence_at = limits.add(held)
            limits.set(self.licence_at + kinds.licence[self.kind], column, 1.0)
        self.licences = limits.count - self.licence_at

    def _videos(self, cells: "_Cells", limit: int) -> None:
        """The limit per video with a column for each kind in each crowded video: clips of it that are taken there."""
        column = self.cell + np.arange(len(cells.clips))
        crowded, at = np.unique(cells.video, return_inverse=True)
        self.limits.set(self.limits.add(np.full(len(crowded), float(limit))) + at, column, 1.0)
        row_of = np.full(len(cells.roomy), -1)
        mine = np.unique(cells.kind)
        row_of[mine] = np.arange(len(mine))
        kind_at = self.limits.add(cells.roomy[mine])
        taken = np.flatnonzero(row_of[self.kind] >= 0)
        self.limits.set(kind_at + row_of[self.kind[taken]], taken, 1.0)
        self.limits.set(kind_at + row_of[cells.kind], column, -1.0)

    def constraints(self, cuts: Sequence[np.ndarray], levels: Sequence[float]) -> tuple[csr_array, np.ndarray]:
        """The rows that are bounded above, the cuts at the end, and their bounds."""
        matrix, bounds = self.limits.matrix(self.columns), np.concatenate(self.limits.bounds)
        if not cuts:
            return matrix, bounds
        rows = csr_array(np.array([cut[self.kind] for cut in cuts], dtype=np.float64))
        rows.resize(len(cuts), self.columns)
        return vstack([matrix, rows], format="csr"), np.concatenate([bounds, levels])

    def solve(self, cuts: Sequence[np.ndarray], levels: Sequence[float]) -> Any:
        matrix, bounds = self.constraints(cuts, levels)
        solved = linprog(
            self.cost,
            A_ub=matrix,
            b_ub=bounds,
            A_eq=self.balance.matrix(self.columns),
            b_eq=np.concatenate(self.balance.bounds),
            bounds=np.column_stack([np.zeros(self.columns), self.upper]),
            method="highs",
        )
        if solved.x is None:
            raise CurateError(f"the mix could not be solved: {solved.message}", where=self.problem.mix.name)
        return solved

    def whole(self, cuts: Sequence[np.ndarray], levels: Sequence[float]) -> np.ndarray | None:
        """Whole clips of each pair that are worth most; None where that is not found within _NODES of branch and
        bound."""
        matrix, bounds = self.constraints(cuts, levels)
        balance = self.balance.matrix(self.columns)
        solved = milp(
            self.cost,
            integrality=np.arange(self.columns) < len(self.pairs),
            bounds=Bounds(0, self.upper),
            constraints=[LinearConstraint(matrix, -np.inf, bounds), LinearConstraint(balance, 0, 0)],
            options={"node_limit": _NODES},
        )
        return None if solved.x is None else np.round(solved.x[: len(self.pairs)])

    def read(self, solved: Any, cuts: tuple[np.ndarray, ...]) -> Feasible:
        problem, kinds = self.problem, self.kinds
        roles = len(problem.roles)
        price = np.maximum(-solved.ineqlin.marginals, 0)
        source, licence = np.zeros(len(problem.sources)), np.zeros(len(problem.licences))
        source[: self.sources] = price[self.source_at : self.source_at + self.sources]
        licence[: self.licences] = price[self.licence_at : self.licence_at + self.licences]
        prices = Prices(
            amount=solved.eqlin.marginals[:roles],
            negatives=price[self.negative_at : self.negative_at + roles],
            repeats=price[self.repeat_at : self.repeat_at + roles],
            minimum=price[self.minimum_at : self.minimum_at + roles],
            floors=price[self.floor_at : self.floor_at + len(problem.slices)],
            source=source,
            licence=licence,
            videos=price[self.video_at : self.cut_at],
            cuts=price[self.cut_at : self.cut_at + len(cuts)],
        )
        taken = np.zeros(len(kinds.pair_kind))
        taken[self.pairs] = solved.x[: len(self.pairs)]
        quarters = solved.x[self.fill : self.lack].reshape(roles, len(WORTH))
        positive = taken * kinds.pair_positive
        value = float(-solved.fun + MINIMUM_WORTH * (self.minimum.sum() + self.floors.sum()))
        return Feasible(
            amounts=quarters.sum(axis=1) * self.scale,
            taken=taken,
            floors=kinds.slices @ taken,
            minimum=np.bincount(kinds.pair_role, weights=positive, minlength=roles),
            value=value,
            bound=value,
            cuts=cuts,
            prices=prices,
            scale=self.scale,
        )
