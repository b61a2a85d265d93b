"""What a round of a campaign looks at, and what it analyses: the footage with the most useful clips in an hour.

A round follows a few draws from what is known (`curate.targets.bandit`), each for its part of the hours: a folder that
may be the best is tried as often as it may be (Thompson sampling), and a round is not all of one opinion. In each part
the file with the highest drawn rate is next. Files whose keyframes were not looked at yet are worth what looking may
turn up: the best rate from which a look would no longer pay, given what looks of that folder showed so far and what a
look costs (the reservation value of Weitzman 1979). So rich folders are taken as they come, a needle in a poor one is
sought by keyframes, and what nobody needs to know nobody looks at.

EXPLORE of the hours follows none of this: any folder, any file in it. What keyframes miss, and what a folder hides
whose first files were poor, is found by that alone.
"""

from dataclasses import dataclass

import numpy as np

from curate.targets.bandit import Draws, Footage, Posterior, nearest_looks

EXPLORE = 0.1
"""Share of each round's hours that goes to files drawn without regard to what is expected of them."""
PARTS = 8
"""Draws that a round follows."""
LOOK_COST = 0.05
"""Of looking at an hour's keyframes, in hours analysed; `benchmarks/triage.py` measures it."""
LOOK_MOST = 16.0
"""Hours looked at in a folder at once for each hour that is wanted."""
GROWTH = 0.5
"""A round's hours over all before it: so small first, and some 20 rounds to ten thousand hours."""


@dataclass(frozen=True)
class Open:
    """Files that can be chosen: bool [n] each. `looked` ones can be analysed, `unseen` ones looked at."""

    looked: np.ndarray
    unseen: np.ndarray


def hours_of_round(spent_h: float, least_h: float, left_h: float | None) -> float:
    """How much to analyse next.

    Args:
        spent_h: analysed so far.
        least_h: what keeps all cores at work.
        left_h: of the budget; None where there is none.
    """
    hours = max(least_h, GROWTH * spent_h)
    return hours if left_h is None else min(hours, left_h)


def explored(footage: Footage, choice: Open, hours: float, rng: np.random.Generator) -> list[int]:
    """Files for EXPLORE of the hours, on average: any folder that has some left is as likely as any other."""
    left_h, found = EXPLORE * hours, dict[int, None]()
    by_arm = _by_arm(footage, choice.looked | choice.unseen, rng)
    while by_arm:
        arm = int(rng.choice(list(by_arm)))
        at = by_arm[arm].pop()
        if rng.random() * max(footage.hours[at], 1e-9) >= left_h:
            break
        found[at] = None
        left_h -= footage.hours[at]
        if not by_arm[arm]:
            del by_arm[arm]
    return list(found)


def to_look_at(posterior: Posterior, footage: Footage, choice: Open, draws: Draws, hours: float,
               first: list[int], rng: np.random.Generator) -> list[int]:  # fmt: skip
    """Files whose keyframes are worth a look before `hours` are chosen, by their place; none where nothing is.

    Args:
        first: files that are analysed in any case.
    """
    unseen_of = _by_arm(footage, choice.unseen, rng)
    value, share = _looking(posterior, footage, draws, unseen_of)
    looks, taken = dict.fromkeys(at for at in first if choice.unseen[at]), set(first)
    part_h = (hours - float(footage.hours[first].sum())) / len(draws.curve)
    for draw in range(len(draws.curve)):
        rates, worth = _rates(posterior, footage, draws, draw), draws.rate[draw] * value[draw]
        ranked = [int(at) for at in _best_first(rates, choice.looked) if at not in taken]
        left_h, place = part_h, 0
        for arm in _best_first(worth, worth > 0):
            while left_h > 0 and place < len(ranked) and rates[ranked[place]] >= worth[arm]:
                left_h -= footage.hours[ranked[place]]
                taken.add(ranked[place])
                place += 1
            look_h = min(left_h / share[draw, arm], LOOK_MOST * left_h)
            for at in unseen_of[int(arm)]:
                if look_h <= 0:
                    break
                look_h -= footage.hours[at]
                left_h -= footage.hours[at] * share[draw, arm]
                looks[at] = None
            if left_h <= 0:
                break
    return list(looks)


def to_analyse(posterior: Posterior, footage: Footage, choice: Open, draws: Draws, hours: float, first: list[int], *,
               least_h: float, most: float) -> list[int]:  # fmt: skip
    """Files to analyse, the highest expected rate first: `hours` of those looked at; the last is begun while some left.

    Args:
        first: files that are analysed in any case, once they are looked at.
        least_h: from which on fewer hours do, if they are expected to hold `most` useful clips.
    """
    expected = posterior.expected(footage.arm) * footage.hours
    taken = [at for at in first if choice.looked[at]]
    spent_h, clips = float(footage.hours[taken].sum()), float(expected[taken].sum())
    part_h, held = (hours - spent_h) / len(draws.curve), set(taken)
    for draw in range(len(draws.curve)):
        until_h = hours - part_h * (len(draws.curve) - 1 - draw)
        for at in _best_first(_rates(posterior, footage, draws, draw), choice.looked):
            if spent_h >= until_h or (clips >= most and spent_h >= least_h):
                break
            if at not in held:
                held.add(int(at))
                taken.append(int(at))
                spent_h += footage.hours[at]
                clips += expected[at]
    return sorted(taken, key=lambda at: -expected[at] / max(footage.hours[at], 1e-9))


def _looking(posterior: Posterior, footage: Footage, draws: Draws, unseen_of: dict[int, list[int]],
             ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """What looking into an arm is worth, in its rates, and which share of it lies above that; float [draws, arms].

    Nothing where all was looked at. A file with promise f is worth it at a bar x where the mean of max(f - x, 0) over
    the arm is LOOK_COST times x; with the promises of n files in falling order, that x is the largest over k of their
    first k together, over n LOOK_COST + k.
    """
    value, share = np.zeros((2, len(draws.curve), len(posterior.arms.names)))
    seen = np.flatnonzero(footage.looked)
    for arm in unseen_of:
        if not len(seen):
            value[:, arm], share[:, arm] = 1 / (1 + LOOK_COST), 1.0
            continue
        known = seen[nearest_looks(posterior.arms, footage.arm[seen], arm)]
        falling = -np.sort(-posterior.promise[np.ix_(draws.curve, known)], axis=1)
        number = np.arange(1, len(known) + 1)
        bars = np.cumsum(falling, axis=1) / (len(known) * LOOK_COST + number)
        best = bars.argmax(axis=1)
        value[:, arm] = bars[np.arange(len(bars)), best]
        share[:, arm] = number[best] / len(known)
    return value, share


def _rates(posterior: Posterior, footage: Footage, draws: Draws, draw: int) -> np.ndarray:
    """float [n]: what an hour of each file holds, if things are as drawn."""
    return np.asarray(draws.rate[draw][footage.arm] * posterior.promise[draws.curve[draw]])


def _best_first(values: np.ndarray, among: np.ndarray) -> np.ndarray:
    places = np.flatnonzero(among)
    return places[np.argsort(-values[places], kind="stable")]


def _by_arm(footage: Footage, among: np.ndarray, rng: np.random.Generator) -> dict[int, list[int]]:
    """The files of each arm, shuffled: the first of some is a fair sample of them."""
    found: dict[int, list[int]] = {}
    for at in rng.permutation(np.flatnonzero(among)):
        found.setdefault(int(footage.arm[at]), []).append(int(at))
    return found
