"""What an index answers, however it came to hold what it holds."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.index import Batch, Index
from curate.index.kinds import Sizes
from tests.index.made import DIM, World, scored, world


def built(directory: Path, made: World, wanted: np.ndarray | None = None) -> Index:
    index = Index.open(directory, dim=DIM, model="m")
    index.update(made.keys if wanted is None else wanted, made.load(), version="1")
    return index


def named(index: Index, numbers: np.ndarray) -> list[bytes]:
    names = dict(zip(index.numbers.tolist(), index.keys.tolist(), strict=True))
    return [names.get(number, b"") for number in numbers.tolist()]


def answers(index: Index, queries: np.ndarray) -> tuple[list, list]:
    """Everything asked, by key."""
    found = index.above(queries, 0.8, limit=1000)
    numbers, scores = index.search(queries, 5)
    above = list(zip(found.query.tolist(), named(index, found.number), found.score.tolist(), strict=True))
    return above, [(named(index, row), own.tolist()) for row, own in zip(numbers, scores, strict=True)]


def queries_of(made: World, count: int = 30, seed: int = 9) -> np.ndarray:
    rng = np.random.default_rng(seed)
    held = np.concatenate(made.vectors)
    return np.concatenate([held[:count], rng.standard_normal((count, DIM)).astype(np.float32)])


@pytest.mark.parametrize("most", [1, 4])
def test_above_gives_all_pairs_of_brute_force_with_exact_scores(tmp_path: Path, most: int) -> None:
    made = world(200, most=most)
    index, queries = built(tmp_path, made), queries_of(made)
    found = index.above(queries, 0.8, limit=1000)
    pairs = zip(found.query.tolist(), named(index, found.number), strict=True)
    assert dict(zip(pairs, found.score.tolist(), strict=True)) == made.above(queries, 0.8, made.keys.tolist())
    assert found.capped == 0 and len(found.query) > 100
    assert (np.lexsort((-found.score, found.query)) == np.arange(len(found.query))).all()


@pytest.mark.parametrize("most", [1, 4])
def test_search_gives_the_best_items_of_brute_force(tmp_path: Path, most: int) -> None:
    made = world(200, most=most)
    index, queries = built(tmp_path, made), queries_of(made)
    numbers, scores = index.search(queries, 10)
    expected = made.above(queries, -2, made.keys.tolist())
    for row in range(len(queries)):
        ranked = sorted((-score, key) for (query, key), score in expected.items() if query == row)[:10]
        assert named(index, numbers[row]) == [key for _, key in ranked]
        assert scores[row].tolist() == [-score for score, _ in ranked]


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000), most=st.sampled_from([1, 3]))
def test_grown_in_twenty_batches_with_removals_answers_as_built_at_once(
    tmp_path_factory: pytest.TempPathFactory, seed: int, most: int
) -> None:
    rng, made = np.random.default_rng(seed), world(120, seed, most=most)
    directory = tmp_path_factory.mktemp("index")
    grown = Index.open(directory / "grown", dim=DIM, model="m")
    for step in range(20):
        wanted = rng.choice(made.keys, size=rng.integers(0, len(made.keys)))
        changes = grown.update(wanted, made.load(int(rng.integers(1, 40))), version=str(step))
        assert set(grown.keys.tolist()) == set(wanted.tolist()) and not len(changes.absent)
    once = built(directory / "once", made, wanted)
    queries = queries_of(made)
    assert answers(grown, queries) == answers(once, queries)
    assert answers(Index.open(directory / "grown", dim=DIM, model="m"), queries) == answers(once, queries)


def test_the_score_of_two_vectors_is_the_same_either_way_round(tmp_path: Path) -> None:
    made = world(60)
    index = built(tmp_path, made)
    held, _ = index.vectors(index.numbers)
    found = index.above(held, 0.5, limit=1000)
    scores = dict(zip(zip(found.query.tolist(), found.number.tolist(), strict=True), found.score.tolist(), strict=True))
    rows = {number: row for row, number in enumerate(index.numbers.tolist())}
    numbers = {row: number for number, row in rows.items()}
    assert all(scores[rows[number], numbers[query]] == score for (query, number), score in scores.items())


def test_the_limit_keeps_the_best_and_counts_the_rows_it_cut(tmp_path: Path) -> None:
    made = world(200)
    index, queries = built(tmp_path, made), queries_of(made)
    everything = index.above(queries, 0.0, limit=1000)
    cut = index.above(queries, 0.0, limit=3)
    for row in range(len(queries)):
        assert cut.number[cut.query == row].tolist() == everything.number[everything.query == row][:3].tolist()
    assert cut.capped == (np.bincount(everything.query, minlength=len(queries)) > 3).sum() > 0


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 10_000), most=st.sampled_from([1, 3]))
def test_with_cells_that_are_all_looked_at_the_answers_are_still_those_of_brute_force(
    tmp_path_factory: pytest.TempPathFactory, seed: int, most: int
) -> None:
    rng, made = np.random.default_rng(seed), world(600, seed, most=most)
    directory = tmp_path_factory.mktemp("index")
    grown = Index.open(directory / "grown", dim=DIM, model="m", sizes=Sizes(cells_from=30, most_rows=400))
    for step in range(6):
        wanted = rng.choice(made.keys, size=rng.integers(200, 600), replace=False)
        grown.update(wanted, made.load(100), version=str(step))
    assert any(path.name == "codes" for path in (directory / "grown").glob("*/*"))
    assert max(len(part.segment.vectors) for part in grown._parts) < 800
    once, queries = built(directory / "once", made, wanted), queries_of(made)
    assert answers(grown, queries) == answers(once, queries)


def test_among_allows_only_these(tmp_path: Path) -> None:
    made = world(200)
    index, queries = built(tmp_path, made), queries_of(made)
    allowed = np.random.default_rng(0).choice(index.numbers, 20, replace=False)
    numbers, scores = index.search(queries, 30, among=np.r_[allowed, -5, 10**9])
    expected = made.above(queries, -2, named(index, allowed))
    for row in range(len(queries)):
        ranked = sorted((-score, key) for (query, key), score in expected.items() if query == row)
        assert named(index, numbers[row, :20]) == [key for _, key in ranked]
    assert (numbers[:, 20:] == -1).all() and (scores[:, 20:] == -np.inf).all()


def test_an_empty_index_answers_nothing(tmp_path: Path) -> None:
    index = Index.open(tmp_path / "none", dim=DIM, model="m")
    queries = np.ones((2, DIM), np.float32)
    assert index.version == "" and index.note == "" and len(index.keys) == len(index.numbers) == 0
    assert len(index.above(queries, 0.5, limit=5).query) == 0
    assert (index.search(queries, 3)[0] == -1).all()
    assert index.recall(sample=10, k=3) == 1.0
    assert index.vectors(np.zeros(0, np.int64))[0].shape == (0, DIM)
    index.update(np.zeros(0, "S4"), world(1).load(), version="7")
    assert Index.open(tmp_path / "none", dim=DIM, model="m").version == "7"


def test_one_item_and_no_queries(tmp_path: Path) -> None:
    made = world(1, 3)
    index = built(tmp_path, made)
    numbers, scores = index.search(made.vectors[0], 4)
    assert numbers[0].tolist() == [index.numbers[0], -1, -1, -1] and scores[0, 0] == 1
    assert index.search(np.zeros((0, DIM), np.float32), 4)[0].shape == (0, 4)
    assert index.above(np.zeros((0, DIM), np.float32), 0.5, limit=4).capped == 0


def test_a_zero_vector_is_like_nothing(tmp_path: Path) -> None:
    index = Index.open(tmp_path, dim=2, model="m")
    vectors = np.array([[0, 0], [3, 4]], np.float32)
    index.update(np.array([b"zero", b"one"]), lambda keys: iter([Batch(keys, vectors[::-1], np.arange(2))]), version="")
    found = index.above(vectors, 0.1, limit=5)
    assert named(index, found.number) == [b"one"] and found.score.tolist() == [1]
    assert index.search(np.zeros((1, 2), np.float32), 1)[1].tolist() == [[0]]


def test_items_keep_their_vectors_and_blobs(tmp_path: Path) -> None:
    made = world(50, most=4)
    index = built(tmp_path, made)
    numbers = np.random.default_rng(1).permutation(index.numbers)
    vectors, owner = index.vectors(numbers)
    at = {key: row for row, key in enumerate(made.keys.tolist())}
    for position, (number, key) in enumerate(zip(numbers.tolist(), named(index, numbers), strict=True)):
        own, given_ = vectors[owner == position], made.vectors[at[key]]
        assert index.blob(number) == b"about " + key
        assert len(own) == len(given_)
        assert (scored(own, given_).diagonal()[np.linalg.norm(given_, axis=1) > 0] > 0.9999).all()


def test_what_is_not_held_has_no_vectors(tmp_path: Path) -> None:
    made = world(10)
    index = built(tmp_path, made)
    gone = index.numbers[index.keys == made.keys[0]]
    index.update(made.keys[1:], made.load(), version="2")
    with pytest.raises(KeyError, match="no item"):
        index.vectors(gone)
    with pytest.raises(KeyError, match="no item"):
        index.blob(10**6)


def test_only_what_is_missing_is_asked_for_and_doubles_count_once(tmp_path: Path) -> None:
    made, asked = world(20), []

    def load(keys: np.ndarray):
        asked.append(keys.tolist())
        return made.load()(keys)

    index = Index.open(tmp_path, dim=DIM, model="m")
    index.update(np.r_[made.keys[:10], made.keys[:10]], load, version="1")
    changes = index.update(made.keys[5:], load, version="2")
    assert asked == [sorted(made.keys[:10].tolist()), sorted(made.keys[10:].tolist())]
    assert changes.added.tolist() == asked[1] and changes.removed.tolist() == sorted(made.keys[:5].tolist())
    assert index.version == "2"
    index.update(made.keys[5:], load, version="3")
    assert len(asked) == 2 and index.version == "3"


def test_what_load_does_not_give_is_reported_and_asked_for_again(tmp_path: Path) -> None:
    made = world(20)
    index = Index.open(tmp_path, dim=DIM, model="m")
    first = index.update(made.keys, lambda keys: made.load()(keys[:-2]), version="1")
    assert first.absent.tolist() == sorted(made.keys.tolist())[-2:]
    assert index.update(made.keys, made.load(), version="1").added.tolist() == first.absent.tolist()


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (Batch(np.array([b"b"]), np.ones((1, DIM), np.float32), np.zeros(1, np.int64)), "not asked for"),
        (Batch(np.array([b"a", b"a"]), np.ones((2, DIM), np.float32), np.arange(2)), "twice"),
        (Batch(np.array([b"a"]), np.ones((1, DIM + 1), np.float32), np.zeros(1, np.int64)), "shape"),
        (Batch(np.array([b"a"]), np.full((1, DIM), np.nan, np.float32), np.zeros(1, np.int64)), "not finite"),
    ],
)
def test_a_load_that_gives_something_else_is_refused(tmp_path: Path, batch: Batch, message: str) -> None:
    made = world(5)
    index = built(tmp_path, made)
    with pytest.raises(ValueError, match=message):
        index.update(np.r_[made.keys, np.array([b"a"])], lambda keys: iter([batch]), version="2")
    assert set(Index.open(tmp_path, dim=DIM, model="m").keys.tolist()) == set(made.keys.tolist())


def test_recall_of_a_flat_index_is_one(tmp_path: Path) -> None:
    index = built(tmp_path, world(100))
    assert index.recall(sample=50, k=5) == index.recall(sample=50, k=5, threshold=0.8) == 1.0


def test_importing_the_index_needs_no_torch_and_no_polars() -> None:
    code = "import sys, curate.index; sys.exit('torch' in sys.modules or 'polars' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
