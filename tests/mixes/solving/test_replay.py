"""Replay is spread over embedding space, and is the same for the same clips and seed."""

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.mixes.solving.chance import draw, turns
from curate.mixes.solving.replay import spread
from curate.vectors import pack, unit


def packed(points: np.ndarray) -> pl.Series:
    return pl.Series([pack(point) for point in unit(points).astype(np.float32)], dtype=pl.Binary)


def blobs(counts: list[int], *, seed: int = 0) -> tuple[pl.Series, np.ndarray]:
    """Points around as many directions as there are counts, and which each belongs to."""
    rng = np.random.default_rng(seed)
    of = np.repeat(np.arange(len(counts)), counts)
    return packed(np.eye(16)[of] + 0.02 * rng.normal(size=(len(of), 16))), of


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 60), st.integers(1, 80), st.integers(0, 5))
def test_the_order_has_every_clip_once(clips: int, count: int, seed: int) -> None:
    vectors = packed(np.random.default_rng(seed).normal(size=(clips, 8)))
    assert sorted(spread(vectors, count, seed=seed)) == list(range(clips))
    assert (spread(vectors, count, seed=seed) == spread(vectors, count, seed=seed)).all()


def test_what_abounds_gets_no_more_than_what_is_rare() -> None:
    """Of 1,000 clips 960 are of two kinds; six others are rare: each of these gives about as many."""
    vectors, of = blobs([800, 160, 10, 8, 6, 6, 6, 4])
    taken = np.bincount(of[spread(vectors, 48, seed=3)[:48]], minlength=8)
    assert taken[2:].min() >= 4 and taken[0] <= 16, taken


def test_no_vectors_are_no_clips() -> None:
    assert len(spread(pl.Series([], dtype=pl.Binary), 5, seed=0)) == 0


def test_a_clip_is_drawn_by_its_id_and_the_seed_alone() -> None:
    """These numbers must never change: mixes are solved in their order."""
    assert draw(pl.Series(["0123456789abcdef", "c1"]), 17).tolist() == [16641882963236445660, 7488523384929759890]
    alone, beside = draw(pl.Series(["c1"]), 17)[0], draw(pl.Series(["c1", "a" * 40]), 17)[0]
    assert alone == beside != draw(pl.Series(["c1"]), 18)[0]


def test_turns_count_equal_elements_that_come_before() -> None:
    assert turns(np.array([3, 1, 3, 3, 1])).tolist() == [0, 0, 1, 2, 1]
    assert turns(np.array([], dtype=np.int64)).tolist() == []
