"""Clips to annotators and their labels back, through a real Label Studio."""

import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import av
import httpx
import polars as pl
import pytest
from label_studio_sdk.projects.client import ProjectsClient

from curate import views
from curate.decisions import decisions
from curate.errors import CurateError, InputError
from labeling.client import Server, session
from labeling.proxies import directory
from labeling.pull import PullSummary, pull
from labeling.push import PushSummary, push
from labeling.simulate import annotate
from tests.labeling.conftest import COLOR, Desk

pytestmark = pytest.mark.server

CHOICE = {"to_name": "video", "type": "choices"}
ABSENT = [{"id": "v", "from_name": "verdict", **CHOICE, "value": {"choices": ["absent"]}}]
UNSURE = [{"id": "v", "from_name": "verdict", **CHOICE, "value": {"choices": ["unsure"]}}]


def send(desk: Desk, name: str, count: int | None = None) -> PushSummary:
    return push(desk.workspace, desk.order(name, desk.clips(count)), desk.server)


def fetch(desk: Desk, name: str) -> PullSummary:
    return pull(desk.workspace, [name], server=desk.server)


def tasks(desk: Desk, project: int) -> list[Any]:
    with session(desk.server) as client:
        return list(client.tasks.list(project=project, fields="all", resolve_uri=False, page_size=1000))


def test_pushing_twice_sends_nothing_twice(desk: Desk) -> None:
    name = desk.capability("push_twice")
    first, second = send(desk, name), send(desk, name)
    clips = desk.clips()["clip_id"].to_list()
    assert (first.pushed, first.already_there, first.failed) == (len(clips), 0, 0)
    assert (second.pushed, second.already_there, second.project_id) == (0, len(clips), first.project_id)
    assert [task.data["clip_id"] for task in tasks(desk, first.project_id)] == clips


def test_an_order_is_done_once_it_was_sent_and_sending_again_is_the_same_order(desk: Desk) -> None:
    name = desk.capability("decided")
    send(desk, name, 2)
    send(desk, name, 2)
    [done] = decisions(desk.workspace.catalog, subject=name)
    assert (done.kind, done.status, done.who, done.why) == ("label-order", "done", "tester", "a test")
    assert [clip["clip_id"] for clip in done.plan["clips"]] == desk.clips(2)["clip_id"].to_list()
    assert done.evidence["result"]["pushed"] == done.cost["clips"] == 2


def test_why_each_clip_was_sent_is_kept(desk: Desk) -> None:
    name = desk.capability("reasoned")
    clips = desk.clips(2).with_columns(reason=pl.Series(["likely", "audit"]), inclusion=pl.Series([None, 0.25]))
    placed = desk.order(name, clips)
    push(desk.workspace, placed, desk.server)
    kept = desk.workspace.catalog.scan("orders").filter(pl.col("capability") == name).collect()
    shown = kept.select("clip_id", "reason", "inclusion", "decision_id").sort("clip_id").rows()
    asked = clips.with_columns(decision_id=pl.lit(placed.decision_id))
    assert shown == asked.select("clip_id", "reason", "inclusion", "decision_id").sort("clip_id").rows()


def test_an_order_that_nobody_approved_is_not_sent(desk: Desk) -> None:
    name = desk.capability("waiting")
    proposed = desk.order(name, desk.clips(1), status="proposed")
    with pytest.raises(InputError, match=f"is proposed, not approved.*curate approve {proposed.decision_id}"):
        push(desk.workspace, proposed, desk.server)


@pytest.mark.parametrize("committed", [True, False])
def test_a_push_that_lost_its_connection_is_repeated_without_duplicates(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, committed: bool
) -> None:
    """Both ways a request can die: before the server had it, and after it was done but before it said so."""
    name = desk.capability(f"cut_off_{'after' if committed else 'before'}")
    monkeypatch.setattr("labeling.push._BATCH_TASKS", 3)
    real: Callable[..., Any] = ProjectsClient.import_tasks
    calls = 0

    def dies_at_the_second(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls != 2 or committed:
            real(*args, **kwargs)
        if calls == 2:
            raise httpx.ReadTimeout("the reply was lost")

    with monkeypatch.context() as patched:
        patched.setattr(ProjectsClient, "import_tasks", dies_at_the_second)
        with pytest.raises(CurateError, match="does not answer"):
            send(desk, name, 8)
    again = send(desk, name, 8)
    there = 6 if committed else 3
    assert (again.already_there, again.pushed) == (there, 8 - there)
    assert [task.data["clip_id"] for task in tasks(desk, again.project_id)] == desk.clips(8)["clip_id"].to_list()
    [once] = decisions(desk.workspace.catalog, subject=name)
    assert once.status == "done"


def test_a_new_version_of_the_spec_is_a_new_project(desk: Desk) -> None:
    name = desk.capability("versioned")
    first = send(desk, name, 1)
    desk.capability(name, definition="It is seen well.")
    assert send(desk, name, 1).project_id != first.project_id


def test_a_renamed_project_is_found_again(desk: Desk) -> None:
    name = desk.capability("renamed")
    first = send(desk, name, 1)
    with session(desk.server) as client:
        client.projects.update(first.project_id, title="our best project")
    assert send(desk, name, 2).project_id == first.project_id


def test_annotators_can_watch_every_clip_on_its_own_grid(desk: Desk) -> None:
    name = desk.capability("watched")
    found = tasks(desk, send(desk, name).project_id)
    headers = {"Authorization": f"Token {desk.server.token}", "Range": "bytes=0-99"}
    for task in found:
        reply = httpx.get(f"{desk.server.url}{task.data['video']}", headers=headers)
        assert (reply.status_code, len(reply.content)) == (206, 100)
        file = directory(desk.workspace) / task.data["video"].partition("?d=proxies/")[2]
        with av.open(str(file)) as proxy:
            stream = proxy.streams.video[0]
            assert stream.average_rate == Fraction(task.data["fps_fraction"])
            assert stream.frames == task.data["frames"]
        assert task.data["fps"] == float(Fraction(task.data["fps_fraction"]))
    assert {task.data["fps_fraction"] for task in found} >= {"30000/1001", "30", "25"}


def test_the_best_span_by_score_is_there_to_be_corrected(desk: Desk) -> None:
    name = desk.capability("guessed")
    desk.guess(name)
    sent = send(desk, name, 2)
    guessed, plain = tasks(desk, sent.project_id)
    rate = round(guessed.data["fps"])
    [prediction] = guessed.predictions
    assert (prediction.model_version, prediction.score) == ("clip-a", 0.75)
    assert prediction.result[0]["value"]["ranges"] == [{"start": rate + 1, "end": 2 * rate}]
    assert plain.predictions == []
    with session(desk.server) as client:
        assert client.projects.get(sent.project_id).model_version == "clip-a"


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
    name = desk.capability("skipped")
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


def in_force(desk: Desk, name: str) -> list[str]:
    labels = views.labels(desk.workspace.catalog).filter(pl.col("capability") == name)
    return labels.collect()["verdict"].to_list()


def test_a_wrong_token_is_one_clear_line(desk: Desk) -> None:
    name = desk.capability("refused")
    wrong = replace(desk.server, token="0" * 40)
    with pytest.raises(InputError, match="refused the token"):
        push(desk.workspace, desk.order(name, desk.clips(1)), wrong)
    with pytest.raises(InputError, match="refused the token"):
        pull(desk.workspace, [name], server=wrong)


def test_a_server_that_is_down_is_one_clear_line(desk: Desk) -> None:
    name = desk.capability("unreachable")
    with pytest.raises(CurateError, match=r"http://127\.0\.0\.1:9: Label Studio does not answer .*curate label up"):
        pull(desk.workspace, [name], server=Server("http://127.0.0.1:9", "token"))


def test_a_server_elsewhere_needs_an_address_for_the_media(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    name = desk.capability("elsewhere")
    elsewhere = replace(desk.server, pid=None)
    with pytest.raises(InputError, match="LABEL_STUDIO_MEDIA_URL"):
        push(desk.workspace, desk.order(name, desk.clips(1)), elsewhere)
    monkeypatch.setenv("LABEL_STUDIO_MEDIA_URL", "https://media.example.org/proxies/")
    sent = push(desk.workspace, desk.order(name, desk.clips(1)), elsewhere)
    [task] = tasks(desk, sent.project_id)
    assert task.data["video"].startswith("https://media.example.org/proxies/480p120/")


def test_a_clip_that_cannot_be_cut_is_a_failed_outcome(desk: Desk) -> None:
    name = desk.capability("uncut")
    catalog, clip = desk.workspace.catalog, {"clip_id": "0" * 16, "video_id": "gone", "start_s": 0.0, "end_s": 1.0}
    path = str(desk.workspace.root / "footage" / "gone.mp4")
    catalog.write("videos", [{"video_id": "gone", "path": path}], run_id="test")
    catalog.write("clips", [clip], run_id="test", work_key="gone")
    outcome = {"stage": "collect", "item": "gone", "video_id": "gone", "outcome": "ok"}
    catalog.write("outcomes", [outcome], run_id="test", work_key="gone")
    try:
        sent = push(desk.workspace, desk.order(name, pl.DataFrame({"clip_id": ["0" * 16]})), desk.server)
    finally:
        catalog.write("outcomes", [{**outcome, "outcome": "failed"}], run_id="test", work_key="gone")
    assert (sent.pushed, sent.failed) == (0, 1)
    [row] = catalog.scan("outcomes").filter(pl.col("stage") == "proxy", pl.col("item") == "0" * 16).collect().to_dicts()
    assert row["outcome"] == "failed"
    assert row["reason"]


def test_an_unknown_clip_is_an_input_error(desk: Desk) -> None:
    name = desk.capability("unknown_clip")
    with pytest.raises(InputError, match="no clip 'nonsense'"):
        push(desk.workspace, desk.order(name, pl.DataFrame({"clip_id": ["nonsense"]})), desk.server)
