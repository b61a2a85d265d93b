"""The program over kinds has the optimum of the program over kinds and videos."""

import pytest
from hypothesis import given, settings

from benchmarks.mix_by_video import optimum
from curate.mixes.solving import columns, kinds
from curate.mixes.solving.program import best
from tests.mixes.solving.worlds import World, worlds


@settings(max_examples=60, deadline=None)
@given(worlds())
def test_its_optimum_is_that_of_a_program_with_variables_for_each_video(world: World) -> None:
    problem = world.pose()
    found = best(problem)[1]
    assert found.value == found.bound == pytest.approx(optimum(problem), rel=1e-5, abs=1e-3)


@settings(max_examples=100, deadline=None)
@given(worlds())
def test_cuts_over_sets_of_kinds_do_what_variables_for_each_video_do(world: World) -> None:
    problem = world.pose()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(columns, "_MOST_CELLS", 0)
        found = best(problem)[1]
    assert found.value == pytest.approx(optimum(problem), rel=1e-5, abs=1e-3)


@settings(max_examples=60, deadline=None)
@given(worlds())
def test_prices_of_merged_kinds_bound_the_optimum(world: World) -> None:
    problem = world.pose()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(kinds, "MOST_KINDS", 5)
        patched.setattr(columns, "_MOST_CELLS", 0)
        found = best(problem)[1]
    exact = optimum(problem)
    assert found.bound >= exact - 1e-3 - 1e-5 * abs(exact)
