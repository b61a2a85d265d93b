"""Intervals that are known in closed form, and how often simulated ones hold."""

import numpy as np
import pytest

from curate.evaluation.uncertainty import draws, rate_interval, resampled, seconds_interval, share_interval, spread


def test_a_resample_has_as_many_videos_as_there_are_and_repeats_with_its_seed() -> None:
    weights = draws(7, 20)
    assert weights.sum(1).tolist() == [7.0] * 20
    assert np.array_equal(weights, draws(7, 20))
    counts = np.arange(7 * 3, dtype=float).reshape(7, 3)
    assert np.allclose(resampled(weights, counts), [[(w[:, None] * counts).sum(0) for w in weights]])


def test_five_of_five_videos_that_are_right_do_not_prove_that_all_are() -> None:
    """Wilson: from 5 / (5 + 1.96^2)."""
    low, high = share_interval(np.array(1.0), np.array(0.0), np.array(5), np.array(40))
    assert (float(low), float(high)) == (pytest.approx(5 / (5 + 1.96**2), abs=1e-4), 1.0)
    low, high = share_interval(np.array(0.0), np.array(0.0), np.array(5), np.array(40))
    assert (float(low), float(high)) == (0.0, pytest.approx(1.96**2 / (5 + 1.96**2), abs=1e-4))


def test_a_share_that_varies_as_independent_answers_do_has_wilsons_interval() -> None:
    """30 of 40: variance 0.75 x 0.25 / 40 is that of 40 answers; the interval is in every textbook."""
    low, high = share_interval(np.array(0.75), np.array(0.75 * 0.25 / 40), np.array(20), np.array(1000))
    assert (float(low), float(high)) == (pytest.approx(0.598, abs=1e-3), pytest.approx(0.858, abs=1e-3))


def test_one_video_says_nothing_of_a_share_and_nothing_of_a_rate() -> None:
    variance = spread(np.full((10, 1), 0.8), np.array([1]))
    assert [float(part[0]) for part in share_interval(np.array([0.8]), variance, np.array([1]), np.array([9]))] == [
        0,
        1,
    ]
    assert np.isnan(rate_interval(np.array([2.0]), variance, np.array([4]), np.array([2.0]))).all()


def test_no_false_alarm_in_two_minutes_leaves_room_for_some() -> None:
    """Garwood: 3.69 events at most where none was seen."""
    low, high = rate_interval(np.array(0.0), np.array(0.0), np.array(0), np.array(2.0))
    assert (float(low), float(high)) == (0.0, pytest.approx(3.689 / 2, abs=1e-3))


def test_false_alarms_that_vary_as_independent_ones_do_have_garwoods_interval() -> None:
    """10 events: 4.80 to 18.39."""
    low, high = rate_interval(np.array(5.0), np.array(5.0**2 / 10), np.array(10), np.array(2.0))
    assert (float(low), float(high)) == (pytest.approx(4.795 / 2, abs=1e-3), pytest.approx(18.39 / 2, abs=1e-2))


def test_seconds_that_do_not_vary_have_no_interval() -> None:
    assert np.isnan(seconds_interval(np.array(0.2), np.array(0.0), np.array(3))).all()


def test_intervals_of_few_videos_hold_the_truth_as_often_as_they_say() -> None:
    """Eight videos of four segments, found with a chance of 0.9 that differs between videos."""
    rng = np.random.default_rng(0)
    held = []
    for trial in range(200):
        chance = rng.beta(9, 1, 8)
        hits = rng.binomial(4, chance)
        sums = resampled(draws(8, 300, trial), np.stack([hits, np.full(8, 4)], axis=-1).astype(float))
        value = np.array([hits.sum() / 32])
        variance = spread(sums[:, :1] / sums[:, 1:], np.array([8]))
        low, high = share_interval(value, variance, np.array([8]), np.array([32]))
        held.append(bool(low[0] <= 0.9 <= high[0]))
    assert np.mean(held) >= 0.93
