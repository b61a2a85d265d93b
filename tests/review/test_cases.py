"""What becomes a case for a reviewer, and what ends it."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as some

from curate import views
from curate.model.definitions import Segment
from curate.review.agreement import update
from curate.review.cases import DOUBTED, MODEL, Answer, Case, cases, doubt, open_cases, read_cases, record
from curate.targets.scoring.trained import newest_trained
from curate.workspace import Workspace
from tests.model.conftest import footage, published
from tests.review.made import label, write, write_clips
from tests.targets.conftest import write_capability
from tests.targets.scoring.test_trained import own, with_model

__all__ = ["footage", "own", "published", "with_model"]


@pytest.fixture
def jumping(tmp_path: Path) -> Workspace:
    """A workspace with the capability `jump` and clips c0 to c199."""
    workspace = Workspace(tmp_path / "jumping")
    workspace.configs.mkdir(parents=True)
    write_capability(workspace, "jump")
    write_clips(workspace.catalog, {f"c{at}": f"v{at}" for at in range(200)})
    return workspace


def said(workspace: Workspace, *labels: dict[str, Any]) -> None:
    write(workspace.catalog, labels)
    update(workspace.catalog, workspace.capabilities(), run_id="test")


def waiting(workspace: Workspace) -> list[Case]:
    """The cases of `jump`, once they are recorded."""
    found = cases(workspace, "jump")
    record(workspace.catalog, found, run_id="test")
    assert open_cases(workspace.catalog, "jump") == found
    return found


def test_the_worst_come_first(jumping: Workspace) -> None:
    said(
        jumping,
        label("c1", "ann", [(1, 2)]), label("c1", "bob", [(1, 2), (5, 6), (7, 8)]),
        label("c2", "ann", [(1, 2)]), label("c2", "bob"),
        label("c3", "ann", [(1, 2)]), label("c3", "bob", verdict="unsure"),
        label("c4", "ann", [(1, 2)]), label("c4", "bob", [(1, 2.1)]),
        label("c5", "ann", [(1, 2)]),
    )  # fmt: skip
    found = waiting(jumping)
    assert [case.clip_id for case in found[:1]] == ["c2"]
    assert {case.clip_id: case.severity for case in found} == {"c1": 0.5, "c2": 1.0, "c3": 0.5}
    assert [case.clip_id for case in cases(jumping, "jump", limit=1)] == ["c2"]
    assert all(
        case.reason == "annotators" and case.spec_version == jumping.capability("jump").version for case in found
    )


def test_a_case_shows_both_answers_as_they_were_given(jumping: Workspace) -> None:
    marks = [(1.25, 2.0, {"color": "red", "fast": True})]
    said(jumping, label("c1", "ann", marks, exhaustive=False), label("c1", "bob", verdict="bad_clip"))
    (case,) = waiting(jumping)
    by = {answer.by: answer for answer in case.answers}
    assert by["ann"] == Answer("ann", "present", False, (Segment(1.25, 2.0, {"color": "red", "fast": True}),))
    assert (by["bob"].verdict, by["bob"].segments) == ("bad_clip", ())
    assert read_cases(jumping.catalog, [case.case_id, "unknown"]) == {case.case_id: case}


def test_a_clip_that_is_cut_in_another_way_now_is_no_case(jumping: Workspace) -> None:
    said(jumping, label("c1", "ann", [(1, 2)]), label("c1", "bob"), label("c2", "ann", [(1, 2)]), label("c2", "bob"))
    assert len(waiting(jumping)) == 2
    gone = {"stage": "collect", "item": "v1", "video_id": "v1", "outcome": "ok"}
    jumping.catalog.write("outcomes", [gone], run_id="test", work_key="another way")
    assert [case.clip_id for case in waiting(jumping)] == ["c2"]


def test_the_place_of_an_answer_says_nothing_of_whose_it_is(jumping: Workspace) -> None:
    clips = [f"c{at}" for at in range(200)]
    said(jumping, *(label(clip, "ann", [(1, 2)]) for clip in clips), *(label(clip, "bob") for clip in clips))
    found = cases(jumping, "jump")
    first = sum(case.answers[0].by == "ann" for case in found)
    assert len(found) == 200 and 70 < first < 130
    assert found == cases(jumping, "jump"), "and does not change"


def test_of_three_annotators_those_that_differ_most_are_shown(jumping: Workspace) -> None:
    two = [(1.0, 2.0), (5.0, 6.0)]
    said(jumping, label("c1", "ann", two), label("c1", "bob", two[:1]), label("c1", "eve", [(8, 9)]))
    (case,) = waiting(jumping)
    assert {answer.by for answer in case.answers} == {"ann", "eve"} and case.severity == 1


def test_a_review_settles_a_case_and_without_it_the_case_is_open_again(jumping: Workspace) -> None:
    said(jumping, label("c1", "ann", [(1, 2)]), label("c1", "bob"))
    before = waiting(jumping)
    said(jumping, label("c1", "eve", verdict="unsure", purpose="review", minute=1))
    assert waiting(jumping) == []
    said(jumping, label("c1", "eve", purpose="review", minute=2, deleted=True))
    assert waiting(jumping) == before


def test_a_changed_answer_withdraws_a_case_and_may_make_another(jumping: Workspace) -> None:
    said(jumping, label("c1", "ann", [(1, 2)]), label("c1", "bob"))
    (first,) = waiting(jumping)
    said(jumping, label("c1", "bob", [(6, 7)], minute=1))
    (second,) = waiting(jumping)
    assert first.case_id != second.case_id
    said(jumping, label("c1", "bob", [(1, 2)], minute=2))
    assert waiting(jumping) == []
    said(jumping, label("c1", "bob", minute=3))
    assert waiting(jumping) == [first], "the very answers of before are the very case of before"
    assert len(jumping.catalog.read("reviews")) == 2


def test_a_clip_has_one_open_case_whoever_joins_the_dispute(jumping: Workspace) -> None:
    said(jumping, label("c1", "ann", [(1, 2)]), label("c1", "bob", [(1, 2), (5, 6)]))
    before = waiting(jumping)
    said(jumping, label("c1", "eve", minute=1))
    assert waiting(jumping) == before


def test_a_label_against_a_review_is_a_case_of_the_two(jumping: Workspace) -> None:
    said(jumping, label("c1", "ann", [(1, 2)]), label("c1", "bob"), label("c1", "eve", purpose="review", minute=1))
    said(jumping, label("c1", "dan", [(1, 2)], minute=2))
    (case,) = waiting(jumping)
    assert {answer.by for answer in case.answers} == {"dan", "eve"}
    said(jumping, label("c1", "eve", purpose="review", minute=3))
    assert waiting(jumping) == []


TIMES = np.arange(0, 8, 0.5)


def chances(*spans: tuple[float, float], sure: float = 0.95) -> np.ndarray:
    on = np.zeros(len(TIMES), dtype=bool)
    for start_s, end_s in spans:
        on |= (start_s <= TIMES) & (end_s >= TIMES)
    return np.where(on, sure, 1 - sure)


def marked(*spans: tuple[float, float], exhaustive: bool = True) -> Answer:
    return Answer("ann", "present" if spans else "absent", exhaustive, tuple(Segment(*span) for span in spans))


def test_a_label_is_doubted_where_the_model_contradicts_it_for_a_second() -> None:
    assert doubt(marked((2, 4)), TIMES, chances((2, 4))) < 0.1
    assert doubt(marked((2, 4)), TIMES, chances((2.5, 4.5))) < 0.6, "an end that is half a second off"
    assert doubt(marked(), TIMES, chances((2, 4))) > 0.9
    assert doubt(marked((2, 4)), TIMES, chances()) > 0.9
    assert doubt(marked((2, 4)), TIMES, chances((2, 4), (6, 7))) > 0.9
    assert doubt(marked((2, 4)), TIMES, chances((6, 7), sure=0.6)) < DOUBTED, "the model is not sure"


def test_what_nobody_looked_at_is_not_doubted() -> None:
    assert doubt(marked((2, 4), exhaustive=False), TIMES, chances((2, 4), (6, 7))) < 0.1
    assert doubt(marked((2, 4), exhaustive=False), TIMES, chances((6, 7))) > 0.9
    assert doubt(Answer("ann", "absent", False, ()), TIMES, chances((6, 7))) > 0.9


@given(some.lists(some.floats(0, 1), max_size=9), some.lists(some.tuples(some.floats(0, 4), some.floats(0, 4))))
def test_doubt_is_a_share(model: list[float], spans: list[tuple[float, float]]) -> None:
    said = marked(*((a, a + b) for a, b in spans))
    found = doubt(said, 0.5 * np.arange(len(model)), np.array(model))
    assert 0 <= found <= 1
    agreeing = np.array([any(a <= 0.5 * at <= a + b for a, b in spans) for at in range(len(model))], dtype=float)
    assert doubt(said, 0.5 * np.arange(len(model)), agreeing) == 0


def test_a_wrong_label_of_footage_it_was_not_trained_on_is_a_case_of_the_model(own: Workspace) -> None:
    catalog = own.catalog
    assert cases(own, "bounce") == []
    trained, _ = newest_trained(own)
    assert trained is not None and trained.seen_videos is not None
    rows = views.labels(catalog).join(views.clips(catalog).select("clip_id", "video_id"), on="clip_id").collect()
    shown = rows.filter(pl.col("verdict") == "present").sort("clip_id")
    fresh = shown.filter(~pl.col("video_id").is_in(list(trained.seen_videos)))["clip_id"][0]
    trained_on = shown.filter(pl.col("video_id").is_in(list(trained.seen_videos)))["clip_id"][0]
    for clip in (fresh, trained_on):
        (version,) = set(rows["spec_version"])
        wrong = label(clip, "truth", capability="bounce", version=version, label_id=clip)
        write(catalog, [{**wrong, "updated_at": rows["updated_at"].max()}])
    (case,) = cases(own, "bounce")
    assert (case.clip_id, case.reason) == (fresh, "model") and case.severity >= DOUBTED
    by = {answer.by: answer for answer in case.answers}
    assert by["truth"].verdict == "absent"
    assert by[f"{MODEL}base-v1-s0"].verdict == "present" and by[f"{MODEL}base-v1-s0"].segments

    record(catalog, [case], run_id="test")
    assert [found.case_id for found in open_cases(catalog)] == [case.case_id]
    review = label(fresh, "eve", [(0.5, 2.5)], capability="bounce", purpose="review", label_id="review")
    write(catalog, [{**review, "updated_at": catalog.read("labels")["written_at"].max()}])
    assert open_cases(catalog) == cases(own, "bounce") == [], "what a reviewer has settled no model questions"


def answered(workspace: Workspace, clip: str, *segments: tuple[float, float, float], model: str = "theirs") -> None:
    """What a model evaluated from a file said of a clip: start, end, score."""
    said = [{"start_s": a, "end_s": b, "fields": "{}", "score": score} for a, b, score in segments]
    row = {"model": model, "clip_id": clip, "capability": "jump", "scored": True, "segments": said}
    workspace.catalog.write("predictions", [row], run_id="test")


def test_a_model_that_is_not_ours_doubts_what_it_surely_sees_and_a_label_does_not(jumping: Workspace) -> None:
    write(jumping.catalog, [label(f"c{at}", "ann", [(2, 4)] if at == 3 else None) for at in range(5)])
    answered(jumping, "c0", (5, 7, 0.9))
    answered(jumping, "c1", (5, 7, 0.6))
    answered(jumping, "c2", (5, 5.4, 0.95))
    answered(jumping, "c3", (2, 4, 0.9))
    (case,) = waiting(jumping)
    assert (case.clip_id, case.reason, case.severity) == ("c0", "model", pytest.approx(0.9))
    by = {answer.by: answer for answer in case.answers}
    assert [(s.start_s, s.end_s) for s in by[f"{MODEL}theirs"].segments] == [(5.0, 7.0)]


def test_what_a_model_leaves_out_of_its_answer_doubts_no_label(jumping: Workspace) -> None:
    write(jumping.catalog, [label("c0", "ann", [(2, 4)])])
    answered(jumping, "c0")
    assert cases(jumping, "jump") == []


def test_scores_that_are_no_chances_doubt_nothing(jumping: Workspace) -> None:
    write(jumping.catalog, [label("c0", "ann"), label("c1", "ann")])
    answered(jumping, "c0", (5, 7, 0.9))
    answered(jumping, "c1", (5, 7, 3.5))
    assert cases(jumping, "jump") == []


def test_only_the_model_evaluated_last_doubts(jumping: Workspace) -> None:
    write(jumping.catalog, [label("c0", "ann"), label("c1", "ann")])
    answered(jumping, "c0", (5, 7, 0.9), model="old")
    answered(jumping, "c1", (5, 7, 0.9), model="new")
    assert [case.clip_id for case in cases(jumping, "jump")] == ["c1"]


def test_without_what_it_was_trained_on_a_model_doubts_nothing(own: Workspace) -> None:
    shutil.rmtree(own.root / ".dvc" / "cache")
    for cached in ("locks", "mixes"):
        shutil.rmtree(own.cache(cached))
    assert cases(own, "bounce") == []
