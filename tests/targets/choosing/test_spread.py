"""Greedy choice of clips that are worth much, new, and stand for others."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.targets.choosing import spread as spreading
from curate.targets.choosing.spread import NEW, Need, Taken, spread
from curate.vectors import unit


def drawn(seed: int, count: int, dim: int = 4) -> np.ndarray:
    return unit(np.random.default_rng(seed).standard_normal((count, dim))).astype(np.float32)


def plain(value: np.ndarray, features: np.ndarray, known: np.ndarray, count: int) -> list[int]:
    """The same choice without a heap: every gain computed at every step."""
    similar = np.maximum(features @ features.T, 0)
    covered = np.maximum((features @ known.T).max(axis=1, initial=0), 0)
    nearest = covered.copy()
    scale = (np.maximum(similar - covered, 0) @ value).max()
    chosen: list[int] = []
    while len(chosen) < min(count, len(value)):
        better = np.maximum(similar - covered, 0) @ value / scale
        gain = value * (spreading._LEAST + NEW * (1 - nearest) + (1 - NEW) * better)
        gain[chosen] = -1
        best = int(gain.argmax())
        chosen.append(best)
        covered, nearest = np.maximum(covered, similar[best]), np.maximum(nearest, features @ features[best])
    return chosen


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 30), st.integers(1, 30), st.integers(0, 5))
def test_looking_only_where_a_gain_may_have_changed_chooses_the_same(
    seed: int, candidates: int, count: int, known: int
) -> None:
    value = np.random.default_rng(seed).uniform(0.1, 1, candidates)
    features, before = drawn(seed + 1, candidates), drawn(seed + 2, known)
    found = spread(
        value, features, features, value, before, count, groups=[str(at) for at in range(candidates)], taken=Taken(1)
    )
    assert found == plain(value, features, before, count)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 40), st.integers(1, 4))
def test_groups_give_more_than_their_share_only_when_all_have_given_it(seed: int, count: int, share: int) -> None:
    features = drawn(seed, 24)
    groups = [str(at % 6) for at in range(24)]
    taken = Taken(share)
    found = spread(np.ones(24), features, features, np.ones(24), features[:0], count, groups=groups, taken=taken)
    assert len(found) == len(set(found)) == min(count, 24)
    given_by = np.bincount([int(groups[at]) for at in found], minlength=6)
    assert given_by.max() <= share or given_by.min() >= share
    assert dict(taken.groups) == {str(at): some for at, some in enumerate(given_by) if some}


def test_what_is_like_a_labelled_clip_comes_last_and_the_more_valuable_of_those_first() -> None:
    known = np.eye(3, dtype=np.float32)[:1]
    features = np.stack([known[0], known[0], np.eye(3, dtype=np.float32)[1]])
    value = np.array([0.8, 0.9, 0.2])
    found = spread(value, features, features, value, known, 3, groups=["a", "b", "c"], taken=Taken(3))
    assert found == [2, 1, 0]


def test_slices_take_what_fills_them_and_no_more() -> None:
    features = drawn(1, 20, dim=16)
    member = np.zeros((20, 2))
    member[:8, 0], member[8:12, 1] = 1, 1
    need = Need(member, floor=np.array([4.0, 4.0]), missing=np.array([1.0, 3.0]), probability=np.full(20, 1.0))
    found = spread(
        np.ones(20), features, features, np.ones(20), features[:0], 20,
        groups=[str(at) for at in range(20)], taken=Taken(20), need=need,
    )  # fmt: skip
    assert sum(at < 8 for at in found) == 1 and sum(8 <= at < 12 for at in found) == 3 and len(found) == 4
    assert need.missing == pytest.approx([0, 0])
