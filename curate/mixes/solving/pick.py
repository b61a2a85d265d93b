"""Whole clips from the program's amounts, picked in the order of the draw.

A kind gives its clips video by video in turn, so that they spread. No limit is broken at any step: what a limit refuses
is replaced by another clip of its kind, if need be by giving a clip of another kind another video (`videos.rerouted`),
then by any clip that serves the share. At the end repeats fill what distinct clips leave. Every step is over arrays.
"""

import numpy as np
import polars as pl
from scipy.sparse import coo_array, csr_array

from curate.mixes.solving import videos
from curate.mixes.solving.chance import turns
from curate.mixes.solving.columns import Feasible
from curate.mixes.solving.kinds import Kinds
from curate.mixes.solving.problem import TOLERANCE, Problem
from curate.mixes.solving.program import whole

UNUSED = -1
_NEAR = 4.0
"""A slice is safe from chance where the program gives it its minimum and this many of its square roots."""


class Picked:
    """Clips as they are picked, held to the limits at every step.

    Attributes:
        role: of each clip the number of the share it counts for, `len(problem.roles)` for replay; UNUSED where none.
        positive: whether it serves it as a positive. repeat: how often it occurs.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        limits, count = problem.mix.limits, len(problem.size)
        self.role = np.full(count, UNUSED, dtype=np.int64)
        self.positive = np.zeros(count, dtype=bool)
        self.repeat = np.zeros(count, dtype=np.int64)
        self._amounts = np.zeros((len(problem.roles) + 1, 2))
        self._left: list[tuple[np.ndarray, np.ndarray]] = []
        if limits.per_video is not None:
            self._left.append((problem.video, np.full(problem.video.max(initial=0) + 1, limits.per_video)))
        if limits.per_source is not None:
            self._left.append((problem.source, np.full(len(problem.sources), limits.per_source)))
        if limits.per_licence:
            left = np.minimum(problem.licence_limits, count).astype(np.int64)
            self._left.append((problem.licence, left))

    def amount(self, role: int, *, positive: bool | None = None) -> float:
        """What a share holds, repeats and all."""
        return float(self._amounts[role].sum() if positive is None else self._amounts[role, int(positive)])

    def left(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """For each limit: of each clip what it counts against, and how many of that may still be picked."""
        return self._left

    def take(
        self,
        clips: np.ndarray,
        role: int,
        *,
        positive: bool = True,
        most: float = np.inf,
        room: float = np.inf,
    ) -> np.ndarray:
        """Adds unused clips to a share under the limits, in the order given.

        Args:
            most: clips. room: size.

        Returns:
            The clips that were added.
        """
        added = []
        clips = clips[self.role[clips] == UNUSED]
        while len(clips) and most > 0:
            fits = self.problem.size[clips] <= room + TOLERANCE
            for group, left in self._left:
                fits &= turns(group[clips]) < left[group[clips]]
            some = clips[fits]
            if not len(some):
                break
            some = some[: int(min(most, len(some)))]
            some = some[np.cumsum(self.problem.size[some]) <= room + TOLERANCE]
            if not len(some):  # the first fits, as `fits` says
                break
            self.role[some], self.positive[some], self.repeat[some] = role, positive, 1
            self._amounts[role, int(positive)] += self.problem.size[some].sum()
            for group, left in self._left:
                np.subtract.at(left, group[some], 1)
            added.append(some)
            most -= len(some)
            room -= float(self.problem.size[some].sum())
            clips = clips[self.role[clips] == UNUSED]
            for group, left in self._left:
                clips = clips[left[group[clips]] > 0]
        return np.concatenate(added) if added else np.zeros(0, dtype=np.int64)

    def most(self, clips: np.ndarray) -> float:
        """The size of what could be added of unused clips: the largest ones that each limit leaves room for."""
        clips = clips[np.lexsort((clips, -self.problem.size[clips]))]
        for group, left in self._left:
            clips = clips[turns(group[clips]) < left[group[clips]]]
        return float(self.problem.size[clips].sum())

    def give(self, clips: np.ndarray, role: int, *, positive: bool) -> None:
        """Moves picked clips to another share."""
        size = self.problem.size[clips] * self.repeat[clips]
        np.subtract.at(self._amounts, (self.role[clips], self.positive[clips].astype(np.int64)), size)
        self.role[clips], self.positive[clips] = role, positive
        self._amounts[role, int(positive)] += size.sum()

    def again(self, clips: np.ndarray, role: int) -> None:
        """Repeats positives of a share once more."""
        self.repeat[clips] += 1
        self._amounts[role, 1] += self.problem.size[clips].sum()

    def drop(self, clips: np.ndarray) -> None:
        size = self.problem.size[clips] * self.repeat[clips]
        np.subtract.at(self._amounts, (self.role[clips], self.positive[clips].astype(np.int64)), size)
        self.role[clips], self.positive[clips], self.repeat[clips] = UNUSED, False, 0
        for group, left in self._left:
            np.add.at(left, group[clips], 1)


def pick(problem: Problem, kinds: Kinds, feasible: Feasible) -> Picked:
    """The clips of all shares but replay."""
    picked = Picked(problem)
    if not len(problem.offer_clip):
        return picked
    offers = _Offers(problem)
    targets = whole(problem, kinds, feasible)
    offers.reserve(picked, kinds, targets, feasible)
    _select(picked, kinds, targets, feasible)
    roles = np.argsort(
        [picked.amount(role) - feasible.amounts[role] for role in range(len(problem.roles))], kind="stable"
    )
    for role in roles:
        _trim(picked, offers, role)
    planned = np.bincount(kinds.pair_role, weights=feasible.taken * kinds.pair_positive, minlength=len(problem.roles))
    offers.mend(picked, feasible)
    for role in roles:
        lacking = np.ceil(planned[role] - TOLERANCE) - (picked.role[picked.positive] == role).sum()
        room = problem.demand[role] - picked.amount(role)
        picked.take(offers.of(role, positive=True), role, most=lacking, room=room)
    for role in roles:
        _fill(picked, offers, role)
    return picked


class _Offers:
    """The offers that nothing forbids, by share and side, in the order of the draw."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        free = np.flatnonzero(problem.offer_why == 0)
        side = problem.offer_role[free] * 2 + problem.offer_positive[free]
        order = np.argsort(side, kind="stable")
        ends = np.cumsum(np.bincount(side, minlength=2 * len(problem.roles)))[:-1]
        self._clips = np.split(problem.offer_clip[free[order]], ends)
        in_free = problem.offer_why[problem.slice_offer] == 0
        member, self._slice = problem.offer_clip[problem.slice_offer[in_free]], problem.slice_of[in_free]
        self._member, self._offer = member, problem.slice_offer[in_free]
        order = np.argsort(self._slice, kind="stable")
        self._at = np.split(order, np.cumsum(np.bincount(self._slice, minlength=len(problem.slices)))[:-1])
        self._members = [member[at] for at in self._at]

    def of(self, role: int, *, positive: bool) -> np.ndarray:
        return self._clips[2 * role + positive]

    def floors(self, picked: Picked) -> np.ndarray:
        """Distinct positives in each slice with a minimum."""
        role_of = np.array([role for role, _ in self.problem.slices], dtype=np.int64)
        counts = (picked.role[self._member] == role_of[self._slice]) & picked.positive[self._member]
        return np.bincount(self._slice[counts], minlength=len(self.problem.slices))

    def needed(self, picked: Picked, role: int) -> np.ndarray:
        """Clips of a share without which a minimum would be short, a mask over all clips."""
        found = np.zeros(len(self.problem.size), dtype=bool)
        if not len(self.problem.slices):
            return found
        tight = self.floors(picked) <= self.problem.floors
        found[self._member[tight[self._slice]]] = True
        return found & (picked.role == role) & picked.positive

    def reserve(self, picked: Picked, kinds: Kinds, targets: np.ndarray, feasible: Feasible) -> None:
        """Picks the clips of slices that chance might leave short of their minimum, before any other: the scarcest
        slice first, and in it the clips that the program takes. Of merged kinds it may take more than the program, as
        only some of their clips are in the slice."""
        problem, left = self.problem, targets.copy()
        target = np.floor(np.minimum(feasible.floors, problem.floors) + TOLERANCE)
        near = feasible.floors <= problem.floors + _NEAR * np.sqrt(problem.floors)
        tight = np.flatnonzero(near & (target > 0))
        for at in tight[np.argsort([len(self._members[at]) for at in tight], kind="stable")]:
            role = problem.slices[at][0]
            members, pair = self._members[at], kinds.pair_of[self._offer[self._at[at]]]
            lacking = target[at] - ((picked.role[members] == role) & picked.positive[members]).sum()
            if lacking <= 0:
                continue
            open_ = np.flatnonzero(picked.role[members] == UNUSED)
            planned = turns(pair[open_]) < left[pair[open_]]
            order = open_[np.argsort(~planned, kind="stable")] if not kinds.exact else open_[planned]
            room = float(problem.demand[role]) - picked.amount(role)
            added = picked.take(members[order], role, most=lacking, room=room)
            np.subtract.at(left, pair[order][np.isin(members[order], added)], 1)

    def mend(self, picked: Picked, feasible: Feasible) -> None:
        """Brings slices to their minimum where rounding left them short of what is feasible, at the cost of clips of
        the same share that no minimum needs."""
        held = self.floors(picked)
        target = np.floor(np.minimum(feasible.floors, self.problem.floors) + TOLERANCE)
        for at in np.flatnonzero(held < target):
            role = self.problem.slices[at][0]
            lacking = target[at] - self.floors(picked)[at]
            if lacking <= 0:
                continue
            open_ = self._members[at][picked.role[self._members[at]] == UNUSED][: 4 * int(lacking)]
            if not len(open_):
                continue
            room = self.problem.demand[role] - picked.amount(role)
            size = float(np.sort(self.problem.size[open_])[::-1][: int(lacking)].sum())
            spare = np.flatnonzero((picked.role == role) & ~self.needed(picked, role))[::-1]
            spare = spare[np.argsort(picked.positive[spare], kind="stable")]
            count = int(np.searchsorted(np.cumsum(self.problem.size[spare]), size - room - TOLERANCE)) + 1
            given = spare[:count] if size > room + TOLERANCE else spare[:0]
            picked.drop(given)
            room = self.problem.demand[role] - picked.amount(role)
            picked.take(open_, role, most=lacking, room=float(room))
            picked.take(given[::-1], role, room=float(self.problem.demand[role]) - picked.amount(role))


def _select(picked: Picked, kinds: Kinds, targets: np.ndarray, feasible: Feasible) -> None:
    """Picks as many clips of each kind as its pairs have together, and parts them among the pairs.

    Kinds of the share that more clips are worth most to come first: others can do with other clips of a full video.
    """
    problem, waiting = picked.problem, len(picked.problem.roles)
    reserved = picked.role != UNUSED
    of_reserved = reserved[problem.offer_clip] & (picked.role[problem.offer_clip] == problem.offer_role)
    targets = np.maximum(targets - np.bincount(kinds.pair_of[of_reserved], minlength=len(targets)), 0)
    totals = np.bincount(kinds.pair_kind, weights=targets, minlength=len(kinds.count))
    wanted = (targets[kinds.pair_of] > 0) & (problem.offer_why == 0) & ~reserved[problem.offer_clip]
    candidates = np.unique(problem.offer_clip[wanted])
    in_video = kinds.of[candidates] * (int(problem.video.max(initial=0)) + 1) + problem.video[candidates]
    first = np.zeros(len(kinds.count))
    if feasible.prices is not None:
        prices = feasible.prices.amount[kinds.pair_role] * (targets > 0)
        np.maximum.at(first, kinds.pair_kind, np.round(prices, 6))
    clips = candidates[np.lexsort((candidates, turns(in_video), -first[kinds.of[candidates]]))]
    lacking = totals.astype(np.int64)
    while len(clips):
        proposed = turns(kinds.of[clips]) < lacking[kinds.of[clips]]
        if not proposed.any():
            break
        added = picked.take(clips[proposed], waiting)
        np.subtract.at(lacking, kinds.of[added], 1)
        clips = clips[~proposed]
    if lacking.any() and kinds.in_video is not None:
        _reroute(picked, kinds, candidates, lacking)
    _part(picked, kinds, targets)


def _reroute(picked: Picked, kinds: Kinds, candidates: np.ndarray, lacking: np.ndarray) -> None:
    """Clips that are lacking because other kinds hold their videos: those move to other videos."""
    problem = picked.problem
    (_, room), used = picked.left()[0], picked.role != UNUSED
    assert kinds.in_video is not None
    shape = kinds.in_video.shape

    def held(clips: np.ndarray) -> csr_array:
        return csr_array(coo_array((np.ones(len(clips)), (kinds.of[clips], problem.video[clips])), shape=shape))

    of, video, change = videos.rerouted(
        held(candidates[~used[candidates]]), held(candidates[used[candidates]]), room, lacking
    )
    moves = pl.DataFrame({"kind": of, "video": video, "change": change})
    cells = pl.DataFrame(
        {"kind": kinds.of[candidates], "video": problem.video[candidates], "clip": candidates, "used": used[candidates]}
    ).join(moves, on=["kind", "video"])
    turn = pl.int_range(pl.len()).over("kind", "video", "used")
    ranked = cells.sort("clip").with_columns(turn=turn)
    picked.drop(ranked.filter("used", pl.col("change") < 0, pl.col("turn") < -pl.col("change"))["clip"].to_numpy())
    more = ranked.filter(~pl.col("used"), pl.col("change") > 0, pl.col("turn") < pl.col("change"))
    picked.take(more["clip"].to_numpy(), len(problem.roles))


def _part(picked: Picked, kinds: Kinds, targets: np.ndarray) -> None:
    """Gives the picked clips of each kind to its pairs, those of the scarcest share first."""
    problem, waiting = picked.problem, len(picked.problem.roles)
    supply = np.bincount(problem.offer_role, minlength=waiting) / problem.demand
    chosen = picked.role[problem.offer_clip] == waiting
    mine = np.flatnonzero(chosen & (problem.offer_why == 0) & (targets[kinds.pair_of] > 0))
    side = problem.offer_role[mine] * 2 + problem.offer_positive[mine]
    for role in np.argsort(supply, kind="stable"):
        for positive in (True, False):
            offers = mine[side == 2 * role + positive]
            offers = offers[picked.role[problem.offer_clip[offers]] == waiting]
            offers = offers[turns(kinds.pair_of[offers]) < targets[kinds.pair_of[offers]]]
            picked.give(problem.offer_clip[offers], role, positive=positive)
    picked.drop(np.flatnonzero(picked.role == waiting))


def _trim(picked: Picked, offers: _Offers, role: int) -> None:
    """Drops clips of a share that holds more than it asked for: sizes are means until clips are picked."""
    over = picked.amount(role) - picked.problem.demand[role]
    if over <= TOLERANCE:
        return
    mine = np.flatnonzero(picked.role == role)[::-1]
    spare = mine[np.lexsort((picked.positive[mine], offers.needed(picked, role)[mine]))]
    enough = int(np.searchsorted(np.cumsum(picked.problem.size[spare]), over - TOLERANCE)) + 1
    picked.drop(spare[:enough])


def _fill(picked: Picked, offers: _Offers, role: int) -> None:
    """Brings negatives within their fraction, then fills a share: distinct clips first, repeats at the end."""
    problem = picked.problem
    demand, fraction = problem.demand[role], problem.negatives[role]
    most = problem.most[role]
    negatives = np.flatnonzero((picked.role == role) & ~picked.positive)
    positives = picked.amount(role, positive=True)
    for _ in range(2):
        allowed = _allowed_negatives(positives * most, demand, fraction)
        inside = np.cumsum(problem.size[negatives]) <= allowed + TOLERANCE
        picked.drop(negatives[~inside])
        negatives = negatives[inside]
        room = demand - picked.amount(role)
        picked.take(offers.of(role, positive=True), role, room=room)
        positives = picked.amount(role, positive=True)
        held = picked.amount(role, positive=False)
        room = min(float(demand) - positives - held, _allowed_negatives(positives * most, demand, fraction) - held)
        picked.take(offers.of(role, positive=False), role, positive=False, room=room)
        _repeat(picked, role)
        negatives = np.flatnonzero((picked.role == role) & ~picked.positive)
        while len(negatives) and picked.amount(role, positive=False) > fraction * picked.amount(role) + TOLERANCE:
            picked.drop(negatives[-1:])
            negatives = negatives[:-1]


def _allowed_negatives(positive_rows: float, demand: float, fraction: float) -> float:
    """Of a share whose positives can make up `positive_rows`."""
    if fraction >= 1:
        return demand
    return fraction * min(demand, positive_rows / (1 - fraction))


def _repeat(picked: Picked, role: int) -> None:
    """Repeats a share's positives until it is full, every clip once before any twice."""
    problem = picked.problem
    mine = np.flatnonzero((picked.role == role) & picked.positive)
    for times in range(1, int(problem.most[role])):
        room = problem.demand[role] - picked.amount(role)
        again = mine[picked.repeat[mine] == times]
        while len(again := again[problem.size[again] <= room + TOLERANCE]):
            fits = again[np.cumsum(problem.size[again]) <= room + TOLERANCE]
            picked.again(fits, role)
            room -= float(problem.size[fits].sum())
            again = again[len(fits) :]
