"""Two annotators differ, a reviewer settles it: through a real Label Studio."""

import json
from typing import Any

import polars as pl
import pytest

from curate import views
from curate.errors import InputError
from curate.review.agreement import agreement
from curate.review.cases import open_cases
from labeling.adjudicate import AdjudicateSummary, adjudicate
from labeling.client import Server, session
from labeling.projects import REVIEW, Project
from labeling.pull import pull
from labeling.push import push
from labeling.simulate import Errors, annotate, review
from tests.labeling import steps
from tests.labeling.conftest import COLOR, Desk

pytestmark = pytest.mark.server

TWICE = {"overlap": 1.0, "agreement": 0.8}
FIRST_IS_RIGHT = Errors()
SECOND_ERRS = Errors(verdict=1.0, seed=3)


def differ(desk: Desk, name: str, second: Server, *, clips: int = 4, errors: Errors = SECOND_ERRS) -> dict[str, Any]:
    """A capability of which two people have annotated clips and the second errs; returns what is true of it."""
    desk.capability(name, quality=TWICE)
    truth = desk.truth_of(name)
    push(desk.workspace, desk.order(name, desk.clips(clips)), desk.server)
    assert annotate(desk.workspace, truth, desk.server, capabilities=[name]) == clips
    assert annotate(desk.workspace, truth, second, capabilities=[name], errors=errors) == clips
    fetch(desk, name)
    return truth


def fetch(desk: Desk, name: str) -> dict[str, int]:
    return pull(desk.workspace, [name], server=desk.server).problems


def settle(desk: Desk, name: str) -> AdjudicateSummary:
    return adjudicate(desk.workspace, desk.server, name)


def project(desk: Desk, name: str) -> Project:
    return steps.project(desk, name, REVIEW)


def tasks(desk: Desk, name: str) -> list[Any]:
    return steps.tasks(desk, project(desk, name).number)


def in_force(desk: Desk, name: str) -> dict[str, dict[str, Any]]:
    labels = views.labels(desk.workspace.catalog).filter(pl.col("capability") == name).collect()
    return {row["clip_id"]: row for row in labels.iter_rows(named=True)}


def contested(desk: Desk, name: str) -> int:
    rows = desk.workspace.catalog.scan("agreements").filter(pl.col("capability") == name, pl.col("contested"))
    return rows.collect().height


def measured(desk: Desk, name: str, measure: str) -> float:
    specs = {name: desk.workspace.capability(name)}
    rows = agreement(desk.workspace.catalog, specs).filter(pl.col("annotator").is_null(), pl.col("measure") == measure)
    [value] = rows["value"].to_list()
    return float(value)


def take(task: Any, server: Server, choice: str, *rest: dict[str, Any]) -> int:
    entry = {"id": "t", "from_name": "take", "to_name": "video", "type": "choices", "value": {"choices": [choice]}}
    with session(server) as client:
        return int(client.annotations.create(task.id, result=[entry, *rest]).id)


def chosen(control: str, value: str) -> dict[str, Any]:
    return {
        "id": control,
        "from_name": control,
        "to_name": "video",
        "type": "choices",
        "value": {"choices": [value]},
    }


def test_what_annotators_differ_on_is_measured_reviewed_and_then_in_force(
    desk: Desk, second: Server, third: Server
) -> None:
    name = "differs"
    truth = differ(desk, name, second, clips=6)
    assert measured(desk, name, "verdict") == 0
    assert contested(desk, name) == 6

    sent = settle(desk, name)
    assert (sent.pushed, sent.already_there, sent.withdrawn, sent.failed) == (6, 0, 0, 0)
    assert review(desk.workspace, truth, third, capabilities=[name]) == 6
    assert fetch(desk, name) == {}

    labels = in_force(desk, name)
    assert {row["purpose"] for row in labels.values()} == {"review"}
    assert {row["annotator"] for row in labels.values()} == {"third@example.org"}
    rows = desk.labels(name).filter(pl.col("annotator") == "curate@localhost").to_dicts()
    right = {row["clip_id"]: row for row in rows}
    for clip_id, row in labels.items():
        assert (row["verdict"], row["segments"]) == (right[clip_id]["verdict"], right[clip_id]["segments"])
    assert contested(desk, name) == 0
    assert open_cases(desk.workspace.catalog, name) == []


def test_a_settled_case_is_not_asked_again_and_an_open_one_not_twice(desk: Desk, second: Server) -> None:
    name = "asked_once"
    truth = differ(desk, name, second)
    first, again = settle(desk, name), settle(desk, name)
    assert (first.pushed, again.pushed, again.already_there) == (4, 0, 4)
    assert len(tasks(desk, name)) == 4
    review(desk.workspace, truth, desk.server, capabilities=[name])
    fetch(desk, name)
    after = settle(desk, name)
    assert (after.pushed, after.already_there, after.withdrawn) == (0, 0, 0)
    assert len(tasks(desk, name)) == 4


def test_an_answer_that_changed_makes_a_new_case_and_agreement_withdraws_one(desk: Desk, second: Server) -> None:
    name = "changed_mind"
    differ(desk, name, second, clips=2)
    settle(desk, name)
    before = {task.data["clip_id"]: task.data["key"] for task in tasks(desk, name)}
    mine = desk.labels(name).filter(pl.col("annotator") == "curate@localhost").to_dicts()
    theirs = desk.labels(name).filter(pl.col("annotator") == "second@example.org").to_dicts()
    agrees, differs = (next(row for row in theirs if row["clip_id"] == own["clip_id"]) for own in mine)
    with session(second) as client:
        number = int(agrees["label_id"].rsplit("-", 1)[1])
        [own] = [row for row in mine if row["clip_id"] == agrees["clip_id"]]
        with session(desk.server) as other:
            right = other.annotations.get(int(own["label_id"].rsplit("-", 1)[1])).result
        client.annotations.update(number, result=right)
        number = int(differs["label_id"].rsplit("-", 1)[1])
        client.annotations.update(number, result=[chosen("verdict", "bad_clip")])
    fetch(desk, name)
    sent = settle(desk, name)
    assert (sent.pushed, sent.already_there, sent.withdrawn) == (1, 0, 2)
    [task] = tasks(desk, name)
    assert task.data["clip_id"] == differs["clip_id"]
    assert task.data["key"] != before[differs["clip_id"]]
    assert "bad clip" in (task.data["answer_1"], task.data["answer_2"])


def test_a_case_that_somebody_began_is_not_withdrawn(desk: Desk, second: Server) -> None:
    name = "begun"
    differ(desk, name, second, clips=1)
    settle(desk, name)
    [task] = tasks(desk, name)
    with session(desk.server) as client:
        raw = client._client_wrapper.httpx_client
        raw.request(f"api/tasks/{task.id}/drafts", method="POST", json={"result": [], "lead_time": 1})
        [label] = desk.labels(name).filter(pl.col("annotator") == "second@example.org").to_dicts()
        client.annotations.delete(int(label["label_id"].rsplit("-", 1)[1]))
    fetch(desk, name)
    assert settle(desk, name).withdrawn == 0
    assert len(tasks(desk, name)) == 1


def test_a_reviewer_marks_it_anew_where_both_are_wrong(desk: Desk, second: Server) -> None:
    """Regions that are still an answer's are not the reviewer's."""
    name = "marked_anew"
    differ(desk, name, second, clips=1)
    settle(desk, name)
    [task] = tasks(desk, name)
    rate = round(task.data["fps"])
    spans = {"answer 1": (1, 5), name: (rate + 1, 2 * rate)}
    regions = [
        {
            "id": label,
            "from_name": "segment",
            "to_name": "video",
            "type": "timelinelabels",
            "value": {"ranges": [{"start": first, "end": last}], "timelinelabels": [label]},
        }
        for label, (first, last) in spans.items()
    ]
    color = {"id": name, "from_name": "string__color", "to_name": "video", "type": "choices"}
    blue = {**color, "value": {"ranges": [{"start": rate + 1, "end": 2 * rate}], "choices": ["blue"]}}
    verdict = [chosen("verdict", "present"), chosen("exhaustive", "exhaustive")]
    take(task, desk.server, "corrected", *regions, blue, *verdict)
    assert fetch(desk, name) == {}
    [label] = in_force(desk, name).values()
    [segment] = label["segments"]
    assert (label["purpose"], label["verdict"], label["exhaustive"]) == ("review", "present", True)
    assert json.loads(segment["fields"]) == {"color": "blue"}
    assert segment["start_s"] - task.data["start_s"] == pytest.approx(1, abs=0.05)
    assert segment["end_s"] - task.data["start_s"] == pytest.approx(2, abs=0.05)


def test_a_reviewer_who_cannot_tell_says_so_and_a_review_taken_back_opens_the_case(desk: Desk, second: Server) -> None:
    name = "undecidable"
    differ(desk, name, second, clips=1)
    settle(desk, name)
    [task] = tasks(desk, name)
    number = take(task, desk.server, "unsure")
    fetch(desk, name)
    [label] = in_force(desk, name).values()
    assert (label["verdict"], label["segments"], label["purpose"]) == ("unsure", [], "review")
    assert contested(desk, name) == 0
    with session(desk.server) as client:
        client.annotations.delete(number)
    fetch(desk, name)
    assert desk.labels(name).filter(pl.col("purpose") == "review")["deleted"].to_list() == [False, True]
    assert contested(desk, name) == 1
    assert settle(desk, name).already_there == 1


def test_a_page_edited_by_hand_is_refused_and_put_back_when_asked(desk: Desk, second: Server) -> None:
    name = "edited_page"
    differ(desk, name, second, clips=1)
    settle(desk, name)
    number = project(desk, name).number
    with session(desk.server) as client:
        ours = client.projects.get(number).label_config
        client.projects.update(number, label_config=ours.replace('alias="unsure"', 'alias="maybe"'))
        with pytest.raises(InputError, match=f"edited by hand.*adjudicate {name} --restore-interface"):
            settle(desk, name)
        assert adjudicate(desk.workspace, desk.server, name, restore_interface=True).already_there == 1
        assert client.projects.get(number).label_config == ours


def test_nothing_that_the_reviewer_sees_tells_whose_an_answer_is(desk: Desk, second: Server) -> None:
    name = "whose"
    differ(desk, name, second)
    settle(desk, name)
    for task in tasks(desk, name):
        shown = json.dumps([task.data, [(p.result, p.model_version) for p in task.predictions]], default=str)
        assert not any(word in shown for word in ("example.org", "localhost", "annotator"))
    sides = {case.answers[0].by for case in open_cases(desk.workspace.catalog, name)}
    assert sides <= {"curate@localhost", "second@example.org"}


def test_both_answers_are_told_in_words_and_stand_on_the_timeline(desk: Desk, second: Server) -> None:
    name = "told"
    fields = {"description": "One.", "fields": [COLOR]}
    desk.capability(name, quality=TWICE, segment=fields)
    differ_truth = desk.truth_of(name)
    clip = desk.clips(1)["clip_id"][0]
    start_s = views.clips(desk.workspace.catalog).filter(pl.col("clip_id") == clip).collect()["start_s"][0]
    for video in differ_truth["videos"]:
        video["segments"] = [
            {"action": name, "start_s": start_s + 1, "end_s": start_s + 2, "fields": {"color": "green"}}
        ]
    push(desk.workspace, desk.order(name, desk.clips(1)), desk.server)
    annotate(desk.workspace, differ_truth, desk.server, capabilities=[name])
    annotate(desk.workspace, differ_truth, second, capabilities=[name], errors=Errors(missed=1.0))
    fetch(desk, name)
    settle(desk, name)
    [task] = tasks(desk, name)
    said = sorted([task.data["answer_1"], task.data["answer_2"]])
    assert said[0] == "absent, looked at all of it"
    assert said[1].startswith("present, looked at all of it\n1.0")
    assert said[1].endswith("s: color green")
    [prediction] = task.predictions
    shown = {entry["from_name"]: entry["value"] for entry in prediction.result}
    assert shown["segment"]["timelinelabels"] == [f"answer {1 + ('present' in task.data['answer_2'])}"]
    assert shown["string__color"]["choices"] == ["green"]
