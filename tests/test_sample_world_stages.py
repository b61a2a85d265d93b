"""The stages against truth: on the sample world every stage can be scored, and is held to its floor."""

import polars as pl
import pytest

from curate import views
from curate.sample import against_truth
from curate.specs import read_specs
from curate.specs.capability import Capability
from tests.conftest import REPOSITORY, World

CAPABILITIES = list(read_specs(REPOSITORY / "curate/sample/configs/capabilities", Capability))


def test_every_file_has_an_outcome_and_the_broken_ones_failed_with_a_reason(sample_world: World) -> None:
    rows = sample_world.workspace.catalog.scan("outcomes").filter(pl.col("stage") == "collect").collect()
    by_file = {item.split("/", 1)[1]: (outcome, reason) for item, outcome, reason in
               rows.select("item", "outcome", "reason").iter_rows()}  # fmt: skip
    assert set(by_file) == {video["file"] for video in sample_world.truth["videos"]}
    for video in sample_world.truth["videos"]:
        outcome, reason = by_file[video["file"]]
        if video["expected"] == "failed":
            assert outcome == "failed" and reason, video["file"]
        elif outcome == "filtered":
            twins = [other for other in sample_world.truth["videos"] if other["of"] == video["file"]] + [video]
            assert "same bytes" in reason and any(twin["transform"] == "bytes" for twin in twins)
        else:
            assert outcome == "ok", f"{video['file']}: {reason}"
    assert sum(outcome == "filtered" for outcome, _ in by_file.values()) == sum(
        video["transform"] == "bytes" for video in sample_world.truth["videos"]
    )
    counts = views.outcome_counts(sample_world.workspace.catalog, "collect")
    assert sum(counts.values()) == len(sample_world.truth["videos"])


def test_cuts_are_found(sample_world: World) -> None:
    assert against_truth.cut_agreement(sample_world.workspace.catalog, sample_world.truth).f1 >= 0.95


def test_dissolves_and_fades_are_found_with_their_extent(sample_world: World) -> None:
    found = against_truth.gradual_agreement(sample_world.workspace.catalog, sample_world.truth)
    assert found.hits >= 20, "the world must hold some for this to mean anything"
    assert found.f1 >= 0.95


def test_copies_with_the_same_content_are_found_and_nothing_else_is(sample_world: World) -> None:
    found = against_truth.copy_agreement(sample_world.workspace.catalog, sample_world.truth)
    assert found.found >= 5, "the world must hold copies for this to mean anything"
    assert found.recall >= 0.95
    assert found.precision >= 0.95


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_text_retrieval_is_at_least_three_times_better_than_chance(sample_world: World, capability: str) -> None:
    catalog = sample_world.workspace.catalog
    kept = set(views.kept_clips(catalog).collect()["clip_id"])
    positives = against_truth.shows(catalog, sample_world.truth, capability) & kept
    assert positives, "the world must show every capability"
    ranked = (
        catalog.scan("scores")
        .filter(pl.col("capability") == capability, pl.col("clip_id").is_in(kept))
        .sort("similarity", "clip_id", descending=[True, False])
        .collect()["clip_id"]
    )
    assert against_truth.precision_at(ranked.to_list(), positives) >= 3 * len(positives) / len(kept)
