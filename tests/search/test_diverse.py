"""Choosing results that differ."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.search.diverse import SAME, diverse
from curate.vectors import unit

APART = np.eye(8, dtype=np.float32)


def test_ten_copies_count_once_linked_or_not() -> None:
    relevance = np.linspace(1, 0.5, 13)
    vectors = np.concatenate([np.tile(APART[:1], (10, 1)), APART[1:4]])
    videos = [f"v{at}" for at in range(13)]
    assert sorted(diverse(relevance, vectors, videos, [], 13)) == [0, 10, 11, 12]
    linked_only = unit(np.random.default_rng(0).standard_normal((13, 64)))
    links = [(0, at) for at in range(1, 10)]
    assert sorted(diverse(relevance, linked_only, videos, links, 13)) == [0, 10, 11, 12]


def test_the_unlike_comes_before_the_like() -> None:
    like_the_first = unit(0.9 * APART[0] + 0.3 * APART[1])
    vectors = np.stack([APART[0], like_the_first, APART[2]])
    assert diverse(np.array([1, 0.9, 0.8]), vectors, ["a", "b", "c"], [], 2).tolist() == [0, 2]


def test_relevance_decides_among_the_unlike() -> None:
    assert diverse(np.array([0.1, 0.9, 0.5]), APART[:3], ["a", "b", "c"], [], 3).tolist() == [1, 2, 0]


def test_every_video_has_its_turn() -> None:
    relevance = np.array([1, 0.99, 0.98, 0.2, 0.1])
    chosen = diverse(relevance, APART[:5], ["a", "a", "a", "b", "c"], [], 4).tolist()
    assert chosen == [0, 3, 4, 1]


def test_nothing_to_choose_from() -> None:
    assert diverse(np.zeros(0), np.zeros((0, 4)), [], [], 5).tolist() == []


@settings(max_examples=60, deadline=None)
@given(count=st.integers(1, 12), wanted=st.integers(1, 12), seed=st.integers(0, 99))
def test_no_two_results_are_linked_or_the_same(count: int, wanted: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = unit(rng.standard_normal((4, 5))[rng.integers(0, 4, count)] + 0.1 * rng.standard_normal((count, 5)))
    relevance = rng.random(count)
    links = {(int(a), int(b)) for a, b in rng.integers(0, count, (count, 2)) if a < b}
    chosen = diverse(relevance, vectors, [str(at % 3) for at in range(count)], links, wanted).tolist()
    assert chosen[0] == relevance.argmax()
    assert len(chosen) == len(set(chosen)) <= wanted
    pairs = [(a, b) for a in chosen for b in chosen if a < b]
    assert not links & set(pairs)
    assert all(vectors[a] @ vectors[b] < SAME for a, b in pairs)
    left = set(range(count)) - set(chosen)
    if len(chosen) < wanted:
        blocked = [
            any((min(a, b), max(a, b)) in links or vectors[a] @ vectors[b] >= SAME for b in chosen) for a in left
        ]
        assert all(blocked)
