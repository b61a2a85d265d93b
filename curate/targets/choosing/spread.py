"""Choosing clips that are worth much, are new, and stand for many: greedy and lazy.

A clip's gain is its own value times the mean of two things in 0 to 1, both of which shrink as clips are chosen:

- how unlike it is to the nearest one that is labelled or chosen (k-center, Gonzalez 1985): nothing is asked twice;
- how much better the clips that matter are stood for with it (facility location): the sum, over those, of their weight
  times what it is nearer to them than any chosen one, as a share of the most that one clip gave at the start.

Of one sample world the reference segmenter learnt, from 40 labels for each capability, F1 0.98 with both and 0.92 with
the first alone (`benchmarks/label_choice.py`).

As gains only shrink, a clip whose gain was lower than another's when it was last computed need not be looked at again
(lazy greedy, Minoux 1978). Values may shrink too: what a clip is worth to slices does as they fill up.
"""

import heapq
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

NEW = 0.5
"""The part of a gain that is for being unlike; the rest is for standing for others."""

_LEAST = 1e-3
"""What a clip is worth that is like a chosen one: of many such, the more valuable goes first."""


@dataclass
class Taken:
    """How many clips each leakage group has given, of at most `per_group`."""

    per_group: int
    groups: Counter[str] = field(default_factory=Counter)

    def full(self, group: str) -> bool:
        return self.groups[group] >= self.per_group


@dataclass
class Need:
    """Slices that are short.

    Attributes:
        member: float [m, s], how sure each candidate is in each slice, should it show the capability.
        floor: float [s], clips asked for.
        missing: float [s], clips still missing; falls by what each chosen clip is expected to bring.
        probability: float [m], that a candidate shows the capability.
    """

    member: np.ndarray
    floor: np.ndarray
    missing: np.ndarray
    probability: np.ndarray

    def of(self, at: int) -> float:
        """How much candidate `at` helps: its part in each slice times the share of the floor that is missing."""
        return float(self.member[at] @ (np.maximum(self.missing, 0) / self.floor))

    def fill(self, at: int) -> None:
        self.missing = self.missing - self.probability[at] * self.member[at]


def spread(
    value: np.ndarray,
    features: np.ndarray,
    stood_for: np.ndarray,
    weight: np.ndarray,
    known: np.ndarray,
    count: int,
    *,
    groups: Sequence[str],
    taken: Taken,
    need: Need | None = None,
) -> list[int]:
    """The best `count` of m candidates, in the order chosen; fewer where there are not as many.

    A group that has given its share gives more only when all others are used up. With `need`, choosing ends when the
    slices are expected to be full.

    Args:
        value: float [m], what a candidate is worth itself, 0 or more.
        features: float32 [m, dim], unit norm.
        stood_for: float32 [r, dim], the clips that matter; weight: float [r], how much each does.
        known: float32 [k, dim], what is labelled or chosen already.
        count: most to choose.
        groups: the leakage group of each candidate.
        taken: updated by what is chosen.
        need: where given, a candidate's value is times what it brings to these slices; updated too.
    """
    similar = np.maximum(features @ stood_for.T, 0)
    covered = np.zeros(len(stood_for), np.float32)
    nearest = np.zeros(len(features), np.float32)
    if len(known):
        covered = np.maximum(covered, (stood_for @ known.T).max(axis=1))
        nearest = np.maximum(nearest, (features @ known.T).max(axis=1))
    weight = weight.astype(np.float32)
    scale = max(float((np.maximum(similar - covered, 0) @ weight).max(initial=0)), 1e-9)

    def gain(at: int) -> float:
        better = float(np.maximum(similar[at] - covered, 0) @ weight) / scale
        worth = NEW * (1 - float(nearest[at])) + (1 - NEW) * better
        return float(value[at]) * (_LEAST + worth) * (need.of(at) if need else 1.0)

    # Ties fall to the lower index, so that the same input gives the same choice.
    heap = [(-gain(at), at, 0) for at in range(len(value))]
    heapq.heapify(heap)
    chosen: list[int] = []
    waiting: list[tuple[float, int, int]] = []
    mind_groups = True
    while len(chosen) < count and (heap or waiting):
        if not heap:
            heap, waiting, mind_groups = waiting, [], False
            heapq.heapify(heap)
        entry = heapq.heappop(heap)
        least, at, seen = entry
        if mind_groups and taken.full(groups[at]):
            waiting.append(entry)
        elif seen < len(chosen):
            heapq.heappush(heap, (-gain(at), at, len(chosen)))
        elif need is not None and least >= 0:
            break  # the slices are full
        else:
            chosen.append(at)
            taken.groups[groups[at]] += 1
            covered = np.maximum(covered, similar[at])
            nearest = np.maximum(nearest, features @ features[at])
            if need is not None:
                need.fill(at)
    return chosen
