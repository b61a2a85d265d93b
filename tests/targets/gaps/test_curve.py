"""The posterior of calibration curves: what the labels say, and where they say nothing."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from curate.targets.gaps.curve import Curves, Labelled, draw_curves, standardized


def labelled(score: np.ndarray, positive: np.ndarray, way: int = 0, source: int = 0) -> Labelled:
    ones = np.ones(len(score), np.int64)
    return Labelled(score, source * ones, positive.astype(float), way * ones, np.arange(len(score)))


def curves(found: Labelled, sources: int = 1) -> Curves:
    return draw_curves(found, sources, np.random.default_rng(0))


def probability(found: Curves, score: float, source: int = 0) -> np.ndarray:
    return 1 / (1 + np.exp(-found.log_odds(np.array([score]), np.array([source]))[:, 0]))


def some(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores and whether each is positive, with log odds of 2 x score - 1."""
    random = np.random.default_rng(seed)
    score = standardized(random.standard_normal(count))
    return score, random.random(count) < 1 / (1 + np.exp(1 - 2 * score))


def test_many_labels_give_the_curve_they_were_drawn_from() -> None:
    found = curves(labelled(*some(0, 2000)))
    for score, true in ((-1.0, 0.047), (0.0, 0.269), (1.0, 0.731)):
        low, high = np.quantile(probability(found, score), [0.005, 0.995])
        assert low < true < high
        assert high - low < 0.2


def test_where_there_are_no_labels_the_curve_is_open() -> None:
    score, positive = some(1, 200)
    seen = score > 0.5
    found = curves(labelled(score[seen], positive[seen]))
    widths = [
        np.ptp(np.quantile(found.log_odds(np.array([at]), np.zeros(1))[:, 0], [0.05, 0.95])) for at in (-2.0, 1.0)
    ]
    assert widths[0] > 3 * widths[1]


def test_chosen_labels_leave_more_open_than_labels_drawn_at_random() -> None:
    score, positive = some(2, 600)
    spread = [probability(curves(labelled(score, positive, way=way)), 0.0).std() for way in (0, 1)]
    assert spread[1] > 1.5 * spread[0]


def test_a_source_with_labels_of_its_own_has_a_curve_of_its_own() -> None:
    score, positive = some(3, 300)
    never = labelled(score, np.zeros(300), source=1)
    both = Labelled(
        *(np.concatenate(pair) for pair in zip(_parts(labelled(score, positive)), _parts(never), strict=True))
    )
    found = curves(both, sources=3)
    means = [probability(found, 1.0, source).mean() for source in range(3)]
    assert means[1] < means[2] < means[0]


def test_without_labels_it_is_the_prior_and_says_little() -> None:
    found = probability(curves(labelled(np.zeros(0), np.zeros(0))), 0.0)
    assert np.quantile(found, 0.05) < 0.01 < 0.5 < np.quantile(found, 0.97)


@given(st.lists(st.floats(-1e6, 1e6), max_size=30))
def test_standardized_scores_keep_their_order_and_stay_near(scores: list[float]) -> None:
    given_scores = np.array(scores)
    found = standardized(given_scores)
    assert np.abs(found).max(initial=0) <= 6
    assert (np.diff(found[np.argsort(given_scores, kind="stable")]) >= 0).all()


def _parts(found: Labelled) -> tuple[np.ndarray, ...]:
    return found.score, found.source, found.positive, found.way, found.group
