"""Similarities into probabilities that hold for labels that were not seen, and into ranks where there are too few."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.targets.scoring.calibrate import (
    FOLDS,
    ISOTONIC_LABELS,
    LEAST_LABELS,
    Calibration,
    Labelled,
    calibrate,
    fit,
    folds_of,
    logistic,
    ranks,
)


def drawn(count: int, slope: float, intercept: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    similarity = rng.uniform(-0.2, 0.4, count)
    return similarity, rng.random(count) < logistic(slope * similarity + intercept)


def labelled(
    features: np.ndarray,
    positive: np.ndarray,
    *,
    group: np.ndarray | None = None,
    audit: np.ndarray | None = None,
    fresh: np.ndarray | None = None,
) -> Labelled:
    count = len(positive)
    nothing, everything = np.zeros(count, bool), np.ones(count, bool)
    return Labelled(
        features.reshape(count, -1),
        positive,
        np.arange(count).astype(str) if group is None else group,
        nothing if audit is None else audit,
        everything if fresh is None else fresh,
    )


def said(found: Calibration, features: np.ndarray) -> np.ndarray:
    assert found.curve is not None
    return found.curve.probabilities(features.reshape(len(features), -1))


def test_a_logistic_truth_is_recovered() -> None:
    similarity, positive = drawn(4000, 12, -2)
    curve = fit(similarity[:, None], positive)
    assert curve is not None
    assert (*curve.slopes, curve.intercept) == pytest.approx((12, -2), abs=1)


def test_probabilities_of_labelled_clips_sum_to_the_positives() -> None:
    similarity, positive = drawn(400, 12, -2)
    found = calibrate(labelled(similarity, positive))
    assert said(found, similarity).sum() == pytest.approx(positive.sum(), rel=0.02)


@pytest.mark.parametrize("positives", [LEAST_LABELS - 1, 100 - LEAST_LABELS + 1, 0, 100])
def test_too_few_labels_of_a_kind_stay_ranks(positives: int) -> None:
    found = calibrate(labelled(np.linspace(0, 1, 100), np.arange(100) < positives))
    assert (found.kind, found.curve, found.labels, found.positives) == ("rank", None, 100, positives)
    assert found.brier is None and found.reliability == ()


def test_perfectly_separated_labels_give_finite_probabilities_that_are_not_certain() -> None:
    similarity = np.concatenate([np.linspace(0, 0.4, 20), np.linspace(0.6, 1, 20)])
    found = said(calibrate(labelled(similarity, similarity > 0.5)), similarity)
    assert (found[:20] < 0.3).all() and (found[20:] > 0.7).all()
    assert found.min() > 0 and found.max() < 1


def test_labels_that_contradict_the_similarity_give_everyone_the_base_rate() -> None:
    similarity = np.linspace(0, 1, 40)
    found = said(calibrate(labelled(similarity, similarity < 0.5)), similarity)
    assert np.ptp(found) == 0
    assert found[0] == pytest.approx(0.5, abs=0.02)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-1, 1), st.booleans(), st.booleans()), min_size=20, max_size=60),
    st.floats(-1e3, 1e3),
)
def test_a_probability_never_falls_as_similarity_rises(labels: list[tuple[float, bool, bool]], shift: float) -> None:
    similarity = np.array([value for value, _, _ in labels]) + shift
    positive, audit = (np.array([row[at] for row in labels]) for at in (1, 2))
    found = calibrate(labelled(similarity, positive, audit=audit))
    if found.curve is not None:
        probability = said(found, np.sort(similarity))
        assert ((probability >= 0) & (probability <= 1)).all()
        assert (np.diff(probability) >= -1e-9).all()


def test_no_group_is_in_two_folds_and_every_fold_has_both_kinds() -> None:
    rng = np.random.default_rng(3)
    group, positive = rng.integers(0, 25, 100).astype(str), rng.random(100) < 0.3
    folds = folds_of(group, positive)
    assert all(len(set(folds[group == name])) == 1 for name in set(group))
    assert set(folds) == set(range(FOLDS))
    assert all(positive[folds == fold].any() and (~positive[folds == fold]).any() for fold in range(FOLDS))
    shuffled = rng.permutation(100)
    assert (folds_of(group[shuffled], positive[shuffled]) == folds[shuffled]).all()


def test_copies_do_not_vouch_for_each_other() -> None:
    """Thirty groups of ten copies each, whose similarity says little: held out by clip, the answers were seen."""
    apart, together = [], []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        positive = rng.random(30) < 0.5
        similarity = rng.normal(0.5 * positive, 1)
        copies = similarity.repeat(10), positive.repeat(10)
        apart.append(calibrate(labelled(*copies, group=np.arange(30).repeat(10).astype(str))))
        together.append(calibrate(labelled(*copies)))
    errors = [np.mean([found.brier for found in side]) for side in (apart, together)]
    assert errors[0] > errors[1] + 0.02
    assert sum(found.kind == "isotonic" for found in apart) < sum(found.kind == "isotonic" for found in together)


def test_labels_of_one_group_calibrate_but_nothing_can_be_held_out() -> None:
    similarity, positive = drawn(60, 12, -2)
    found = calibrate(labelled(similarity, positive, group=np.full(60, "one")))
    assert (found.kind, found.brier, found.log_loss) == ("platt", None, None)


def test_isotonic_is_chosen_for_a_truth_that_is_no_logistic_curve() -> None:
    rng = np.random.default_rng(1)
    similarity = rng.uniform(0, 1, 600)
    positive = rng.random(600) < np.select([similarity < 0.5, similarity < 0.9], [0.02, 0.45], 0.97)
    found = calibrate(labelled(similarity, positive))
    assert found.kind == "isotonic"
    assert said(found, np.array([0.2, 0.7, 0.97])) == pytest.approx([0.02, 0.45, 0.97], abs=0.1)
    few = calibrate(labelled(similarity[:100], positive[:100]))
    assert min(few.positives, few.labels - few.positives) < ISOTONIC_LABELS
    assert few.kind == "platt"


@pytest.mark.parametrize("seed", range(5))
def test_a_logistic_truth_stays_a_logistic_curve(seed: int) -> None:
    assert calibrate(labelled(*drawn(400, 12, -2, seed))).kind == "platt"


def test_reliability_is_of_held_out_labels_and_counts_each_once() -> None:
    similarity, positive = drawn(500, 12, -2)
    found = calibrate(labelled(similarity, positive))
    assert sum(each.clips for each in found.reliability) == 500
    for each in found.reliability:
        assert each.low <= each.predicted <= each.high
        assert each.observed == pytest.approx(each.predicted, abs=0.12)
    assert found.brier is not None and found.brier_base_rate is not None and found.brier < found.brier_base_rate


def chosen_by_another_score(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A pool of 1,000 clips of which a tenth are positive, and 80 labels: the best by a score that the curve does not
    see, and 12 at random."""
    rng = np.random.default_rng(seed)
    truth = rng.random(1000) < 0.1
    similarity, other = (np.where(truth, rng.normal(2, 1, 1000), rng.normal(0, 1, 1000)) for _ in range(2))
    audit = np.zeros(1000, bool)
    audit[rng.choice(1000, 12, replace=False)] = True
    chosen = audit.copy()
    chosen[np.argsort(-np.where(audit, -np.inf, other))[:68]] = True
    return similarity, truth, chosen, audit


def test_labels_drawn_at_random_correct_the_level_of_labels_that_were_chosen() -> None:
    errors = {"with": [], "without": []}
    for seed in range(200, 220):
        similarity, truth, chosen, audit = chosen_by_another_score(seed)
        for name, random in (("with", audit), ("without", np.zeros(1000, bool))):
            found = calibrate(labelled(similarity[chosen], truth[chosen], audit=random[chosen]))
            errors[name].append(said(found, similarity[~chosen]).sum() - truth[~chosen].sum())
            assert found.audits == random.sum()
    with_audits, without = (float(np.mean(np.abs(errors[name]))) for name in ("with", "without"))
    assert without > 100, "as if drawn at random, a tenth of the pool is taken for far more"
    assert with_audits < 0.5 * without


def test_few_random_labels_among_many_move_little_what_is_right() -> None:
    moves = []
    for seed in range(10):
        similarity, positive = drawn(200, 12, -2, seed)
        plain, moved = (
            said(calibrate(labelled(similarity, positive, audit=np.arange(200) < audits)), similarity)
            for audits in (0, 5)
        )
        moves.append(float((moved - plain).mean()))
    assert np.mean(np.abs(moves)) < 0.1
    assert abs(np.mean(moves)) < 0.05


def with_segmenter(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Similarity that says little and a segmenter that says much, and truth."""
    rng = np.random.default_rng(seed)
    positive = rng.random(count) < 0.4
    return np.stack([rng.normal(positive, 2), rng.normal(np.where(positive, 3, -3), 1.5)], axis=1), positive


def test_a_segmenter_that_knows_more_is_used() -> None:
    features, positive = with_segmenter(120)
    found = calibrate(labelled(features, positive))
    assert found.features == ("similarity", "segmenter")
    assert found.brier is not None and found.brier < 0.05
    alone = calibrate(labelled(features[:, :1], positive))
    assert alone.features == ("similarity",)


def test_what_a_segmenter_says_of_its_own_training_clips_proves_nothing() -> None:
    features, positive = with_segmenter(120)
    rng = np.random.default_rng(5)
    fresh = np.arange(120) >= 60
    features[fresh, 1] = rng.normal(size=60)
    assert calibrate(labelled(features, positive, fresh=fresh)).features == ("similarity",)
    assert calibrate(labelled(features, positive, fresh=np.zeros(120, bool))).features == ("similarity",)


def test_a_rank_is_the_share_of_the_others_below() -> None:
    assert ranks(np.array([0.3, 0.1, 0.2])).tolist() == [1.0, 0.0, 0.5]
    assert ranks(np.array([0.5, 0.5])).tolist() == [0.0, 0.0]
    assert ranks(np.array([0.5])).tolist() == [1.0]
    assert ranks(np.array([])).tolist() == []
