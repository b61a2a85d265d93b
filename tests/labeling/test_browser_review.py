"""What a reviewer and a voter see and do, in a real browser."""

import json
from collections.abc import Iterator
from typing import Any

import polars as pl
import pytest
from playwright.sync_api import expect

from curate import views
from curate.review.cases import open_cases
from labeling.adjudicate import adjudicate
from labeling.client import Server, session
from labeling.pull import pull
from labeling.push import push
from labeling.simulate import Errors, annotate
from tests.labeling.browser import CHROMIUM, Person, account, logged_in
from tests.labeling.conftest import Desk
from tests.labeling.test_adjudicate import project as review_of
from tests.labeling.test_compare import GOOD, POOR, compared
from tests.labeling.test_compare import project as comparison_of

pytestmark = [pytest.mark.server, pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")]


@pytest.fixture(scope="module")
def person(desk: Desk) -> Iterator[Person]:
    with logged_in(desk.server, *account(desk.workspace.state / "label-studio")) as person:
        yield person


def differ(desk: Desk, name: str, second: Server) -> Any:
    """Sends a case: one annotator marks second 1 to 2 of a clip, the other 0.6 s later; its task."""
    desk.capability(name, quality={"overlap": 1.0, "agreement": 0.99})
    clip = views.clips(desk.workspace.catalog).collect().row(0, named=True)
    push(desk.workspace, desk.order(name, desk.clips(1)), desk.server)
    for server, late_s in ((desk.server, 0.0), (second, 0.6)):
        truth = desk.truth_of(name)
        start_s, end_s = clip["start_s"] + 1 + late_s, clip["start_s"] + 2 + late_s
        for video in truth["videos"]:
            video["segments"] = [{"action": name, "start_s": start_s, "end_s": end_s, "fields": {"color": "green"}}]
        annotate(desk.workspace, truth, server, capabilities=[name], errors=Errors())
    pull(desk.workspace, [name], server=desk.server)
    adjudicate(desk.workspace, desk.server, name)
    with session(desk.server) as client:
        [task] = client.tasks.list(project=review_of(desk, name).number, fields="all")
    return task


def shown(task: Any) -> dict[str, tuple[int, int]]:
    """First and last frame of the one segment of each answer."""
    spans = [entry["value"] for entry in task.predictions[0].result if "timelinelabels" in entry["value"]]
    return {span["timelinelabels"][0]: (span["ranges"][0]["start"], span["ranges"][0]["end"]) for span in spans}


def settled(desk: Desk, name: str) -> dict[str, Any]:
    assert pull(desk.workspace, [name], server=desk.server).problems == {}
    [label] = views.labels(desk.workspace.catalog).filter(pl.col("capability") == name).collect().to_dicts()
    assert label["purpose"] == "review"
    return label


def test_one_key_takes_the_answer_that_is_right(desk: Desk, second: Server, person: Person) -> None:
    name = "seen_by_a_reviewer"
    task = differ(desk, name, second)
    [case] = open_cases(desk.workspace.catalog, name)
    person.open(review_of(desk, name).number, task.id)
    assert person.segments(2) == sorted(shown(task).values())
    for number in ("1", "2"):
        expect(person.page.get_by_role("heading", name=f"answer {number}")).to_be_in_viewport()
        expect(person.page.get_by_text(task.data[f"answer_{number}"].splitlines()[-1], exact=True)).to_be_in_viewport()
    person.press("2")
    expect(person.page.locator("input[name='Answer 2 is right']")).to_be_checked()
    person.submit()
    label = settled(desk, name)
    assert label["segments"] == case.answers[1].rows()
    assert (label["verdict"], label["exhaustive"]) == ("present", True)


def test_a_segment_of_an_answer_is_taken_over_and_corrected(desk: Desk, second: Server, person: Person) -> None:
    name = "taken_over"
    task = differ(desk, name, second)
    person.open(review_of(desk, name).number, task.id)
    first, last = min(shown(task).values())
    person.press("3")
    person.select(first, last)
    person.press("5")
    expect(person.page.locator("input[name='green']")).to_be_checked()
    person.press("p", "x")
    person.submit()
    label = settled(desk, name)
    [segment] = label["segments"]
    assert json.loads(segment["fields"]) == {"color": "green"}
    assert segment["start_s"] - task.data["start_s"] == pytest.approx(1, abs=0.05)
    assert (label["verdict"], label["exhaustive"]) == ("present", True)


def test_a_vote_takes_one_key_and_the_page_names_no_model(desk: Desk, person: Person) -> None:
    name = "seen_by_a_voter"
    compared(desk, name, clips=1, repeats=0)
    project = comparison_of(desk, name)
    with session(desk.server) as client:
        [task] = client.tasks.list(project=project.number, fields="all")
    person.open(project.number, task.id)
    assert person.segments(2) == sorted(shown(task).values())
    assert not any(model in person.page.content() for model in (GOOD, POOR))
    person.press("3")
    person.submit()
    pull(desk.workspace, [name], server=desk.server)
    rows = desk.workspace.catalog.scan("votes").filter(pl.col("comparison_id") == f"comparison-of-{name}").collect()
    assert rows["answer"].to_list() == ["tie"]
