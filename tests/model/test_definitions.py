from pathlib import Path

import numpy as np
import pytest

from curate.errors import InputError
from curate.model.definitions import as_definition, as_definitions, encode, read_definitions
from tests.model.synthetic import DIM, capability, texts

REQUEST = {
    "id": "goal",
    "description": "The ball crosses the line.",
    "fields": [
        {"name": "team", "type": "string", "enum": ["red", "blue"], "required": True},
        {"name": "header", "type": "boolean"},
        {"name": "minute", "type": "integer"},
        {"name": "scorer", "type": "string"},
    ],
}


def test_a_request_is_read_as_the_product_documents_it() -> None:
    goal = as_definition({**REQUEST, "time_ranges": [{"start_time": 10, "end_time": 20.5}]})
    assert (goal.id, goal.description, goal.time_ranges_s) == ("goal", "The ball crosses the line.", ((10.0, 20.5),))
    assert (goal.fields[0].name, goal.fields[0].type, goal.fields[0].required) == ("team", "string", True)


def test_a_capability_is_a_definition_too() -> None:
    bounce = as_definition(capability("bounce"))
    assert (bounce.description, bounce.text, bounce.not_text) == ("one bounce", ("thing bounce",), ("thing still",))
    assert (bounce.min_s, bounce.max_s) == (0.5, 10.0)


def test_a_capability_and_a_request_in_the_same_words_are_the_same_vectors() -> None:
    request = {"id": "x", "description": "one bounce", "text": ["thing bounce"], "not_text": ["thing still"]}
    a, b = encode([as_definition(capability("bounce")), as_definition(request)], texts)
    assert np.array_equal(a.texts, b.texts)
    assert np.array_equal(a.not_texts, b.not_texts)


def test_only_fields_that_can_be_chosen_are_encoded() -> None:
    (goal,) = encode([as_definition(REQUEST)], texts)
    assert [(f.name, f.values) for f in goal.fields] == [("team", ("red", "blue")), ("header", (False, True))]


def test_the_order_of_an_enum_does_not_change_its_values_vectors() -> None:
    field = {"name": "color", "type": "string", "enum": ["red", "green", "blue"]}
    turned = {**field, "enum": ["blue", "red", "green"]}
    (a,), (b,) = (
        encode([as_definition({"id": "x", "description": "x", "fields": [f]})], texts)[0].fields
        for f in (field, turned)
    )
    assert np.allclose(a.value_vectors[[2, 0, 1]], b.value_vectors, atol=1e-6)
    assert a.value_vectors.shape == (3, DIM)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": None}, "definition 1: id is null: expected a text"),
        ({"description": ""}, 'definition 1: description is "": expected a text'),
        ({"descripton": "x"}, "definition 1: unknown key 'descripton'. Allowed here: id, description"),
        ({"fields": {"name": "a"}}, "definition 1: fields is"),
        ({"fields": [{"name": "a"}]}, "definition 1: field 1: 'type' is required"),
        (
            {"fields": [{"name": "a", "type": "text"}]},
            "definition 1: field 1: type is 'text'. Allowed: string, boolean",
        ),
        ({"fields": [{"name": "a", "type": "integer", "enum": ["1"]}]}, "enum is for type string, not integer"),
        ({"fields": [{"name": "a", "type": "string", "enum": ["b", "b"]}]}, "enum names a value twice"),
        ({"time_ranges": [{"start_time": 5, "end_time": 5}]}, "a time range ends at 5, not after its start 5"),
        ({"time_ranges": [[1, 2]]}, "time_ranges holds [1, 2]"),
    ],
)
def test_what_is_wrong_with_a_definition_is_named(change: dict, message: str) -> None:
    with pytest.raises(InputError) as error:
        as_definitions([{**REQUEST, **change}])
    assert message in str(error.value)


def test_two_definitions_may_not_share_an_id() -> None:
    with pytest.raises(InputError, match="two definitions have the id 'goal'"):
        as_definitions([REQUEST, REQUEST])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("list.json", '[{"id": "goal", "description": "x"}]'),
        ("request.json", '{"segment_definitions": [{"id": "goal", "description": "x"}]}'),
        ("list.yaml", "- {id: goal, description: x}\n"),
        ("capability.yaml", "id: goal\nowner: us\nsegment: {description: x}\n"),
    ],
)
def test_definitions_are_read_from_json_and_yaml(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    assert [(d.id, d.description) for d in read_definitions(tmp_path / name)] == [("goal", "x")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[{"id": "goal"', ":1: not valid JSON"),
        ("{}", "no segment definitions"),
        ('{"segment_definitions": []}', "no segment definitions"),
        ("[3]", "definition 1: expected a definition with id and description, found 3"),
    ],
)
def test_an_unreadable_file_is_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(content)
    with pytest.raises(InputError) as error:
        read_definitions(path)
    assert str(path) in str(error.value)
    assert message in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file of segment definitions"):
        read_definitions(tmp_path / "none.json")
