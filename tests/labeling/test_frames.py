"""Seconds to frames of Label Studio's timeline and back."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labeling.frames import Grid

RATES = [Fraction(n) for n in (10, 12, 24, 25, 30, 50, 60)]
RATES += [Fraction(n, 1001) for n in (24000, 30000, 60000)]

grids = st.builds(
    Grid, st.sampled_from(RATES), st.integers(1, 40_000), st.floats(0, 10_000, allow_nan=False, allow_infinity=False)
)
frame_ranges = grids.flatmap(
    lambda grid: st.tuples(
        st.just(grid), st.tuples(st.integers(1, grid.frames), st.integers(1, grid.frames)).map(sorted)
    )
)
spans = grids.flatmap(
    lambda grid: st.tuples(st.just(grid), st.tuples(*[st.floats(0, float(grid.frames / grid.fps))] * 2).map(sorted))
)


@given(frame_ranges)
def test_frames_come_back_from_seconds_as_they_were(case: tuple[Grid, list[int]]) -> None:
    grid, (first, last) = case
    assert grid.to_frames(*grid.to_seconds(first, last)) == (first, last)


@given(spans)
def test_seconds_come_back_from_frames_within_half_a_frame(case: tuple[Grid, list[float]]) -> None:
    grid, (start_s, end_s) = case
    half_s = float(1 / grid.fps) / 2 + 1e-6
    source = grid.start_s + start_s, grid.start_s + end_s
    back = grid.to_seconds(*grid.to_frames(*source))
    if end_s - start_s >= 2 * half_s:
        assert abs(back[0] - source[0]) <= half_s
        assert abs(back[1] - source[1]) <= half_s
    else:
        assert back[0] - 2 * half_s <= source[0] <= source[1] <= back[1] + 2 * half_s


@given(grids, st.floats(-100, 20_000), st.floats(-100, 20_000))
def test_any_span_becomes_frames_of_the_clip(grid: Grid, start_s: float, end_s: float) -> None:
    first, last = grid.to_frames(start_s, end_s)
    assert 1 <= first <= last <= grid.frames


def test_an_hour_of_29_97_does_not_drift() -> None:
    grid = Grid(Fraction(30000, 1001), 107_892, 0.0)
    assert grid.to_frames(3599.9962, 3600.0296) == (107_892, 107_892)
    assert grid.to_seconds(107_892, 107_892)[1] == pytest.approx(3599.9964, abs=1e-9)
