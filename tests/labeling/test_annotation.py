"""What an annotation says as a label, and what is said about one that does not fit."""

import json
from fractions import Fraction
from typing import Any

import pytest

from labeling.annotation import read_annotation
from labeling.frames import even_timeline

DATA = {"capability": "bounce"}, even_timeline(Fraction(25), 100, 10.0)


def region(start: int, end: int, region_id: str = "r1", label: str = "bounce", **more: Any) -> dict[str, Any]:
    value = {"ranges": [{"start": start, "end": end}], "timelinelabels": [label]}
    return {
        "id": region_id,
        "from_name": "segment",
        "to_name": "video",
        "type": "timelinelabels",
        "value": value,
        **more,
    }


def choice(control: str, value: str, region_id: str = "c1") -> dict[str, Any]:
    return {"id": region_id, "from_name": control, "to_name": "video", "type": "choices", "value": {"choices": [value]}}


PRESENT = choice("verdict", "present")


def test_segments_are_in_source_seconds_with_their_own_fields() -> None:
    fields = [choice("string__color", "red", "r1"), choice("boolean__high", "true", "r2")]
    reading = read_annotation([region(26, 50, "r2"), region(1, 25, "r1"), *fields, PRESENT], *DATA)
    assert reading.segments == [
        {"start_s": 10.0, "end_s": 11.0, "fields": '{"color": "red"}'},
        {"start_s": 11.0, "end_s": 12.0, "fields": '{"high": true}'},
    ]
    assert (reading.verdict, reading.exhaustive, reading.problems) == ("present", False, [])


def test_only_a_tick_makes_it_exhaustive() -> None:
    assert read_annotation([choice("verdict", "absent"), choice("exhaustive", "exhaustive")], *DATA).exhaustive
    assert not read_annotation([choice("verdict", "absent")], *DATA).exhaustive


def test_overlapping_segments_are_kept() -> None:
    assert len(read_annotation([region(1, 50, "a"), region(40, 60, "b"), PRESENT], *DATA).segments) == 2


@pytest.mark.parametrize(
    ("result", "problem", "spans"),
    [
        ([region(90, 140), PRESENT], "range cut at the clip's edge", [(13.56, 14.0)]),
        ([region(1, 5), region(150, 160, "b"), PRESENT], "range outside the clip", [(10.0, 10.2)]),
        ([region(1, 5), region(9, 7, "b"), PRESENT], "range outside the clip", [(10.0, 10.2)]),
        ([region(1, 5), region(6, 9, "b", "fly"), PRESENT], "unknown label", [(10.0, 10.2)]),
        ([region(1, 5), choice("integer__times", "many", "r1"), PRESENT], "unreadable field", [(10.0, 10.2)]),
        ([region(1, 5), choice("verdict", "perhaps")], "unknown verdict", [(10.0, 10.2)]),
        ([region(1, 5)], "no verdict", [(10.0, 10.2)]),
        ([PRESENT], "present without a segment", []),
        ([region(1, 5), choice("verdict", "absent")], "segments left in a clip said to be absent", []),
        ([{"value": {}}], "unreadable field", []),
    ],
)
def test_what_does_not_fit_is_named_and_the_rest_is_kept(
    result: list[dict[str, Any]], problem: str, spans: list[tuple[float, float]]
) -> None:
    reading = read_annotation(result, *DATA)
    assert problem in reading.problems
    assert [(segment["start_s"], segment["end_s"]) for segment in reading.segments] == spans


MOVED_AND_DENIED = [
    {**region(52, 70, "guess1"), "origin": "prediction"},
    {**choice("string__color", "yellow", "guess1"), "origin": "prediction"},
    {**choice("verdict", "absent", "4W_K5jYaQh"), "origin": "manual"},
    {**choice("exhaustive", "exhaustive", "ALSF18IUFO"), "origin": "manual"},
]
"""As Label Studio 1.23.2 stored it of a guess at 52 to 75 whose end was dragged, and whose colour was then chosen."""


def test_a_guess_left_in_an_absent_clip_is_no_segment_and_is_named() -> None:
    reading = read_annotation(MOVED_AND_DENIED, *DATA)
    assert (reading.segments, reading.problems) == ([], ["a guess left in a clip said to be absent"])


def test_without_verdict_or_segment_an_annotation_is_unsure() -> None:
    reading = read_annotation([], *DATA)
    assert (reading.verdict, reading.problems) == ("unsure", ["no verdict"])


def test_fields_are_json() -> None:
    entry = {"id": "r1", "from_name": "number__height_m", "type": "number", "value": {"number": 2}}
    [segment] = read_annotation([region(1, 5), entry, PRESENT], *DATA).segments
    assert json.loads(segment["fields"]) == {"height_m": 2.0}
