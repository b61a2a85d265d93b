"""What is read of the tables for all capabilities at once."""

import numpy as np
import polars as pl

from curate.targets.gaps.estimate import OTHER
from curate.targets.gaps.facts import for_estimate, read_facts
from curate.workspace import Workspace
from tests.dedupe.rows import Clip
from tests.model.conftest import footage, published
from tests.targets.conftest import write_capability, write_labels, write_scores
from tests.targets.scoring.test_trained import own, with_model

__all__ = ["footage", "own", "published", "with_model"]


def test_a_label_says_how_it_came_about(empty: Workspace, clips: list[Clip]) -> None:
    write_capability(empty, "jump")
    ids = [clip.clip_id for clip in clips]
    write_scores(empty, "jump", dict.fromkeys(ids, 0.5))
    write_labels(empty, "jump", dict(zip(ids[:5], ["present", "absent", "unsure", "absent", "present"], strict=True)))
    reasons = ["audit", "likely", "evaluation-audit", "hard-negative"]
    orders = [
        {"capability": "jump", "clip_id": clip, "reason": reason} for clip, reason in zip(ids, reasons, strict=False)
    ]
    empty.catalog.write("orders", orders, run_id="test")
    found = read_facts(empty).scores["jump"].sort("clip_id")
    by_id = {row["clip_id"]: (row["verdict"], row["way"], row["labelled"]) for row in found.iter_rows(named=True)}
    assert [by_id[clip] for clip in ids[:6]] == [
        (1, 0, True), (0, 1, True), (-1, 0, True), (0, 2, True), (1, OTHER, True), (-1, 0, False),
    ]  # fmt: skip


def test_without_a_trained_segmenter_the_similarity_is_the_score(empty: Workspace, clips: list[Clip]) -> None:
    write_capability(empty, "jump")
    write_scores(empty, "jump", {clip.clip_id: at / 20 for at, clip in enumerate(clips)})
    calibration = {"capability": "jump", "features": "similarity, segmenter", "calibration": "platt"}
    empty.catalog.write("calibrations", [calibration], run_id="test")
    found = for_estimate(read_facts(empty).scores["jump"])
    assert np.allclose(np.sort(found.score), np.arange(12) / 20)
    assert found.fresh.all()


def test_what_a_segmenter_was_trained_on_is_not_fresh(own: Workspace) -> None:
    calibration = {"capability": "bounce", "features": "similarity, segmenter", "calibration": "platt"}
    own.catalog.write("calibrations", [calibration], run_id="test")
    facts = read_facts(own)
    training = own.catalog.scan("splits").filter(pl.col("split") == "train").collect()["group_id"].to_list()
    by_segmenter, by_similarity = facts.scores["bounce"], facts.scores["other"]
    assert by_segmenter["fresh"].to_list() == (~by_segmenter["group_id"].is_in(training)).to_list()
    assert 0 < by_segmenter["fresh"].sum() < len(by_segmenter)
    assert by_similarity["fresh"].all()
    assert by_segmenter["score"].to_list() != by_similarity["score"].to_list()


def test_the_groups_of_validation_and_test_videos_measure(empty: Workspace, clips: list[Clip]) -> None:
    splits = [
        {"video_id": clips[at].video_id, "group_id": clips[at].video_id, "split": split}
        for at, split in enumerate(("train", "validation", "test"))
    ]
    empty.catalog.write("splits", splits, run_id="test")
    joined = [{"video_id": clips[at].video_id, "group_id": clips[0].video_id} for at in (0, 1)]
    empty.catalog.write("groups", joined, run_id="test")
    assert read_facts(empty).measuring == {clips[0].video_id, clips[2].video_id}
