"""Clips whose answer is known, asked among the others to measure annotators, through a real Label Studio."""

from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate import views
from curate.review.annotators import annotators
from labeling.adjudicate import adjudicate
from labeling.client import Server, session
from labeling.gold import is_gold, mixed, task_key
from labeling.projects import Project, find_projects
from labeling.pull import pull
from labeling.push import PushSummary, push
from labeling.simulate import Errors, annotate, review
from tests.labeling.conftest import Desk

PROJECT = Project(1, "0123456789ab", "label", "any", "v")


@given(st.text(), st.text(min_size=1))
def test_a_key_says_what_is_gold_to_whoever_computes_it(clip_id: str, order_id: str) -> None:
    ordinary, gold = task_key(PROJECT, clip_id), task_key(PROJECT, clip_id, order_id)
    assert not is_gold(PROJECT, {"clip_id": clip_id, "key": ordinary})
    assert is_gold(PROJECT, {"clip_id": clip_id, "key": gold})
    assert len(ordinary) == len(gold) == 16


def test_a_task_of_before_there_was_gold_is_none() -> None:
    assert not is_gold(PROJECT, {"clip_id": "c"})


@given(st.lists(st.integers(0, 99)), st.lists(st.integers(100, 199)), st.text())
def test_gold_is_put_among_the_others_whose_order_stays(tasks: list[int], gold: list[int], seed: str) -> None:
    found = mixed(tasks, gold, seed)
    assert [item for item in found if item < 100] == tasks
    assert sorted(item for item in found if item >= 100) == sorted(gold)
    assert found == mixed(tasks, gold, seed)


SETTLED, GOLD_SHARE = 6, 0.5


def settled(desk: Desk, name: str, second: Server, third: Server) -> dict[str, Any]:
    """A capability of which reviews have settled some clips; from now on a share of what is sent is gold."""
    desk.capability(name, quality={"overlap": 1.0})
    truth = desk.truth_of(name)
    push(desk.workspace, desk.order(name, desk.clips(SETTLED)), desk.server)
    annotate(desk.workspace, truth, desk.server, capabilities=[name])
    annotate(desk.workspace, truth, second, capabilities=[name], errors=Errors(verdict=1.0))
    pull(desk.workspace, [name], server=desk.server)
    adjudicate(desk.workspace, desk.server, name)
    review(desk.workspace, truth, third, capabilities=[name])
    pull(desk.workspace, [name], server=desk.server)
    desk.capability(name, quality={"overlap": 0.0, "gold": GOLD_SHARE})
    return truth


def send(desk: Desk, name: str, first: int, count: int) -> PushSummary:
    return push(desk.workspace, desk.order(name, desk.clips().slice(first, count)), desk.server)


def tasks(desk: Desk, name: str) -> tuple[Project, list[Any]]:
    with session(desk.server) as client:
        [project] = [each for each in find_projects(client) if each.capability == name]
        return project, list(client.tasks.list(project=project.number, fields="all", page_size=1000))


def known_of(desk: Desk, name: str, annotator: str) -> dict[str, Any]:
    rows = annotators(desk.workspace.catalog, {name: desk.workspace.capability(name)})
    [row] = rows.filter(pl.col("annotator") == annotator, pl.col("capability") == name).to_dicts()
    return row


@pytest.mark.server
def test_gold_is_sent_once_among_the_others_and_nothing_in_a_task_tells(
    desk: Desk, second: Server, third: Server
) -> None:
    name = "golden"
    settled(desk, name, second, third)
    sent, again = send(desk, name, SETTLED, 8), send(desk, name, SETTLED, 8)
    assert (sent.pushed, again.pushed, again.already_there) == (8, 0, 8)
    project, found = tasks(desk, name)
    new = found[SETTLED:]
    gold = [task for task in new if is_gold(project, task.data)]
    assert (len(new), len(gold)) == (12, 4)
    assert {task.data["clip_id"] for task in gold} <= set(desk.clips(SETTLED)["clip_id"])
    assert [task.data["clip_id"] for task in new if task not in gold] == desk.clips()["clip_id"].to_list()[6:14]
    shapes = {(tuple(sorted(task.data)), task.data["reason"], task.overlap, len(task.meta)) for task in new}
    assert len(shapes) == 1
    assert {len(task.data["key"]) for task in new} == {16}
    orders = desk.workspace.catalog.scan("orders").filter(pl.col("capability") == name).collect()
    assert sorted(orders["clip_id"]) == sorted(desk.clips()["clip_id"].to_list()[:14])


@pytest.mark.server
def test_answers_to_gold_measure_the_annotator_and_are_never_in_force(
    desk: Desk, second: Server, third: Server
) -> None:
    name = "measured"
    truth = settled(desk, name, second, third)
    before = in_force(desk, name)
    send(desk, name, SETTLED, 4)
    annotate(desk.workspace, truth, desk.server, capabilities=[name])
    send(desk, name, SETTLED + 4, 4)
    annotate(desk.workspace, truth, second, capabilities=[name], errors=Errors(verdict=1.0))
    pull(desk.workspace, [name], server=desk.server)

    labels = desk.labels(name)
    assert labels.filter(pl.col("purpose") == "gold")["annotator"].sort().to_list() == [
        "curate@localhost", "curate@localhost", "second@example.org", "second@example.org",
    ]  # fmt: skip
    assert in_force(desk, name).items() >= before.items()
    right, wrong = (known_of(desk, name, who) for who in ("curate@localhost", "second@example.org"))
    assert (right["gold_clips"], right["gold_verdict"]) == (2, 1.0)
    assert (wrong["gold_clips"], wrong["gold_verdict"]) == (2, 0.0)


@pytest.mark.server
def test_without_a_review_there_is_no_gold(desk: Desk) -> None:
    name = "unsettled"
    desk.capability(name, quality={"overlap": 0.0, "gold": GOLD_SHARE})
    assert send(desk, name, 0, 3).pushed == 3
    project, found = tasks(desk, name)
    assert [is_gold(project, task.data) for task in found] == [False] * 3


def in_force(desk: Desk, name: str) -> dict[str, tuple[str, str]]:
    """Which label is in force for each clip, and its purpose."""
    labels = views.labels(desk.workspace.catalog).filter(pl.col("capability") == name).collect()
    return {row["clip_id"]: (row["label_id"], row["purpose"]) for row in labels.iter_rows(named=True)}
