"""The interface and the instructions that a capability becomes."""

from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curate.specs import Capability, Field
from labeling.client import session
from labeling.interface import control_name, field_keys, instructions, labelling_config, read_value, write_value
from tests.labeling.conftest import Desk

HOSTILE = "<b>&\"'</b> 100 % ]]> ü"

KINDS = [
    Field(name="color", type="string", enum=["red", HOSTILE], required=True),
    Field(name="note", type="string", description=HOSTILE),
    Field(name="verdict", type="boolean"),
    Field(name="height_m", type="number"),
    Field(name="times", type="integer", required=True),
]


def capability(fields: list[Field], **changes: Any) -> Capability:
    content = {
        "id": "juggle",
        "title": HOSTILE,
        "owner": "tests",
        "why": HOSTILE,
        "definition": HOSTILE,
        "non_examples": [HOSTILE],
        "segment": {"description": HOSTILE, "fields": [field.model_dump() for field in fields]},
        "match": {"text": [HOSTILE]},
        "target": {"clips": 1},
    }
    return Capability.model_validate({**content, **changes})


def controls_of(fields: list[Field]) -> dict[str, ElementTree.Element]:
    config = ElementTree.fromstring(labelling_config(capability(fields)))
    return {name: control for control in config.iter() if (name := control.get("name"))}


def test_every_text_of_the_spec_arrives_as_it_was_written() -> None:
    controls = controls_of(KINDS)
    assert [choice.get("value") for choice in controls["string__color"]] == ["red", HOSTILE]
    page = ElementTree.fromstring(f"<div>{instructions(capability(KINDS))}</div>")
    assert "".join(page.itertext()).count(HOSTILE) == 7
    assert page.find(".//b/b") is None


def test_what_is_stored_is_the_verdict_whatever_words_are_shown() -> None:
    stored = [choice.get("alias") or choice.get("value") for choice in controls_of([])["verdict"]]
    assert stored == ["present", "absent", "unsure", "bad_clip"]
    [tick] = controls_of([])["exhaustive"]
    assert (tick.get("alias"), tick.get("value")) == ("exhaustive", "I looked at the whole clip")


def test_a_field_may_have_the_name_of_a_control() -> None:
    assert {"boolean__verdict", "verdict", "exhaustive"} < set(controls_of([Field(name="verdict", type="boolean")]))


ENUMS = st.lists(st.integers(1, 12), max_size=8).map(
    lambda sizes: [
        Field(name=f"field_{place}", type="string", enum=[f"v{number}" for number in range(size)])
        for place, size in enumerate(sizes)
    ]
)


@given(ENUMS)
def test_no_key_does_two_things(fields: list[Field]) -> None:
    config = ElementTree.fromstring(labelling_config(capability(fields)))
    keys = [key for control in config.iter() if (key := control.get("hotkey"))]
    assert len(keys) == len(set(keys))
    assert "u" not in keys  # Label Studio's own: lets go of a region


def test_a_field_has_the_keys_of_one_row_in_their_order() -> None:
    enums = [Field(name=name, type="string", enum=list("abcdefg")) for name in ("color", "to_color", "third", "rest")]
    fields = [*enums, Field(name="times", type="integer"), Field(name="note", type="string")]
    assert field_keys(fields) == {
        "color": "2345678", "to_color": "qwertio", "third": "dfghjkl", "rest": "", "times": "9", "note": "",
    }  # fmt: skip


def test_the_instructions_name_every_key() -> None:
    page = instructions(capability([Field(name="color", type="string", enum=["red", "blue"])]))
    for words in ("present [p]", "bad clip [b]", "I looked at the whole clip [x]", "red [2], blue [3]"):
        assert words in page


def values_of(field: Field) -> st.SearchStrategy[Any]:
    if field.enum:
        return st.sampled_from(field.enum)
    by_type: dict[str, st.SearchStrategy[Any]] = {
        "string": st.text(min_size=1),
        "boolean": st.booleans(),
        "integer": st.integers(-1000, 1000),
        "number": st.floats(-1e6, 1e6),
    }
    return by_type[field.type]


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(KINDS).flatmap(lambda field: st.tuples(st.just(field), values_of(field))))
def test_a_value_is_read_back_with_its_type(case: tuple[Field, Any]) -> None:
    field, value = case
    assert read_value(control_name(field), write_value(field, value)) == (field.name, value)


@pytest.mark.parametrize(
    ("control", "value"),
    [
        ("color", {"choices": ["red"]}),
        ("boolean__helmet", {"choices": ["maybe"]}),
        ("integer__times", {"number": 1.5}),
        ("number__height_m", {"text": ["tall"]}),
        ("string__note", {}),
        ("string__note", {"text": []}),
    ],
)
def test_a_value_of_another_type_is_an_error(control: str, value: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"no \w+"):
        read_value(control, value)


@pytest.mark.server
@pytest.mark.parametrize("fields", [[], *([field] for field in KINDS), KINDS])
def test_label_studio_accepts_the_interface(desk: Desk, fields: list[Field]) -> None:
    spec = capability(fields)
    with session(desk.server) as client:
        made = client.projects.create(
            title="interface", label_config=labelling_config(spec), expert_instruction=instructions(spec)
        )
        client.projects.delete(made.id)
    assert set(made.parsed_label_config) == {"segment", "verdict", "exhaustive"} | {control_name(f) for f in fields}
