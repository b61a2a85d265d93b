"""A boundary that an annotator marks where a picture appears comes back as that picture's own time in the source.

Real files, encoded, cut and decoded: what the frames of the proxy show is read off their pixels.
"""

from collections.abc import Sequence
from fractions import Fraction
from itertools import accumulate, pairwise
from pathlib import Path

import av
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curate.media.cut import Cut, cut
from curate.media.decode import Branch, decode
from labeling.frames import Timeline
from tests.media.conftest import Maker, make_video, number_of

__all__ = ["make_video"]

SMALL = {"small": Branch(64, 36)}
RATES = [Fraction(n) for n in (15, 24, 25, 30, 50, 60)] + [Fraction(n, 1001) for n in (24000, 30000, 60000)]
LATE_S = (0, 0, 1, 3)


@st.composite
def constant(draw: st.DrawFn) -> tuple[Fraction, list[int]]:
    """Unit and places of pictures at one rate."""
    rate, late_s = draw(st.sampled_from(RATES)), draw(st.sampled_from(LATE_S))
    first = round(late_s * rate)
    return 1 / rate, list(range(first, first + draw(st.integers(20, 70))))


@st.composite
def variable(draw: st.DrawFn) -> tuple[Fraction, list[int]]:
    """Pictures that follow each other after anything from 9 ms to 0.2 s, as of phones and screen recorders."""
    steps_ms = draw(st.lists(st.integers(9, 200), min_size=10, max_size=40))
    return Fraction(1, 1000), list(accumulate(steps_ms, initial=1000 * draw(st.sampled_from(LATE_S))))


@given(
    st.one_of(constant(), variable()),
    st.sampled_from(["video.mp4", "video.mkv", "video.ts"]),
    st.floats(0, 0.9),
    st.floats(0.05, 1),
    st.floats(0, 1),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_boundary_comes_back_as_the_time_of_its_picture(
    make_video: Maker,
    tmp_path: Path,
    pictures: tuple[Fraction, list[int]],
    name: str,
    begin: float,
    length: float,
    somewhere: float,
) -> None:
    tick, ticks = pictures
    source = make_video(name, ticks=ticks, tick=tick, size=(160, 90), options={"bf": "0", "preset": "ultrafast"})
    times_s = shown_at(source)
    start_s = begin * times_s[-1]
    end_s = min(start_s + max(length * times_s[-1], 0.02), times_s[-1])
    made = cut(source, start_s, end_s, tmp_path / "proxy.mp4", every_picture=True)
    numbers = [number_of(frame.image) for frame in decode(tmp_path / "proxy.mp4", SMALL)]
    timeline = Timeline(made.fps, made.edges_s)

    assert len(numbers) == made.frames == timeline.frames
    assert (timeline.edges_s[0], timeline.edges_s[-1]) == (start_s, end_s)
    assert all(before < after for before, after in pairwise(timeline.edges_s))
    inside = [number for number, time_s in enumerate(times_s) if start_s + 0.001 < time_s < end_s - 0.001]
    assert set(inside) <= set(numbers)
    for number in inside:
        frame = numbers.index(number) + 1  # as an annotator counts
        assert timeline.to_seconds(frame, timeline.frames)[0] == pytest.approx(times_s[number], abs=1e-9)
        if frame > 1:
            assert timeline.to_seconds(1, frame - 1)[1] == pytest.approx(times_s[number], abs=1e-9)
        assert timeline.to_frames(times_s[number], end_s)[0] == frame

    # And any time, of a prediction for one, within half a frame of the source.
    time_s = start_s + somewhere * (timeline.edges_s[-2] - start_s)
    back_s = timeline.to_seconds(*timeline.to_frames(time_s, end_s))[0]
    assert abs(back_s - time_s) <= half_a_frame_s(times_s, time_s) + 1e-9


def test_pictures_too_close_for_any_browser_are_skipped_and_the_others_stay_exact(
    make_video: Maker, tmp_path: Path
) -> None:
    source = make_video(ticks=tuple(range(121)), tick=Fraction(1, 240), options={"bf": "0"})
    made, numbers = proxy(source, 0.1, 0.4, tmp_path)
    assert made.fps == 120
    assert numbers == [*range(24, 96, 2), 95]
    assert made.edges_s == pytest.approx([number / 240 for number in (*numbers, 96)])


def test_a_rate_is_no_higher_than_it_takes_to_show_every_picture(make_video: Maker, tmp_path: Path) -> None:
    def rate(ticks: Sequence[int], tick: Fraction) -> Fraction:
        return proxy(make_video(ticks=ticks, tick=tick, options={"bf": "0"}), 0.1, 0.9, tmp_path)[0].fps

    assert rate(range(0, 1000, 40), Fraction(1, 1000)) == 25
    assert rate([0, *range(100, 1000, 50)], Fraction(1, 1000)) == 30
    assert rate([0, *range(100, 300, 20), *range(300, 1000, 50)], Fraction(1, 1000)) == 60
    assert rate([0, *range(100, 300, 10), *range(300, 1000, 50)], Fraction(1, 1000)) == 120
    assert rate(range(31), Fraction(1001, 30000)) == Fraction(30000, 1001)


def test_the_last_picture_of_a_clip_has_a_frame(make_video: Maker, tmp_path: Path) -> None:
    """It begins within the last half frame of the clip, and 15.4 frames are 15."""
    made, numbers = proxy(make_video(), 0.02, 0.02 + 15.4 / 30, tmp_path)
    assert numbers == list(range(16))
    assert made.edges_s[-2:] == pytest.approx([15 / 30, 0.02 + 15.4 / 30])


def test_what_comes_after_the_clip_is_not_shown(make_video: Maker, tmp_path: Path) -> None:
    for end_s in (0.5, 0.5000001, 0.4999999):  # picture 15 begins there
        assert proxy(make_video(), 0.02, end_s, tmp_path)[1] == list(range(15))


def proxy(source: Path, start_s: float, end_s: float, directory: Path) -> tuple[Cut, list[int]]:
    made = cut(source, start_s, end_s, directory / "proxy.mp4", every_picture=True)
    return made, [number_of(frame.image) for frame in decode(directory / "proxy.mp4", SMALL)]


def shown_at(source: Path) -> list[float]:
    """When each picture of a file is shown, after the first: with PyAV and nothing of ours."""
    with av.open(str(source)) as container:
        stream = container.streams.video[0]
        pts = [frame.pts for frame in container.decode(stream)]
        return [float((one - pts[0]) * Fraction(stream.time_base)) for one in pts]


def half_a_frame_s(times_s: list[float], time_s: float) -> float:
    return next((after - before) / 2 for before, after in pairwise(times_s) if before <= time_s <= after)
