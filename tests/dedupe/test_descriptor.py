"""Which clips are candidates of each other: near descriptors, symmetric, and none for what shows nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.dedupe.descriptor import DESCRIPTOR_DIM, MATCH, descriptors, questions
from curate.dedupe.fingerprint import PICTURE_PX, Box
from tests.dedupe.test_align import across, around, cropped, edited, film, room_of


def best(one: np.ndarray, other: np.ndarray) -> float:
    return float((one @ other.T).max())


def test_descriptors_are_few_and_of_unit_norm() -> None:
    found = descriptors(film(across))
    assert found.shape == (20, DESCRIPTOR_DIM) and found.dtype == np.float32
    assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-5)
    assert descriptors(film(across, end_s=0.5)).shape == (10, DESCRIPTOR_DIM)


def test_a_clip_that_shows_nothing_has_none() -> None:
    blank = film(None, room=np.full((PICTURE_PX, PICTURE_PX), 90.0))
    assert descriptors(blank).shape == questions(blank).shape == (0, DESCRIPTOR_DIM)


def test_a_copy_is_near_and_another_room_is_not() -> None:
    clip = film(around)
    copies = {
        "dimmed": edited(clip, lambda pictures: 0.6 * pictures + 30),
        "mirrored": edited(clip, lambda pictures: pictures[:, :, ::-1]),
        "trimmed": film(around, start_s=1.3),
        "faster": film(around, speed=1.25),
    }
    for name, copy in copies.items():
        assert best(questions(clip), descriptors(copy)) >= MATCH, name
    assert best(questions(clip), descriptors(film(around, room=room_of(8)))) < MATCH


@pytest.mark.parametrize("box", [(0.0, 0.0, 0.8, 0.8), (0.2, 0.1, 1.0, 0.9), (0.1, 0.1, 0.9, 0.9)])
def test_a_crop_is_near(box: Box) -> None:
    assert best(questions(film(around)), descriptors(cropped(film(around), box))) >= 0.9


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 10**6), st.booleans())
def test_whether_two_clips_are_near_does_not_depend_on_which_one_asks(one: int, other: int, mirrored: bool) -> None:
    first, second = film(across, room=room_of(one)), film(around, room=room_of(other))
    if mirrored:
        second = edited(second, lambda pictures: pictures[:, :, ::-1])
    there, back = best(questions(first), descriptors(second)), best(questions(second), descriptors(first))
    assert there == pytest.approx(back, abs=1e-5)
