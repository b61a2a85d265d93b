"""Two answers on one page, and the simulated people who answer."""

from fractions import Fraction
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from curate.model.definitions import Segment
from curate.specs import Capability
from labeling import two_answers as page
from labeling.frames import even_timeline
from labeling.simulate import Errors, _mark, _Task
from tests.labeling.conftest import COLOR

TIMELINE = even_timeline(Fraction(25), 250, 3.0)
SPEC = Capability.model_validate(
    yaml.safe_load("""
    {id: jump, title: A jump, owner: tests, why: a test, definition: Off the ground., match: {text: [a jump]},
     target: {clips: 1}, segment: {description: One., min_duration: 0.1, max_duration: 9}}
    """)
    | {"segment": {"description": "One.", "fields": [COLOR, {"name": "high", "type": "boolean"}]}}
)
FRAMES = st.tuples(st.integers(1, 250), st.integers(1, 250)).map(sorted)
SEGMENTS = st.lists(
    st.tuples(FRAMES, st.sampled_from(["red", "green"]), st.booleans()).map(
        lambda parts: Segment(*TIMELINE.to_seconds(*parts[0]), {"color": parts[1], "high": parts[2]})
    ),
    max_size=4,
)


@given(SEGMENTS, SEGMENTS)
def test_what_is_shown_of_two_answers_is_what_they_mark(first: list[Segment], second: list[Segment]) -> None:
    shown = page.predictions(SPEC.segment.fields, [first, second], TIMELINE)
    found = page.marked(shown[0]["result"], TIMELINE) if shown else ([], [])
    for read, said in zip(found, (first, second), strict=True):
        assert sorted(map(str, read)) == sorted(map(str, said))
    regions = [entry["id"] for part in shown for entry in part["result"] if entry["from_name"] == "segment"]
    assert len(set(regions)) == len(regions) == len(first) + len(second)


def test_an_answer_in_words_says_verdict_times_and_fields() -> None:
    segment = Segment(4.25, 5.5, {"color": "red", "high": True})
    assert page.words("present", True, [segment], 3.0) == (
        "present, looked at all of it\n1.25 to 2.50 s: color red, high yes"
    )
    assert page.words("bad_clip", False, [], 3.0) == "bad clip"
    assert page.words(None, None, [], 3.0) == "nothing is marked"


def test_what_is_still_an_answers_is_not_the_reviewers() -> None:
    def region(name: str, label: str) -> dict[str, Any]:
        return {"id": name, "from_name": "segment", "value": {"timelinelabels": [label], "ranges": []}}

    def field(name: str) -> dict[str, Any]:
        return {"id": name, "from_name": "string__color", "value": {"choices": ["red"]}}

    take = {"id": "t", "from_name": "take", "value": {"choices": ["corrected"]}}
    verdict = {"id": "v", "from_name": "verdict", "value": {"choices": ["present"]}}
    result = [region("a", "answer 1"), field("a"), region("b", "jump"), field("b"), take, verdict]
    assert page.own(result, "jump") == [region("b", "jump"), field("b"), verdict]
    assert (page.taken(result), page.taken([verdict])) == ("corrected", None)


@pytest.mark.parametrize("config", [page.review_config, page.comparison_config])
def test_the_page_has_a_key_for_every_choice_and_none_twice(config: Any) -> None:
    root = ElementTree.fromstring(config(SPEC))
    keys = [part.get("hotkey") for part in root.iter() if part.get("hotkey")]
    assert len(keys) == len(set(keys))
    choices = {part.get("alias"): part.get("hotkey") for part in root.iter("Choice") if part.get("alias")}
    assert list(choices.values())[:4] == ["1", "2", "3", "4"]


def task(clip_id: str, segments: list[dict[str, Any]]) -> _Task:
    data = {"clip_id": clip_id, "start_s": 3.0, "duration_s": 10.0, "fps": 25.0}
    return _Task(1, data, SPEC, TIMELINE, segments, ([], []))


TRUTH = [{"start_s": 5.0, "end_s": 7.0, "fields": {"color": "red", "high": True}}]


def test_errors_are_as_large_and_as_many_as_asked_and_the_same_for_the_same_seed() -> None:
    errors = Errors(boundary_s=0.2, missed=0.3, field=0.5, seed=1)
    made = [_mark(errors, task(str(clip), TRUTH)) for clip in range(2000)]
    assert made == [_mark(errors, task(str(clip), TRUTH)) for clip in range(2000)]
    marked = [segments[0] for segments in made if segments]
    assert len(marked) / len(made) == pytest.approx(0.7, abs=0.04)
    off_s = np.array([[found["start_s"] - 5, found["end_s"] - 7] for found in marked])
    assert off_s.std() == pytest.approx(0.2, abs=0.02)
    assert off_s.mean() == pytest.approx(0, abs=0.02)
    assert np.mean([found["fields"]["color"] != "red" for found in marked]) == pytest.approx(0.5, abs=0.05)


def test_who_does_not_err_says_the_truth_and_who_always_does_the_opposite() -> None:
    assert _mark(Errors(), task("a", TRUTH)) == TRUTH
    assert _mark(Errors(verdict=1.0), task("a", TRUTH)) == []
    [invented] = _mark(Errors(verdict=1.0), task("a", []))
    assert 3 <= invented["start_s"] <= invented["end_s"] <= 13
