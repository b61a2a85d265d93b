"""Decoding real files: which frame is yielded when, for each branch."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from curate.errors import DecodeError
from curate.media.decode import Branch, decode
from tests.media.conftest import Maker, number_of

SMALL = {"small": Branch(64, 36)}


def test_every_frame_comes_once_in_order_at_its_time(make_video: Maker) -> None:
    frames = list(decode(make_video(tick=Fraction(1001, 30000)), SMALL))
    assert [number_of(frame.image) for frame in frames] == list(range(60))
    assert [frame.time_s for frame in frames] == [float(k * Fraction(1001, 30000)) for k in range(60)]
    assert frames[0].image.shape == (36, 64, 3) and frames[0].image.dtype == np.uint8


def test_times_of_a_variable_rate_are_those_of_the_frames(make_video: Maker) -> None:
    ticks = (0, 3000, 6000, 15000, 18000, 40000, 49000)
    frames = decode(make_video(ticks=ticks, tick=Fraction(1, 90_000), options={"bf": "0"}), SMALL)
    assert [frame.time_s for frame in frames] == [tick / 90_000 for tick in ticks[:-1]]


def test_a_late_start_is_time_zero(make_video: Maker) -> None:
    frames = list(decode(make_video(ticks=tuple(range(45, 106)), audio_from_s=0.0), SMALL))
    assert frames[0].time_s == 0
    assert frames[30].time_s == pytest.approx(1.0, abs=0.001)


@pytest.mark.parametrize("rotation_deg", [0, 90, 180, 270])
def test_pictures_are_upright(make_video: Maker, rotation_deg: int) -> None:
    size = {"shown": Branch(180, 320) if rotation_deg % 180 else Branch(320, 180)}
    frames = list(decode(make_video(rotation_deg=rotation_deg), size))
    assert [number_of(frame.image) for frame in frames] == list(range(60))


def test_a_branch_takes_the_first_frame_at_or_after_each_grid_time(make_video: Maker) -> None:
    ticks = (0, 30, 49, 52, 120, 130, 200, 220)  # hundredths of a second
    branches = {"all": Branch(64, 36), "grid": Branch(32, 18, "bgr24", every_s=0.5)}
    frames = list(decode(make_video(ticks=ticks, tick=Fraction(1, 100), options={"bf": "0"}), branches))
    assert [frame.time_s for frame in frames if frame.branch == "all"] == [0, 0.3, 0.49, 0.52, 1.2, 1.3, 2.0]
    # 0.5 -> 0.52; 1.0 and 1.5 -> 1.2 and 2.0, each frame once.
    assert [frame.time_s for frame in frames if frame.branch == "grid"] == [0, 0.52, 1.2, 2.0]


@pytest.mark.parametrize("rate", [Fraction(30), Fraction(30000, 1001), Fraction(24000, 1001)])
def test_a_grid_of_the_frames_own_rate_takes_them_all(make_video: Maker, rate: Fraction) -> None:
    frames = list(decode(make_video(tick=1 / rate), {"grid": Branch(64, 36, every_s=float(1 / rate))}))
    assert [number_of(frame.image) for frame in frames] == list(range(60))


@pytest.mark.parametrize(
    ("name", "container_format"),
    [("video.mp4", None), ("video.mkv", None), ("video.ts", "mpegts"), ("video.avi", None)],
)
def test_a_span_is_the_same_frames_as_in_the_whole(make_video: Maker, name: str, container_format: str | None) -> None:
    path = make_video(name, ticks=tuple(range(241)), container_format=container_format)
    whole = [(frame.time_s, number_of(frame.image)) for frame in decode(path, SMALL)]
    assert [number for _, number in whole] == list(range(240))
    for start_s, end_s in ((0.0, 0.5), (1.0, 2.0), (4.21, 5.87), (7.5, 99.0)):
        span = [(frame.time_s, number_of(frame.image)) for frame in decode(path, SMALL, start_s, end_s)]
        assert span == [pair for pair in whole if start_s - 1e-9 <= pair[0] < end_s - 1e-9]


def test_a_grid_is_the_same_when_entered_midway(make_video: Maker) -> None:
    path = make_video(ticks=tuple(range(241)))
    grid = {"grid": Branch(64, 36, every_s=0.7)}
    whole = [frame.time_s for frame in decode(path, grid)]
    assert [frame.time_s for frame in decode(path, grid, 3.0, 6.0)] == [time for time in whole if 3 <= time < 6]


def test_damage_in_the_middle_raises_with_its_time(make_video: Maker, tmp_path: Path) -> None:
    content = bytearray(make_video(ticks=tuple(range(181)), options={"bf": "0", "g": "30"}).read_bytes())
    rng = np.random.default_rng(0)
    data = content.index(b"mdat")
    index = content.index(b"moov")
    for at in rng.integers(data + (index - data) // 2, index - 4, 40):
        content[at] ^= int(rng.integers(1, 256))
    path = tmp_path / "damaged.mp4"
    path.write_bytes(content)
    with pytest.raises(DecodeError, match=r"(damaged at|decoding stops at) \d+\.\d\d s"):
        list(decode(path, SMALL))
