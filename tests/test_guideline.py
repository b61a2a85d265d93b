"""Labels keep their meaning under a compatible guideline, and only there."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.specs.guideline import change

RED = {"name": "color", "type": "string", "description": "", "enum": ["red", "blue"], "required": True}
NOTE = {"name": "note", "type": "string", "description": "", "enum": None, "required": False}


def guideline(*fields: dict[str, Any], **changes: Any) -> dict[str, Any]:
    segment = {"description": "One time.", "fields": list(fields), "min_duration": 0.2, "max_duration": 60}
    said = {"title": "Hides", "definition": "It is hidden.", "non_examples": ["A cut."], "segment": segment}
    return {**said, **{k: v for k, v in changes.items() if k in said}, "segment": {**segment, **_of(changes, segment)}}


def _of(changes: dict[str, Any], segment: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in changes.items() if name in segment}


@pytest.mark.parametrize(
    "after",
    [
        guideline(RED, title="Hides away"),
        guideline({**RED, "description": "Of the thing."}),
        guideline({**RED, "enum": ["blue", "red", "green"]}),
        guideline({**RED, "required": False}),
        guideline(RED, NOTE),
        guideline(NOTE, RED),
    ],
    ids=["title", "words of a field", "a further value", "optional now", "a further field", "another order"],
)
def test_what_leaves_earlier_labels_right_is_compatible(after: dict[str, Any]) -> None:
    assert change(guideline(RED), after) == "compatible"


@pytest.mark.parametrize(
    "after",
    [
        guideline(RED, definition="It is hidden well."),
        guideline(RED, non_examples=[]),
        guideline(RED, description="One hiding."),
        guideline(RED, min_duration=1),
        guideline(RED, max_duration=6),
        guideline(),
        guideline({**RED, "name": "colour"}),
        guideline({**RED, "enum": ["red"]}),
        guideline({**RED, "enum": None}),
        guideline({**RED, "type": "integer", "enum": None}),
        guideline(RED, {**NOTE, "required": True}),
    ],
    ids=[
        "definition", "non-examples", "segment", "shortest", "longest", "field gone", "field renamed", "value gone",
        "free text", "type", "required field",
    ],
)  # fmt: skip
def test_what_may_make_earlier_labels_wrong_changes_the_meaning(after: dict[str, Any]) -> None:
    assert change(guideline(RED), after) == "meaning"


values = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, unique=True)
some_fields = st.lists(
    st.builds(
        lambda name, kind, enum, required: {
            "name": name, "type": kind, "description": "", "enum": enum if kind == "string" else None,
            "required": required,
        },
        st.sampled_from("xyz"), st.sampled_from(["string", "integer"]), st.none() | values, st.booleans(),
    ),
    unique_by=lambda field: field["name"],
)  # fmt: skip


def allows(fields: list[dict[str, Any]], answer: dict[str, Any]) -> bool:
    """Whether an annotator could have given this answer."""
    known = {field["name"]: field for field in fields}
    return answer.keys() <= known.keys() and all(
        field["name"] in answer or not field["required"] for field in fields
    ) and all(
        isinstance(value, str) == (known[name]["type"] == "string")
        and (known[name]["enum"] is None or value in known[name]["enum"])
        for name, value in answer.items()
    )  # fmt: skip


@given(some_fields, some_fields, st.dictionaries(st.sampled_from("xyz"), st.sampled_from(["a", "b", "c", 1])))
def test_every_answer_of_before_could_be_given_under_a_compatible_guideline(
    before: list[dict[str, Any]], after: list[dict[str, Any]], answer: dict[str, Any]
) -> None:
    said = change(guideline(*before), guideline(*after))
    assert (said == "none") == (before == after)
    if said != "meaning" and allows(before, answer):
        assert allows(after, answer)
