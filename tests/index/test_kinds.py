"""When segments are merged: seldom enough that a row is written few times, often enough that there are few of them."""

import math

from hypothesis import given
from hypothesis import strategies as st

from curate.index.kinds import Sizes, merges

SIZES = Sizes(most_rows=100_000, fanout=8)


@given(st.lists(st.tuples(st.integers(1, 90_000), st.floats(0, 1)), max_size=80))
def test_a_segment_is_in_one_merge_at_most_and_none_grows_beyond_the_largest(segments: list[tuple[int, float]]) -> None:
    rows = [count for count, _ in segments]
    groups = merges(rows, [gone for _, gone in segments], SIZES)
    merged = [at for group in groups for at in group]
    assert len(merged) == len(set(merged)) and set(merged) <= set(range(len(rows)))
    assert all(sum(rows[at] for at in group) <= SIZES.most_rows for group in groups if len(group) > 1)
    assert {at for at, (_, gone) in enumerate(segments) if gone > 0.25} <= set(merged)


@given(st.lists(st.integers(1, 2000), min_size=50, max_size=300))
def test_growing_writes_each_row_few_times_and_leaves_few_segments(added: list[int]) -> None:
    segments: list[float] = []
    written = 0.0
    for count in added:
        segments.append(count)
        groups = merges(segments, [0.0] * len(segments), SIZES)
        made = [sum(segments[at] for at in group) for group in groups]
        written += count + sum(made)
        gone = {at for group in groups for at in group}
        segments = [size for at, size in enumerate(segments) if at not in gone] + made
    assert sum(segments) == sum(added)
    tiers = math.ceil(math.log(sum(added), SIZES.fanout)) + 1
    assert written <= sum(added) * (tiers + 1)
    assert len(segments) <= SIZES.fanout * tiers + 2 * sum(added) / SIZES.most_rows + 1
