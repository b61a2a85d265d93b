"""Golden cases worked out by hand, and ActivityNet's published definition written down naively beside ours."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.evaluation.average_precision import TIOUS, Ranked, average_precision, hits, metrics
from curate.model.definitions import Segment

Clip = tuple[list[Segment], list[Segment]]


def ranked(clips: list[Clip], videos: list[int] | None = None) -> Ranked:
    """Truth and predictions of clips, each of a video of its own where not said."""
    of = list(range(len(clips))) if videos is None else videos
    true = np.zeros(max(of, default=0) + 1)
    for (truth, _), video in zip(clips, of, strict=True):
        true[video] += len(truth)
    parts = [hits(truth, predicted) for truth, predicted in clips]
    return Ranked(
        np.array([p.score for _, predicted in clips for p in predicted]),
        np.concatenate([np.zeros((0, len(TIOUS)), dtype=bool), *parts]),
        np.array([video for (_, predicted), video in zip(clips, of, strict=True) for _ in predicted], dtype=int),
        true,
    )


def ap(clips: list[Clip]) -> np.ndarray:
    found = ranked(clips)
    return average_precision(found, np.ones((1, len(found.true))))[0]


def scored(*spans: tuple[float, float, float]) -> list[Segment]:
    return [Segment(start_s, end_s, score=score) for start_s, end_s, score in spans]


def test_a_false_alarm_between_two_hits_costs_what_precision_is_at_the_second() -> None:
    """Hit, false alarm, hit: precision 1 up to recall 1/2, then 2/3 up to 1. (1 + 2/3) / 2."""
    truth = scored((0, 4, 1), (10, 14, 1))
    assert ap([(truth, scored((0, 4, 0.9), (5, 6, 0.8), (10, 14, 0.7)))]).tolist() == [pytest.approx(5 / 6)] * 10


def test_precision_that_rises_again_lifts_what_came_before_it() -> None:
    """False alarm, hit, hit: precision 0, 1/2, 2/3; interpolated 2/3 throughout."""
    truth = scored((0, 4, 1), (10, 14, 1))
    assert ap([(truth, scored((5, 6, 0.9), (0, 4, 0.8), (10, 14, 0.7)))])[0] == pytest.approx(2 / 3)


def test_a_truth_that_is_missed_keeps_recall_below_one() -> None:
    assert ap([(scored((0, 4, 1), (10, 14, 1)), scored((0, 4, 0.9)))])[0] == 0.5


def test_thresholds_are_those_from_a_half_on() -> None:
    """tIoU 3/4 is a hit at 0.5, 0.55 ... 0.75: six of ten thresholds."""
    found = ap([(scored((0, 4, 1)), scored((0, 3, 1)))])
    assert found.tolist() == [1.0] * 6 + [0.0] * 4
    assert metrics(found).tolist() == [pytest.approx(0.6), 1.0, 1.0, 0.0]


def test_a_repeat_is_a_false_alarm_even_where_it_fits_better() -> None:
    """The surer one takes the truth; the repeat, though it fits exactly, finds it taken."""
    found = ap([(scored((0, 4, 1)), scored((0, 3, 0.9), (0, 4, 0.5)))])
    assert found[0] == 1.0
    assert found[-1] == 0.5, "at 0.95 the surer one is no hit, and the truth is left to the second of two"


def test_the_next_best_truth_is_taken_where_the_best_one_is_gone() -> None:
    """ActivityNet's rule: of the free truths the one that is overlapped most."""
    truth = scored((0, 4, 1), (1, 5, 1))
    assert hits(truth, scored((0, 4, 0.9), (0.2, 4.2, 0.8)))[:, 0].tolist() == [True, True]


def test_scores_rank_over_all_clips() -> None:
    surer_wrong = [(scored((0, 4, 1)), scored((0, 4, 0.2))), ([], scored((0, 4, 0.9)))]
    surer_right = [(scored((0, 4, 1)), scored((0, 4, 0.9))), ([], scored((0, 4, 0.2)))]
    assert (ap(surer_wrong)[0], ap(surer_right)[0]) == (0.5, 1.0)


def test_equal_scores_count_at_once() -> None:
    clips = [(scored((0, 4, 1)), scored((0, 4, 1), (6, 7, 1))), ([], scored((0, 1, 1)))]
    assert ap(clips)[0] == pytest.approx(1 / 3), "precision x recall"


def test_without_truth_there_is_no_average_precision() -> None:
    assert np.isnan(ap([([], scored((0, 1, 1)))])).all()
    assert (ap([(scored((0, 1, 1)), [])]) == 0).all()


def _naive(clips: list[Clip], threshold: float) -> float:
    """The definition of the ActivityNet challenge, step by step, for predictions without equal scores."""
    everything = [(p.score, clip, p) for clip, (_, predicted) in enumerate(clips) for p in predicted]
    taken: set[tuple[int, int]] = set()
    outcomes = []
    for _, clip, p in sorted(everything, key=lambda item: -item[0]):
        overlaps = []
        for number, t in enumerate(clips[clip][0]):
            shared = max(0.0, min(p.end_s, t.end_s) - max(p.start_s, t.start_s))
            overlaps.append((shared / ((p.end_s - p.start_s) + (t.end_s - t.start_s) - shared), number))
        right = False
        for overlap, number in sorted(overlaps, reverse=True):
            if overlap < threshold:
                break
            if (clip, number) not in taken:
                taken.add((clip, number))
                right = True
                break
        outcomes.append(right)
    positives = sum(len(truth) for truth, _ in clips)
    recall, precision = [0.0], [0.0]
    for count in range(1, len(outcomes) + 1):
        recall.append(sum(outcomes[:count]) / positives)
        precision.append(sum(outcomes[:count]) / count)
    recall.append(1.0)
    precision.append(0.0)
    area = 0.0
    for at in range(1, len(recall)):
        area += (recall[at] - recall[at - 1]) * max(precision[at:])
    return area


times = st.tuples(st.integers(0, 20), st.integers(1, 12)).map(lambda pair: (pair[0] / 2, pair[0] / 2 + pair[1] / 2))
truths = st.lists(times, max_size=3, unique=True)


@st.composite
def worlds(draw: st.DrawFn) -> list[Clip]:
    """Up to four clips with at least one true segment, and predictions of which no two have one score."""
    spans = draw(st.lists(st.tuples(truths, st.lists(times, max_size=4)), min_size=1, max_size=4))
    count = sum(len(predicted) for _, predicted in spans)
    scores = draw(st.permutations([number / 100 for number in range(1, count + 1)]))
    each = iter(scores)
    clips = [
        ([Segment(*span) for span in truth], [Segment(*span, score=next(each)) for span in predicted])
        for truth, predicted in spans
    ]
    return clips if any(truth for truth, _ in clips) else [*clips, ([Segment(0, 1)], [])]


@given(worlds())
def test_it_is_activitynets_definition(clips: list[Clip]) -> None:
    assert ap(clips) == pytest.approx([_naive(clips, threshold) for threshold in TIOUS])


@given(worlds(), st.lists(st.integers(0, 3), min_size=5, max_size=5))
def test_weights_of_a_resample_are_repeats_of_its_videos(clips: list[Clip], counts: list[int]) -> None:
    weights = np.array([[*counts][: len(clips)]], dtype=float)
    repeated = [clip for clip, count in zip(clips, counts, strict=False) for _ in range(count)]
    found = average_precision(ranked(clips), weights)[0]
    if any(truth for truth, _ in repeated):
        assert found == pytest.approx(ap(repeated))
    else:
        assert np.isnan(found).all()


@given(worlds(), st.randoms(use_true_random=False))
def test_the_order_of_clips_and_predictions_does_not_matter(clips: list[Clip], random: np.random.Generator) -> None:
    tied = [(truth, [replace(p, score=round(p.score, 1)) for p in predicted]) for truth, predicted in clips]
    shuffled = [(truth, random.sample(predicted, len(predicted))) for truth, predicted in tied]  # type: ignore[attr-defined]
    random.shuffle(shuffled)  # type: ignore[arg-type]
    assert ap(shuffled) == pytest.approx(ap(tied))
