"""The level of similarity that the clips themselves suggest, where nothing is labelled."""

import numpy as np
import polars as pl
import pytest

from curate import views
from curate.sample import against_truth
from curate.targets.scoring.level import find_level
from tests.conftest import World


def mixed(count: int, share: float, apart: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Similarities of two normal kinds, of spread 0.1, whose means are so many spreads apart."""
    rng = np.random.default_rng(seed)
    positive = rng.random(count) < share
    return 0.2 + 0.1 * (rng.standard_normal(count) + apart * positive), positive


@pytest.mark.parametrize("share", [0.3, 0.1, 0.03, 0.01])
def test_what_stands_apart_is_found_be_it_ever_so_rare(share: float) -> None:
    for seed in range(5):
        similarity, positive = mixed(3000, share, 5, seed)
        matches = similarity >= find_level(similarity)
        hits = (matches & positive).sum()
        assert hits / positive.sum() > 0.85
        assert hits / matches.sum() > 0.85


def test_where_nothing_stands_apart_few_clips_match() -> None:
    for seed in range(10):
        similarity, _ = mixed(1000, 0, 0, seed)
        assert (similarity >= find_level(similarity)).mean() < 0.02


def test_a_match_is_never_the_commoner_thing() -> None:
    similarity, _ = mixed(1000, 0.9, 6, 0)
    assert (similarity >= find_level(similarity)).mean() <= 0.5


def test_scale_and_place_of_the_similarities_do_not_matter() -> None:
    similarity, _ = mixed(500, 0.1, 5, 1)
    assert find_level(3 * similarity - 2) == pytest.approx(3 * find_level(similarity) - 2)


@pytest.mark.parametrize("values", [[], [0.1], [0.1, 0.2, 0.3], [0.5] * 10])
def test_too_few_or_equal_similarities_suggest_none(values: list[float]) -> None:
    assert find_level(np.array(values)) is None


def test_without_labels_matches_agree_with_the_truth_of_the_sample_world(sample_world: World) -> None:
    catalog = sample_world.workspace.catalog
    kept = set(views.kept_clips(catalog).collect()["clip_id"])
    scores = catalog.scan("scores").filter("matches").collect()
    agreement = []
    for name in sample_world.workspace.capabilities():
        matches = set(scores.filter(pl.col("capability") == name)["clip_id"]) & kept
        truth = against_truth.shows(catalog, sample_world.truth, name) & kept
        agreement.append(2 * len(matches & truth) / max(len(matches) + len(truth), 1))
    assert np.mean(agreement) > 0.9
