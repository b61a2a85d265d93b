"""SQL conditions over clips."""

import polars as pl
import pytest

from curate.errors import InputError
from curate.targets.conditions import matching

CLIPS = pl.DataFrame({
    "clip_id": ["a", "b", "c"], "motion": [0.1, 0.3, None], "height": [180, 360, 720], "source": ["x", "y", "y"],
})  # fmt: skip


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (None, [True, True, True]),
        (" ", [True, True, True]),
        ("motion > 0.2 and height >= 240", [False, True, False]),
        ("source = 'y'", [False, True, True]),
        ("motion is null or source in ('x')", [True, False, True]),
        ("1 = 1", [True, True, True]),
    ],
)
def test_a_condition_says_which_clips(where: str | None, expected: list[bool]) -> None:
    assert matching(CLIPS, where).to_list() == expected


@pytest.mark.parametrize("where", ["motoin > 1", "motion >", "motion + 1", "select * from x", "nothing(motion) > 1"])
def test_an_unusable_condition_is_quoted_with_the_columns_there_are(where: str) -> None:
    with pytest.raises(InputError) as error:
        matching(CLIPS, where, source="spec.yaml")
    message = str(error.value)
    assert where in message and "motion" in message and "height" in message and "spec.yaml" in message


def test_no_clips_match_nothing() -> None:
    assert matching(CLIPS.clear(), "1 = 1").to_list() == []
