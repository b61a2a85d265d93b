"""Source seconds to frames of Label Studio's timeline and back."""

from fractions import Fraction
from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labeling.frames import Timeline, even_timeline

RATES = [Fraction(n) for n in (10, 12, 15, 24, 25, 30, 50, 60, 120)]
RATES += [Fraction(n, 1001) for n in (24000, 30000, 60000)]


@st.composite
def uneven(draw: st.DrawFn) -> Timeline:
    """Frames of any lengths from 1 ms on."""
    lengths = draw(st.lists(st.floats(0.001, 1.0), min_size=1, max_size=60))
    return Timeline(draw(st.sampled_from(RATES)), tuple(accumulate(lengths, initial=draw(st.floats(0, 10_000)))))


even = st.builds(even_timeline, st.sampled_from(RATES), st.integers(1, 300), st.floats(0, 10_000))
timelines = st.one_of(even, uneven())
frame_ranges = timelines.flatmap(
    lambda timeline: st.tuples(st.just(timeline), st.tuples(*[st.integers(1, timeline.frames)] * 2).map(sorted))
)
spans = timelines.flatmap(
    lambda timeline: st.tuples(
        st.just(timeline), st.tuples(*[st.floats(timeline.edges_s[0], timeline.edges_s[-1])] * 2).map(sorted)
    )
)


@given(frame_ranges)
def test_frames_come_back_from_seconds_as_they_were(case: tuple[Timeline, list[int]]) -> None:
    timeline, (first, last) = case
    assert timeline.to_frames(*timeline.to_seconds(first, last)) == (first, last)


@given(spans)
def test_seconds_come_back_from_frames_as_the_nearest_edges(case: tuple[Timeline, list[float]]) -> None:
    timeline, (start_s, end_s) = case
    back = timeline.to_seconds(*timeline.to_frames(start_s, end_s))
    longest_s = max(after - before for before, after in pairwise(timeline.edges_s))
    if end_s - start_s >= longest_s:
        for got_s, asked_s in zip(back, (start_s, end_s), strict=True):
            assert abs(got_s - asked_s) == min(abs(edge_s - asked_s) for edge_s in timeline.edges_s)
    else:
        assert back[0] - longest_s <= start_s <= end_s <= back[1] + longest_s


@given(timelines, st.floats(-100, 20_000), st.floats(-100, 20_000))
def test_any_span_becomes_frames_of_the_clip(timeline: Timeline, start_s: float, end_s: float) -> None:
    first, last = timeline.to_frames(start_s, end_s)
    assert 1 <= first <= last <= timeline.frames


def test_an_hour_of_29_97_does_not_drift() -> None:
    timeline = even_timeline(Fraction(30000, 1001), 107_892, 0.0)
    assert timeline.to_frames(3599.9962, 3600.0296) == (107_892, 107_892)
    assert timeline.to_seconds(107_892, 107_892)[1] == pytest.approx(3599.9964, abs=1e-9)
