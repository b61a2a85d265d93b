"""Samples of a span: right in number and place, whatever the timestamps of the sound."""

from pathlib import Path

import numpy as np
import pytest

from curate.media.sound import read_sound
from tests.media.test_loudness import tone, write


def samples(path: Path, from_s: float, count: int, rate_hz: int = 16_000) -> np.ndarray:
    return np.concatenate([block[0] for block in read_sound(path, from_s, count, rate_hz)])


@pytest.mark.parametrize("from_s", [0.0, 0.5, 2.2, 3.9, 7.0])
def test_there_are_as_many_as_asked_for_also_past_the_end(tmp_path: Path, from_s: float) -> None:
    path = write(tmp_path / "a.mkv", [tone(0.5)], layout="mono")
    found = samples(path, from_s, 12_345)
    assert found.shape == (12_345,)
    sounding = round(min(max(4.0 - from_s, 0), 12_345 / 16_000) * 16_000)
    assert np.abs(found[: max(sounding - 50, 0)]).max(initial=0.5) == pytest.approx(0.5, abs=0.05)
    assert np.abs(found[sounding + 50 :]).max(initial=0) < 0.01


def test_a_span_is_the_same_wherever_it_is_entered(tmp_path: Path) -> None:
    wave = np.concatenate([tone(0.5, seconds=1, hz=hz) for hz in (300, 500, 700, 900)])
    path = write(tmp_path / "a.mkv", [wave], layout="mono")
    whole = samples(path, 0.0, 64_000)
    part = samples(path, 2.5, 16_000)
    assert np.abs(part - whole[40_000:56_000])[100:-100].max() < 0.02


def test_a_hole_between_timestamps_is_silence(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mkv", [tone(0.5)], layout="mono", skip=(1.0, 2.0))
    found = samples(path, 0.0, 64_000)
    assert np.abs(found[16_100:31_900]).max() < 0.01
    assert np.abs(found[33_000:]).max() == pytest.approx(0.5, abs=0.05)
