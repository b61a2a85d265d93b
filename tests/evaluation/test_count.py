"""Predictors that are wrong by construction, and what must hold of any: each metric falls where it should."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.evaluation.count import METRICS, Counts, count
from curate.evaluation.judged import Judged
from curate.model.definitions import Segment

CLIP_S = 10.0
Answer = Sequence[Segment]

spans = st.tuples(st.integers(0, 15), st.integers(1, 8)).map(lambda p: (p[0] / 2, min((p[0] + p[1]) / 2, CLIP_S)))


@st.composite
def segments(draw: st.DrawFn, most: int = 3) -> list[Segment]:
    """Segments that do not overlap, with a field."""
    edges = sorted(draw(st.sets(st.integers(0, 20), max_size=2 * most)))
    colours = st.sampled_from(["red", "blue"])
    scores = st.integers(1, 9).map(lambda score: score / 10)
    return [
        Segment(a / 2, b / 2, {"color": draw(colours)}, draw(scores))
        for a, b in zip(edges[::2], edges[1::2], strict=False)
    ]


@st.composite
def exams(draw: st.DrawFn) -> tuple[list[Judged], list[list[Segment]]]:
    """Clips of up to three videos and two capabilities, with truth somewhere, and answers."""
    clips = draw(
        st.lists(st.tuples(st.sampled_from("uvw"), st.sampled_from(["jump", "roll"]), segments(), segments()),
                 min_size=1, max_size=6)
    )  # fmt: skip
    judged = [
        Judged(f"c{at}", video, capability, CLIP_S, tuple(truth))
        for at, (video, capability, truth, _) in enumerate(clips)
    ]
    return judged, [answer for *_, answer in clips]


def counted(judged: Sequence[Judged], found: Sequence[Answer]) -> Counts:
    required = {"jump": ["color"], "roll": ["color"]}
    return count(judged, found, required=required, slices={}, scored=True)


def table(counts: Counts, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return counts.table(counts.values(weights))


def metrics(judged: Sequence[Judged], found: Sequence[Answer], row: int = -1) -> dict[str, float]:
    """Of all capabilities together, or of one."""
    counts = counted(judged, found)
    values = counts.values(np.ones((1, len(counts.tallies))))[0, row]
    return dict(zip(METRICS, values.tolist(), strict=True))


def clips(*truths: Sequence[tuple[float, float]]) -> list[Judged]:
    return [
        Judged(f"c{at}", f"v{at}", "jump", CLIP_S, tuple(Segment(*span, {"color": "red"}) for span in truth))
        for at, truth in enumerate(truths)
    ]


TRUE = clips([(1, 3)], [(4, 8)], [(2, 4), (6, 9)], [])


def test_one_segment_over_the_whole_clip_finds_little_and_alarms_everywhere() -> None:
    """Overlaps of 0.2, 0.4 and 0.3: two hits of eight at 0.3, none from 0.5 on; one alarm in ten seconds."""
    found = metrics(TRUE, [[Segment(0, CLIP_S)]] * 4)
    assert (found["recall@0.3"], found["precision@0.3"], found["f1@0.3"]) == (0.5, 0.5, 0.5)
    assert [found[name] for name in ("f1@0.5", "joint_f1@0.3", "map")] == [0, 0, 0]
    assert found["false_alarms_per_min"] == 6.0


def test_many_repeats_of_right_segments_cost_precision_and_earn_nothing() -> None:
    found = metrics(TRUE, [list(judged.segments) * 5 for judged in TRUE])
    assert (found["recall@0.5"], found["precision@0.5"], found["f1@0.5"]) == (1.0, 0.2, pytest.approx(1 / 3))
    assert found["map"] == pytest.approx(0.2), "precision x recall where all scores are equal"


def test_repeats_below_right_segments_leave_average_precision_and_cost_f1() -> None:
    """Average precision forgives what is less sure than the last hit: why it is not the only metric."""
    unsure = [[*judged.segments, *(Segment(s.start_s, s.end_s, s.fields, 0.1) for s in judged.segments)]
              for judged in TRUE]  # fmt: skip
    found = metrics(TRUE, unsure)
    assert (found["map"], found["f1@0.5"]) == (1.0, pytest.approx(2 / 3))


def test_labels_of_other_clips_score_as_chance() -> None:
    found = metrics(TRUE, [TRUE[(at + 1) % 4].segments for at in range(4)])
    assert found["f1@0.5"] < 0.3
    assert found["false_alarms_per_min"] == 6.0


def test_nothing_found_is_zero_and_no_alarm() -> None:
    found = metrics(TRUE, [[]] * 4)
    assert [found[name] for name in ("f1@0.3", "recall@0.5", "joint_f1@0.9", "map")] == [0, 0, 0, 0]
    assert np.isnan(found["precision@0.5"]) and np.isnan(found["boundary_error_s"])
    assert found["false_alarms_per_min"] == 0


def test_wrong_fields_cost_joint_f1_alone() -> None:
    found = metrics(
        TRUE, [[Segment(s.start_s, s.end_s, {"color": "blue"}) for s in judged.segments] for judged in TRUE]
    )
    assert (found["f1@0.9"], found["map"], found["joint_f1@0.3"]) == (1.0, 1.0, 0.0)


@given(exams())
def test_a_perfect_predictor_has_one_everywhere(exam: tuple[list[Judged], list[list[Segment]]]) -> None:
    judged, _ = exam
    found = metrics(judged, [each.segments for each in judged])
    shares = [value for name, value in found.items() if name not in ("boundary_error_s", "false_alarms_per_min")]
    assert all(value == pytest.approx(1) or np.isnan(value) for value in shares)
    assert found["boundary_error_s"] == 0 or not any(each.segments for each in judged)


@given(exams(), st.integers(0, 5))
def test_repeating_an_answer_raises_no_metric_above_a_tiou_of_a_half(
    exam: tuple[list[Judged], list[list[Segment]]], which: int
) -> None:
    """Up to a half a segment can overlap two true ones enough, and its repeat be the second one's hit."""
    judged, found = exam
    at = which % len(found)
    before = metrics(judged, found)
    after = metrics(judged, [[*answer, *answer] if k == at else answer for k, answer in enumerate(found)])
    assert not after["false_alarms_per_min"] < before["false_alarms_per_min"]
    for name in METRICS:
        if name.endswith(("@0.7", "@0.75", "@0.9", "@0.95")) and not np.isnan(before[name]):
            assert after[name] <= before[name] + 1e-9


@given(exams(), st.integers(0, 5), spans)
def test_a_false_alarm_raises_neither_f1_nor_precision(
    exam: tuple[list[Judged], list[list[Segment]]], which: int, span: tuple[float, float]
) -> None:
    judged, found = exam
    at = which % len(found)
    truth = judged[at].segments
    if any(s.start_s < span[1] and s.end_s > span[0] for s in truth):
        judged = [Judged(e.clip_id, e.video_id, e.capability, CLIP_S, () if k == at else e.segments)
                  for k, e in enumerate(judged)]  # fmt: skip
    before = metrics(judged, found)
    after = metrics(judged, [[*answer, Segment(*span)] if k == at else answer for k, answer in enumerate(found)])
    for name in METRICS:
        if name.startswith(("f1", "precision", "joint", "map", "ap@")) and not np.isnan(before[name]):
            assert after[name] <= before[name] + 1e-9
        if name.startswith("recall") and not np.isnan(before[name]):
            assert after[name] == before[name]


@given(exams(), st.randoms(use_true_random=False))
def test_the_order_and_names_of_videos_change_nothing(
    exam: tuple[list[Judged], list[list[Segment]]], random: np.random.Generator
) -> None:
    judged, found = exam
    order = list(range(len(judged)))
    random.shuffle(order)  # type: ignore[arg-type]
    names = {"u": "z", "v": "a", "w": "m"}
    moved = [
        Judged(judged[k].clip_id, names[judged[k].video_id], judged[k].capability, CLIP_S, judged[k].segments)
        for k in order
    ]
    assert metrics(moved, [found[k] for k in order]) == pytest.approx(metrics(judged, found), nan_ok=True)


@given(exams())
def test_counts_of_a_resample_are_those_of_its_videos(exam: tuple[list[Judged], list[list[Segment]]]) -> None:
    """A video drawn twice counts as two that are alike."""
    judged, found = exam
    videos = sorted({each.video_id for each in judged})
    weights = np.array([[2.0, *[1.0] * (len(videos) - 1)]])
    twin = [(Judged(f"{e.clip_id}'", "twin", e.capability, CLIP_S, e.segments), f)
            for e, f in zip(judged, found, strict=True) if e.video_id == videos[0]]  # fmt: skip
    doubled = metrics([*judged, *(e for e, _ in twin)], [*found, *(f for _, f in twin)])
    own = dict(zip(METRICS, counted(judged, found).values(weights)[0, -1].tolist(), strict=True))
    assert own == pytest.approx(doubled, nan_ok=True)


def test_the_last_row_is_the_mean_over_capabilities_that_have_a_value() -> None:
    judged = [
        Judged("a", "v", "good", CLIP_S, (Segment(0, 4),)),
        Judged("b", "v", "poor", CLIP_S, (Segment(0, 4),)),
        Judged("c", "v", "quiet", CLIP_S, ()),
    ]
    counts = count(judged, [[Segment(0, 4)], [], []], required={}, slices={}, scored=True)
    values = counts.values(np.ones((1, 1)))[0, :, METRICS.index("f1@0.5")]
    assert values[[0, 1, 3]].tolist() == [1.0, 0.0, 0.5]
    assert np.isnan(values[2])


def test_intervals_hold_their_values_and_stay_wide_where_videos_are_few() -> None:
    few, many = (clips(*[[(1, 3)]] * number) for number in (4, 60))
    at = METRICS.index("f1@0.5")
    widths = []
    for judged in (few, many):
        weights = np.random.default_rng(0).multinomial(len(judged), [1 / len(judged)] * len(judged), 200).astype(float)
        value, low, high = table(counted(judged, [each.segments for each in judged]), weights)
        assert (value[0, at], high[0, at]) == (1.0, 1.0)
        widths.append(1 - low[0, at])
    assert widths[0] > 0.4 > 0.1 > widths[1] > 0
