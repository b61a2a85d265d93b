"""Whether two clips show the same footage, on drawn pictures: one spot moving through a room."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from curate.dedupe.align import Alignment, align
from curate.dedupe.fingerprint import PICTURE_PX, PICTURES_PER_S, Box, Fingerprint, resample
from curate.threads import one_thread

Path = Callable[[float], tuple[float, float]]


def room_of(seed: int) -> np.ndarray:
    """Soft shapes, float [32, 32], luma 40 to 160."""
    soft = gaussian_filter(np.random.default_rng(seed).normal(size=(PICTURE_PX, PICTURE_PX)), 2.0)
    return 100 + 60 * soft / np.abs(soft).max()


ROOM = room_of(3)


def across(time_s: float) -> tuple[float, float]:
    return 16 + 11 * np.sin(1.7 * time_s), 6 + 4.5 * time_s


def around(time_s: float) -> tuple[float, float]:
    return 16 + 10 * np.cos(4 * time_s), 16 + 10 * np.sin(4 * time_s)


def film(
    path: Path | None, start_s: float = 0.0, end_s: float = 4.0, *, speed: float = 1.0, room: np.ndarray = ROOM
) -> Fingerprint:
    """A spot on `path` through a room, as seen from start_s to end_s of the path's time, played at a speed."""
    times_s = np.arange(int((end_s - start_s) / speed * PICTURES_PER_S)) / PICTURES_PER_S
    y, x = np.mgrid[:PICTURE_PX, :PICTURE_PX]
    pictures = []
    for time_s in start_s + speed * times_s:
        one = room.copy()
        if path:
            spot_y, spot_x = path(time_s)
            one += 120 * np.exp(-((y - spot_y) ** 2 + (x - spot_x) ** 2) / 20)
        pictures.append(one)
    return Fingerprint("", len(times_s) / PICTURES_PER_S, times_s.astype(np.float32), as_luma(np.array(pictures)))


def as_luma(pictures: np.ndarray) -> np.ndarray:
    return np.clip(pictures, 0, 255).astype(np.uint8)


def edited(clip: Fingerprint, edit: Callable[[np.ndarray], np.ndarray]) -> Fingerprint:
    return replace(clip, luma=as_luma(edit(clip.luma.astype(np.float32))))


def cropped(clip: Fingerprint, box: Box) -> Fingerprint:
    return edited(clip, lambda pictures: resample(pictures, box, (PICTURE_PX, PICTURE_PX)))


def same(found: Alignment | None) -> bool:
    return found is not None and found.same


def test_the_same_footage_is_the_same() -> None:
    found = align(film(across), film(across))
    assert found is not None and found.same
    assert found.score == pytest.approx(1.0, abs=1e-3)
    assert (found.speed, found.offset_s, found.mirrored, found.share_a, found.share_b) == (1, 0, False, 1, 1)
    assert (found.start_a_s, found.end_a_s, found.start_b_s, found.end_b_s) == (0, 4, 0, 4)


def test_two_actions_in_one_room_are_not_the_same() -> None:
    found = align(film(across), film(around))
    assert not same(found)
    assert found is None or found.agreement.motion < 0.7


def test_an_action_is_not_the_same_as_its_empty_room() -> None:
    assert not same(align(film(across), film(None)))


def test_two_stills_of_one_picture_are_the_same_and_whole() -> None:
    found = align(film(None), film(None))
    assert found is not None and found.same
    assert (found.speed, found.share_a, found.share_b) == (1, 1, 1)


def test_stills_of_two_rooms_are_not_the_same() -> None:
    assert not same(align(film(None), film(None, room=room_of(4))))


def test_brightness_and_contrast_do_not_matter() -> None:
    found = align(film(around), edited(film(around), lambda pictures: pictures * 0.6 + 30))
    assert found is not None and found.score > 0.99


@pytest.mark.parametrize("cut_s", [0.5, 1.0, 1.3])
def test_a_trimmed_copy_is_found_at_its_place(cut_s: float) -> None:
    found = align(film(across), film(across, start_s=cut_s))
    assert found is not None and found.same
    assert found.offset_s == pytest.approx(-cut_s, abs=0.05)
    assert (found.start_a_s, found.end_a_s) == pytest.approx((cut_s, 4), abs=0.15)
    assert (found.start_b_s, found.end_b_s) == pytest.approx((0, 4 - cut_s), abs=0.15)
    assert found.share_b > 0.95 > found.share_a


@pytest.mark.parametrize("speed", [0.75, 0.8, 0.9, 1.1, 1.25, 1.33])
def test_a_copy_at_another_speed_is_found(speed: float) -> None:
    found = align(film(across), film(across, speed=speed))
    assert found is not None and found.same
    assert found.speed == pytest.approx(1 / speed, abs=0.02)


def test_a_mirrored_copy_is_found_and_said_to_be_one() -> None:
    found = align(film(across), edited(film(across), lambda pictures: pictures[:, :, ::-1]))
    assert found is not None and found.same and found.mirrored


@pytest.mark.parametrize("box", [(0.0, 0.0, 0.8, 0.8), (0.1, 0.2, 0.9, 1.0), (0.05, 0.0, 0.75, 1.0)])
def test_a_crop_is_found_where_it_was_cut_out(box: Box) -> None:
    for found in (align(film(across), cropped(film(across), box)), align(cropped(film(across), box), film(across))):
        assert found is not None and found.same
        assert max(found.place.box_a, found.place.box_b, key=lambda one: one[0] - one[2]) == pytest.approx(
            box, abs=0.08
        )


def test_a_picture_within_a_larger_canvas_is_found() -> None:
    def on_canvas(pictures: np.ndarray) -> np.ndarray:
        canvas = np.tile(room_of(9).astype(np.float32), (len(pictures), 1, 1))
        canvas[:, 4:28, 3:25] = resample(pictures, (0.0, 0.0, 1.0, 1.0), (24, 22))
        return canvas

    assert same(align(film(across), edited(film(across), on_canvas)))


def test_a_logo_does_not_hide_a_copy_and_does_not_make_one() -> None:
    def with_logo(pictures: np.ndarray) -> np.ndarray:
        pictures = pictures.copy()
        pictures[:, 22:30, 22:30] = 240
        return pictures

    assert same(align(film(around), edited(film(around), with_logo)))
    assert not same(align(film(around), edited(film(across), with_logo)))


def test_less_than_a_second_in_common_is_no_link() -> None:
    assert not same(align(film(across, end_s=0.6), film(across)))


@settings(max_examples=15, deadline=None)
@given(st.floats(0, 1.5), st.sampled_from([0.8, 1.0, 1.25]), st.booleans())
def test_the_order_of_the_two_clips_does_not_matter(start_s: float, speed: float, mirrored: bool) -> None:
    one, other = film(across), film(across, start_s=start_s, end_s=5, speed=speed)
    if mirrored:
        other = edited(other, lambda pictures: pictures[:, :, ::-1])
    with one_thread():
        there, back = align(one, other), align(other, one)
    assert there is not None and back is not None and there.same and back.same
    assert there.speed * back.speed == pytest.approx(1, abs=0.05)
    assert (there.start_a_s, there.end_a_s) == pytest.approx((back.start_b_s, back.end_b_s), abs=0.3)


def test_a_fade_to_black_is_the_same_as_itself() -> None:
    fading = edited(film(around), lambda pictures: pictures * np.linspace(1, 0, len(pictures))[:, None, None])
    found = align(fading, fading)
    assert found is not None and found.score == pytest.approx(1, abs=1e-3)


def test_two_blank_clips_are_no_evidence_of_anything() -> None:
    blank = film(None, room=np.full((PICTURE_PX, PICTURE_PX), 90.0))
    assert blank.blank
    assert align(blank, blank) is None
