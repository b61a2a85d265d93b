"""Cuts from frames and times alone, and shots and clips from cuts."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.analyze.clips import clips_of
from curate.analyze.shots import Cut, Shot, make_detector, picture_size, shots_between
from curate.specs.analysis import Clips, Shots


def scene(number: int, shift: int) -> np.ndarray:
    """A picture of one scene: blocks of its own colours, moving a little."""
    blocks = np.random.default_rng(number).integers(0, 256, (6, 10, 3), dtype=np.uint8)
    return np.roll(blocks.repeat(9, axis=0).repeat(9, axis=1), shift, axis=1)


def test_a_cut_is_the_time_of_the_first_frame_of_the_later_shot() -> None:
    detector = make_detector(Shots())
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.uniform(0.01, 0.2, 90))  # variable rate
    for index, time_s in enumerate(times):
        detector.process(float(time_s), scene(index // 30, index))
    cuts = detector.finish()
    assert [cut.time_s for cut in cuts] == [times[30], times[60]]
    assert all(cut.strength > 13 for cut in cuts)


def test_a_slow_change_is_no_cut() -> None:
    detector = make_detector(Shots())
    for index in range(60):
        mixed = scene(0, 0) * (1 - index / 60) + scene(1, 0) * (index / 60)
        detector.process(index / 30, mixed.astype(np.uint8))
    assert detector.finish() == []


def test_of_two_close_cuts_the_stronger_one_stands() -> None:
    cuts = [Cut(2.0, 20.0), Cut(2.3, 80.0), Cut(5.0, 15.0), Cut(9.8, 50.0)]
    assert shots_between(cuts, 10.0, min_shot_s=0.6) == [
        Shot(0.0, 2.3, "start"),
        Shot(2.3, 5.0, "cut"),
        Shot(5.0, 10.0, "cut"),
    ]


@given(st.lists(st.tuples(st.floats(0, 60), st.floats(1, 255)), max_size=20), st.floats(0, 3))
def test_shots_cover_the_video_without_gaps(cuts: list[tuple[float, float]], min_shot_s: float) -> None:
    shots = shots_between([Cut(*cut) for cut in cuts], 60.0, min_shot_s)
    assert shots[0].start_s == 0 and shots[-1].end_s == 60
    assert all(earlier.end_s == later.start_s for earlier, later in itertools.pairwise(shots))
    assert all(shot.end_s - shot.start_s >= min_shot_s for shot in shots)


@given(st.lists(st.floats(0.05, 90), min_size=1, max_size=10), st.floats(0.5, 5), st.floats(2, 8))
def test_clips_and_short_spans_are_the_shots(lengths: list[float], min_s: float, ratio: float) -> None:
    spec = Clips(min_s=min_s, max_s=min_s * ratio)
    edges = [0.0, *itertools.accumulate(lengths)]
    shots = [Shot(start, end, "cut") for start, end in itertools.pairwise(edges)]
    clips, short = clips_of(shots, spec)
    assert sum(end - start for start, end in clips + short) == pytest.approx(edges[-1])
    assert all(spec.min_s - 1e-5 <= end - start <= spec.max_s + 1e-5 for start, end in clips)
    assert all(end - start < spec.min_s for start, end in short)
    assert {edge for span in clips + short for edge in span} >= set(edges)


def test_a_long_shot_is_split_into_equal_parts() -> None:
    clips, short = clips_of([Shot(0.0, 45.0, "start"), Shot(45.0, 45.5, "cut")], Clips(min_s=1, max_s=20))
    assert clips == [(0.0, 15.0), (15.0, 30.0), (30.0, 45.0)]
    assert short == [(45.0, 45.5)]


def test_pictures_keep_their_aspect() -> None:
    assert picture_size(1920, 1080) == (96, 54)
    assert picture_size(360, 640) == (54, 96)
    assert min(picture_size(4000, 10)) == 2
