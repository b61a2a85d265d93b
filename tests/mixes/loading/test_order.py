"""Every row exactly once in an epoch, whatever the ranks, and from any point on with any other number of them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from curate.mixes.loading.order import epoch_order, part, steps

ROWS, RANKS, BATCH = st.integers(0, 300), st.integers(1, 9), st.integers(1, 8)


def dealt(order: np.ndarray, ranks: int, batch_size: int) -> list[list[np.ndarray]]:
    """What each rank gets, step by step."""
    given_out: list[list[np.ndarray]] = []
    at = 0
    for size in steps(len(order), ranks, batch_size):
        step = order[at : at + size]
        given_out.append([step[part(size, rank, ranks)] for rank in range(ranks)])
        at += size
    return given_out


@given(ROWS, RANKS, BATCH, st.integers(-(2**40), 2**40), st.integers(0, 50))
def test_every_row_is_dealt_exactly_once(rows: int, ranks: int, batch_size: int, seed: int, epoch: int) -> None:
    order = epoch_order(rows, seed, epoch)
    given_out = dealt(order, ranks, batch_size)
    assert sorted(order) == list(range(rows))
    assert [row for step in given_out for share in step for row in share] == list(order)
    assert all(len(share) <= batch_size for step in given_out for share in step)


@given(ROWS, RANKS, BATCH)
def test_no_rank_waits_for_another(rows: int, ranks: int, batch_size: int) -> None:
    for step in dealt(np.arange(rows), ranks, batch_size):
        lengths = [len(share) for share in step]
        assert max(lengths) - min(lengths) <= 1
        assert min(lengths) > 0 or rows < ranks or batch_size == 1


@given(ROWS, RANKS, BATCH, st.lists(st.tuples(st.integers(0, 20), RANKS, BATCH), max_size=4), st.integers(0, 9))
def test_training_goes_on_exactly_with_any_other_ranks(
    rows: int, ranks: int, batch_size: int, changes: list[tuple[int, int, int]], seed: int
) -> None:
    order, seen = epoch_order(rows, seed, 3), []
    for stopped_after, ranks_then, batch_then in changes:
        for step in dealt(order[len(seen) :], ranks, batch_size)[:stopped_after]:
            seen += [row for share in step for row in share]
        assert seen == list(order[: len(seen)])
        ranks, batch_size = ranks_then, batch_then
    for step in dealt(order[len(seen) :], ranks, batch_size):
        seen += [row for share in step for row in share]
    assert seen == list(order)


@given(ROWS, RANKS, BATCH, st.integers(0, 40))
def test_the_steps_that_are_left_are_those_of_an_undisturbed_epoch(
    rows: int, ranks: int, batch_size: int, taken: int
) -> None:
    whole = list(steps(rows, ranks, batch_size))
    assert list(steps(rows - sum(whole[:taken]), ranks, batch_size)) == whole[taken:]


@given(ROWS, RANKS, BATCH)
def test_drop_last_leaves_out_less_than_a_step(rows: int, ranks: int, batch_size: int) -> None:
    sizes = list(steps(rows, ranks, batch_size, drop_last=True))
    assert set(sizes) <= {ranks * batch_size} and 0 <= rows - sum(sizes) < ranks * batch_size


def test_the_order_is_this_one_for_ever() -> None:
    assert epoch_order(8, seed=0, epoch=0).tolist() == [2, 4, 6, 5, 1, 7, 0, 3]
    assert epoch_order(8, seed=0, epoch=1).tolist() == [7, 4, 1, 2, 6, 5, 0, 3]
    assert epoch_order(4, seed=0, epoch=1, shuffle=False).tolist() == [0, 1, 2, 3]


def test_the_order_looks_random() -> None:
    rows = 4000
    for seed, epoch in ((0, 0), (0, 1), (1, 0)):
        order = epoch_order(rows, seed, epoch)
        assert abs(np.corrcoef(np.arange(rows), order)[0, 1]) < 0.06
        assert (np.abs(np.diff(order)) == 1).sum() < 12
    assert not np.array_equal(epoch_order(rows, 0, 1), epoch_order(rows, 1, 0))
