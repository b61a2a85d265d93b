"""An annotator's whole path, in a real browser."""

import json
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import polars as pl
import pytest
from playwright.sync_api import expect

from curate import views
from labeling.push import PushSummary
from tests.labeling.browser import CHROMIUM, Person, account, logged_in
from tests.labeling.conftest import CLIP_S, Desk
from tests.labeling.steps import fetch, send, tasks

pytestmark = [pytest.mark.server, pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")]

GUESS_S = (0.2, 0.8)
FIELDS = [
    {"name": "color", "type": "string", "enum": ["red", "green", "blue"], "required": True},
    {"name": "big", "type": "boolean"},
    {"name": "count", "type": "integer"},
    {"name": "note", "type": "string"},
]


@pytest.fixture(scope="module")
def person(desk: Desk) -> Iterator[Person]:
    with logged_in(desk.server, *account(desk.workspace.state / "label-studio")) as person:
        yield person


def guessed(desk: Desk, name: str, **changes: Any) -> tuple[PushSummary, Any]:
    """Sends one clip with a guess of `GUESS_S`; the task that it became."""
    desk.capability(name, **changes)
    desk.guess(name, *GUESS_S)
    sent = send(desk, name, 1)
    [task] = tasks(desk, sent.project_id)
    return sent, task


def frames(task: Any, start_s: float, end_s: float) -> tuple[int, int]:
    """First and last frame of a span of the clip's seconds, on the grid that Label Studio shows."""
    fps = Fraction(task.data["fps_fraction"])
    return round(start_s * fps) + 1, round(end_s * fps)


def segments_s(desk: Desk, name: str) -> list[tuple[float, float]]:
    """The segments of the newest label, in seconds of the clip."""
    label = desk.labels(name).row(-1, named=True)
    clip = views.clips(desk.workspace.catalog).filter(pl.col("clip_id") == label["clip_id"]).collect()
    return [(part["start_s"] - clip["start_s"][0], part["end_s"] - clip["start_s"][0]) for part in label["segments"]]


def spans_s(task: Any, *spans: tuple[int, int]) -> list[Any]:
    """Seconds of the clip at which these frames are shown, to a frame: a source picture may begin a little earlier."""
    frame_s = 1 / task.data["fps"]
    return [
        (pytest.approx((first - 1) * frame_s, abs=frame_s), pytest.approx(last * frame_s, abs=frame_s))
        for first, last in spans
    ]


def test_a_clip_is_watched_corrected_and_submitted_and_comes_back_right_to_the_frame(
    desk: Desk, person: Person
) -> None:
    sent, task = guessed(desk, "browsed", segment={"description": "One time.", "fields": FIELDS})
    person.open(sent.project_id, task.id)
    assert person.page.evaluate("() => document.querySelector('video').duration") == pytest.approx(CLIP_S, abs=0.05)
    assert person.watch() > 0.1

    person.open(sent.project_id, task.id)  # the timeline has scrolled along with the clip
    first, _ = guess = frames(task, *GUESS_S)
    assert person.segments(1) == [guess]
    assert person.select(*guess) == guess
    frame_s = 1 / task.data["fps"]
    person.sees((first - 1 + 3) * frame_s, within_s=1.5 * frame_s)  # the click was 3 frames in
    person.press("3", "7")  # green; and count, once
    person.chosen("green")

    person.draw(30, 36, beside=1)
    assert person.segments(2) == [guess, (30, 36)]
    assert person.select(30, 36) == (30, 36)
    person.press("2")
    person.chosen("red")
    person.page.locator("[data-testid='textarea-input'], textarea").first.fill("late")
    person.page.keyboard.press("Enter")
    person.press("p", "x")
    person.chosen("present", "I looked at the whole clip")
    person.submit()

    assert fetch(desk, "browsed").problems == {}
    label = desk.labels("browsed").row(-1, named=True)
    assert (label["verdict"], label["exhaustive"]) == ("present", True)
    assert segments_s(desk, "browsed") == spans_s(task, guess, (30, 36))
    assert [json.loads(part["fields"]) for part in label["segments"]] == [
        {"color": "green", "count": 1},
        {"color": "red", "note": "late"},
    ]
    assert label["lead_time_s"] > 0


def test_a_guess_is_corrected_at_its_edge(desk: Desk, person: Person) -> None:
    sent, task = guessed(desk, "moved")
    first, last = frames(task, *GUESS_S)
    person.open(sent.project_id, task.id)
    person.move_start(first, first + 7)
    assert person.select(first + 7, last) == (first + 7, last)
    person.press("4", "p", "x")
    person.chosen("blue", "present")
    person.submit()
    assert fetch(desk, "moved").problems == {}
    assert segments_s(desk, "moved") == spans_s(task, (first + 7, last))


def test_a_guess_is_deleted_and_the_clip_is_said_not_to_show_it(desk: Desk, person: Person) -> None:
    sent, task = guessed(desk, "denied")
    person.open(sent.project_id, task.id)
    person.segments(1)
    person.select(*frames(task, *GUESS_S))
    person.press("Backspace")
    assert person.segments(0) == []
    person.press("a", "x")
    person.chosen("absent", "I looked at the whole clip")
    person.submit()
    assert fetch(desk, "denied").problems == {}
    label = desk.labels("denied").row(-1, named=True)
    assert (label["verdict"], label["exhaustive"], label["segments"]) == ("absent", True, [])


def test_a_guess_that_was_moved_and_then_denied_is_named(desk: Desk, person: Person) -> None:
    sent, task = guessed(desk, "moved_and_denied")
    first, last = frames(task, *GUESS_S)
    person.open(sent.project_id, task.id)
    person.move_start(first, first + 5)
    person.select(first + 5, last)
    person.press("4", "a")
    person.chosen("blue", "absent")
    person.submit()
    [task] = tasks(desk, sent.project_id)
    [region] = [entry for entry in task.annotations[0]["result"] if entry["type"] == "timelinelabels"]
    assert region["value"]["ranges"] == [{"start": first + 5, "end": last}]
    assert region["origin"] == "prediction"  # Label Studio does not tell that it was moved
    assert fetch(desk, "moved_and_denied").problems == {"a guess left in a clip said to be absent": 1}


def test_space_plays_and_stops_as_the_first_key_after_a_click_and_in_the_next_clip(desk: Desk, person: Person) -> None:
    desk.capability("played")
    sent = send(desk, "played", 2)
    person.label_all(sent.project_id)
    seen_s = person.watch()
    person.page.locator("input[name='unsure']").click()
    assert person.watch() > seen_s
    person.chosen("unsure")
    person.submit_and_go_on()
    assert person.time_s() == 0
    person.watch()


def test_a_clip_that_shows_nothing_takes_three_keys(desk: Desk, person: Person) -> None:
    desk.capability("nowhere")
    sent = send(desk, "nowhere", 1)
    person.label_all(sent.project_id)
    person.press("b")
    person.chosen("bad clip")
    person.press("a", "x")
    person.chosen("absent")  # in place of the first answer
    person.submit()
    assert fetch(desk, "nowhere").problems == {}
    label = desk.labels("nowhere").row(-1, named=True)
    assert (label["verdict"], label["exhaustive"]) == ("absent", True)


def test_a_skip_is_no_label(desk: Desk, person: Person) -> None:
    desk.capability("skipped")
    sent = send(desk, "skipped", 1)
    person.label_all(sent.project_id)
    person.skip()
    assert fetch(desk, "skipped").skipped == 1
    assert desk.labels("skipped").is_empty()


def test_an_answer_is_changed_later_and_both_versions_stay(desk: Desk, person: Person) -> None:
    desk.capability("changed")
    sent = send(desk, "changed", 1)
    [task] = tasks(desk, sent.project_id)
    for verdict, key in (("unsure", "s"), ("absent", "a")):
        person.open(sent.project_id, task.id)
        person.press(key)
        person.chosen(verdict)
        person.submit()
        fetch(desk, "changed")
    assert desk.labels("changed")["verdict"].to_list() == ["unsure", "absent"]
    assert desk.labels("changed")["label_id"].n_unique() == 1


def test_a_segment_without_a_required_field_is_not_accepted(desk: Desk, person: Person) -> None:
    sent, task = guessed(desk, "required")
    person.open(sent.project_id, task.id)
    person.segments(1)
    person.press("p", "Control+Enter")
    expect(person.page.get_by_text("string__color")).to_be_visible()
    assert fetch(desk, "required").new == 0


@pytest.mark.parametrize("address", ["?labeling=1", "?task={task}"])
def test_everything_is_on_one_screen(desk: Desk, person: Person, address: str) -> None:
    name = f"screen_{len(address)}"
    enum = [{"name": f"of_{n}", "type": "string", "enum": list("abcdefg")} for n in range(3)]
    sent, task = guessed(desk, name, segment={"description": "One time.", "fields": enum})
    if "task" in address:
        person.open(sent.project_id, task.id)
    else:
        person.label_all(sent.project_id)
    person.segments(1)
    person.select(*frames(task, *GUESS_S))
    video, timeline, submit = (
        box_of(person, part) for part in (".lsf-video-canvas", ".lsf-timeline-frames", "button:has-text('Submit')")
    )
    assert video["height"] == 480
    assert video["width"] >= 540
    assert timeline["height"] >= 120
    assert timeline["y"] + 100 < submit["y"]
    assert timeline["width"] > video["width"] + 200
    for choice in ("present", "I looked at the whole clip", "a", "g"):
        box = box_of(person, f"input[name='{choice}']", last=True)
        assert video["x"] + video["width"] < box["x"]
        assert video["y"] - 5 < box["y"] < video["y"] + video["height"]


def box_of(person: Person, part: str, *, last: bool = False) -> Any:
    found = person.page.locator(part)
    box = (found.last if last else found.first).bounding_box()
    assert box is not None
    return box
