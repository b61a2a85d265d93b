"""Whatever arrives is a request or one line that names what is wrong."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import InputError
from curate.model.request import Request, named_model, read_request

GOOD: dict[str, Any] = {
    "video": {"url": "https://example.org/a.mp4"},
    "analysis_mode": "time_based_metadata",
    "segment_definitions": [
        {
            "id": "play",
            "description": "a play",
            "fields": [
                {"name": "team", "type": "string", "enum": ["A", "B"]},
                {"name": "scored", "type": "boolean", "description": "whether it scores"},
            ],
            "time_ranges": [{"start_time": 0, "end_time": 12.5}],
        }
    ],
    "min_segment_duration": 1,
    "max_segment_duration": 30.5,
    "model": "base-v3",
}


def read(content: Any, definitions: int = 5, values: int = 20) -> Request:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return read_request(body, most_definitions=definitions, most_values=values)


def changed(path: str, value: Any) -> dict[str, Any]:
    """GOOD with another value at a place, as `segment_definitions.0.id`."""
    content = copy.deepcopy(GOOD)
    *parents, last = [int(part) if part.isdecimal() else part for part in path.split(".")]
    place: Any = content
    for part in parents:
        place = place[part]
    place[last] = value
    return content


def test_the_documented_shape_is_read() -> None:
    request = read(GOOD)
    assert (request.kind, request.video) == ("url", "https://example.org/a.mp4")
    assert (request.min_s, request.max_s, request.model) == (1.0, 30.5, "base-v3")
    assert list(request.definitions) == GOOD["segment_definitions"]
    least = {key: GOOD[key] for key in ("video", "segment_definitions")}
    assert read(least).model is None and read(least).min_s is None


def test_requests_that_hold_the_same_are_the_same() -> None:
    turned = json.dumps(dict(reversed(GOOD.items())), indent=3).encode()
    assert read(turned).digest == read(GOOD).digest != read(changed("min_segment_duration", 2)).digest


WRONG: dict[str, tuple[Any, str]] = {
    "nothing": (b"", "body, line 1: not valid JSON"),
    "half": (b'{"video": ', "not valid JSON"),
    "no text": (b"\xff\xfe\x00", "body"),
    "a lone surrogate": (b'{"video": {"path": "\\ud800"}}', "not text in UTF-8"),
    "NaN": (b'{"min_segment_duration": NaN}', "NaN is no number of JSON"),
    "a number without end": (b'{"min_segment_duration": 1e999}', "1e999 is no number"),
    "a number of many digits": (b"9" * 400, "a number of 400 digits"),
    "deep": (b"[" * 100_000, "nested too deep"),
    "deep in a text's place": (
        json.dumps(GOOD).replace('"a play"', "[" * 900 + "]" * 900).encode(),
        "description is",
    ),
    "a list": ([], "the request is not an object"),
    "an unknown key": ({**GOOD, "webhook": "x"}, 'unknown key "webhook".*Allowed here: video,'),
    "no video": ({"segment_definitions": GOOD["segment_definitions"]}, "video is null"),
    "two videos": (changed("video", {"url": "x", "path": "y"}), "Expected .*url.* or .*path"),
    "another kind of video": (changed("video", {"file": "x"}), 'unknown key "file"'),
    "an empty path": (changed("video", {"path": " "}), "path is"),
    "a path with a zero": (changed("video", {"path": "a\0b"}), "expected a text"),
    "another mode": (changed("analysis_mode", "summary"), "Allowed: time_based_metadata"),
    "no definitions": (changed("segment_definitions", []), "expected a list of them"),
    "definitions of a wrong kind": (changed("segment_definitions", {"id": "a"}), "expected a list"),
    "too many definitions": (
        changed("segment_definitions", GOOD["segment_definitions"] * 6),
        "6 definitions, more than 5",
    ),
    "one id twice": (
        changed("segment_definitions", GOOD["segment_definitions"] * 2),
        "two definitions have the id 'play'",
    ),
    "a key that no definition has": (
        changed("segment_definitions.0.extra", 1),
        "segment_definitions: definition 1: unknown key 'extra'",
    ),
    "an unknown type": (changed("segment_definitions.0.fields.0.type", "colour"), "definition 1: field 1: type is"),
    "fields of a wrong kind": (changed("segment_definitions.0.fields", 5), "fields is 5: expected a list"),
    "too many values": (
        changed("segment_definitions.0.fields.0.enum", [str(n) for n in range(30)]),
        "fields of 32 values, more than 20",
    ),
    "a range of a wrong kind": (changed("segment_definitions.0.time_ranges", 5), "time_ranges is 5: expected a list"),
    "a range that ends before": (
        changed("segment_definitions.0.time_ranges.0.end_time", 0),
        "a time range ends at 0",
    ),
    "a match of a wrong kind": (
        changed("segment_definitions.0", {"id": "a", "segment": {"description": "b"}, "match": [1]}),
        "match is",
    ),
    "a negative length": (changed("min_segment_duration", -1), "expected seconds, 0 or more"),
    "a length that is true": (changed("min_segment_duration", True), "min_segment_duration is true"),
    "lengths that exclude each other": (changed("min_segment_duration", 40), "nothing is that long"),
    "a model that is a path": (changed("model", "../other"), "expected a model's name"),
    "a model that is none": (changed("model", 3), "expected a model's name"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_named(what: str) -> None:
    content, said = WRONG[what]
    with pytest.raises(InputError, match=said) as raised:
        read(content)
    assert "\n" not in str(raised.value)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_PLACES = [
    *GOOD,
    *(f"segment_definitions.0.{key}" for key in (*GOOD["segment_definitions"][0], "text", "match", "segment")),
    *(f"segment_definitions.0.fields.0.{key}" for key in ("name", "type", "description", "enum", "required")),
    *("segment_definitions.0.time_ranges.0", "segment_definitions.0.time_ranges.0.start_time"),
]


@settings(max_examples=60)
@given(place=st.sampled_from(_PLACES), value=_VALUES)
def test_any_value_at_any_place_is_read_or_refused(place: str, value: Any) -> None:
    try:
        assert isinstance(read(changed(place, value)), Request)
    except InputError as error:
        assert error.what


@settings(max_examples=30)
@given(body=st.binary(max_size=60))
def test_any_bytes_are_refused(body: bytes) -> None:
    with pytest.raises(InputError):
        read(body)


def test_a_model_is_one_that_was_trained_here(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no trained model yet.*Name one: zero-shot"):
        named_model(tmp_path, None)
    for name in ("old", "new", "unfinished"):
        (tmp_path / name).mkdir()
        if name != "unfinished":
            (tmp_path / name / "config.json").write_text("{}")
    assert named_model(tmp_path, "zero-shot") is None
    assert named_model(tmp_path, None) == tmp_path / "new"
    assert named_model(tmp_path, "old") == tmp_path / "old"
    for name in ("unfinished", "none", "..", "."):
        with pytest.raises(InputError, match="Known: zero-shot, old, new"):
            named_model(tmp_path, name)
