"""Why a share or a minimum is short: which constraint binds, by how much, and what lifts it.

Found by solving again with one limit lifted at a time: what is then gained is what that limit holds back. Limits whose
price is zero, and those that keep out nothing worth its place, cannot bind and are skipped. What no limit explains is
missing labels, or for replay missing footage.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from curate.mixes.solving import program
from curate.mixes.solving.columns import PER_LICENCE, PER_SOURCE, PER_VIDEO, Feasible
from curate.mixes.solving.kinds import Kinds
from curate.mixes.solving.pick import Picked
from curate.mixes.solving.problem import (
    LABELS,
    LICENCES,
    PER_DUPLICATE_GROUP,
    REPLAY,
    SHARE_WHERE,
    TOLERANCE,
    WHERE,
    Problem,
)
from curate.mixes.solving.program import maximise

Constraint = Literal[
    "licences", "where", "per_duplicate_group", "reviewed", "share_where", "per_video", "per_source", "per_licence",
    "limits", "other_shares", "share", "labels", "clips",
]  # fmt: skip
_KEEPS_OUT: dict[int, Constraint] = {
    LICENCES: "licences", WHERE: "where", PER_DUPLICATE_GROUP: "per_duplicate_group", LABELS: "reviewed",
    SHARE_WHERE: "share_where",
}  # fmt: skip
_ROWS: dict[int, Constraint] = {PER_VIDEO: "per_video", PER_SOURCE: "per_source", PER_LICENCE: "per_licence"}
_EVERY = sum(_KEEPS_OUT) | sum(_ROWS)
_NOT_BY_LABELS = {"reviewed", "per_source", "per_licence", "share"}
"""What more labels of other footage would not lift."""

Measure = Callable[[Feasible], float]


@dataclass(frozen=True)
class Binding:
    """A constraint that keeps a share from its request: which, by how many clips or hours, and in words."""

    constraint: Constraint
    short_by: float
    words: str


@dataclass(frozen=True)
class Shortfall:
    """A share, or a minimum of it, that got less than it asked for.

    Attributes:
        share: the capability, or replay.
        minimum: `min_clips`, or the slice whose minimum is short; None for the share itself.
        requested, realised: in `unit`.
        unit: clips, or h; clips for a minimum.
        bindings: what keeps it short.
        to_label: clips labelled present that would fill it; 0 where labels would not.
    """

    share: str
    minimum: str | None
    requested: float
    realised: float
    unit: str
    bindings: tuple[Binding, ...]
    to_label: int

    def record(self) -> dict[str, Any]:
        """JSON-ready, with its words."""
        return {**asdict(self), "bindings": [asdict(binding) for binding in self.bindings], "words": str(self)}

    def __str__(self) -> str:
        why = "; ".join(binding.words for binding in self.bindings)
        what = self.share if self.minimum is None else f"{self.share}, {self.minimum}"
        return f"{what}: {_number(self.realised, self.unit)} of {amount_of(self.requested, self.unit)}: {why}"


@dataclass(frozen=True)
class Solved:
    """A problem with its solution. untargeted: the clips that replay may choose from, but for limits."""

    problem: Problem
    kinds: Kinds
    feasible: Feasible
    picked: Picked
    untargeted: np.ndarray


def explain(solved: Solved, requested: Mapping[str, float], amounts: Mapping[str, float]) -> list[Shortfall]:
    """The shortfalls of minimums, which come first, and of shares."""
    return _Explained(solved).shortfalls(requested, amounts)


def floors_of(problem: Problem, picked: Picked) -> np.ndarray:
    """Distinct positives in each slice with a minimum."""
    clip, role = problem.offer_clip[problem.slice_offer], problem.offer_role[problem.slice_offer]
    counts = (picked.role[clip] == role) & picked.positive[clip]
    return np.bincount(problem.slice_of[counts], minlength=len(problem.slices)).astype(np.float64)


def amount_of(amount: float, unit: str) -> str:
    return f"{_number(amount, unit)} {'clip' if unit == 'clips' and round(amount) == 1 else unit}"


def _number(amount: float, unit: str) -> str:
    return f"{round(amount)}" if unit == "clips" else f"{amount:.3g}"


class _Explained:
    """The programs with limits lifted, solved once for all that is short."""

    def __init__(self, solved: Solved) -> None:
        self.problem, self.kinds, self.feasible = solved.problem, solved.kinds, solved.feasible
        self.picked, self.untargeted = solved.picked, solved.untargeted
        self._lifted: dict[int, Feasible] | None = None
        self._solved: dict[tuple[str, int], Feasible] = {}

    def shortfalls(self, requested: Mapping[str, float], amounts: Mapping[str, float]) -> list[Shortfall]:
        problem = self.problem
        found = []
        mine = self.picked.role, self.picked.positive
        for role, least in enumerate(problem.minimum):
            held = float(((mine[0] == role) & mine[1]).sum())
            if held < least:
                found.append(self._minimum(role, "min_clips", least, held, None))
        held_by = floors_of(problem, self.picked)
        for at in np.flatnonzero(held_by < problem.floors):
            role, name = problem.slices[at]
            found.append(self._minimum(role, name, problem.floors[at], float(held_by[at]), int(at)))
        for name, amount in requested.items():
            missing = amount - amounts.get(name, 0.0)
            if missing <= self._least(name, amounts.get(name, 0.0)):
                continue
            if name == REPLAY:
                found.append(self._replay(amount, amounts[name]))
            else:
                found.append(self._share(problem.roles.index(name), amount, amounts[name]))
        return found

    def _least(self, name: str, realised: float) -> float:
        """What a share may lack without being short: in hours, less than one clip more would be."""
        if self.problem.unit == "clips" or not realised:
            return TOLERANCE
        if name == REPLAY:
            return float(self.problem.size[self.untargeted].max(initial=0))
        mine = self.problem.offer_role == self.problem.roles.index(name)
        return float(self.problem.size[self.problem.offer_clip[mine]].max(initial=0))

    def _share(self, role: int, requested: float, realised: float) -> Shortfall:
        problem, unit = self.problem, self.problem.unit
        missing = requested - realised
        measure: Measure = lambda found: float(found.amounts[role])  # noqa: E731
        found = self._bindings(role, missing, measure, unit)
        lack = _whole(requested - measure(self._free(role)), unit)
        to_label = self._to_label(role, requested)
        if lack > 0:
            present = len(np.unique(problem.offer_clip[(problem.offer_role == role) & problem.offer_positive]))
            most = int(problem.most[role])
            words = f"{present} training clips are labelled present, each used at most {most} times (max_repeat)"
            about = "about " if unit == "h" else ""
            found.append(Binding("labels", round(lack, 4), f"{words}: label {about}{to_label} more"))
        name = problem.roles[role]
        return Shortfall(name, None, requested, realised, unit, self._or_rest(found, missing, unit),
                         self._labels_help(found, missing, to_label))  # fmt: skip

    def _minimum(self, role: int, name: str, least: float, held: float, at: int | None) -> Shortfall:
        problem, missing = self.problem, least - held
        measure: Measure = lambda found: float(found.minimum[role] if at is None else found.floors[at])  # noqa: E731
        found = self._bindings(role, missing, measure, "clips")
        if at is None:
            offers = np.flatnonzero((problem.offer_role == role) & problem.offer_positive)
        else:
            offers = problem.slice_offer[problem.slice_of == at]
        supply = len(np.unique(problem.offer_clip[offers]))
        gain = 0.0
        if self._alone(role).amounts[role] >= problem.demand[role] - TOLERANCE:
            gain = min(_whole(measure(self._roomy(role)) - measure(self._alone(role)), "clips"), missing)
        if gain > 0:
            asked = amount_of(problem.demand[role], problem.unit)
            words = f"its share of {asked} has no room for {amount_of(gain, 'clips')} more beside its other minimums"
            found.append(Binding("share", gain, words))
        lack = int(max(least - supply, 0))
        if lack:
            slice_ = f" {name}" if at is not None else ""
            words = f"{supply} training clips are labelled present{slice_}: label {lack} more"
            found.append(Binding("labels", lack, words))
        return Shortfall(problem.roles[role], name, least, held, "clips", self._or_rest(found, missing, "clips"),
                         self._labels_help(found, missing, int(missing)))  # fmt: skip

    def _bindings(self, role: int, missing: float, measure: Measure, unit: str) -> list[Binding]:
        """Each limit by what lifting it alone would add, what other shares have, and what only all of these hold."""
        now, found = measure(self.feasible), []
        for limit, solved in self._with_one_lifted().items():
            gain = _whole(min(measure(solved) - now, missing), unit)
            if gain > 0:
                found.append(Binding({**_KEEPS_OUT, **_ROWS}[limit], gain, self._words(limit, role, gain, unit)))
        gain = _whole(min(measure(self._alone(role)) - now, missing), unit)
        if gain > 0:
            verb = "serves" if unit == "clips" and round(gain) == 1 else "serve"
            found.append(Binding("other_shares", gain, f"{amount_of(gain, unit)} {verb} other shares"))
        if not found:
            gain = _whole(min(measure(self._unlimited()) - now, missing), unit)
            if gain > 0:
                names = ", ".join(self._set_limits(role))
                words = f"{names} hold back {amount_of(gain, unit)} together, none of them alone"
                found.append(Binding("limits", gain, words))
        return found

    def _set_limits(self, role: int) -> list[str]:
        """The limits that keep out clips of a share, and those of the program's rows that are given."""
        why, limits = self.problem.offer_why[self.problem.offer_role == role], self.problem.mix.limits
        found = [name for bit, name in _KEEPS_OUT.items() if (why & bit).any()]
        return [*found, *(name for name in _ROWS.values() if getattr(limits, name))]

    def _words(self, limit: int, role: int, gain: float, unit: str) -> str:
        mix, amount = self.problem.mix, amount_of(gain, unit)
        share = mix.capabilities[self.problem.roles[role]]
        if limit == LABELS:
            return f"labels: reviewed leaves out {amount}: have them reviewed"
        if limit == WHERE:
            return f"where ({mix.where}) holds back {amount}"
        if limit == SHARE_WHERE:
            return f"its where ({share.where}) holds back {amount}"
        name = {**_KEEPS_OUT, **_ROWS}[limit]
        return f"limits.{name} ({getattr(mix.limits, name)}) holds back {amount}"

    def _or_rest(self, found: list[Binding], missing: float, unit: str) -> tuple[Binding, ...]:
        if found:
            return tuple(found)
        words = f"no clip is left that fits the last {amount_of(missing, unit)}"
        return (Binding("clips", round(missing, 4), words),)

    def _to_label(self, role: int, requested: float) -> int:
        """Clips labelled present that would fill a share, of the size of those it has: as positives, with repeats and
        with the negatives that then fit."""
        problem = self.problem
        free = problem.offer_why == 0
        mine = free & (problem.offer_role == role)
        positives = np.flatnonzero((self.picked.role == role) & self.picked.positive)
        known = problem.size[problem.offer_clip[mine & problem.offer_positive]]
        typical = float(known.mean()) if len(known) else float(problem.size.mean()) if len(problem.size) else 1.0
        held = float(problem.size[positives].sum())
        negatives = float(problem.size[problem.offer_clip[mine & ~problem.offer_positive]].sum())
        fraction, most = float(problem.negatives[role]), int(problem.most[role])
        by_fraction = requested * (1 - fraction)
        by_supply = requested - negatives
        needed = max(by_fraction, by_supply) / most - held
        return max(math.ceil(needed / max(typical, TOLERANCE) - TOLERANCE), 0)

    def _labels_help(self, found: list[Binding], missing: float, to_label: int) -> int:
        """How many labels would still be needed were the limits lifted that labels cannot get around."""
        held_back = sum(binding.short_by for binding in found if binding.constraint in _NOT_BY_LABELS)
        if not found or missing <= 0 or held_back >= missing - TOLERANCE:
            return 0
        return math.ceil(to_label * (missing - held_back) / missing - TOLERANCE)

    def _with_one_lifted(self) -> dict[int, Feasible]:
        if self._lifted is None:
            limits = [limit for limit in _KEEPS_OUT if self._keeps_out(limit)]
            limits += [limit for limit in _ROWS if self._row_binds(limit)]
            self._lifted = {limit: maximise(self.problem, self.kinds, lifted=limit) for limit in limits}
        return self._lifted

    def _keeps_out(self, limit: int) -> bool:
        """Whether a limit keeps out an offer that is worth more than its place."""
        only = self.problem.offer_why == limit
        if not only.any():
            return False
        if self.feasible.prices is None:
            return True
        return bool((program.worth_of(self.problem, self.kinds, self.feasible, lifted=limit)[only] > TOLERANCE).any())

    def _row_binds(self, limit: int) -> bool:
        if self.feasible.prices is None:
            return False
        crowded = self.kinds.crowding < self.kinds.count
        if limit == PER_VIDEO and crowded.any():
            totals = np.bincount(self.kinds.pair_kind, weights=self.feasible.taken, minlength=len(crowded))
            if (totals >= self.kinds.crowding - TOLERANCE)[crowded].any():
                return True
        return self.feasible.prices.binds(limit)

    def _alone(self, role: int) -> Feasible:
        return self._once(("alone", role), lambda: maximise(self.problem, self.kinds, only=role))

    def _free(self, role: int) -> Feasible:
        return self._once(("free", role), lambda: maximise(self.problem, self.kinds, lifted=_EVERY, only=role))

    def _unlimited(self) -> Feasible:
        return self._once(("unlimited", 0), lambda: maximise(self.problem, self.kinds, lifted=_EVERY))

    def _roomy(self, role: int) -> Feasible:
        """A share that is as large as all clips, and has them for itself."""
        problem = self.problem
        roomy = replace(problem, demand=np.full(len(problem.roles), problem.size.sum() + 1) * problem.most)
        return self._once(("roomy", role), lambda: maximise(roomy, self.kinds, only=role))

    def _once(self, key: tuple[str, int], solve: Callable[[], Feasible]) -> Feasible:
        if key not in self._solved:
            self._solved[key] = solve()
        return self._solved[key]

    def _replay(self, requested: float, realised: float) -> Shortfall:
        """What keeps replay short: how many untargeted clips there are, and what each limit removes from them."""
        problem, found = self.problem, []
        why = problem.why[self.untargeted]
        for limit, name in _KEEPS_OUT.items():
            removed = int((why == limit).sum())
            if removed:
                value = problem.mix.where if limit == WHERE else getattr(problem.mix.limits, name)
                place = "where" if limit == WHERE else f"limits.{name}"
                clips = amount_of(removed, "clips")
                found.append(Binding(name, float(removed), f"{place} ({value}) removes {clips} of the untargeted"))
        limits = problem.mix.limits
        words = f"{int((why == 0).sum())} training clips are untargeted and embedded"
        if limits.per_video is not None:
            words += f", at most {limits.per_video} of a video (limits.per_video)"
        if limits.per_source is not None:
            words += f", at most {limits.per_source} of a source (limits.per_source)"
        found.append(Binding("clips", round(requested - realised, 4), f"{words}: collect more footage"))
        return Shortfall(REPLAY, None, requested, realised, problem.unit, tuple(found), 0)


def _whole(amount: float, unit: str) -> float:
    """Whole clips, or hours as they are; nothing where it is next to nothing."""
    if unit == "clips":
        return float(math.floor(amount + 0.5 + TOLERANCE)) if amount > TOLERANCE else 0.0
    return round(amount, 4) if amount > 1e-4 else 0.0
