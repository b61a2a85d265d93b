"""Clips to annotators, through a real Label Studio: each once, most valuable first, with guesses to correct."""

from fractions import Fraction

import av
import httpx
import polars as pl
import pytest

from curate import views
from curate.decisions import decisions
from curate.errors import InputError
from curate.model.definitions import Segment
from labeling import guesses
from labeling.client import Server, session
from labeling.proxies import directory
from labeling.push import push
from tests.labeling.conftest import COLOR, Desk
from tests.labeling.steps import ABSENT, annotate_task, next_task, send, tasks

pytestmark = pytest.mark.server


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


def test_clips_are_handed_out_in_the_order_they_were_ordered(desk: Desk) -> None:
    name = desk.capability("valued", quality={"overlap": 0})
    clips = desk.clips(6).reverse()
    sent = push(desk.workspace, desk.order(name, clips), desk.server)
    given = []
    while task := next_task(desk.server, sent.project_id):
        given.append(task["data"]["clip_id"])
        annotate_task(desk.server, task["id"], ABSENT)
    assert given == clips["clip_id"].to_list()


def test_a_share_of_the_clips_is_asked_of_two_annotators_and_of_nobody_twice(desk: Desk, second: Server) -> None:
    name = desk.capability("overlapping", quality={"overlap": 0.5})
    sent = send(desk, name, 6)
    asked: dict[str, list[int]] = {}
    for annotator in (desk.server, second):
        asked[annotator.token] = []
        while task := next_task(annotator, sent.project_id):
            asked[annotator.token].append(task["id"])
            annotate_task(annotator, task["id"], ABSENT)
    mine, theirs = asked.values()
    assert sorted(mine) == [task.id for task in tasks(desk, sent.project_id)]
    assert len(theirs) == len(set(theirs)) == 3
    assert send(desk, name, 6).already_there == 6
    assert sum(task.overlap == 2 for task in tasks(desk, sent.project_id)) == 3


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


class Trained:
    """A segmenter that finds the same two segments in every clip but the last, where it finds none."""

    def __init__(self, desk: Desk, name: str) -> None:
        self.directory = desk.workspace.models / name
        self.silent = desk.clips()["clip_id"][-1]

    def knows(self, spec: object) -> bool:
        return True

    def segments(self, spec: object, clips: pl.DataFrame) -> list[list[Segment]]:
        return [self._segments(row) for row in clips.iter_rows(named=True)]

    def _segments(self, clip: dict[str, float]) -> list[Segment]:
        if clip["clip_id"] == self.silent:
            return []
        red = {"color": "red", "unknown": 1}
        spans = [(1.0, 2.0, red, 0.9), (2.5, 3.0, {"color": "no such"}, 0.6)]
        return [Segment(clip["start_s"] + a, clip["start_s"] + b, said, score) for a, b, said, score in spans]


@pytest.fixture
def trained(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Trained:
    """Training takes minutes: what a segmenter says is made up here, and all that follows is real."""
    model = Trained(desk, "first")
    monkeypatch.setattr(guesses, "newest_trained", lambda workspace: (model, ""))
    monkeypatch.setattr(guesses.views, "framed_clips", views.clips)
    return model


def test_a_trained_segmenters_segments_are_there_to_be_corrected_with_their_fields(
    desk: Desk, trained: Trained
) -> None:
    name = desk.capability("segmented", segment={"description": "One.", "fields": [COLOR]})
    desk.guess(name)
    sent = send(desk, name)
    *found, silent = tasks(desk, sent.project_id)
    assert [task.predictions for task in (silent,)] == [[]]
    for task in found:
        rate = round(task.data["fps"])
        [prediction] = task.predictions
        assert (prediction.model_version, prediction.score) == ("first", 0.9)
        first, color, second = prediction.result
        assert first["value"]["ranges"] == color["value"]["ranges"]
        assert abs(first["value"]["ranges"][0]["start"] - rate - 1) <= 1
        assert (color["id"], color["from_name"], color["value"]["choices"]) == (first["id"], "string__color", ["red"])
        assert (second["from_name"], second["id"] != first["id"]) == ("segment", True)


def test_a_new_models_segments_take_the_place_of_stale_guesses_where_nobody_has_begun(
    desk: Desk, trained: Trained
) -> None:
    name = desk.capability("guessed_anew")
    sent = send(desk, name, 4)
    begun = tasks(desk, sent.project_id)[0]
    annotate_task(desk.server, begun.id, ABSENT)
    trained.directory = trained.directory.with_name("second")
    for _ in range(2):
        send(desk, name, 5)
    models = [sorted(each.model_version for each in task.predictions) for task in tasks(desk, sent.project_id)]
    assert models == [["first"], *[["first", "second"]] * 3, ["second"]]
    with session(desk.server) as client:
        assert client.projects.get(sent.project_id).model_version == "second"


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
