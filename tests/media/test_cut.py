"""Cuts of real files: which picture and which sound stand at which time."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from curate.errors import InputError
from curate.media.cut import cut
from curate.media.decode import Branch, decode
from curate.media.probe import probe
from tests.media import torture
from tests.media.conftest import Maker, number_of

SMALL = {"small": Branch(64, 36)}


def numbers(path: Path) -> list[int]:
    return [number_of(frame.image) for frame in decode(path, SMALL)]


def test_frame_k_shows_what_the_source_shows_at_start_plus_k_frames(make_video: Maker, tmp_path: Path) -> None:
    target = tmp_path / "cut.mp4"
    made = cut(make_video(ticks=tuple(range(121))), 1.0, 2.5, target)
    assert (made.fps, made.frames, made.duration_s) == (30, 45, 1.5)
    assert numbers(target) == list(range(30, 75))


def test_a_cut_between_frames_begins_with_the_one_on_screen(make_video: Maker, tmp_path: Path) -> None:
    cut(make_video(), 0.99, 1.2, tmp_path / "cut.mp4")
    assert numbers(tmp_path / "cut.mp4") == [29, 30, 31, 32, 33, 34]


def test_a_variable_rate_becomes_constant_without_moving_in_time(make_video: Maker, tmp_path: Path) -> None:
    ticks = (0, 4, 7, 20, 23, 60, 70, 100)  # hundredths of a second
    target = tmp_path / "cut.mp4"
    made = cut(make_video(ticks=ticks, tick=Fraction(1, 100), options={"bf": "0"}), 0.05, 0.95, target)
    assert made.fps == 30
    shown = [max(i for i, tick in enumerate(ticks) if tick <= 5 + 100 * k / 30 + 1e-6) for k in range(27)]
    assert numbers(target) == shown
    assert not probe(target).variable_rate


def test_a_cut_plays_everywhere_and_starts_at_zero(make_video: Maker, tmp_path: Path) -> None:
    target = tmp_path / "cut.mp4"
    source = make_video("video.mkv", tick=Fraction(1001, 30000), rotation_deg=90, audio_from_s=0.0)
    made = cut(source, 0.501, 1.5, target, max_height=160)
    assert made.fps == Fraction(30000, 1001)
    info = probe(target)
    assert (info.codec, info.width, info.height, info.rotation_deg) == ("h264", 90, 160, 0)
    assert (info.start_offset_s, info.frames, info.duration_s) == (0, made.frames, made.duration_s)
    content = target.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")
    with av.open(str(target)) as container:
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"
        assert container.streams.audio[0].codec_context.name == "aac"
        assert all(stream.start_time == 0 for stream in container.streams)
    assert numbers(target) == list(range(15, 45))


def test_sound_stays_where_it_was(make_video: Maker, tmp_path: Path) -> None:
    target = tmp_path / "cut.mp4"
    # The tone begins at 1.0 s of the file, the pictures at 0.5 s: 0.5 s after the first frame.
    cut(make_video(ticks=tuple(range(15, 61)), audio_from_s=1.0), 0.25, 1.25, target)
    with av.open(str(target)) as container:
        stream = container.streams.audio[0]
        loud = [
            float(frame.pts * stream.time_base) + index / stream.codec_context.sample_rate
            for frame in container.decode(stream)
            for index in np.flatnonzero(np.abs(frame.to_ndarray()[0]) > 0.1)[:1]
        ]
    assert loud[0] == pytest.approx(0.25, abs=0.03)


def test_the_same_span_is_the_same_bytes(make_video: Maker, tmp_path: Path) -> None:
    source = make_video(audio_from_s=0.0)
    for name in ("a.mp4", "b.mp4"):
        cut(source, 0.2, 1.8, tmp_path / name)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "b.mp4"]


@pytest.mark.parametrize("span", [(1.0, 1.0), (2.5, 3.0), (-1.0, 1.0)])
def test_a_span_without_frames_is_refused(make_video: Maker, tmp_path: Path, span: tuple[float, float]) -> None:
    with pytest.raises(InputError, match="no span"):
        cut(make_video(), *span, tmp_path / "cut.mp4")


@pytest.mark.parametrize("kind", ["pq_libx265_mkv", "hlg_libx265_mp4", "interlaced_h264", "bt709_full"])
def test_a_cut_shows_the_colours_that_the_source_shows(kind: str, tmp_path: Path) -> None:
    source, truth = torture.make(kind, tmp_path)
    target = tmp_path / "cut.mp4"
    cut(source, 0.0, 0.4, target)
    (first, *_), shown = decode(target, {"small": Branch(96, 54)}), torture.PATCH
    assert np.abs(first.image[40, 48].astype(int) - shown).max() <= 12
    assert numbers(target) == list(range(10))
    assert truth.patch
