"""SQL conditions over clips."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.conditions import matching, names_of, undecided
from curate.errors import InputError

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


COSTLY = ["speech_share", "text_share", "on_screen_text"]
ATOMS = st.one_of(
    st.builds(
        "{} {} {}".format,
        st.sampled_from(["motion", "silence", "speech_share", "text_share"]),
        st.sampled_from(["<", "<=", "=", "!=", ">", ">="]),
        st.sampled_from(["0.2", "0.5", "0.8"]),
    ),
    st.sampled_from([
        "speech_share between 0.2 and 0.6", "text_share not in (0.2, 0.5)", "on_screen_text like '%goal%'",
        "lower(on_screen_text) = 'goal 3'", "speech_share > motion", "abs(speech_share - text_share) < 0.3",
        "silence is null", "motion is not null", "speech_share is null", "coalesce(text_share, 0.5) > 0.3",
        "on_screen_text is not null", "case when speech_share > 0.5 then motion else 0.9 end > 0.5",
    ]),
)  # fmt: skip
CONDITIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.builds("({} and {})".format, inner, inner),
        st.builds("({} or {})".format, inner, inner),
        st.builds("(not {})".format, inner),
    ),
    max_leaves=6,
)
SHARES = st.one_of(st.none(), st.sampled_from([0.0, 0.2, 0.3, 0.5, 0.7, 1.0]))


@settings(max_examples=400)
@given(
    where=CONDITIONS,
    rows=st.lists(st.tuples(SHARES, SHARES, SHARES, SHARES, st.sampled_from([None, "GOAL 3", "a goal"])), min_size=1),
    known=st.sets(st.sampled_from(COSTLY)),
)
def test_no_measurement_changes_what_was_decided_without_it(where: str, rows: list[tuple], known: set[str]) -> None:
    names = ["motion", "silence", *COSTLY]
    schema = dict.fromkeys(names, pl.Float64) | {"on_screen_text": pl.String}
    truth = pl.DataFrame(rows, schema=schema, orient="row")
    unmeasured = set(COSTLY) - known
    before = truth.with_columns(pl.lit(None, dtype=schema[name]).alias(name) for name in unmeasured)
    open_ones = undecided(before, where, unmeasured)
    decided = ~open_ones
    assert matching(before, where).filter(decided).to_list() == matching(truth, where).filter(decided).to_list()


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("motion > 0.2 and speech_share > 0.5", [False, True, True]),
        ("motion > 0.2 or speech_share > 0.5", [True, False, True]),
        ("not (motion > 0.2 and speech_share > 0.5)", [False, True, True]),
        ("motion > 0.2", [False, False, False]),
        ("speech_share > 0.5", [True, True, True]),
        ("speech_share is null and motion > 0.2", [True, True, True]),
        ("motion is null or speech_share > 0.5", [True, True, False]),
        ("source = 'it is null' and speech_share > 0.5", [False, False, False]),
    ],
)
def test_only_clips_that_nothing_else_decides_are_open(where: str, expected: list[bool]) -> None:
    clips = CLIPS.with_columns(speech_share=pl.lit(None, dtype=pl.Float32))
    assert undecided(clips, where, {"speech_share"}).to_list() == expected


def test_the_names_of_a_condition_are_its_columns() -> None:
    assert names_of("motion > 0.2 and lower(on_screen_text) like '%height%'") == {"motion", "on_screen_text"}
    assert names_of(None) == names_of(" ") == set()
    with pytest.raises(InputError, match="motion >"):
        names_of("motion >")
