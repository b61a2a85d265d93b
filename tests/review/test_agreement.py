"""What counts as agreement of two labels, and of all."""

import json
import time
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as some

from curate import views
from curate.catalog import Catalog
from curate.model.definitions import Segment
from curate.review.agreement import agreement, pairs, update
from curate.review.answers import (
    COMPARED,
    DIFFERENCE_SIZE,
    END_BIAS_S,
    HITS,
    START_BIAS_S,
    TOTAL,
    Answer,
    agreement_of,
    difference,
    same_value,
)
from curate.specs import Capability, Field
from tests.review.made import Marks, label, spec, write, write_clips

JUMP = spec()
SPECS = {"jump": JUMP}


def answer(*marks: tuple[float, float] | tuple[float, float, dict[str, Any]], **more: Any) -> Answer:
    verdict = more.pop("verdict", "present" if marks else "absent")
    segments = tuple(Segment(m[0], m[1], m[2] if len(m) > 2 else {"color": "red"}) for m in marks)
    return Answer(more.pop("by", "ann"), verdict, more.pop("exhaustive", True), segments)


def agree(first: Answer, second: Answer) -> float:
    return agreement_of(difference(first, second, JUMP))


def test_the_least_of_verdicts_segments_and_fields_counts() -> None:
    assert agree(answer((1, 2)), answer((1, 2))) == 1
    assert agree(answer(), answer()) == 1
    assert agree(answer((1, 2)), answer()) == 0
    assert agree(answer((1, 2), (4, 5)), answer((1, 2))) == pytest.approx(2 / 3)
    assert agree(answer((1, 2), (4, 5)), answer((1, 2), (4, 5, {"color": "blue"}))) == 0.5
    assert agree(answer((1, 2), (4, 5), (7, 8)), answer((1, 2, {"color": "green"}))) == 0, "one of one fields"


def test_a_segment_is_matched_once() -> None:
    assert agree(answer((1, 3)), answer((1, 3), (1, 3), (1, 3))) == 0.5


def test_time_that_nobody_looked_at_is_no_disagreement() -> None:
    one, other = answer((1, 2), exhaustive=False), answer((6, 7), exhaustive=False)
    assert agree(one, other) == 1
    assert difference(one, other, JUMP)[TOTAL] == 0, "neither says anything of the other's time"
    assert agree(one, answer((6, 7))) == 0, "the second looked at 1 s to 2 s, the first not at 6 s to 7 s"
    assert difference(one, answer((6, 7)), JUMP)[TOTAL] == 1
    assert agree(one, answer((1.6, 4), exhaustive=False)) == 0, "both marked 1.6 s to 2 s, and put the ends elsewhere"
    assert agree(answer((1, 2), (4, 5), exhaustive=False), answer((1, 2), exhaustive=False)) == 1


def test_saying_that_it_is_absent_is_having_looked() -> None:
    assert agree(answer((1, 2)), answer(exhaustive=False)) == 0
    assert difference(answer((1, 2)), answer(exhaustive=False), JUMP)[TOTAL] == 1


@pytest.mark.parametrize("verdict", ["unsure", "bad_clip"])
def test_a_clip_that_one_is_unsure_of_or_calls_bad_has_no_segments_to_compare(verdict: str) -> None:
    counts = difference(answer((1, 2)), answer((5, 6), verdict=verdict), JUMP)
    assert counts[TOTAL] == 0 and agreement_of(counts) == 0
    assert agree(answer(verdict=verdict), answer(verdict=verdict)) == 1


def test_fields_are_compared_where_both_gave_them_or_had_to() -> None:
    def compared(first: dict[str, Any], second: dict[str, Any]) -> tuple[float, float]:
        counts = difference(answer((1, 2, first)), answer((1, 2, second)), JUMP)
        return counts[COMPARED], agreement_of(counts)

    assert compared({}, {}) == (0, 1)
    assert compared({"color": "red"}, {}) == (1, 0), "required"
    assert compared({"color": "red", "fast": True}, {"color": "red"}) == (1, 1), "optional"
    assert compared({"fast": True}, {"fast": False}) == (1, 0)
    assert compared({"note": "one"}, {"note": "another"}) == (0, 1), "free text is never equal"
    assert compared({"speed": 10}, {"speed": 10.9}) == (1, 1)
    assert compared({"speed": 10}, {"speed": 12.0}) == (1, 0)


def test_numbers_are_equal_when_they_are_near_and_integers_when_they_are_the_same() -> None:
    speed, count = Field(name="speed", type="number"), Field(name="count", type="integer")
    assert same_value(speed, 0, 0) and same_value(speed, -1.0, -1.05) and not same_value(speed, 0, 0.1)
    assert same_value(count, 20, 20) and not same_value(count, 20, 21)


MARK = some.tuples(some.floats(0, 8), some.floats(0.3, 3), some.sampled_from(["red", "blue"])).map(
    lambda one: (one[0], one[0] + one[1], {"color": one[2]})
)
ANSWER = some.builds(
    lambda marks, exhaustive, verdict: answer(*marks, exhaustive=exhaustive, **({} if marks else {"verdict": verdict})),
    some.lists(MARK, max_size=4),
    some.booleans(),
    some.sampled_from(["absent", "unsure", "bad_clip"]),
)


@given(ANSWER, ANSWER)
def test_comparing_is_symmetric_but_for_who_is_late(first: Answer, second: Answer) -> None:
    one, other = difference(first, second, JUMP), difference(second, first, JUMP)
    signs = np.ones(DIFFERENCE_SIZE)
    signs[[START_BIAS_S, END_BIAS_S]] = -1
    assert np.allclose(one * signs, other)
    assert 0 <= agreement_of(one) <= 1


@given(ANSWER)
def test_an_answer_agrees_with_itself(said: Answer) -> None:
    counts = difference(said, said, JUMP)
    assert agreement_of(counts) == 1
    assert (2 * counts[HITS] == counts[TOTAL]).all()
    assert not counts[[START_BIAS_S, END_BIAS_S]].any()


def row(catalog: Catalog, clip: str = "c1") -> dict[str, Any]:
    found = catalog.scan("agreements").filter(pl.col("clip_id") == clip).collect()
    return found.row(0, named=True) if len(found) else {}


def contested(catalog: Catalog, *labels: dict[str, Any], specs: dict[str, Capability] = SPECS) -> bool:
    write(catalog, labels)
    update(catalog, specs, run_id="test")
    return bool(row(catalog).get("contested", False))


def test_a_clip_that_annotators_differ_on_is_contested(catalog: Catalog) -> None:
    assert contested(catalog, label("c1", "ann", [(1, 2)]), label("c1", "bob"))
    found = row(catalog)
    assert (found["annotators"], found["verdicts"], found["f1"]) == (["ann", "bob"], 0, 0)
    assert (found["boundary_s"], found["fields"], found["agreement"]) == (None, None, 0)


def test_how_far_they_agree_is_kept(catalog: Catalog) -> None:
    one: Marks = [(1, 2, {"color": "red"}), (5, 6, {"color": "red", "fast": True})]
    other: Marks = [(1.2, 2, {"color": "red"}), (5, 6.2, {"color": "red", "fast": False})]
    assert contested(catalog, label("c1", "ann", one), label("c1", "bob", other))
    found = row(catalog)
    assert (found["verdicts"], found["f1"], found["agreement"]) == (1, 1, pytest.approx(2 / 3))
    assert (found["boundary_s"], found["fields"]) == (pytest.approx(0.1), pytest.approx(2 / 3))
    assert not contested(catalog, specs={"jump": spec(agreement=0.6)}), "the capability asks for less"


def test_of_three_annotators_each_pair_counts(catalog: Catalog) -> None:
    said = [label("c1", "ann", [(1, 2)]), label("c1", "bob", [(1, 2)]), label("c1", "eve")]
    assert contested(catalog, *said)
    assert row(catalog)["verdicts"] == row(catalog)["f1"] == pytest.approx(1 / 3)


def test_only_the_newest_label_of_an_annotator_counts(catalog: Catalog) -> None:
    assert contested(catalog, label("c1", "ann", [(1, 2)]), label("c1", "bob"))
    assert not contested(catalog, label("c1", "bob", [(1, 2)], minute=1))
    assert contested(catalog, label("c1", "bob", minute=2, label_id="another"))
    assert not contested(catalog, label("c1", "bob", minute=3, label_id="another", deleted=True))


def test_a_deleted_label_ends_the_dispute(catalog: Catalog) -> None:
    assert contested(catalog, label("c1", "ann", [(1, 2)]), label("c1", "bob"))
    assert not contested(catalog, label("c1", "bob", minute=1, deleted=True))
    assert (row(catalog)["annotators"], row(catalog)["agreement"]) == (["ann"], None)


def test_a_review_settles_what_is_older_and_is_in_force(catalog: Catalog) -> None:
    assert contested(catalog, label("c1", "ann", [(1, 2)]), label("c1", "bob"))
    assert not contested(catalog, label("c1", "eve", [(1, 2)], purpose="review", minute=5))
    assert row(catalog)["agreement"] == 0, "what annotators said stays"
    in_force = views.labels(catalog).collect().row(0, named=True)
    assert (in_force["annotator"], in_force["contested"]) == ("eve", False)
    assert not contested(catalog, label("c1", "dan", [(1.1, 2)], minute=6)), "a later label that says the same"
    assert contested(catalog, label("c1", "dan", minute=7)), "a later label that says otherwise"
    assert not contested(catalog, label("c1", "eve", purpose="review", minute=8))
    assert contested(catalog, label("c1", "eve", purpose="review", minute=9, deleted=True))


def test_a_gold_answer_contests_nothing_and_is_never_in_force(catalog: Catalog) -> None:
    said = [label("c1", "ann", [(1, 2)]), label("c1", "bob", purpose="gold", minute=5)]
    assert not contested(catalog, *said)
    assert views.labels(catalog).collect()["annotator"].to_list() == ["ann"]
    assert agreement(catalog, SPECS).is_empty()


def test_labels_under_guidelines_that_mean_something_else_are_not_compared(catalog: Catalog) -> None:
    def told(version: str, definition: str, project: str, title: str = "jump") -> dict[str, Any]:
        guideline = {**JUMP.guideline, "definition": definition, "title": title}
        return {
            "project": project, "spec_version": version, "kind": "label", "capability": "jump",
            "guideline": json.dumps(guideline),
        }  # fmt: skip

    same = [told("v1", "leave the ground", "p"), told("v2", "leave the ground", "p", title="Jumps")]
    catalog.write("label_projects", [*same, told("v3", "leave the ground with both feet", "q")], run_id="test")
    assert contested(catalog, label("c1", "ann", [(1, 2)]), label("c1", "bob", minute=1, version="v2"))
    assert not contested(catalog, label("c1", "bob", minute=2, version="v3", label_id="new"))
    assert row(catalog)["annotators"] == ["bob"]
    assert contested(catalog, label("c1", "ann", [(1, 2)], minute=3, version="v3", label_id="again"))


def test_an_update_without_a_change_writes_nothing(catalog: Catalog) -> None:
    write(catalog, [label(f"c{at}", name, [(1, 2)]) for at in range(5) for name in ("ann", "bob")])
    write(catalog, [label("c9", "ann", [(1, 2)])])
    assert update(catalog, SPECS, run_id="test") == 5
    before = catalog.versions()
    assert update(catalog, SPECS, run_id="test") == 0 and catalog.versions() == before
    write(catalog, [label("c3", "ann", minute=1)])
    assert update(catalog, SPECS, run_id="test") == 1
    assert update(catalog, {"jump": spec(agreement=0.7)}, run_id="test") == 5


def measured(frame: pl.DataFrame, measure: str, annotator: str | None = None) -> dict[str, Any]:
    rows = frame.filter(pl.col("measure") == measure, pl.col("annotator").eq_missing(annotator))
    return rows.row(0, named=True)


def test_an_annotator_who_is_late_is_found(catalog: Catalog) -> None:
    write_clips(catalog, {f"c{at}": f"v{at // 2}" for at in range(40)})
    for at in range(40):
        rest = "bob" if at % 2 else "eve"
        write(catalog, [label(f"c{at}", rest, [(1, 3)]), label(f"c{at}", "ann", [(1.3, 3.0 + 0.01 * (at % 3))])])
    found = agreement(catalog, SPECS)
    late = measured(found, "start_bias_s", "ann")
    assert late["value"] == pytest.approx(0.3) and late["low"] > 0.29
    assert measured(found, "start_bias_s", "bob")["value"] == pytest.approx(-0.3)
    assert measured(found, "f1@0.7", "ann")["value"] == 1
    assert measured(found, "boundary_s")["value"] == pytest.approx(0.155, abs=0.001)
    assert (late["pairs"], late["clips"], late["videos"]) == (40, 40, 20)
    assert found.filter(pl.col("annotator").is_null(), pl.col("measure").str.contains("bias")).is_empty()


def test_two_annotators_are_compared_over_the_clips_that_both_labelled(catalog: Catalog) -> None:
    write_clips(catalog, {f"c{at}": f"v{at}" for at in range(30)})
    rows = []
    for at in range(30):
        marks: Marks = [(1, 3, {"color": "red" if at % 2 else "blue"})] if at % 3 else []
        rows.append(label(f"c{at}", "ann", marks))
        rows.append(label(f"c{at}", "bob", marks if at < 20 else None, verdict=None if at < 20 else "unsure"))
        rows += [label(f"c{at}", "eve", marks if at % 5 else [])] if at < 10 else []
    write(catalog, rows)
    found = pairs(catalog, SPECS)
    keys = found.select("annotator", "other").unique().sort("annotator", "other").rows()
    assert keys == [("ann", "bob"), ("ann", "eve"), ("bob", "eve")]
    both = found.filter(pl.col("other") == "bob")
    kappa, colors = measured(both, "verdict_kappa", "ann"), measured(both, "field:color", "ann")
    assert (kappa["value"], kappa["pairs"], colors["value"]) == (1, 20, 1), "unsure is no verdict"
    assert measured(both, "verdict", "ann")["value"] == pytest.approx(2 / 3)
    assert measured(both, "verdict_alpha", "ann")["value"] == 1
    with_eve = found.filter(pl.col("annotator") == "ann", pl.col("other") == "eve")
    assert measured(with_eve, "verdict", "ann")["clips"] == 10
    assert 0 < measured(with_eve, "verdict_kappa", "ann")["value"] < 1


def test_annotators_who_guess_have_an_alpha_of_about_zero(catalog: Catalog) -> None:
    rng = np.random.default_rng(7)
    write_clips(catalog, {f"c{at}": f"v{at}" for at in range(600)})
    write(
        catalog,
        [
            label(f"c{at}", name, [(1, 3, {"color": str(rng.choice(["red", "blue"]))})] if rng.random() < 0.5 else [])
            for at in range(600)
            for name in ("ann", "bob")
        ],
    )
    found = agreement(catalog, SPECS)
    for measure in ("verdict_alpha", "field:color"):
        guess = measured(found, measure)
        assert guess["low"] < 0 < guess["high"] and abs(guess["value"]) < 0.12
    fast = measured(found, "field:fast")
    assert fast["value"] is None and fast["low"] is None, "nobody said"


def test_clips_of_copies_are_one_observation(catalog: Catalog) -> None:
    rng = np.random.default_rng(1)
    write_clips(catalog, {f"c{at}": f"v{at}" for at in range(40)})
    right = rng.random(10) < 0.6
    write(
        catalog,
        [
            label(f"c{at}", name, [(1, 2)] if name == "ann" or right[at // 4] else [])
            for at in range(40)
            for name in ("ann", "bob")
        ],
    )
    apart = measured(agreement(catalog, SPECS), "verdict")
    links = [{"video_id": f"v{at}", "group_id": f"v{at - at % 4}"} for at in range(40)]
    catalog.write("groups", links, run_id="test")
    joined = measured(agreement(catalog, SPECS), "verdict")
    assert (apart["videos"], joined["videos"]) == (40, 10)
    assert joined["high"] - joined["low"] > 1.5 * (apart["high"] - apart["low"])


def test_twenty_thousand_labels_take_seconds_and_a_changed_one_a_moment(catalog: Catalog) -> None:
    rng = np.random.default_rng(2)
    write_clips(catalog, {f"c{at}": f"v{at // 3}" for at in range(10_000)})
    rows = []
    for at in range(10_000):
        for name in ("ann", "bob"):
            starts = (1 + rng.normal(0, 0.2), 5 + rng.normal(0, 0.2)) if at % 2 else ()
            rows.append(label(f"c{at}", name, [(s, s + 1.5, {"color": "red"}) for s in starts]))
    write(catalog, rows)
    started = time.perf_counter()
    update(catalog, SPECS, run_id="test")
    agreement(catalog, SPECS)
    took_s = time.perf_counter() - started
    write(catalog, [label("c1", "ann", minute=1)])
    started = time.perf_counter()
    assert update(catalog, SPECS, run_id="test") == 1
    assert time.perf_counter() - started < took_s / 2
    assert took_s < 30, "3.5 s where nothing else runs"


def test_labels_of_the_same_instant_leave_the_review_in_force(catalog: Catalog) -> None:
    write(catalog, [label("c1", "eve", [(1, 2)], purpose="review"), label("c1", "ann")])
    assert views.labels(catalog).collect()["annotator"].to_list() == ["eve"]
