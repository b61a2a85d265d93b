"""What annotators did becomes labels, through a real Label Studio: versions, skips, deletions, drafts."""

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest

from curate import views
from labeling import changes
from labeling.client import session
from labeling.simulate import annotate
from tests.labeling.conftest import COLOR, Desk
from tests.labeling.steps import ABSENT, UNSURE, annotate_task, fetch, in_force, send, tasks

pytestmark = pytest.mark.server


def test_pulled_times_equal_the_truth_to_within_one_frame(desk: Desk) -> None:
    """Over 29.97, variable rate, a late start, a rotated file and Matroska."""
    name = desk.capability(
        "round_trip", segment={"description": "One.", "fields": [{"name": "color", "type": "string"}]}
    )
    truth = desk.truth_of(name)
    sent = send(desk, name)
    assert annotate(desk.workspace, truth, desk.server, capabilities=[name]) == sent.pushed
    assert annotate(desk.workspace, truth, desk.server, capabilities=[name]) == 0
    assert fetch(desk, name).new == sent.pushed
    clips = {row["clip_id"]: row for row in views.clips(desk.workspace.catalog).collect().to_dicts()}
    frame_s = {task.data["clip_id"]: 1 / task.data["fps"] for task in tasks(desk, sent.project_id)}
    videos = {video["file"]: video for video in truth["videos"]}
    compared: set[str] = set()
    for label in desk.labels(name).to_dicts():
        clip, frame = clips[label["clip_id"]], frame_s[label["clip_id"]]
        video = videos[clip["path"].rsplit("/", 1)[1]]
        expected = sorted(
            (max(segment["start_s"], clip["start_s"]), min(segment["end_s"], clip["end_s"]))
            for segment in video["segments"]
            if min(segment["end_s"], clip["end_s"]) - max(segment["start_s"], clip["start_s"]) >= 0.5 * frame
        )
        found = [(segment["start_s"], segment["end_s"]) for segment in label["segments"]]
        assert len(found) == len(expected)
        for got, true in zip(found, expected, strict=True):
            assert max(abs(got[0] - true[0]), abs(got[1] - true[1])) <= frame
        assert label["verdict"] == ("present" if expected else "absent")
        assert (label["exhaustive"], label["annotator"], label["deleted"]) == (True, "curate@localhost", False)
        assert label["lead_time_s"] > 0
        if expected:
            compared.add(video["file"])
    styles = [
        (v["fps"], v["variable_rate"], v["start_offset_s"] > 1, v["rotation_deg"])
        for v in videos.values()
        if v["file"] in compared
    ]
    assert any(variable for _, variable, _, _ in styles)
    assert any(late for _, _, late, _ in styles)
    assert any(Fraction(fps).limit_denominator(1001) == Fraction(30000, 1001) for fps, *_ in styles)


def test_fields_come_back_with_the_types_of_the_spec(desk: Desk) -> None:
    fields = [
        COLOR,
        {"name": "note", "type": "string"},
        {"name": "high", "type": "boolean"},
        {"name": "height_m", "type": "number"},
        {"name": "times", "type": "integer"},
    ]
    values = {"color": "green", "note": 'a "note" <b>', "high": False, "height_m": 1.5, "times": 3}
    name = desk.capability("typed", segment={"description": "One.", "fields": fields})
    truth = desk.truth_of(name)
    for video in truth["videos"]:
        video["segments"] = [{"action": name, "start_s": 1.0, "end_s": 2.0, "fields": values}]
    send(desk, name, 1)
    annotate(desk.workspace, truth, desk.server, capabilities=[name])
    fetch(desk, name)
    [label] = desk.labels(name).to_dicts()
    found = json.loads(label["segments"][0]["fields"])
    assert found == values
    assert {key: type(value) for key, value in found.items()} == {key: type(value) for key, value in values.items()}


def test_a_pull_with_nothing_new_writes_nothing(desk: Desk) -> None:
    name = desk.capability("unchanged")
    send(desk, name, 3)
    annotate(desk.workspace, desk.truth_of(name), desk.server, capabilities=[name])
    first = fetch(desk, name)
    version = desk.workspace.catalog.versions()["labels"]
    second = fetch(desk, name)
    assert (first.new, second.new, second.unchanged, second.deleted) == (3, 0, 3, 0)
    assert desk.workspace.catalog.versions()["labels"] == version
    for cursor in (desk.workspace.state / "labels").glob("*.json"):
        cursor.unlink()
    assert fetch(desk, name) == second


def test_a_skip_is_no_label(desk: Desk) -> None:
    name = desk.capability("passed_over")
    found = tasks(desk, send(desk, name, 2).project_id)
    with session(desk.server) as client:
        client.annotations.create(found[0].id, result=ABSENT, was_cancelled=True)
    summary = fetch(desk, name)
    assert (summary.new, summary.skipped) == (0, 1)
    assert desk.labels(name).is_empty()


def test_an_annotation_changed_later_is_a_new_version(desk: Desk) -> None:
    name = desk.capability("annotated_again")
    [task] = tasks(desk, send(desk, name, 1).project_id)
    with session(desk.server) as client:
        made = client.annotations.create(task.id, result=ABSENT)
        fetch(desk, name)
        client.annotations.update(made.id, result=UNSURE)
    assert fetch(desk, name).new == 1
    assert desk.labels(name)["verdict"].to_list() == ["absent", "unsure"]
    assert in_force(desk, name) == ["unsure"]


@pytest.mark.parametrize("how", ["annotation", "task", "skip"])
def test_an_annotation_that_is_taken_back_ends_its_label(desk: Desk, how: str) -> None:
    name = desk.capability(f"taken_back_{how}")
    found = tasks(desk, send(desk, name, 2).project_id)
    with session(desk.server) as client:
        made = [client.annotations.create(task.id, result=ABSENT) for task in found]
        fetch(desk, name)
        if how == "annotation":
            client.annotations.delete(made[0].id)
        elif how == "task":
            client.tasks.delete(str(found[0].id))
        else:
            client.annotations.update(made[0].id, was_cancelled=True)
    summary = fetch(desk, name)
    assert (summary.new, summary.deleted, summary.unchanged) == (0, 1, 1)
    assert desk.labels(name)["deleted"].to_list() == [False, False, True]
    assert in_force(desk, name) == ["absent"]
    assert fetch(desk, name).deleted == 0


def test_a_draft_is_no_label(desk: Desk) -> None:
    name = desk.capability("drafted")
    [task] = tasks(desk, send(desk, name, 1).project_id)
    with session(desk.server) as client:
        raw = client._client_wrapper.httpx_client
        raw.request(f"api/tasks/{task.id}/drafts", method="POST", json={"result": ABSENT, "lead_time": 1})
    assert fetch(desk, name).new == 0


def test_what_an_annotation_lacks_is_counted(desk: Desk) -> None:
    name = desk.capability("odd")
    [task] = tasks(desk, send(desk, name, 1).project_id)
    span = {"ranges": [{"start": 1, "end": 5}], "timelinelabels": ["another"]}
    with session(desk.server) as client:
        odd = {"id": "a", "from_name": "segment", "to_name": "video", "type": "timelinelabels", "value": span}
        client.annotations.create(task.id, result=[odd])
    summary = fetch(desk, name)
    assert (summary.new, summary.problems) == (1, {"no verdict": 1, "unknown label": 1})


def test_an_annotation_that_was_committed_late_with_an_earlier_time_is_not_missed(desk: Desk) -> None:
    """Two requests overlap: the one that began first ends last, after a pull has read past its time."""
    name = desk.capability("overtaken")
    found = tasks(desk, send(desk, name, 3).project_id)
    annotate_task(desk.server, found[0].id, ABSENT)
    assert fetch(desk, name).new == 1
    annotate_task(desk.server, found[1].id, ABSENT)
    earlier = datetime.now(UTC) - timedelta(seconds=60)
    with closing(sqlite3.connect(desk.workspace.state / "label-studio" / "data" / "label_studio.sqlite3")) as database:
        database.execute("UPDATE task SET updated_at = ? WHERE id = ?", (f"{earlier:%F %T.%f}", found[1].id))
        database.commit()
    second, third = fetch(desk, name), fetch(desk, name)
    assert (second.new, second.unchanged, third.new, third.unchanged) == (1, 1, 0, 2)


def test_what_was_pulled_minutes_ago_is_not_read_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    name = desk.capability("settled")
    for task in tasks(desk, send(desk, name, 3).project_id):
        annotate_task(desk.server, task.id, ABSENT)
    monkeypatch.setattr(changes, "_OVERLAP", timedelta(seconds=-1))
    assert fetch(desk, name).new == 3
    monkeypatch.setattr(changes, "pages", lambda *_, **__: pytest.fail("tasks were read"))
    assert (fetch(desk, name).new, fetch(desk, name).unchanged) == (0, 3)
