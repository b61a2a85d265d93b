"""How much of each share the limits allow: the linear program behind a mix, solved with HiGHS through SciPy.

The variables say how many distinct clips of each kind (`kinds`) serve each share, and how often each share repeats its
positives. Filling a share is worth less the fuller it is (concave, piecewise linear), so where two shares want a clip,
the emptier one gets it. A minimum is worth more than any of that; where it cannot be met, it is short, and the rest is
filled all the same. Small costs prefer another clip to a repeat; a small gain takes negatives where they are allowed.

Where kinds lie in few videos, the limit per video is written out, with a variable for each kind in each video. Else it
comes in as cuts over sets of kinds (`videos`), found one by one while they lower what can be reached. Where kinds
were merged, the prices of the solution (its duals) say what each clip is worth; kinds whose clips differ in that are
parted and the program is solved again. At any such prices, what all clips together are worth above them bounds what the
best selection could reach, so how far a solution is from the best is known without solving the larger program.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from curate.mixes.solving import videos
from curate.mixes.solving.chance import turns
from curate.mixes.solving.columns import (
    MINIMUM_WORTH,
    NEGATIVE_BONUS,
    PER_VIDEO,
    REPEAT_COST,
    WORTH,
    Feasible,
    Program,
)
from curate.mixes.solving.kinds import Kinds, kinds_of, parted
from curate.mixes.solving.problem import TOLERANCE, Problem

_MOST_CUTS, _MOST_ROUNDS = 300, 6
_FEW, _MANY = 400, 60_000
_CLOSE = 1e-3


def best(problem: Problem) -> tuple[Kinds, Feasible]:
    """The kinds of a problem and the program's solution, with merged kinds parted until the bound is near."""
    kinds = kinds_of(problem)
    found = maximise(problem, kinds)
    if kinds.exact or found.prices is None:
        return kinds, found
    lowest = np.inf
    for _ in range(_MOST_ROUNDS):
        worth = worth_of(problem, kinds, found)
        lowest = min(lowest, bound(problem, kinds, found, worth))
        if lowest - found.value <= _CLOSE * full_worth(problem, found.scale) or len(kinds.count) > _MANY:
            break
        kinds = parted(problem, kinds, worth)
        found = maximise(problem, kinds)
    return kinds, replace(found, bound=lowest)


def maximise(problem: Problem, kinds: Kinds, *, lifted: int = 0, only: int | None = None) -> Feasible:
    """The linear program over kinds.

    Args:
        lifted: bits of limits that do not hold.
        only: the number of a role that has all clips for itself.
    """
    usable = (kinds.pair_why & ~lifted) == 0
    if only is not None:
        usable &= kinds.pair_role == only
    pairs = np.flatnonzero(usable)
    roles = len(problem.roles)
    if not len(pairs):
        none = np.zeros(roles)
        empty = np.zeros(len(kinds.pair_kind))
        return Feasible(none, empty, np.zeros(len(problem.slices)), none, 0.0, 0.0, (), None, 1.0)
    limit = None if lifted & PER_VIDEO else problem.mix.limits.per_video
    in_video = kinds.in_video
    crowding = kinds.count if limit is None else kinds.crowding
    program = Program(problem, kinds, pairs, lifted, only, crowding)
    if program.written_out or in_video is None or limit is None:
        return program.read(program.solve((), ()), ())
    cuts = _first_cuts(kinds, pairs, roles, only)
    before = np.inf
    for tried in range(_MOST_CUTS):
        solved = program.solve(cuts, _levels(problem, kinds, cuts))
        if lifted and len(kinds.count) > _FEW:
            break  # what lifting adds is the same with further cuts, where these lower nothing without it
        totals = np.bincount(kinds.pair_kind[pairs], weights=solved.x[: len(pairs)], minlength=len(kinds.count))
        worst = videos.broken(in_video, limit, totals)
        gained = solved.fun - before
        if (
            worst is None
            or tried == _MOST_CUTS - 1
            or (len(kinds.count) > _FEW and tried and gained <= 1e-5 * abs(solved.fun))
        ):
            break
        cuts.append(worst[0])
        before = solved.fun
    return program.read(solved, tuple(cuts))


def whole(problem: Problem, kinds: Kinds, found: Feasible) -> np.ndarray:
    """A solution in whole clips of each pair: where there are few kinds the best one, else rounded by largest
    remainder, so that each share and side has as many as the solution but for the last fraction."""
    taken = np.floor(found.taken + TOLERANCE)
    fraction = found.taken - taken
    if not (fraction > TOLERANCE).any():
        return taken.astype(np.int64)
    pairs = np.flatnonzero(kinds.pair_why == 0)
    if kinds.exact and len(pairs) <= _FEW:
        program = Program(problem, kinds, pairs, 0, None, kinds.crowding)
        levels = _levels(problem, kinds, found.cuts)
        if (best := program.whole(found.cuts, levels)) is not None:
            taken[pairs] = best
            return taken.astype(np.int64)
    side = kinds.pair_role * 2 + kinds.pair_positive
    more = np.floor(np.bincount(side, weights=found.taken) + TOLERANCE) - np.bincount(side, weights=taken)
    order = np.lexsort((np.arange(len(taken)), -fraction))
    turn = np.empty(len(taken), dtype=np.int64)
    turn[order] = turns(side[order])
    return (taken + ((turn < more[side]) & (fraction > TOLERANCE))).astype(np.int64)


def worth_of(problem: Problem, kinds: Kinds, found: Feasible, *, lifted: int = 0) -> np.ndarray:
    """What each offer is worth at the prices of a solution, above what its clip costs; -inf where it is forbidden."""
    prices = found.prices
    assert prices is not None
    role, clip = problem.offer_role, problem.offer_clip
    positive = problem.offer_positive
    size = problem.size[clip] / found.scale
    worth = size * (prices.amount[role] + prices.negatives[role] * problem.negatives[role])
    worth += positive * (size * prices.repeats[role] * (problem.most[role] - 1) + prices.minimum[role])
    worth += ~positive * size * (NEGATIVE_BONUS - prices.negatives[role])
    worth += np.bincount(problem.slice_offer, weights=prices.floors[problem.slice_of], minlength=len(role))
    cost = prices.source[problem.source] + prices.licence[problem.licence]
    in_cuts = np.zeros(len(kinds.count))
    for cut, price in zip(found.cuts, prices.cuts, strict=True):
        in_cuts += cut * price
    worth -= cost[clip] + in_cuts[kinds.of[clip]]
    worth[(problem.offer_why & ~lifted) != 0] = -np.inf
    return worth


def bound(problem: Problem, kinds: Kinds, found: Feasible, worth: np.ndarray) -> float:
    """What no selection under the limits exceeds, by the prices of a solution (weak duality, clip by clip)."""
    prices, limits = found.prices, problem.mix.limits
    assert prices is not None
    above = np.zeros(len(problem.size))
    np.maximum.at(above, problem.offer_clip, worth)
    total = 0.0
    serving = kinds.of >= 0
    each = np.bincount(kinds.of[serving], weights=above[serving], minlength=len(kinds.count))
    most = np.zeros(len(kinds.count))
    np.maximum.at(most, kinds.of[serving], above[serving])
    total += np.minimum(each, most * kinds.crowding).sum()
    step = problem.demand / found.scale / len(WORTH)
    total += (np.maximum(WORTH[None, :] - prices.amount[:, None], 0).sum(axis=1) * step).sum()
    if limits.per_source is not None:
        total += prices.source.sum() * limits.per_source
    held = np.isfinite(problem.licence_limits)
    total += (prices.licence[held] * problem.licence_limits[held]).sum()
    if kinds.in_video is not None and limits.per_video is not None:
        for cut, price in zip(found.cuts, prices.cuts, strict=True):
            total += price * videos.most(kinds.in_video, limits.per_video, cut) if price > 0 else 0.0
    total += (np.maximum(MINIMUM_WORTH - prices.minimum, 0) * problem.minimum).sum()
    total += (np.maximum(MINIMUM_WORTH - prices.floors, 0) * problem.floors).sum()
    return float(total)


def worth_of_amounts(
    problem: Problem,
    amounts: np.ndarray,
    *,
    repeats: np.ndarray,
    negatives: np.ndarray,
    minimum: np.ndarray,
    floors: np.ndarray,
    scale: float,
) -> float:
    """The program's objective of a selection.

    Args:
        amounts: of each share; repeats, negatives: the parts of it.
        minimum: distinct positives of each share. floors: of each slice with a minimum.
    """
    step = problem.demand / len(WORTH)
    steps = np.clip(amounts[:, None] - step[:, None] * np.arange(len(WORTH)), 0, step[:, None])
    small = NEGATIVE_BONUS * negatives.sum() - REPEAT_COST * repeats.sum()
    met = np.minimum(minimum, problem.minimum).sum() + np.minimum(floors, problem.floors).sum()
    return float(((steps * WORTH).sum() + small) / scale + MINIMUM_WORTH * met)


def full_worth(problem: Problem, scale: float) -> float:
    """What full shares are worth, minimums aside."""
    return float(problem.demand.sum() * WORTH.mean() / scale)


def _levels(problem: Problem, kinds: Kinds, cuts: Sequence[np.ndarray]) -> list[float]:
    limit = problem.mix.limits.per_video
    if kinds.in_video is None or limit is None:
        return []
    return [videos.most(kinds.in_video, limit, cut) for cut in cuts]


def _first_cuts(kinds: Kinds, pairs: np.ndarray, roles: int, only: int | None) -> list[np.ndarray]:
    """All kinds, and those of each share."""
    every = np.zeros(len(kinds.count), dtype=bool)
    every[kinds.pair_kind[pairs]] = True
    if only is not None:
        return [every]
    found = [every]
    for role in range(roles):
        mask = np.zeros(len(kinds.count), dtype=bool)
        mask[kinds.pair_kind[pairs[kinds.pair_role[pairs] == role]]] = True
        if mask.any():
            found.append(mask)
    return found
