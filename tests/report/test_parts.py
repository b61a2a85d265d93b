"""What the report is made of: what changed, what waits, what was left out, the map's layout, and charts."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from curate.catalog import Catalog, local_catalog
from curate.report import charts
from curate.report.changes import recall, remember, told
from curate.report.layout import layout
from curate.report.losses import MOST_CAUSES, advice, losses
from curate.report.record import growth, label_times, read_evaluations, trend_points
from curate.report.render import code
from curate.report.supply import contact_sheet, read_supply, score_histogram, sources
from curate.report.waiting import facts
from curate.vectors import unit
from curate.workspace import Workspace
from tests.dedupe.conftest import workspace
from tests.report.rows import write_world

__all__ = ["workspace"]

NOW = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return local_catalog(tmp_path / "catalog")


def test_failures_are_counted_by_cause_whatever_number_or_name_they_hold(catalog: Catalog) -> None:
    reasons = ["no frame within 3.5 seconds", "no frame within 60 seconds", "same bytes as a/1.mp4", "same bytes as b"]
    outcomes = ["failed", "failed", "filtered", "filtered"]
    catalog.write("outcomes", [
        {"stage": "collect", "item": f"phone/{at}.mp4", "outcome": outcome, "reason": reason}
        for at, (reason, outcome) in enumerate(zip(reasons, outcomes, strict=True))
    ], run_id="t")  # fmt: skip
    failed, filtered = losses(catalog)
    assert (failed["count"], failed["example"], failed["reason"]) == (2, "phone/0.mp4", reasons[0])
    assert (filtered["count"], filtered["outcome"], filtered["sources"]) == (2, "filtered", ["phone"])
    assert "Nothing" in filtered["advice"]


def test_a_thousand_causes_are_a_table_of_some(catalog: Catalog) -> None:
    catalog.write("outcomes", [
        {"stage": "collect", "item": f"a/{at}", "outcome": "failed", "reason": "odd " + "x" * at} for at in range(1000)
    ], run_id="t")  # fmt: skip
    rows = losses(catalog)
    assert len(rows) == MOST_CAUSES + 1
    assert sum(row["count"] for row in rows) == 1000


@pytest.mark.parametrize("stage", ["collect", "clips", "dedupe", "measure", "something new"])
def test_every_cause_has_advice(stage: str) -> None:
    assert advice(stage, "whatever it was").endswith(".")


def test_a_quantity_is_shown_with_the_unit_in_its_name() -> None:
    told = {"decode_h": 1.25, "clips": 1200, "clips_per_h": 31.04, "sure": True, "none": None, "by": {"a_s": 2, "b": 3}}
    assert [(fact["name"], fact["text"]) for fact in facts(told)] == [
        ("decode", "1.25 h"), ("clips", "1,200"), ("clips per h", "31"), ("sure", "yes"), ("by", "a 2 s, b 3"),
    ]  # fmt: skip


def test_an_interval_is_shown_with_its_value() -> None:
    told = {"clips_per_h": 31.0, "clips_per_h_high": 40.0, "clips_per_h_low": 22.0, "a_low": 1}
    assert [(fact["name"], fact["text"]) for fact in facts(told)] == [("clips per h", "31 (22 to 40)"), ("a low", "1")]
    (arms,) = facts({"arms": [{"arm": "phone", **told}]})
    assert (arms["columns"], arms["rows"]) == (["arm", "clips per h", "a low"], [["phone", "31 (22 to 40)", "1"]])


def test_records_are_a_table_and_the_many_are_counted() -> None:
    (fact,) = facts({"arms": [{"folder": f"f{at}", "found_clips": at} for at in range(20)] + [{"other": 1}]})
    assert (fact["columns"], fact["rows"][1], fact["more"]) == (
        ["folder", "found clips", "other"],
        ["f1", "1 clips", "-"],
        13,
    )


def test_a_report_that_says_nothing_new_keeps_what_it_compares_with(tmp_path: Path) -> None:
    row = {"capability": "a", "positives": 1, "gap_clips": 3, "evaluation": None}
    first = told([row], {"catalog": 1}, None)
    assert first["previous"] is None
    assert told([row], {"catalog": 1}, first) == first
    second = told([{**row, "positives": 2}], {"catalog": 2}, first)
    assert second["previous"] == {name: first[name] for name in ("at", "state", "gaps")}
    assert told([row], {"catalog": 2}, second) == second
    path = tmp_path / "deep" / "told.json"
    assert recall(path) is None
    remember(path, second)
    assert recall(path) == second
    path.write_text("torn {")
    assert recall(path) is None


def test_neighbours_stay_neighbours_and_the_same_clips_give_the_same_map() -> None:
    rng = np.random.default_rng(5)
    centres = unit(rng.normal(size=(12, 64)))
    group = rng.integers(0, 12, 300)
    vectors = unit(centres[group] + 0.1 * rng.normal(size=(300, 64))).astype(np.float32)
    flat = layout(vectors)
    assert flat.shape == (300, 2) and np.abs(flat).max() == pytest.approx(1)
    distance = ((flat[:, None] - flat[None]) ** 2).sum(-1) + 9 * np.eye(300)
    assert (group[distance.argmin(axis=1)] == group).mean() > 0.98
    assert np.array_equal(flat, layout(vectors))


@pytest.mark.parametrize("count", [0, 1, 2, 5, 11])
def test_a_few_clips_have_a_map_too(count: int) -> None:
    vectors = unit(np.random.default_rng(1).normal(size=(count, 16))).astype(np.float32)
    assert layout(vectors).shape == (count, 2)
    assert np.isfinite(layout(np.ones((count, 16), np.float32))).all(), "all alike"


def test_candidates_are_clips_without_a_label_and_not_all_of_one_video(workspace: Workspace, tmp_path: Path) -> None:
    clips = write_world(workspace, tmp_path / "none.mp4")
    labels = workspace.catalog.read("labels")
    supply = read_supply(workspace.catalog, labels)
    scores = supply.of("skill_00")
    labelled = set(labels["clip_id"])
    sheet = contact_sheet(scores, None, 4)
    best, near = ([clip["clip_id"] for clip in sheet[kind]] for kind in ("best", "borderline"))
    assert best == [clip.clip_id for clip in clips[::-1] if clip.clip_id not in labelled][:4]
    assert not labelled & {*best, *near} and not {*best} & {*near}
    assert sum(sources(scores).values()) == 12
    bars = score_histogram(scores, None)
    assert bars is not None and (sum(bars["counts"]), bars["level"], bars["what"]) == (24, 0.5, "probability")
    by_rank = score_histogram(supply.of("skill_01"), 0.15)
    assert by_rank is not None and (by_rank["level"], by_rank["what"]) == (0.15, "similarity")
    assert score_histogram(supply.of("unknown"), 0.15) is None
    one_video = scores.with_columns(video_id=pl.lit("one"))
    assert len(contact_sheet(one_video, None, 4)["best"]) == 2


def test_a_record_has_one_baseline_and_follows_the_versions(workspace: Workspace, tmp_path: Path) -> None:
    write_world(workspace, tmp_path / "none.mp4")
    theirs = {"mix": "base", "revision": "v2", "split": "test", "capability": "skill_00", "metric": "f1@0.5"}
    workspace.catalog.write("evaluations", [
        {**theirs, "model": "a-model-of-their-own", "value": 0.5},
        {**theirs, "model": "base-v2-s0", "slice": "color=red", "value": 0.1},
    ], run_id="t")  # fmt: skip
    points = trend_points(read_evaluations(workspace.catalog), "skill_00", "f1@0.5")
    assert [(point["label"], point["baseline"], point["value"]) for point in points] == [
        ("zero-shot", True, 0.2), ("v1", False, 0.3), ("v2", False, 0.4),
        ("a-model-of-\N{HORIZONTAL ELLIPSIS}", False, 0.5),
    ]  # fmt: skip
    grown = growth(label_times(workspace.catalog), "skill_00")
    assert grown is not None and (grown["labelled"][-1], grown["present"][-1], len(grown["times"])) == (10, 4, 10)
    assert growth(label_times(workspace.catalog), "skill_01") is None


def test_charts_say_in_words_what_they_draw_and_escape_names() -> None:
    points = [{"label": "<b>v1", "baseline": False, "value": 0.4, "low": 0.3, "high": 0.5}]
    drawn = charts.trend(points, 0.7)
    assert "<b>" not in drawn and "&lt;b&gt;v1 0.40 (0.30 to 0.50)" in drawn
    assert "12 of 24 labelled, 9 more expected (5 to 14)" in charts.supply_bar(12, 24, (9, 5, 14))
    assert "not evaluated" in charts.floor_dot(None, None, None, 0.5)
    assert "under" in charts.floor_dot(0.4, None, None, 0.5)
    assert "nan" not in charts.histogram([0, 0.5, 1], [0, 0], None, "similarity")
    day = timedelta(days=1)
    assert "3 labelled, 1 of them show it" in charts.growth([NOW, NOW + day], [1, 1], [2, 3], 5)
    assert "0 to 0" not in charts.supply_bar(0, 5, None)


def test_commands_in_words_are_set_as_code_and_nothing_else_is() -> None:
    assert code("`a <b>` then <i>") == "<code>a &lt;b&gt;</code> then &lt;i&gt;"
