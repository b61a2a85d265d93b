"""What a round of a campaign looks at, and what it analyses: the footage with the most useful clips in an hour.

A round follows a few draws from what is known (`curate.targets.collection.bandit`), each for its part of the hours: a
folder that may be the best is tried as often as it may be (Thompson sampling), and a round is not all of one opinion.
In each part the file with the highest drawn rate is next. Files whose keyframes were not looked at yet are worth what
looking may turn up: the best rate from which a look would no longer pay, given what looks of that folder showed so far
and what a look costs (the reservation value of Weitzman 1979). So rich folders are taken as they come, a needle in a
poor one is sought by keyframes, and what nobody needs to know nobody looks at.

EXPLORE of the hours follows none of this: any folder, any file in it. What keyframes miss, and what a folder hides
whose first files were poor, is found by that alone.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from curate.targets.collection.arms import Arms
from curate.targets.collection.bandit import BORROWED, LEAST_LOOKS, Draws, Footage, Posterior, learn

EXPLORE = 0.1
"""Share of each round's hours that goes to files drawn without regard to what is expected of them."""
FILES_A_DRAW, DRAWS = 2.0, (4, 64)
"""Files of a round that follow one draw, and the fewest and most draws of a round."""
LOOK_COST = 0.1
"""Of looking at an hour's keyframes, in hours analysed: 0.09 was measured at 360p, with a keyframe each 6 s."""
LOOK_MOST = 16.0
"""Hours looked at in a folder at once for each hour that is wanted."""
_BLOCKS = 200
_LOOKS = 3
"""How often a round looks at more keyframes before it makes do with those it has."""
SURVEY, SURVEY_LOOKS = 40, 4.0
"""Files looked at before which a round looks at four hours for each that it wants: what looks tell is not known yet."""
GROWTH = 0.25
"""A round's hours over all before it: so small first, and some 40 rounds to ten thousand hours."""


@dataclass(frozen=True)
class Open:
    """Files that can be chosen: bool [n] each. `looked` ones can be analysed, `unseen` ones looked at."""

    looked: np.ndarray
    unseen: np.ndarray


class Pool(Protocol):
    """Where files come from: an archive, or one that is simulated."""

    arms: Arms

    @property
    def footage(self) -> Footage: ...

    def open(self) -> Open: ...

    def look(self, places: Sequence[int]) -> None:
        """Looks at the keyframes of files; one that has none that decodes is not open any more."""

    def set_copies_aside(self, ranked: Sequence[int]) -> set[int]:
        """Those that show what is analysed, or what one before them shows; they are not open any more."""


def choose(
    pool: Pool, hours: float, rng: np.random.Generator, *, least_h: float = 0.0, most: float = np.inf
) -> list[int]:
    """The files of a round, the highest expected rate first, after looking at the keyframes that this is worth.

    Args:
        pool: is looked into, and copies in it are set aside.
        hours: of the round; the last file is begun while some are left.
        rng: the same state gives the same round.
        least_h: from which on fewer hours do, as in `to_analyse`.
        most: useful clips that are missing.
    """
    first = explored(pool.footage, pool.open(), hours, rng)
    parts = _number_of_draws(pool.footage, hours)
    for _ in range(_LOOKS):
        footage, choice = pool.footage, pool.open()
        posterior = learn(pool.arms, footage)
        looks = to_look_at(posterior, footage, choice, posterior.draw(rng, parts), hours, first, rng)
        if not looks:
            break
        pool.look(looks)
    footage = pool.footage
    posterior = learn(pool.arms, footage)
    draws = posterior.draw(rng, parts)
    while True:
        files = to_analyse(posterior, footage, pool.open(), draws, hours, first, least_h=least_h, most=most)
        copies = pool.set_copies_aside(files)
        if not copies:
            return files


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
    least_looks = SURVEY_LOOKS if footage.looked.sum() < SURVEY else 1.0
    for draw in range(len(draws.curve)):
        rates, worth = _rates(posterior, footage, draws, draw), draws.rate[draw] * value[draw]
        ranked = [int(at) for at in _best_first(rates, choice.looked) if at not in taken]
        left_h, place = part_h, 0
        for arm in _best_first(worth, worth > 0):
            while left_h > 0 and place < len(ranked) and rates[ranked[place]] >= worth[arm]:
                left_h -= footage.hours[ranked[place]]
                taken.add(ranked[place])
                place += 1
            look_h = min(max(1 / share[draw, arm], least_looks), LOOK_MOST) * left_h
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
        least_h: from which on fewer hours do, if they are expected to hold `most` useful clips, or if looking at more
            keyframes is worth more than the files that are left.
        most: useful clips that are missing.
    """
    expected = posterior.expected(footage.arm) * footage.hours
    taken = [at for at in first if choice.looked[at]]
    spent_h, clips = float(footage.hours[taken].sum()), float(expected[taken].sum())
    part_h, held = (hours - spent_h) / len(draws.curve), set(taken)
    arms_unseen = np.unique(footage.arm[choice.unseen])
    value, _ = _looking(posterior, footage, draws, arms_unseen)
    for draw in range(len(draws.curve)):
        until_h = hours - part_h * (len(draws.curve) - 1 - draw)
        rates, bar = _rates(posterior, footage, draws, draw), float((draws.rate[draw] * value[draw]).max(initial=0.0))
        for at in _best_first(rates, choice.looked):
            enough = clips >= most or rates[at] < bar
            if spent_h >= until_h or (enough and spent_h >= least_h):
                break
            if at not in held:
                held.add(int(at))
                taken.append(int(at))
                spent_h += footage.hours[at]
                clips += expected[at]
    return sorted(taken, key=lambda at: -expected[at] / max(footage.hours[at], 1e-9))


def _number_of_draws(footage: Footage, hours: float) -> int:
    """One for every FILES_A_DRAW files of a typical length, within limits."""
    files = hours / max(float(np.median(footage.hours)), 1e-9)
    return int(np.clip(files / FILES_A_DRAW, *DRAWS))


def _looking(posterior: Posterior, footage: Footage, draws: Draws, arms: Iterable[int],
             ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """What looking into an arm is worth, in its rates, and which share of it lies above that; float [draws, arms].

    Nothing where all was looked at. Looking is worth it up to the bar x where the mean of max(promise - x, 0) is
    LOOK_COST times x; with promises in falling order and weights that sum to 1, x is the largest over k of the first k
    together, over LOOK_COST and their weight. An arm's promises are those of its own looks, and until there are
    LEAST_LOOKS BORROWED of all: a few files without a needle do not say that there is none.
    """
    value, share = np.zeros((2, len(draws.curve), len(posterior.arms.names)))
    seen = np.flatnonzero(footage.looked)
    curves, place = np.unique(draws.curve, return_inverse=True)
    promise = posterior.promise[np.ix_(curves, seen)]
    blocks = np.array_split(np.sort(promise, axis=1), min(len(seen), _BLOCKS), axis=1) if len(seen) else []
    others = np.stack([block.mean(axis=1) for block in blocks], axis=1) if blocks else np.ones((len(curves), 1))
    for arm in arms:
        own = promise[:, footage.arm[seen] == arm]
        both = np.concatenate([own, others], axis=1)
        borrowed = BORROWED if own.shape[1] < LEAST_LOOKS else 0.0
        weight = np.repeat([1.0, borrowed / others.shape[1]], [own.shape[1], others.shape[1]])
        weight /= weight.sum()
        order = np.argsort(-both, axis=1, kind="stable")
        held = np.cumsum(weight[order], axis=1)
        bars = np.cumsum(np.take_along_axis(both, order, axis=1) * weight[order], axis=1) / (LOOK_COST + held)
        best = bars.argmax(axis=1)
        value[:, arm] = bars[np.arange(len(curves)), best][place]
        share[:, arm] = held[np.arange(len(curves)), best][place]
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
