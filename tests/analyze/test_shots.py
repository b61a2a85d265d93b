"""Cuts from frames and times alone, and shots and clips from cuts."""

import itertools
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.analyze.clips import clips_of
from curate.analyze.shots import LEAST_PX, Shot, Transition, make_detector, picture_size, shots_between, transnet
from curate.media.decode import Branch, decode
from curate.media.probe import probe
from curate.specs.analysis import Clips, Shots
from tests.analyze.conftest import World


def scene(number: int, shift: int) -> np.ndarray:
    """A picture of one scene, uint8 BGR [54, 90, 3]: soft patches of its own colours, moved sideways by some pixels."""
    patches = np.random.default_rng(number).integers(0, 256, (6, 10, 3), dtype=np.uint8)
    return np.roll(cv2.resize(patches, (90, 54), interpolation=cv2.INTER_CUBIC), shift, axis=1)


def found_by(spec: Shots, frames: Iterable[tuple[float, np.ndarray]]) -> list[Transition]:
    detector = make_detector(spec)
    for time_s, image in frames:
        detector.process(time_s, image)
    return detector.finish()


def at_25_fps(images: Iterable[np.ndarray]) -> list[tuple[float, np.ndarray]]:
    return [(index / 25, image) for index, image in enumerate(images)]


def mixed(share: float, shift: int) -> np.ndarray:
    """Two scenes, both in motion, the second one weighing `share`."""
    return (scene(0, shift) * (1 - share) + scene(1, shift) * share).astype(np.uint8)


@pytest.mark.parametrize("detector", ["blend", "adaptive", "content"])
def test_a_cut_is_the_time_of_the_first_frame_of_the_later_shot(detector: str) -> None:
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.uniform(0.01, 0.2, 90)).tolist()  # variable rate
    found = found_by(
        Shots.model_validate({"detector": detector}),
        [(time_s, scene(at // 30, int(2 * time_s))) for at, time_s in enumerate(times)],
    )
    assert [(each.kind, each.start_s, each.end_s) for each in found] == [
        ("cut", times[30], times[30]),
        ("cut", times[60], times[60]),
    ]
    assert all(each.strength > 0 for each in found)


@pytest.mark.parametrize("length", [2, 5, 12, 25, 40])
def test_a_dissolve_is_found_with_its_extent(length: int) -> None:
    shares = np.clip((np.arange(120) - 30) / length, 0, 1)
    found = found_by(Shots(), at_25_fps(mixed(share, at // 8) for at, share in enumerate(shares)))
    assert [each.kind for each in found] == ["gradual"]
    to_within_s = max(1, length / 10) / 25 + 1e-9
    assert abs(found[0].start_s - 30 / 25) <= to_within_s
    assert abs(found[0].end_s - (30 + length) / 25) <= to_within_s


@pytest.mark.parametrize("hold", [0, 10])
def test_a_fade_out_and_in_is_one_transition(hold: int) -> None:
    light = np.concatenate([np.ones(30), np.linspace(1, 0, 11), np.zeros(hold), np.linspace(0, 1, 11), np.ones(30)])
    images = [(scene(at > 40 + hold / 2, at // 8) * share).astype(np.uint8) for at, share in enumerate(light)]
    (found,) = found_by(Shots(), at_25_fps(images))
    assert found.kind == "gradual"
    assert abs(found.start_s - 30 / 25) <= 1 / 25 + 1e-9
    assert abs(found.end_s - (51 + hold) / 25) <= 1 / 25 + 1e-9


def test_a_flash_is_no_cut() -> None:
    images = [scene(0, at // 8) for at in range(60)]
    for at in (30, 31, 32):
        images[at] = np.maximum(images[at], 230)
    assert found_by(Shots(), at_25_fps(images)) == []


def test_fast_motion_and_camera_shake_are_no_transition() -> None:
    rng = np.random.default_rng(1)
    pan = [scene(0, 4 * at) for at in range(60)]
    shake = [np.roll(scene(1, 0), rng.integers(-6, 7, 2), axis=(0, 1)) for _ in range(60)]
    assert found_by(Shots(), at_25_fps(pan)) == []
    assert found_by(Shots(), at_25_fps(shake)) == []


def test_a_caption_or_an_inset_that_appears_is_no_cut() -> None:
    images = [scene(0, at // 8) for at in range(60)]
    for image in images[30:]:
        image[45:, :] = 255
        image[:24, 70:] = scene(2, 0)[:24, 70:]
    assert found_by(Shots(), at_25_fps(images)) == []


def test_frames_beyond_the_buffer_change_nothing() -> None:
    """Each transition of a long video is found once, with the extent that it has in a short one."""

    def images(offset: int, frames: int) -> Iterator[np.ndarray]:
        for at in range(offset, offset + frames):
            number, place = divmod(at, 100)
            share = min(max((place - 80) / 20, 0), 1) if number % 2 else float(place >= 99)
            yield (scene(number, 0) * (1 - share) + scene(number + 1, 0) * share).astype(np.uint8)

    found = found_by(Shots(), at_25_fps(images(0, 1900)))
    assert [(each.kind, round(25 * each.start_s), round(25 * each.end_s)) for each in found] == [
        ("gradual", 100 * number + 80, 100 * number + 100)
        if number % 2
        else ("cut", 100 * number + 99, 100 * number + 99)
        for number in range(19)
    ]


def test_a_portrait_picture_is_judged_like_a_landscape_one() -> None:
    images = [scene(at >= 30, at // 8) for at in range(60)]
    landscape = found_by(Shots(), at_25_fps(images))
    portrait = found_by(Shots(), at_25_fps(np.ascontiguousarray(image.swapaxes(0, 1)) for image in images))
    assert [each.start_s for each in portrait] == [each.start_s for each in landscape] == [30 / 25]


@pytest.mark.parametrize("frames", [0, 1, 2, 9])
@pytest.mark.parametrize("detector", ["blend", "adaptive", "content", "transnet"])
def test_a_few_equal_frames_hold_no_transition(detector: str, frames: int) -> None:
    assert found_by(Shots.model_validate({"detector": detector}), at_25_fps([scene(0, 0)] * frames)) == []


def test_a_jerk_of_the_camera_is_no_cut() -> None:
    assert found_by(Shots(), at_25_fps(scene(0, 3 * (at >= 30)) for at in range(60))) == []


def test_a_start_stop_pan_is_no_dissolve() -> None:
    assert found_by(Shots(), at_25_fps(scene(0, min(max(at - 30, 0) // 3, 6)) for at in range(90))) == []


def test_a_single_blended_frame_at_a_cut_belongs_to_neither_shot() -> None:
    images = [scene(at >= 30, at // 8) for at in range(60)]
    images[30] = mixed(0.5, 3)
    (found,) = found_by(Shots(), at_25_fps(images))
    assert found.kind == "gradual"
    assert 28 / 25 <= found.start_s <= 29 / 25 and 31 / 25 <= found.end_s <= 32 / 25


def test_transnet_finds_the_transitions_of_a_video(world: World) -> None:
    directory, truth = world
    entry = next(entry for entry in truth["videos"] if {"cut"} < {edge["kind"] for edge in entry["boundaries"]})
    info = probe(directory / entry["file"])
    small = Branch(*picture_size(info.width, info.height), "bgr24")
    frames = decode(directory / entry["file"], {"small": small})
    found = found_by(Shots(detector="transnet"), ((frame.time_s, frame.image) for frame in frames))
    for edge in entry["boundaries"]:
        assert any(each.start_s - 0.1 <= (edge["start_s"] + edge["end_s"]) / 2 <= each.end_s + 0.1 for each in found), (
            edge
        )


def test_transnet_leaves_the_state_of_others_alone() -> None:
    def state() -> tuple[object, ...]:
        numpys = np.random.get_state(legacy=False)
        return random.getstate(), numpys["state"]["key"].tolist(), torch.get_rng_state().tolist()

    transnet._network.cache_clear()
    before = state()
    found_by(Shots(detector="transnet"), at_25_fps([scene(0, 0)] * 3))
    assert state() == before
    assert not torch.are_deterministic_algorithms_enabled()


def test_transnet_holds_a_window_of_frames_and_no_more() -> None:
    detector = transnet.TransNet()
    for at in range(400):
        detector.process(at / 25, scene(0, 0))
        assert len(detector._frames) <= 100


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


@settings(deadline=None)
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
        every: list[Transition | Damage] = [*found, *damage]
        inside = [each for each in every if each.start_s < end_s - 1e-5 and each.end_s > start_s + 1e-5]
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


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 60), st.floats(1, 255)), max_size=20), st.floats(0, 3))
def test_shots_between_cuts_cover_the_video_without_gaps(cuts: list[tuple[float, float]], min_shot_s: float) -> None:
    shots = shots_between([cut(*given) for given in cuts], 60.0, min_shot_s)
    assert shots[0].start_s == 0 and shots[-1].end_s == 60
    assert all(earlier.end_s == later.start_s for earlier, later in itertools.pairwise(shots))
    assert all(shot.end_s - shot.start_s >= min_shot_s for shot in shots)


def test_pictures_keep_their_aspect() -> None:
    assert picture_size(1920, 1080) == (96, 54)
    assert picture_size(360, 640) == (54, 96)
    assert min(picture_size(4000, 10)) == LEAST_PX
