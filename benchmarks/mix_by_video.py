"""The program behind a mix with a variable for each kind of clip of each video: what `mix_solve` holds the program over
kinds against. Constraints, worths and costs are the same, and so is the optimum; its size grows with the videos.
"""

from typing import Any

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import coo_array

from curate.mixes.solving.columns import MINIMUM_WORTH, NEGATIVE_BONUS, REPEAT_COST, WORTH
from curate.mixes.solving.problem import Problem


def optimum(problem: Problem) -> float:
    """The objective of the best fractional selection, as `curate.mixes.solving.columns.Feasible.value` counts it."""
    free = np.flatnonzero(problem.offer_why == 0)
    if not len(free):
        return 0.0
    clip, role, positive = problem.offer_clip[free], problem.offer_role[free], problem.offer_positive[free]
    cells, cell_of = np.unique(_kind(problem, free), return_inverse=True)
    pairs, first, many = np.unique(
        cell_of[clip] * 2 * len(problem.roles) + role * 2 + positive, return_index=True, return_counts=True
    )
    cell, clip, role, positive = cell_of[clip[first]], clip[first], role[first], positive[first]
    size, scale = problem.size[clip], float(problem.size[problem.offer_clip[free]].mean())
    roles, slices, steps = len(problem.roles), len(problem.slices), len(WORTH)
    x, every = np.arange(len(pairs)), np.arange(len(problem.roles))
    repeat = len(pairs) + every
    fill = repeat[-1] + 1 + np.arange(roles * steps)
    lack = fill[-1] + 1 + np.arange(roles + slices)
    columns = lack[-1] + 1
    rows: list[tuple[np.ndarray, np.ndarray, Any]] = []
    bounds: list[np.ndarray] = []

    def add(limit: np.ndarray, *entries: tuple[np.ndarray, np.ndarray, Any]) -> None:
        at = sum(map(len, bounds))
        rows.extend(
            (at + row, column, np.broadcast_to(value, len(row)).astype(float)) for row, column, value in entries
        )
        bounds.append(np.asarray(limit, dtype=float))

    in_cell = np.bincount(cell_of, minlength=len(cells))
    add(in_cell, (cell, x, 1))
    limits = problem.mix.limits
    if limits.per_video is not None:
        add(np.full(problem.video.max() + 1, limits.per_video), (problem.video[clip], x, 1))
    if limits.per_source is not None:
        add(np.full(len(problem.sources), limits.per_source), (problem.source[clip], x, 1))
    if limits.per_licence:
        held = np.minimum(problem.licence_limits, len(problem.size))
        add(held, (problem.licence[clip], x, 1))
    fraction = problem.negatives
    add(np.zeros(roles), (role, x, size / scale * (~positive - fraction[role])), (every, repeat, -fraction))
    add(np.zeros(roles), (role, x, positive * size / scale * (1 - problem.most[role])), (every, repeat, 1))
    add(-problem.minimum, (role, x, -1.0 * positive), (every, lack[:roles], -1))
    offer_at = np.full(len(problem.offer_clip), -1)
    offer_at[free[first]] = x
    member = offer_at[problem.slice_offer] >= 0
    of_slice, at = problem.slice_of[member], offer_at[problem.slice_offer[member]]
    add(-problem.floors, (of_slice, at, -1), (np.arange(slices), lack[roles:], -1))
    amount = [(role, x, size / scale), (every, repeat, 1.0), (np.repeat(every, steps), fill, -1.0)]
    cost = np.zeros(columns)
    cost[x] = -NEGATIVE_BONUS * size / scale * ~positive
    cost[repeat], cost[fill], cost[lack] = REPEAT_COST, -np.tile(WORTH, roles), MINIMUM_WORTH
    upper = np.full(columns, np.inf)
    upper[x] = many
    upper[fill] = np.repeat(problem.demand / scale / steps, steps)
    upper[lack] = np.concatenate([problem.minimum, problem.floors])
    solved = linprog(
        cost,
        A_ub=_matrix(rows, columns, sum(map(len, bounds))),
        b_ub=np.concatenate(bounds),
        A_eq=_matrix([(row, at, np.broadcast_to(value, len(row))) for row, at, value in amount], columns, roles),
        b_eq=np.zeros(roles),
        bounds=np.column_stack([np.zeros(columns), upper]),
        method="highs",
    )
    return float(-solved.fun + MINIMUM_WORTH * (problem.minimum.sum() + problem.floors.sum()))


def _kind(problem: Problem, free: np.ndarray) -> np.ndarray:
    """For each clip a number of its kind and video: clips of one video that serve the same in the same way are one."""
    members: list[list] = [[] for _ in problem.size]
    slices: list[list[int]] = [[] for _ in problem.offer_clip]
    for offer, at in zip(problem.slice_offer.tolist(), problem.slice_of.tolist(), strict=True):
        slices[offer].append(at)
    for offer in free.tolist():
        side = (int(problem.offer_role[offer]), bool(problem.offer_positive[offer]), tuple(sorted(slices[offer])))
        members[problem.offer_clip[offer]].append(side)
    known: dict[tuple, int] = {}
    keys = zip(members, problem.video, problem.source, problem.licence, problem.size, strict=True)
    return np.array([known.setdefault((tuple(sorted(sides)), *rest), len(known)) for sides, *rest in keys])


def _matrix(entries: list[tuple[np.ndarray, np.ndarray, Any]], columns: int, count: int) -> coo_array:
    rows, at, values = (np.concatenate(part) for part in zip(*entries, strict=True))
    return coo_array((values, (rows, at)), shape=(count, columns)).tocsr()
