"""Whether two clips show the same footage, on drawn pictures: one spot moving before a background."""

from collections.abc import Callable

import numpy as np
import pytest

from curate.dedupe.align import align
from curate.dedupe.fingerprint import PICTURES_PER_S, SIZE, Fingerprint, picture
from curate.threads import one_thread

ROOM = np.random.default_rng(3).uniform(40, 160, (SIZE, SIZE))
Path = Callable[[float], tuple[float, float]]


def across(time_s: float) -> tuple[float, float]:
    return 8 + 6 * np.sin(1.7 * time_s), 3 + 2.0 * time_s


def around(time_s: float) -> tuple[float, float]:
    return 8 + 5 * np.cos(4 * time_s), 8 + 5 * np.sin(4 * time_s)


def film(
    path: Path | None, start_s: float = 0.0, end_s: float = 4.0, *, speed: float = 1.0, room: np.ndarray = ROOM
) -> Fingerprint:
    """A spot on `path` through a room, as seen from start_s to end_s of the path's time, played at a speed."""
    times_s = np.arange(int((end_s - start_s) / speed * PICTURES_PER_S)) / PICTURES_PER_S
    y, x = np.mgrid[:SIZE, :SIZE]
    pictures = []
    for time_s in start_s + speed * times_s:
        one = room.copy()
        if path:
            spot_y, spot_x = path(time_s)
            one += 150 * np.exp(-((y - spot_y) ** 2 + (x - spot_x) ** 2) / 6)
        pictures.append(one)
    return Fingerprint(times_s.astype(np.float32), np.clip(pictures, 0, 255).astype(np.uint8))


def test_the_same_footage_is_the_same() -> None:
    found = align(film(across), film(across))
    assert found is not None and found.same
    assert found.score == pytest.approx(1.0, abs=1e-3)
    assert (found.speed, found.offset_s, found.mirrored, found.share_a, found.share_b) == (1, 0, False, 1, 1)


def test_two_actions_in_one_room_are_not_the_same() -> None:
    found = align(film(across), film(around))
    assert found is None or not found.same
    assert found is None or found.motion < 0.5


def test_an_action_is_not_the_same_as_its_empty_room() -> None:
    found = align(film(across), film(None))
    assert found is None or not found.same


def test_two_stills_of_one_picture_are_the_same_and_whole() -> None:
    found = align(film(None), film(None))
    assert found is not None and found.same
    assert (found.speed, found.share_a, found.share_b) == (1, 1, 1)


def test_stills_of_two_rooms_are_not_the_same() -> None:
    other = np.random.default_rng(4).uniform(40, 160, (SIZE, SIZE))
    assert align(film(None), film(None, room=other)) is None


def test_brightness_and_contrast_do_not_matter() -> None:
    plain = film(around)
    dimmed = Fingerprint(plain.times_s, (plain.luma * 0.6 + 30).astype(np.uint8))
    found = align(plain, dimmed)
    assert found is not None and found.score > 0.99


@pytest.mark.parametrize("cut_s", [0.5, 1.0, 1.3])
def test_a_trimmed_copy_is_found_at_its_offset(cut_s: float) -> None:
    found = align(film(across), film(across, start_s=cut_s))
    assert found is not None and found.same
    assert found.offset_s == pytest.approx(-cut_s, abs=0.05)
    assert found.share_b > 0.95 > found.share_a


@pytest.mark.parametrize("speed", [0.8, 0.9, 1.1, 1.25])
def test_a_copy_at_another_speed_is_found(speed: float) -> None:
    found = align(film(across), film(across, speed=speed))
    assert found is not None and found.same
    assert found.speed == pytest.approx(1 / speed, abs=0.02)


def test_a_mirrored_copy_is_found_and_said_to_be_one() -> None:
    plain = film(across)
    found = align(plain, Fingerprint(plain.times_s, plain.luma[:, :, ::-1]))
    assert found is not None and found.same and found.mirrored


def test_less_than_a_second_in_common_is_no_link() -> None:
    assert align(film(across, end_s=0.8), film(across)) is None


def test_the_order_of_the_two_clips_does_not_matter() -> None:
    one, other = film(across), film(across, start_s=0.7, end_s=5)
    with one_thread():
        there, back = align(one, other), align(other, one)
    assert there is not None and back is not None
    assert there.score == pytest.approx(back.score, abs=0.02)
    assert there.offset_s == pytest.approx(-back.offset_s, abs=0.05)


def test_a_fade_to_black_is_the_same_as_itself() -> None:
    plain = film(around)
    fading = (plain.luma * np.linspace(1, 0, len(plain.luma))[:, None, None]).astype(np.uint8)
    found = align(Fingerprint(plain.times_s, fading), Fingerprint(plain.times_s, fading))
    assert found is not None and found.score == pytest.approx(1, abs=1e-3)


def test_two_blank_clips_are_no_evidence_of_anything() -> None:
    blank = film(None, room=np.full((SIZE, SIZE), 90.0))
    found = align(blank, blank)
    assert found is None or not found.same


def test_black_bars_are_cut_away() -> None:
    rng = np.random.default_rng(0)
    shown = rng.integers(60, 220, (5, 48, 128, 3), dtype=np.uint8)
    boxed = np.zeros((5, 72, 128, 3), np.uint8)
    boxed[:, 12:60] = shown
    assert np.abs(picture(boxed).astype(int) - picture(shown).astype(int)).max() <= 1


def test_a_dark_half_of_a_scene_is_not_a_bar() -> None:
    scene = np.full((5, 72, 128, 3), 120, np.uint8)
    scene[:, :12] = 0
    assert picture(scene)[0, 0].max() < 20
