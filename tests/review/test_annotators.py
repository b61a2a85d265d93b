"""What annotators did, and how they fare on clips whose answer is known."""

from typing import Any

import pytest

from curate.catalog import Catalog
from curate.review.annotators import annotators, gold_clips
from curate.workspace import Workspace
from tests.dedupe.rows import Clip
from tests.review.made import label, spec, write, write_clips
from tests.targets.conftest import clips, empty, write_capability

__all__ = ["clips", "empty"]

SPECS = {"jump": spec(), "spin": spec("spin")}


def of(catalog: Catalog, annotator: str, capability: str | None = None) -> dict[str, Any]:
    found = annotators(catalog, SPECS).to_dicts()
    return next(row for row in found if (row["annotator"], row["capability"]) == (annotator, capability))


def test_work_is_counted_by_purpose_and_capability_with_its_time(catalog: Catalog) -> None:
    write(
        catalog,
        [
            label("c1", "ann", [(1, 2)], lead_time_s=20),
            label("c2", "ann", verdict="unsure", lead_time_s=40),
            label("c3", "ann", capability="spin", lead_time_s=120),
            label("c4", "ann", purpose="gold", lead_time_s=30),
            label("c5", "ann", purpose="review", lead_time_s=600),
            label("c6", "bob", [(1, 2)], lead_time_s=60),
        ],
    )
    jump, every = of(catalog, "ann", "jump"), of(catalog, "ann")
    assert (jump["labels"], jump["gold"], jump["reviews"], jump["unsure"]) == (2, 1, 1, 0.5)
    assert (jump["lead_time_s"], jump["minutes"]) == (30, pytest.approx(690 / 60))
    assert (every["labels"], every["lead_time_s"], every["minutes"]) == (3, 35, pytest.approx(810 / 60))
    assert of(catalog, "bob")["labels"] == 1


def test_time_spent_on_what_was_changed_or_deleted_counts_once(catalog: Catalog) -> None:
    write(catalog, [label("c1", "ann", [(1, 2)], lead_time_s=20), label("c2", "ann", lead_time_s=60)])
    write(catalog, [label("c1", "ann", [(1, 3)], lead_time_s=50, minute=1), label("c2", "ann", minute=1, deleted=True)])
    found = of(catalog, "ann", "jump")
    assert (found["labels"], found["lead_time_s"], found["minutes"]) == (1, 50, pytest.approx(110 / 60))


def test_gold_answers_are_held_against_the_review(catalog: Catalog) -> None:
    write_clips(catalog, {f"c{at}": f"v{at}" for at in range(20)})
    rows = []
    for at in range(20):
        truth = [(1.0, 3.0)] if at % 2 else []
        rows.append(label(f"c{at}", "eve", truth, purpose="review"))
        rows.append(label(f"c{at}", "ann", truth, purpose="gold", minute=1))
        rows.append(label(f"c{at}", "bob", [(1.0, 3.0)] if at % 4 else [], purpose="gold", minute=1))
    write(catalog, rows)
    ann, bob = of(catalog, "ann", "jump"), of(catalog, "bob", "jump")
    assert (ann["gold_clips"], ann["gold_verdict"], ann["gold_f1"]) == (20, 1, 1)
    assert 0.7 < ann["gold_verdict_low"] < 0.9 and ann["gold_verdict_high"] == 1, "twenty right answers prove no more"
    assert (bob["gold_verdict"], bob["gold_f1"]) == (0.75, pytest.approx(2 * 10 / 25))
    assert bob["gold_f1_low"] < 0.8 < bob["gold_f1_high"]
    assert of(catalog, "ann")["gold_clips"] == 20 and of(catalog, "eve", "jump")["gold_verdict"] is None


def test_a_reviewer_is_not_measured_by_own_reviews_nor_anyone_by_a_review_that_is_gone(catalog: Catalog) -> None:
    write(
        catalog,
        [
            label("c1", "eve", [(1, 2)], purpose="review"),
            label("c1", "eve", [(1, 2)], purpose="gold", minute=1),
            label("c2", "eve", [(1, 2)], purpose="review"),
            label("c2", "ann", [(1, 2)], purpose="gold", minute=1),
        ],
    )
    assert (of(catalog, "eve")["gold_clips"], of(catalog, "ann")["gold_clips"]) == (0, 1)
    write(catalog, [label("c2", "eve", [(1, 2)], purpose="review", minute=2, deleted=True)])
    assert of(catalog, "ann")["gold_clips"] == 0


def test_a_corrected_review_judges_the_answers_given_before(catalog: Catalog) -> None:
    write(catalog, [label("c1", "eve", [(1, 2)], purpose="review"), label("c1", "ann", purpose="gold", minute=1)])
    assert of(catalog, "ann")["gold_verdict"] == 0
    write(catalog, [label("c1", "eve", purpose="review", minute=2)])
    assert of(catalog, "ann")["gold_verdict"] == 1


def test_gold_clips_are_settled_ones_half_of_them_without_it(empty: Workspace, clips: list[Clip]) -> None:
    write_capability(empty, "jump")
    jump, ids = empty.capability("jump"), [clip.clip_id for clip in clips]
    common = {"purpose": "review", "version": jump.version}
    rows = [label(clip, "eve", [(0, 1)] if at < 4 else [], **common) for at, clip in enumerate(ids[:6])]
    rows += [
        label(ids[6], "eve", verdict="unsure", **common),
        label(ids[7], "eve", verdict="bad_clip", **common),
        label(ids[8], "eve", [(0, 1)], exhaustive=False, **common),
        label(ids[9], "eve", [(0, 1)], purpose="review", version="older"),
        label(ids[10], "ann", [(0, 1)], version=jump.version),
        label("no such clip", "eve", **common),
    ]
    write(empty.catalog, rows)
    drawn = gold_clips(empty.catalog, jump, 4)
    assert len(set(drawn) & set(ids[:4])) == len(set(drawn) & set(ids[4:6])) == 2
    assert set(gold_clips(empty.catalog, jump, 100)) == set(ids[:6])
    assert gold_clips(empty.catalog, jump, 4) == drawn
    assert gold_clips(empty.catalog, jump, 6, seed=1) != gold_clips(empty.catalog, jump, 6)


def test_a_contested_clip_is_no_gold(empty: Workspace, clips: list[Clip]) -> None:
    write_capability(empty, "jump")
    jump, clip = empty.capability("jump"), clips[0].clip_id
    write(empty.catalog, [label(clip, "eve", [(0, 1)], purpose="review", version=jump.version)])
    assert gold_clips(empty.catalog, jump, 9) == [clip]
    empty.catalog.write("agreements", [{"capability": "jump", "clip_id": clip, "contested": True}], run_id="test")
    assert gold_clips(empty.catalog, jump, 9) == []
