"""Nearest neighbours, exact and approximate, against brute force."""

import subprocess
import sys

import numpy as np
import pytest

from curate.dedupe.index import neighbours, pairs_above, recall
from curate.vectors import unit


def planted(count: int, copies: int, seed: int = 0) -> np.ndarray:
    """Random unit vectors, of which the first `copies` are near (cosine about 0.97) the next ones."""
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((count, 64)).astype(np.float32)
    vectors[:copies] = vectors[copies : 2 * copies] + 0.25 * rng.standard_normal((copies, 64)).astype(np.float32)
    return unit(vectors)


def test_neighbours_are_those_of_brute_force() -> None:
    vectors = planted(300, 20)
    ids, scores = neighbours(vectors, k=5)
    cosines = vectors @ vectors.T
    assert (ids[:, 0] == np.arange(300)).all()
    np.testing.assert_allclose(scores, -np.sort(-cosines, axis=1)[:, :5], atol=1e-5)


def test_queries_may_be_other_vectors() -> None:
    vectors = planted(50, 0)
    ids, scores = neighbours(vectors, vectors[[7, 3]], k=1)
    assert ids[:, 0].tolist() == [7, 3]
    assert scores[:, 0] == pytest.approx([1, 1], abs=1e-5)


def test_fewer_vectors_than_asked_for_leave_minus_one() -> None:
    ids, _ = neighbours(planted(3, 0), k=5)
    assert (ids[:, 3:] == -1).all()
    assert neighbours(np.zeros((0, 8), np.float32), k=2)[0].shape == (0, 2)


def test_pairs_are_ordered_unique_and_above_the_threshold() -> None:
    vectors = planted(300, 20)
    pairs, cosines = pairs_above(vectors, 0.9, k=8)
    assert pairs.tolist() == [[at, at + 20] for at in range(20)]
    assert (cosines >= 0.9).all()
    assert recall(vectors, pairs, 0.9, k=8) == 1.0


def test_above_the_flat_limit_planted_pairs_are_still_found() -> None:
    vectors = planted(4000, 200)
    pairs, _ = pairs_above(vectors, 0.9, k=8, flat_up_to=1000)
    assert recall(vectors, pairs, 0.9, k=8, sample=4000) >= 0.98


def test_recall_counts_what_was_missed() -> None:
    vectors = planted(100, 10)
    pairs, _ = pairs_above(vectors, 0.9, k=8)
    assert recall(vectors, pairs[:5], 0.9, k=8) == 0.5


def test_importing_the_index_needs_no_torch() -> None:
    code = "import sys, curate.dedupe.index; sys.exit('torch' in sys.modules or 'polars' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
