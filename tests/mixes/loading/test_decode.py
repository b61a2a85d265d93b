"""Decoding few frames gives those that decoding all gives, at their exact times, whatever the clip is."""

from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import DecodeError, InputError
from curate.mixes.loading import decode as decoding
from curate.mixes.loading.decode import Sampling, decode_clip
from tests.media.conftest import number_of
from tests.mixes.loading.clips import Film

STEADY = tuple(range(0, 31 * 1001, 1001))
SIZE = (48, 64)

gaps = st.just([1001] * 40) | st.lists(st.sampled_from([500, 1000, 1500, 3000, 20_000]), min_size=8, max_size=40)
films = st.builds(
    Film,
    ticks=st.builds(
        lambda start, some: list(accumulate(some, initial=start)), st.sampled_from([0, 1001, 30_030]), gaps
    ),
    bf=st.integers(0, 4),
    gop=st.sampled_from([1, 3, 8, 50]),
    open_gop=st.booleans(),
    codec=st.sampled_from(["libx264", "libx264", "libx264", "libx265"]),
)
samplings = st.builds(
    Sampling,
    size=st.just(SIZE),
    fps=st.sampled_from([0.5, 1, 2, 7, 29.97, 1000]),
    frames=st.sampled_from([None, 1, 3, 8]),
) | st.builds(Sampling, size=st.just(SIZE), frames=st.sampled_from([1, 2, 5, 16, 64]))


def wanted(film: Film, sampling: Sampling) -> list[int]:
    """Which frames a sampling takes, in its definition's own words."""
    times_s, found = film.times_s, []
    grid_s = []
    if sampling.fps is not None:
        grid_s = [k / sampling.fps for k in range(100_000) if k == 0 or k / sampling.fps < film.duration_s - 1e-6]
    if sampling.fps is not None and len(grid_s) < (sampling.frames or 10**9):
        found = [[k for k, time_s in enumerate(times_s) if time_s >= due_s - 1e-6][:1] for due_s in grid_s]
    elif len(times_s) <= (sampling.frames or 0):
        found = [[k] for k in range(len(times_s))]
    else:
        middles_s = [(k + 0.5) * film.duration_s / sampling.frames for k in range(sampling.frames or 0)]
        found = [[k for k, time_s in enumerate(times_s) if time_s <= due_s + 1e-6][-1:] for due_s in middles_s]
    return sorted({k for some in found for k in some})


@settings(max_examples=80, deadline=None)
@given(films, samplings)
def test_wanted_frames_come_once_at_their_times(film: Film, sampling: Sampling) -> None:
    frames, times_s = decode_clip(film.encode(), sampling, film.duration_s)
    expected = wanted(film, sampling)
    assert [number_of(frame.transpose(1, 2, 0)) for frame in frames] == expected
    assert times_s == pytest.approx(film.times_s[expected], abs=1e-9)
    assert frames.dtype == np.uint8 and frames.shape == (len(expected), 3, *SIZE)
    assert len(expected) <= sampling.most(film.duration_s)


@settings(max_examples=25, deadline=None)
@given(films, samplings)
def test_decoding_few_frames_is_decoding_all_and_choosing(film: Film, sampling: Sampling) -> None:
    content = film.encode()
    few = decoding._decode_few(content, sampling, film.duration_s)
    frames, times_s = decoding._decode_all(content, sampling, film.duration_s)
    assert few is not None
    assert np.array_equal(few[0], frames) and np.array_equal(few[1], times_s)


@pytest.mark.parametrize(("codec", "container"), [("libvpx-vp9", "webm"), ("libvpx-vp9", "mp4"), ("libx264", "mpegts")])
def test_any_codec_and_container_will_do(codec: str, container: str) -> None:
    film = Film(tuple(range(0, 31 * 1200, 1200)), codec=codec, container=container)
    frames, times_s = decode_clip(film.encode(), Sampling(SIZE, fps=5), film.duration_s)
    assert [number_of(frame.transpose(1, 2, 0)) for frame in frames] == [0, 5, 10, 15, 20, 25]
    assert times_s == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0], abs=0.001)


def test_the_short_side_is_scaled_and_the_middle_is_kept() -> None:
    film = Film(STEADY, size=(160, 80))  # eight bars of 20 pixels; the middle square holds bars 2 to 5
    frames, _ = decode_clip(film.encode(), Sampling((40, 40), fps=1000), film.duration_s)
    for number, frame in enumerate(frames):
        bars = [int(frame[0, 10, 5 + 10 * at] > 128) for at in range(4)]
        assert bars == [number >> bar & 1 for bar in range(2, 6)]


def test_pictures_are_upright() -> None:
    film = Film(STEADY, size=(48, 64), rotation_deg=90)
    frames, _ = decode_clip(film.encode(), Sampling((48, 64), frames=1), film.duration_s)
    plain, _ = decode_clip(Film(STEADY, size=(48, 64)).encode(), Sampling((64, 48), frames=1), film.duration_s)
    assert np.abs(np.rot90(plain[0], -1, axes=(1, 2)).astype(int) - frames[0]).mean() < 12


def test_a_clip_that_is_damaged_where_it_is_wanted_is_refused() -> None:
    content = bytearray(Film(STEADY, gop=50, size=(320, 240)).encode())
    start = content.index(b"mdat") + 4
    middle = start + (content.index(b"moov") - start) // 2
    content[middle : middle + 200] = bytes(200)
    with pytest.raises(DecodeError, match="damaged|decoding stops"):
        decode_clip(bytes(content), Sampling(SIZE, fps=1000), 1.0)


@pytest.mark.parametrize("content", [b"", b"no video", Film(STEADY).encode()[:400]], ids=["empty", "text", "cut short"])
def test_what_is_no_clip_is_refused_without_the_name_of_a_temporary_file(content: bytes) -> None:
    with pytest.raises(DecodeError) as found:
        decode_clip(content, Sampling(SIZE, fps=2), 1.0)
    assert "/tmp" not in str(found.value)


@pytest.mark.parametrize("asked", [{}, {"fps": 0}, {"frames": 0}, {"fps": 2, "size": (0, 4)}, {"fps": float("nan")}])
def test_nonsense_is_refused(asked: dict) -> None:
    with pytest.raises(InputError):
        Sampling(**{"size": SIZE, **asked})
