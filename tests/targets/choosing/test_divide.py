"""One budget over several gaps: to each by its urgency, and never more than it can use."""

import math

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import InputError
from curate.targets.choosing.divide import LABELS_FOR_ONE, divide, parts
from curate.workspace import Workspace
from tests.dedupe.rows import Clip
from tests.targets.conftest import write_capability, write_labels

Row = tuple[float, int, float | None]
_gap = st.tuples(
    st.floats(0, 2, allow_subnormal=False), st.integers(0, 60), st.none() | st.floats(0, 80, allow_nan=False)
)
gaps_of_some = st.lists(_gap, max_size=8)
budgets = st.integers(0, 300)


def gaps(*rows: Row) -> pl.DataFrame:
    """Of capabilities a, b, c ...: priority, gap_clips, candidates_high."""
    schema = {"capability": pl.String, "priority": pl.Float64, "gap_clips": pl.Int64, "candidates_high": pl.Float64}
    named = [(chr(ord("a") + at), *row) for at, row in enumerate(rows)]
    return pl.DataFrame(named, schema=schema, orient="row")


def usable(row: Row) -> int:
    priority, lacking, high = row
    return 0 if priority <= 0 else LABELS_FOR_ONE * min(lacking, lacking if high is None else math.ceil(high))


def test_parts_follow_priorities() -> None:
    assert divide(gaps((0.6, 500, None), (0.3, 500, None), (0.1, 500, None)), 100) == {"a": 60, "b": 30, "c": 10}


def test_a_gap_gets_no_more_than_it_can_use_and_the_others_get_the_rest() -> None:
    assert divide(gaps((0.9, 5, None), (0.1, 500, None)), 100) == {"a": 10, "b": 90}


def test_what_the_footage_does_not_hold_is_not_asked_of_annotators() -> None:
    assert divide(gaps((0.9, 500, 3.4), (0.1, 500, None)), 100) == {"a": 8, "b": 92}


def test_what_no_gap_can_use_is_not_spent() -> None:
    assert divide(gaps((0.9, 5, None), (0.5, 0, None), (0.0, 50, None)), 100) == {"a": 10}


@given(gaps_of_some, budgets)
def test_all_of_a_budget_is_spent_that_gaps_can_use(rows: list[Row], budget: int) -> None:
    given_to = divide(gaps(*rows), budget)
    most = dict(zip(gaps(*rows)["capability"], map(usable, rows), strict=True))
    assert sum(given_to.values()) == min(budget, sum(most.values()))
    assert all(0 < count <= most[name] for name, count in given_to.items())


@given(gaps_of_some, budgets, st.integers(1, 50))
def test_a_larger_budget_takes_nothing_from_anyone(rows: list[Row], budget: int, more: int) -> None:
    small, large = divide(gaps(*rows), budget), divide(gaps(*rows), budget + more)
    assert all(large[name] >= count for name, count in small.items())


@given(gaps_of_some, budgets)
def test_the_more_urgent_of_two_gaps_gets_no_less_unless_it_is_full(rows: list[Row], budget: int) -> None:
    given_to = divide(gaps(*rows), budget)
    found = [(row[0], given_to.get(name, 0), usable(row)) for name, row in zip("abcdefgh", rows, strict=False)]
    for priority, own, most in found:
        assert all(own >= min(other, most) for less, other, _ in found if less < priority)


def test_capabilities_get_as_many_each_or_one_total_by_urgency(empty: Workspace, clips: list[Clip]) -> None:
    for name, weight, target in (("jump", 3.0, 40), ("run", 1.0, 40), ("sit", 1.0, 1)):
        write_capability(empty, name, weight=weight, target={"clips": target})
    write_labels(empty, "sit", {clips[0].clip_id: "present"})
    assert parts(empty, None, each=5) == {"jump": 5, "run": 5}, "sit lacks nothing"
    assert parts(empty, ["sit", "run"], each=5) == {"sit": 5, "run": 5}, "who is named is asked"
    assert parts(empty, None, each=5, total=20) == {"jump": 15, "run": 5}
    assert parts(empty, ["run"], each=5, total=20) == {"run": 20}
    with pytest.raises(InputError, match="no capability 'hop'"):
        parts(empty, ["hop"], each=5)
