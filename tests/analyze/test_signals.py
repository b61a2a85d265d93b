"""Signals of pictures whose answers are known, and against the filters of libav whose definitions they take."""

from collections.abc import Iterable
from dataclasses import asdict
from fractions import Fraction

import av
import av.filter
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.analyze.shots import picture_size
from curate.analyze.signals import SignalMeter
from curate.media.decode import Branch, decode
from curate.media.probe import probe
from tests.analyze.conftest import World


def flat(luma: int) -> np.ndarray:
    return np.full((54, 96, 3), luma, np.uint8)


def test_motion_does_not_depend_on_the_frame_rate() -> None:
    found = []
    for fps in (25, 50):
        meter = SignalMeter()
        for index in range(2 * fps):
            meter.process(index / fps, flat(round(100 * index / fps)))
        found.append(meter.between((0.0, 2.0)).motion)
    assert found[0] == pytest.approx(100 / 255 / 25, rel=0.02)
    assert found[1] == pytest.approx(found[0], rel=0.05)


def test_the_change_at_a_cut_is_no_motion() -> None:
    meter = SignalMeter()
    for index in range(50):
        meter.process(index / 25, flat(0 if index < 25 else 255))
    assert meter.between((0.0, 1.0)).motion == 0
    assert meter.between((1.0, 2.0)).motion == 0
    assert meter.between((1.0, 2.0), begins_with_cut=False).motion > 0.03


def test_brightness_contrast_and_sharpness() -> None:
    meter = SignalMeter()
    halves = flat(0)
    halves[:, 48:] = 255
    checks = flat(0)
    checks[::2, ::2] = checks[1::2, 1::2] = 255
    for time_s, image in enumerate((flat(51), halves, checks)):
        meter.process(float(time_s), image)
    plain, split, fine = (meter.between((t, t + 1)) for t in (0.0, 1.0, 2.0))
    assert (plain.brightness, plain.contrast, plain.sharpness) == pytest.approx((0.2, 0, 0), abs=1e-3)
    assert (split.brightness, split.contrast) == pytest.approx((0.5, 1), abs=1e-3)
    assert fine.sharpness > 10 * split.sharpness > 0


def test_a_span_in_which_no_frame_begins_has_the_signals_of_the_one_on_screen() -> None:
    meter = SignalMeter()
    meter.process(0.0, flat(51))
    meter.process(20.0, flat(255))
    assert meter.between((5.0, 10.0)).brightness == pytest.approx(0.2, abs=1e-3)


def textured(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Grey blotches of about six pixels, uint8 [height, width]."""
    noise = np.random.default_rng(seed).uniform(0, 255, (height, width)).astype(np.float32)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), None, 20, 235, cv2.NORM_MINMAX).astype(np.uint8)


def grey(luma: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.repeat(luma[:, :, None], 3, axis=2))


def metered(pictures: Iterable[np.ndarray], fps: float = 25) -> SignalMeter:
    meter = SignalMeter()
    for index, image in enumerate(pictures):
        meter.process(index / fps, image)
    return meter


def window(scene: np.ndarray, x: float, y: float = 0.0) -> np.ndarray:
    """54 x 96 of a scene from (x, y) on, between pixels too."""
    return cv2.warpAffine(scene, np.float32([[1, 0, -x], [0, 1, -y]]), (96, 54))


@pytest.mark.parametrize("speed", [0.05, 0.2, 0.5])
@pytest.mark.parametrize("fps", [10, 25, 60])
def test_a_pan_is_camera_motion_at_its_speed(speed: float, fps: int) -> None:
    scene = textured(54, 200)
    found = metered((grey(window(scene, 96 * speed * at / fps)) for at in range(2 * fps)), fps).between((0.0, 2.0))
    assert found.camera_motion == pytest.approx(speed, rel=0.1)
    assert found.object_motion is not None and found.object_motion < 0.1 * speed


def test_a_zoom_is_camera_motion_too() -> None:
    scene = textured(54, 96)
    frames = []
    for at in range(50):
        turn = cv2.getRotationMatrix2D((48, 27), 0, 1.1 ** (at / 25))
        frames.append(grey(cv2.warpAffine(scene, turn, (96, 54), borderMode=cv2.BORDER_REFLECT)))
    found = metered(frames).between((0.0, 2.0))
    assert found.camera_motion is not None and found.object_motion is not None
    assert found.camera_motion > 0.02 > 4 * found.object_motion


@pytest.mark.parametrize("pan", [0.0, 0.2])
def test_what_moves_before_the_background_is_object_motion(pan: float) -> None:
    scene, thing = textured(54, 200), textured(20, 20, seed=1)
    frames = []
    for at in range(50):
        image = window(scene, 96 * pan * at / 25)
        image[20:40, 10 + at : 30 + at] = thing
        frames.append(grey(image))
    found = metered(frames).between((0.0, 2.0))
    assert found.camera_motion == pytest.approx(pan, abs=0.03)
    # 400 of 5,184 pixels move against the rest, at 0.26 widths a second, 0.06 faster or slower than the pan.
    assert found.object_motion is not None and found.object_motion > 0.01


def test_movement_across_the_edge_of_a_span_is_not_in_it() -> None:
    scenes = [textured(54, 96, seed) for seed in range(2)]
    meter = metered(grey(scenes[at // 26]) for at in range(52))
    assert meter.between((0.0, 1.04)).camera_motion == 0
    assert meter.between((1.04, 2.08)).camera_motion == 0
    assert meter.between((1.04, 1.12)).camera_motion is None


def test_exposure_counts_the_pixels_at_the_ends_of_the_range_without_the_bars() -> None:
    image = flat(128)
    image[:9], image[45:] = 0, 0
    image[9:18], image[18:24] = 255, 5
    found = metered([image] * 50).between((0.0, 2.0))
    assert found.overexposed == pytest.approx(9 / 36)
    assert found.underexposed == pytest.approx(6 / 36)
    assert found.letterbox == pytest.approx(18 / 54)


def test_bars_are_what_no_look_shows_a_picture_in() -> None:
    frames = []
    for at in range(50):
        image = flat(0)
        image[6:48, 12:84] = flat(200)[6:48, 12:84]
        if at < 25:
            image[6:20] = 0
        frames.append(image)
    meter = metered(frames)
    assert meter.between((0.0, 2.0)).letterbox == pytest.approx(1 - 42 * 72 / (54 * 96))
    assert meter.between((0.0, 1.0)).letterbox == pytest.approx(1 - 28 * 72 / (54 * 96))
    assert metered([flat(0)] * 50).between((0.0, 2.0)).letterbox == 0


def test_a_still_frame_around_moving_pictures_is_a_static_border() -> None:
    scene, around = textured(54, 200), textured(54, 96, seed=2)
    frames = []
    for at in range(50):
        image = around.copy()
        image[10:44, 20:76] = window(scene, at)[10:44, 20:76]
        frames.append(grey(image))
    meter = metered(frames)
    assert meter.between((0.0, 2.0)).static_border == pytest.approx(1 - 34 * 56 / (54 * 96), abs=0.05)
    assert meter.between((0.0, 2.0)).letterbox == 0
    assert metered([grey(around)] * 50).between((0.0, 2.0)).static_border == 0
    assert metered(grey(window(scene, at)) for at in range(50)).between((0.0, 2.0)).static_border == 0


def by_libav(filter_name: str, arguments: str, frames: list[np.ndarray], fps: int) -> list[dict[str, str]]:
    """The metadata that one of libav's filters gives each frame."""
    graph = av.filter.Graph()
    height, width = frames[0].shape[:2]
    graph.link_nodes(
        graph.add_buffer(width=width, height=height, format="gray", time_base=Fraction(1, fps)),
        graph.add(filter_name, arguments),
        graph.add("buffersink"),
    ).configure()
    found = []
    for index, image in enumerate(frames):
        frame = av.VideoFrame.from_ndarray(image[:, :, 0].copy(), format="gray")
        frame.pts, frame.time_base = index, Fraction(1, fps)
        graph.vpush(frame)
        found.append(dict(graph.vpull().metadata))
    return found


def test_freezes_are_those_of_libavs_freezedetect() -> None:
    scene = textured(54, 400)
    still = [0, 1, 2, *[3] * 60, *range(4, 30), *[30] * 40, *range(31, 60), *[60] * 55, 61, 62]
    frames = [grey(window(scene, at)) for at in still]
    frames = [np.clip(image.astype(int) + (at % 7 == 0), 0, 255).astype(np.uint8) for at, image in enumerate(frames)]
    for noise in (0, 1):
        seen = frames if noise else [grey(window(scene, at)) for at in still]
        told = by_libav("freezedetect", "noise=0.001:duration=2", seen, 25)
        edges = [(name, float(value)) for row in told for name, value in row.items()]
        starts = [at for name, at in edges if name.endswith("freeze_start")]
        ends = [at for name, at in edges if name.endswith("freeze_end")]
        length_s = len(seen) / 25
        expected = sum(end - start for start, end in zip(starts, ends, strict=True)) / length_s
        assert metered(seen).between((0.0, length_s)).freeze == pytest.approx(expected, abs=1e-6)
        assert (expected > 0) == (noise == 0)


def test_a_freeze_counts_in_every_part_of_it_and_up_to_the_end_of_the_video() -> None:
    scene = textured(54, 100)
    meter = metered(grey(window(scene, min(at, 25))) for at in range(100))
    assert meter.between((0.0, 4.0)).freeze == pytest.approx(0.75)
    assert meter.between((2.0, 2.5)).freeze == 1
    assert meter.between((3.5, 4.0)).freeze == 1
    assert meter.between((0.0, 1.0)).freeze == 0


def test_black_frames_are_those_of_libavs_blackdetect() -> None:
    frames = []
    for at in range(60):
        image = flat(200)
        if 10 <= at < 30:
            image = flat(at - 5)
            image[0, :] = 255 if at >= 20 else 0
        frames.append(image)
    told = by_libav("blackdetect", "d=0.01:pic_th=0.98:pix_th=0.1", frames, 25)
    edges = {name: float(value) for row in told for name, value in row.items()}
    found = metered(frames).between((0.0, 2.4))
    assert found.black == pytest.approx((edges["lavfi.black_end"] - edges["lavfi.black_start"]) / 2.4, abs=1e-6)
    assert found.black > 0.3


def test_black_is_a_share_of_time_not_of_frames() -> None:
    meter = SignalMeter()
    for time_s, luma in ((0.0, 0), (3.0, 200), (3.5, 200)):
        meter.process(time_s, flat(luma))
    assert meter.between((0.0, 4.0)).black == pytest.approx(0.75)


def test_the_sample_worlds_camera_and_objects_move_where_its_scripts_say(world: World) -> None:
    """Its cameras pan by a fiftieth of a pixel a frame. In front of the studio's flat wall no pan can be seen."""
    directory, truth = world
    pans, stills, acting, idle = [], [], [], []
    for video in truth["videos"]:
        if video["kind"] != "original":
            continue
        info = probe(directory / video["file"])
        meter = SignalMeter()
        for frame in decode(
            directory / video["file"], {"small": Branch(*picture_size(info.width, info.height), "bgr24")}
        ):
            meter.process(frame.time_s, frame.image)
        for shot in video["shots"]:
            found = meter.between((shot["start_s"] + 0.5, shot["end_s"] - 0.5))
            acts = any(shot["start_s"] <= each["start_s"] < shot["end_s"] for each in video["segments"])
            if shot["background"] != "studio":
                (pans if shot["pan_per_s"] else stills).append(found.camera_motion)
            if not shot["pan_per_s"]:
                (acting if acts else idle).append(found.object_motion)
    assert np.mean([pan > still for pan in pans for still in stills]) > 0.85
    assert np.median(pans) > 5 * np.median(stills)
    assert np.median(acting) > 5 * np.median(idle)
    assert 0.005 < np.median(pans) < 0.015


@given(st.lists(st.floats(0.001, 3.0), min_size=1, max_size=20), st.integers(0, 5), st.data())
def test_every_signal_of_any_span_is_in_its_range(steps: list[float], seed: int, data: st.DataObject) -> None:
    meter, time_s = SignalMeter(), 0.0
    rng = np.random.default_rng(seed)
    for step in steps:
        meter.process(time_s, rng.integers(0, 256, (54, 96, 3), np.uint8) if rng.random() < 0.7 else flat(0))
        time_s += step
    start_s = data.draw(st.floats(0, 0.9)) * time_s
    found = meter.between((start_s, data.draw(st.floats(start_s + 1e-3, time_s + 1e-2))))
    for name, value in asdict(found).items():
        assert value is None or 0 <= value <= (10 if "motion" in name else 1 + 1e-6), name
