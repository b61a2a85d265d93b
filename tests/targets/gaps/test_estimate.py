"""How many unlabelled clips show a capability: the interval holds, closes with what is known, and is never empty."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.targets.gaps.estimate import Clips, Count, allows, count, estimate
from tests.targets.gaps.archives import Archive, archive


def interval(clips: Clips) -> Count:
    return count(estimate(clips).draws)


def holds(found: Count, truth: int) -> bool:
    return found.low <= truth <= found.high


def share_that_holds(archives: list[Archive]) -> float:
    return float(np.mean([holds(interval(each.clips), each.open_positives) for each in archives]))


@pytest.mark.parametrize(("share", "apart"), [(0.01, 3.0), (0.05, 1.0), (0.3, 1.5), (0.3, 6.0)])
def test_intervals_hold_for_rare_and_common_things_and_good_and_poor_scores(share: float, apart: float) -> None:
    # of 40 at a true rate of 0.95, 34 or fewer hold once in 100 times
    assert share_that_holds([archive(seed, share=share, apart=apart) for seed in range(40)]) > 34 / 40


def test_a_sum_of_what_looks_likely_would_not_do() -> None:
    """The labelled clips are mostly positive, the others mostly not: their share says nothing of the others."""
    found = archive(3, share=0.05, apart=3.0)
    labelled_share = found.truth[found.clips.labelled].mean()
    guess = interval(found.clips)
    assert labelled_share * (~found.clips.labelled).sum() > 2 * guess.high
    assert holds(guess, found.open_positives)


def test_no_positive_among_the_audits_is_not_certainty() -> None:
    found = archive(0, share=0.0, likely=0)
    guess = interval(found.clips)
    assert guess.low == 0
    assert 600 * 0.01 < guess.high < 600 * 0.3


def test_more_audits_close_the_interval() -> None:
    few, many = (interval(archive(1, audits=audits, likely=0).clips) for audits in (15, 240))
    assert many.high - many.low < 0.6 * (few.high - few.low)


def test_nothing_is_left_to_guess_when_all_clips_are_labelled() -> None:
    assert interval(archive(2, audits=600, likely=0).clips) == Count(0.0, 0.0, 0.0)


def test_labels_of_one_video_say_less_than_those_of_many() -> None:
    random = np.random.default_rng(0)
    score = random.standard_normal(400)
    labelled = np.arange(400) < 40
    verdict = np.where(labelled, random.random(400) < 0.5, -1).astype(np.int8)
    verdict[:40] = np.repeat([1, 0], 20)  # two videos, all of one show it and none of the other
    apart = Clips(score, np.zeros(400), np.arange(400), verdict, labelled, np.zeros(400, np.int8), np.ones(400, bool))
    alike = replace(apart, group=np.where(labelled, np.arange(400) // 20, np.arange(400)))
    widths = [found.high - found.low for found in map(interval, (apart, alike))]
    assert widths[1] > 1.3 * widths[0]


def test_an_estimate_needs_probabilities_or_clips_drawn_at_random() -> None:
    found = archive(0, audits=9).clips
    assert not allows(found, calibrated=False)
    assert allows(found, calibrated=True)
    assert allows(archive(0, audits=10).clips, calibrated=False)
    unlabelled = replace(found, verdict=np.full(600, -1, np.int8))
    assert not allows(unlabelled, calibrated=True)


def test_what_a_score_was_made_from_proves_nothing_of_it() -> None:
    """A segmenter scores what it was trained on as it was told; what nobody told it of it knows less well."""
    found = archive(4, share=0.3, apart=1.0, audits=60, likely=0)
    told = np.where(found.clips.labelled, found.clips.score + 6 * (2 * found.truth - 1), found.clips.score)
    learnt = replace(found.clips, score=told, fresh=~found.clips.labelled)
    assert not allows(learnt, calibrated=True)
    assert interval(learnt) == interval(replace(learnt, verdict=np.full(600, -1, np.int8)))


def test_slices_that_clips_tell_hold_even_where_one_is_unlike_the_rest() -> None:
    held = []
    for seed in range(25):
        found = archive(seed, share=0.15, audits=60)
        odd = found.clips.source == 3
        shifted = replace(found.clips, score=found.clips.score + 1.0 * odd)  # it looks likely there, and is not
        guess = estimate(shifted)
        for source in range(4):
            inside = found.clips.source == source
            truth = int(found.truth[inside & ~found.clips.labelled].sum())
            held.append(holds(count(guess.slice_draws(inside)), truth))
    assert np.mean(held) > 0.9


def test_a_field_s_value_takes_its_share_of_the_positives() -> None:
    found = archive(5, share=0.3, audits=120)
    guess = estimate(found.clips)
    red = found.truth & (found.clips.group % 4 == 0)
    many, none = guess.field_draws(red, kinds=4), guess.field_draws(np.zeros(600, bool), kinds=4)
    truth = int((red & ~found.clips.labelled).sum())
    assert holds(count(many), truth)
    assert count(none).low == 0 < count(none).high < count(many).high


def test_the_same_labels_give_the_same_numbers() -> None:
    assert interval(archive(7).clips) == interval(archive(7).clips)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    clips=st.integers(1, 80),
    share=st.floats(0, 1),
    apart=st.floats(0, 8),
    audits=st.integers(0, 40),
    likely=st.integers(0, 40),
)
def test_an_interval_is_in_order_and_within_the_clips_that_are_left(
    seed: int, clips: int, share: float, apart: float, audits: int, likely: int
) -> None:
    made = archive(seed, clips=clips, share=share, apart=apart, audits=audits, likely=likely).clips
    left = int((~made.labelled).sum())
    guess = estimate(made)
    inside = made.source == 0
    for draws, most in (
        (guess.draws, left),
        (guess.slice_draws(inside), int((inside & ~made.labelled).sum())),
        (guess.field_draws(inside, kinds=2), left),
    ):
        found = count(draws)
        assert 0 <= found.low <= found.expected <= found.high <= most
