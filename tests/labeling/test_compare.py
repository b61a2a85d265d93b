"""Two models' segments of the same clips, compared blind through a real Label Studio."""

import json
from typing import Any

import polars as pl
import pytest

from curate import views
from curate.review.blind import Plan, result
from curate.specs import Capability
from labeling.client import Server, session
from labeling.compare import Asked, ask, compare
from labeling.projects import COMPARISON, Project
from labeling.pull import pull
from labeling.simulate import Errors, vote
from tests.labeling import steps
from tests.labeling.conftest import CLIP_S, Desk

pytestmark = pytest.mark.server

GOOD, POOR = "model-that-is-good", "model-that-is-poor"


def rows(desk: Desk, spec: Capability, *, clips: int = 18, repeats: int = 4) -> list[dict[str, Any]]:
    """A comparison in which GOOD marks what `every_clip` shows and POOR half of it, sides in turn."""
    found = []
    for repeat in (0, 1):
        for place, clip in enumerate(views.clips(desk.workspace.catalog).collect().head(clips).iter_rows(named=True)):
            if repeat and place >= repeats:
                continue
            right = {"start_s": clip["start_s"] + 1, "end_s": clip["start_s"] + 2, "fields": json.dumps(RED)}
            half = {**right, "end_s": clip["start_s"] + 1.5}
            sides = [(GOOD, [right]), (POOR, [half])]
            first, second = sides if (place + repeat) % 2 else sides[::-1]
            row = {
                "comparison_id": f"comparison-of-{spec.id}",
                "capability": spec.id,
                "spec_version": spec.version,
                "clip_id": clip["clip_id"],
                "repeat": repeat,
                "first": first[0],
                "second": second[0],
                "segments_first": first[1],
                "segments_second": second[1],
            }
            found.append(row)
    return found


RED = {"color": "red"}


def every_clip(desk: Desk, name: str) -> dict[str, Any]:
    """A truth in which each clip shows `name` from its second 1 to its second 2."""
    clips = views.clips(desk.workspace.catalog).collect()
    truth = desk.truth_of(name)
    for video in truth["videos"]:
        own = clips.filter(pl.col("path").str.ends_with(f"/{video['file']}"))
        video["segments"] = [
            {"action": name, "start_s": start_s + 1, "end_s": start_s + 2, "fields": RED} for start_s in own["start_s"]
        ]
    return truth


def compared(desk: Desk, name: str, **amounts: int) -> tuple[Asked, list[dict[str, Any]]]:
    spec = desk.workspace.capability(desk.capability(name))
    planned = rows(desk, spec, **amounts)
    return ask(desk.workspace, desk.server, spec, planned), planned


def project(desk: Desk, name: str) -> Project:
    return steps.project(desk, name, COMPARISON)


def tasks(desk: Desk, name: str) -> list[Any]:
    return steps.tasks(desk, project(desk, name).number)


def test_people_who_see_the_truth_prefer_the_better_model_and_six_videos_are_not_enough_to_say_so(desk: Desk) -> None:
    name = "compared"
    asked, _ = compared(desk, name)
    assert (asked.clips, asked.asked, asked.pushed) == (18, 22, 22)
    assert vote(desk.workspace, every_clip(desk, name), desk.server, capabilities=[name]) == 22
    pull(desk.workspace, [name], server=desk.server)
    found = result(desk.workspace.catalog, f"comparison-of-{name}")
    assert (found.waiting, found.votes, found.wins) == (0, 22, {GOOD: 18, POOR: 0})
    assert (found.share, found.p) == (1, 2 / 2**6)
    assert found.low < 0.5
    assert (found.winner, found.needed) == (None, 1)
    assert found.consistency.value == 1
    assert found.first_side.value == pytest.approx(0.5, abs=0.1)


def test_people_who_cannot_tell_make_no_winner(desk: Desk) -> None:
    name = "compared_by_lot"
    compared(desk, name)
    vote(desk.workspace, every_clip(desk, name), desk.server, capabilities=[name], errors=Errors(verdict=0.5, seed=1))
    pull(desk.workspace, [name], server=desk.server)
    assert result(desk.workspace.catalog, f"comparison-of-{name}").winner is None


def test_asking_twice_asks_nothing_twice(desk: Desk) -> None:
    name = "asked_twice"
    first, planned = compared(desk, name, clips=3, repeats=1)
    written = desk.workspace.catalog.versions()["comparisons"]
    again = ask(desk.workspace, desk.server, desk.workspace.capability(name), planned)
    assert (first.pushed, again.pushed, again.asked) == (4, 0, 4)
    assert len(tasks(desk, name)) == 4
    assert desk.workspace.catalog.versions()["comparisons"] == written


def test_a_planned_comparison_is_asked_and_summed_up(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan itself, which takes two trained models, is tested with `curate.review.blind`."""
    name = desk.capability("planned")
    made = Plan(
        f"comparison-of-{name}", rows(desk, desk.workspace.capability(name), clips=4, repeats=1), same=7, seen=2
    )
    monkeypatch.setattr("labeling.compare.plan", lambda *_, **__: made)
    first, again = (compare(desk.workspace, desk.server, name, GOOD, POOR) for _ in range(2))
    assert (first.clips, first.repeats, first.pushed, first.already_there) == (4, 1, 5, 0)
    assert (again.pushed, again.already_there, again.same, again.seen) == (0, 5, 7, 2)
    assert (again.comparison_id, again.url) == (made.comparison_id, project(desk, name).url(desk.server))


def test_nothing_that_the_page_shows_tells_the_models_or_the_repeats(desk: Desk) -> None:
    name = "blind"
    compared(desk, name, clips=4, repeats=4)
    found = tasks(desk, name)
    assert len({task.data["key"] for task in found}) == 8
    for task in found:
        shown = json.dumps([task.data, [(p.result, p.model_version) for p in task.predictions]], default=str)
        assert not any(word in shown for word in (GOOD, POOR, "first", "second", "repeat", "comparison-of"))
        assert {p.model_version for p in task.predictions} == {"answers"}
    with session(desk.server) as client:
        shown = client.projects.get(project(desk, name).number).json()
    assert not any(word in shown for word in (GOOD, POOR))


def test_both_answers_stand_where_their_models_put_them(desk: Desk) -> None:
    name = "two_sides"
    _, planned = compared(desk, name, clips=2, repeats=0)
    for task, row in zip(tasks(desk, name), planned, strict=True):
        good = 1 if row["first"] == GOOD else 2
        assert task.data[f"answer_{good}"] == "1.00 to 2.00 s: color red"
        assert task.data[f"answer_{3 - good}"] == "1.00 to 1.50 s: color red"
        spans = [entry["value"] for entry in task.predictions[0].result if "timelinelabels" in entry["value"]]
        regions = {span["timelinelabels"][0]: span["ranges"] for span in spans}
        [span] = regions[f"answer {good}"]
        assert span["start"] == pytest.approx(task.data["fps"] + 1, abs=2)
        assert span["end"] == pytest.approx(2 * task.data["fps"], abs=2)
        assert task.data["duration_s"] == pytest.approx(CLIP_S, abs=0.05)


def test_a_vote_that_is_changed_or_taken_back_counts_so(desk: Desk, second: Server) -> None:
    name = "voted_again"
    compared(desk, name, clips=2, repeats=0)
    one, other = tasks(desk, name)
    with session(second) as client:
        made = [client.annotations.create(task.id, result=[choice("1")]) for task in (one, other)]
        pull(desk.workspace, [name], server=desk.server)
        client.annotations.update(made[0].id, result=[choice("tie")])
        client.annotations.delete(made[1].id)
    pull(desk.workspace, [name], server=desk.server)
    kept = desk.workspace.catalog.history("votes").filter(pl.col("comparison_id") == f"comparison-of-{name}").collect()
    assert kept.select("annotator", "answer", "deleted").rows() == [
        ("second@example.org", "1", False),
        ("second@example.org", "1", False),
        ("second@example.org", "tie", False),
        ("second@example.org", "1", True),
    ]
    found = result(desk.workspace.catalog, f"comparison-of-{name}")
    assert (found.ties, found.waiting) == (1, 1)


def test_an_answer_without_a_choice_is_no_vote(desk: Desk) -> None:
    name = "no_choice"
    compared(desk, name, clips=1, repeats=0)
    [task] = tasks(desk, name)
    with session(desk.server) as client:
        client.annotations.create(task.id, result=[])
    assert pull(desk.workspace, [name], server=desk.server).problems == {"no choice": 1}
    assert result(desk.workspace.catalog, f"comparison-of-{name}").votes == 0


def choice(value: str) -> dict[str, Any]:
    return {"id": "t", "from_name": "take", "to_name": "video", "type": "choices", "value": {"choices": [value]}}
