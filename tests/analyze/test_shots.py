"""Cuts from frames and times alone, and shots and clips from cuts."""

import itertools
from dataclasses import dataclass

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from curate.analyze.clips import clips_of
from curate.analyze.shots import Shot, Transition, make_detector, picture_size, shots_between
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
    assert [cut.start_s for cut in cuts] == [times[30], times[60]]
    assert all(cut.strength > 13 for cut in cuts)


def test_a_slow_change_is_no_cut() -> None:
    detector = make_detector(Shots())
    for index in range(60):
        mixed = scene(0, 0) * (1 - index / 60) + scene(1, 0) * (index / 60)
        detector.process(index / 30, mixed.astype(np.uint8))
    assert detector.finish() == []


def cut(time_s: float, strength: float = 1.0) -> Transition:
    return Transition(time_s, time_s, "cut", strength)


def gradual(start_s: float, end_s: float, strength: float = 1.0) -> Transition:
    return Transition(start_s, end_s, "gradual", strength)


@dataclass(frozen=True)
class Damage:
    start_s: float
    end_s: float


def test_of_two_close_cuts_the_stronger_one_stands() -> None:
    cuts = [cut(2.0, 20.0), cut(2.3, 80.0), cut(5.0, 15.0), cut(9.8, 50.0)]
    assert shots_between(cuts, 10.0, min_shot_s=0.6) == [
        Shot(0.0, 2.3, "start"),
        Shot(2.3, 5.0, "cut"),
        Shot(5.0, 10.0, "cut"),
    ]


def test_gradual_transitions_and_gaps_lie_between_shots() -> None:
    found = [gradual(2.0, 2.8), cut(2.5, 9.0), cut(5.0), cut(7.1, 9.0), gradual(9.0, 10.0)]
    assert shots_between(found, 10.0, min_shot_s=0.6, gaps=[Damage(7.0, 7.2)]) == [
        Shot(0.0, 2.0, "start"),
        Shot(2.8, 5.0, "gradual"),
        Shot(5.0, 7.0, "cut"),
        Shot(7.2, 9.0, "gap"),
    ]


def test_a_video_that_opens_with_a_fade_begins_its_first_shot_after_it() -> None:
    assert shots_between([gradual(0.0, 1.0)], 4.0, min_shot_s=0.6) == [Shot(1.0, 4.0, "gradual")]


spans = st.tuples(st.floats(0, 60), st.floats(0, 4)).map(lambda span: (span[0], min(span[0] + span[1], 60.0)))


@given(
    st.lists(st.tuples(st.floats(0, 60), st.floats(1, 255)), max_size=20),
    st.lists(spans, max_size=5),
    st.lists(spans, max_size=3),
    st.floats(0, 3),
    st.floats(0.5, 2),
)
def test_no_clip_contains_a_transition_or_a_gap(
    cuts: list[tuple[float, float]],
    graduals: list[tuple[float, float]],
    gaps: list[tuple[float, float]],
    min_shot_s: float,
    min_s: float,
) -> None:
    damage = [Damage(*gap) for gap in gaps]
    found = [*(cut(*given) for given in cuts), *(gradual(*given) for given in graduals)]
    shots = shots_between(found, 60.0, min_shot_s, gaps=damage)
    times_s = np.arange(0, 60, 0.1)
    clips, short = clips_of(shots, Clips(min_s=min_s, max_s=8 * min_s), (times_s, np.ones(600)))
    for start_s, end_s in clips + short:
        inside = [each for each in [*found, *damage] if each.start_s < end_s - 1e-5 and each.end_s > start_s + 1e-5]
        # A cut may have given way to a stronger one nearby, or to the end of the video.
        assert all(
            each in found
            and each.start_s == each.end_s
            and min(
                abs(each.start_s - edge_s)
                for edge_s in (0, 60, *(time_s for time_s, _ in cuts if time_s != each.start_s))
            )
            <= max(min_shot_s, 1e-5)
            for each in inside
        )


@given(st.lists(st.tuples(st.floats(0, 60), st.floats(1, 255)), max_size=20), st.floats(0, 3))
def test_shots_between_cuts_cover_the_video_without_gaps(cuts: list[tuple[float, float]], min_shot_s: float) -> None:
    shots = shots_between([cut(*given) for given in cuts], 60.0, min_shot_s)
    assert shots[0].start_s == 0 and shots[-1].end_s == 60
    assert all(earlier.end_s == later.start_s for earlier, later in itertools.pairwise(shots))
    assert all(shot.end_s - shot.start_s >= min_shot_s for shot in shots)


def test_pictures_keep_their_aspect() -> None:
    assert picture_size(1920, 1080) == (96, 54)
    assert picture_size(360, 640) == (54, 96)
    assert min(picture_size(4000, 10)) == 2
