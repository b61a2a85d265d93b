"""Cuts for mixes: every picture of the source within the span, once, at its own time; copied where that is exact."""

from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from curate.errors import DecodeError, InputError
from curate.media.exact import ExactCut, cut_exactly
from curate.media.probe import probe
from tests.media import torture
from tests.media.conftest import Maker, numbered
from tests.media.test_cut import numbers

TICK = Fraction(1, 30_000)
CLOSED = {"preset": "ultrafast", "g": "8", "bf": "0", "sc_threshold": "0"}


@dataclass(frozen=True)
class Film:
    """A file to write: pictures at `ticks` of TICK, the last of which is the end of the last picture."""

    ticks: Sequence[int]
    name: str = "film.mp4"
    codec: str = "libx264"
    bf: int = 0
    gop: int = 8
    open_gop: bool = False
    size: tuple[int, int] = (64, 48)
    pixel_format: str = "yuv420p"
    rotation_deg: int = 0

    def write(self, directory: Path) -> Path:
        path = directory / self.name
        with av.open(str(path), "w", format={"ts": "mpegts"}.get(path.suffix[1:])) as container:
            stream = container.add_stream(self.codec, rate=Fraction(30_000, 1001))
            stream.width, stream.height, stream.pix_fmt = *self.size, self.pixel_format
            stream.codec_context.time_base, stream.codec_context.thread_count = TICK, 1
            x264 = {"x264-params": f"open-gop={int(self.open_gop)}:bframes={self.bf}:keyint={self.gop}:min-keyint=2"}
            x265 = {"x265-params": f"log-level=none:pools=1:frame-threads=1:keyint={self.gop}"}
            vp9 = {"deadline": "realtime", "cpu-used": "8", "g": str(self.gop)}
            fast = {} if self.codec == "libvpx-vp9" else {"preset": "ultrafast"}
            stream.options = {**fast, **{"libx264": x264, "libx265": x265, "libvpx-vp9": vp9}[self.codec]}
            if self.rotation_deg:
                stream.set_display_rotation(-self.rotation_deg)
            lengths = dict(zip(self.ticks, np.diff(self.ticks).tolist(), strict=False))
            for index, tick in enumerate(self.ticks[:-1]):
                image = numbered(index, *self.size)
                image[self.size[1] // 2 :] += np.random.default_rng(index).integers(
                    0, 60, (1, self.size[0], 3), np.uint8
                )
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts, frame.time_base = tick, TICK
                _mux(container, stream.encode(frame), lengths)
            _mux(container, stream.encode(None), lengths)
        return path


def _mux(container: av.container.OutputContainer, packets: list[av.Packet], lengths: dict[int, int]) -> None:
    for packet in packets:
        if packet.time_base == TICK:
            packet.duration = lengths.get(packet.pts or 0, packet.duration)
        container.mux(packet)


def pictures(path: Path) -> tuple[np.ndarray, list[np.ndarray], list[bool]]:
    """(times from the first, pictures as stored, which are keyframes), by PyAV and nothing of ours."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [(frame.pts, frame.to_ndarray(), frame.key_frame) for frame in container.decode(stream)]
        tick = Fraction(stream.time_base)
    times_s = np.array([float((pts - frames[0][0]) * tick) for pts, _, _ in frames])
    return times_s, [image for _, image, _ in frames], [key for _, _, key in frames]


def assert_exact(source: Path, start_s: float, end_s: float, target: Path, *, tolerance_s: float = 2e-6) -> ExactCut:
    """Cuts, and holds what was written against what PyAV decodes of the source."""
    made = cut_exactly(source, start_s, end_s, target)
    times_s, images, _ = pictures(source)
    first = max(bisect(times_s.tolist(), start_s + 0.001) - 1, 0)
    stop = int(np.searchsorted(times_s, min(end_s, times_s[-1] + 9) - 0.001))
    wanted_s = np.maximum(times_s[first : max(stop, first + 1)] - start_s, 0.0)
    if wanted_s[0] < 0.001 + 1e-9:  # so soon is at once
        wanted_s[0] = 0.0
    found_s, found, keys = pictures(target)
    assert len(found_s) == len(wanted_s)
    assert np.abs(found_s - wanted_s).max() <= tolerance_s
    assert np.abs(made.times_s - wanted_s).max() <= tolerance_s
    info = probe(target)
    assert (info.codec, info.container, info.start_offset_s, info.rotation_deg) == ("h264", "mov", 0, 0)
    assert info.duration_s == pytest.approx(min(end_s, probe(source).duration_s) - start_s, abs=1e-5)
    assert keys[0]
    if made.copied:
        assert all(np.array_equal(copy, images[first + k]) for k, copy in enumerate(found))
    return made


rates = st.one_of(
    st.just([1001] * 40),
    st.just([1200] * 40),
    st.lists(st.sampled_from([500, 1000, 1001, 1500, 3000]), min_size=30, max_size=40),
)
films = st.builds(
    Film,
    ticks=st.builds(lambda begin, steps: list(accumulate(steps, initial=begin)), st.sampled_from([0, 30_030]), rates),
    name=st.sampled_from(["film.mp4", "film.mp4", "film.mkv", "film.mov", "film.ts"]),
    bf=st.integers(0, 3),
    gop=st.sampled_from([3, 8, 12]),
    open_gop=st.booleans(),
    rotation_deg=st.sampled_from([0, 0, 0, 90]),
)  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(film=films, first=st.integers(0, 39), length=st.integers(1, 30), early=st.sampled_from([0.0, 0.0, 0.0, 0.01]))
def test_pictures_and_times_are_the_sources(film: Film, first: int, length: int, early: float, tmp_path: Path) -> None:
    source = film.write(tmp_path)
    times_s, _, keys = pictures(source)
    ends_s = [*times_s[1:].tolist(), probe(source).duration_s]
    keyed = [index for index, key in enumerate(keys) if key]
    first = keyed[first % len(keyed)] if first % 2 else first % len(times_s)
    start_s = max(times_s[first] - early, 0.0)
    assume(not early or first == 0 or start_s > times_s[first - 1] + 0.002)
    made = assert_exact(source, start_s, ends_s[min(first + length, len(times_s)) - 1], tmp_path / "cut.mp4")
    plain = film.name != "film.ts" and not film.rotation_deg and not film.open_gop and film.bf == 0
    if plain and keys[first] and (early == 0 or first == 0):
        assert made.copied
    if film.name == "film.ts" or film.rotation_deg or not keys[first]:
        assert not made.copied


@pytest.mark.parametrize("name", ["film.mp4", "film.mkv"])
def test_pictures_of_another_order_are_copied_where_the_span_ends_between_groups(name: str, tmp_path: Path) -> None:
    source = Film(range(0, 41 * 1001, 1001), name, bf=3, gop=10).write(tmp_path)
    times_s, _, keys = pictures(source)
    starts = [times_s[k] for k, key in enumerate(keys) if key]
    assert len(starts) == 4
    for start_s, end_s in ((starts[1], starts[2]), (starts[1], starts[3]), (starts[3], 9.0)):
        assert assert_exact(source, start_s, end_s, tmp_path / "cut.mp4").copied
        assert b"ctts" in (tmp_path / "cut.mp4").read_bytes()
    assert_exact(source, starts[1], times_s[13], tmp_path / "cut.mp4")


def test_an_open_group_of_pictures_is_not_entered(tmp_path: Path) -> None:
    source = Film(range(0, 41 * 1001, 1001), bf=3, gop=10, open_gop=True).write(tmp_path)
    times_s, _, keys = pictures(source)
    inner = [k for k, key in enumerate(keys) if key and k]
    assert inner
    for k in inner:
        assert not assert_exact(source, times_s[k], 9.0, tmp_path / "cut.mp4").copied


@pytest.mark.parametrize(
    "film",
    [
        Film(range(0, 21 * 1001, 1001), "hevc.mp4", codec="libx265"),
        Film(range(0, 21 * 1001, 1001), "vp9.mkv", codec="libvpx-vp9"),
        Film(range(0, 21 * 1001, 1001), "deep.mp4", pixel_format="yuv444p"),
        Film(range(0, 21 * 1001, 1001), "odd.mp4", pixel_format="yuv444p", size=(63, 47)),
        Film(range(0, 21 * 1001, 1001), "turned.mp4", rotation_deg=90, size=(64, 48)),
    ],
    ids=lambda film: film.name,
)
def test_what_not_all_players_show_is_encoded(film: Film, tmp_path: Path) -> None:
    source = film.write(tmp_path)
    assert not assert_exact(source, 0.0, 0.5, tmp_path / "cut.mp4").copied
    info = probe(tmp_path / "cut.mp4")
    with av.open(str(tmp_path / "cut.mp4")) as container:
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"
    assert info.width % 2 == info.height % 2 == 0


@pytest.mark.parametrize("kind", ["interlaced_h264", "bt709_full", "h264_ts", "h264_avi", "h264_raw", "h264_flv"])
def test_some_kinds_of_file_are_never_copied(kind: str, tmp_path: Path) -> None:
    source, _ = torture.make(kind, tmp_path)
    assert not cut_exactly(source, 0.0, 9.0, tmp_path / "cut.mp4").copied


def test_an_encoded_cut_of_a_variable_rate_keeps_it(make_video: Maker, tmp_path: Path) -> None:
    ticks = (0, 4, 7, 20, 23, 60, 70, 100)  # hundredths of a second
    made = cut_exactly(make_video(ticks=ticks, tick=Fraction(1, 100)), 0.05, 0.95, tmp_path / "cut.mp4")
    assert not made.copied
    assert made.times_s.tolist() == pytest.approx([0, 0.02, 0.15, 0.18, 0.55, 0.65])
    assert numbers(tmp_path / "cut.mp4") == [1, 2, 3, 4, 5, 6]
    info = probe(tmp_path / "cut.mp4")
    assert info.variable_rate and info.duration_s == pytest.approx(0.9)


@pytest.mark.parametrize("copy", [True, False])
def test_sound_is_cut_at_the_sample(make_video: Maker, tmp_path: Path, copy: bool) -> None:
    source = make_video(ticks=tuple(range(15, 61)), audio_from_s=1.0, options=CLOSED)  # pictures begin at 0.5 s
    assert cut_exactly(source, 8 / 30, 1.25, tmp_path / "cut.mp4", copy=copy).copied == copy
    with av.open(str(tmp_path / "cut.mp4")) as container:
        stream = container.streams.audio[0]
        rate = stream.codec_context.sample_rate
        blocks = [(float(frame.pts * stream.time_base), frame.to_ndarray()[0]) for frame in container.decode(stream)]
        assert all(stream.start_time == 0 for stream in container.streams)
    loud = [at_s + index / rate for at_s, block in blocks for index in np.flatnonzero(np.abs(block) > 0.1)[:1]]
    assert loud[0] == pytest.approx(0.5 - 8 / 30, abs=0.03)
    assert sum(len(block) for _, block in blocks) / rate == pytest.approx(1.25 - 8 / 30, abs=1024 / rate)


@pytest.mark.parametrize("copy", [True, False])
def test_the_same_span_is_the_same_bytes(make_video: Maker, tmp_path: Path, copy: bool) -> None:
    source = make_video(audio_from_s=0.0, options=CLOSED)
    for name in ("a.mp4", "b.mp4"):
        assert cut_exactly(source, 8 / 30, 1.4, tmp_path / name, copy=copy).copied == copy
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "b.mp4"]


def test_a_copy_is_read_from_its_start(make_video: Maker, tmp_path: Path) -> None:
    """The index stands in front, pictures count from zero, and there is no edit list to obey."""
    source = make_video(options=CLOSED)
    assert cut_exactly(source, 8 / 30, 1.4, tmp_path / "cut.mp4").copied
    content = (tmp_path / "cut.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")
    with av.open(str(tmp_path / "cut.mp4"), options={"ignore_editlist": "1"}) as container:
        assert next(container.decode(video=0)).pts == 0
    assert numbers(tmp_path / "cut.mp4") == list(range(8, 42))


def test_damage_within_the_span_is_never_passed_on(tmp_path: Path) -> None:
    source = Film(range(0, 41 * 1001, 1001), gop=10, size=(128, 96)).write(tmp_path)
    times_s, _, keys = pictures(source)
    starts = [times_s[k] for k, key in enumerate(keys) if key]
    with av.open(str(source)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        hit = next(packet for packet in packets if packet.is_keyframe and packet.pts and packet.pts > 0)
        at, size = hit.pos, hit.size
    content = bytearray(source.read_bytes())
    content[at + size // 3 : at + size // 2] = bytes(size // 2 - size // 3)
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(content)
    assert cut_exactly(damaged, starts[0], starts[1], tmp_path / "good.mp4").copied
    with pytest.raises(DecodeError):
        cut_exactly(damaged, starts[1], starts[2], tmp_path / "bad.mp4")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["damaged.mp4", "film.mp4", "good.mp4"]


def test_pictures_that_change_their_size_midway_are_encoded_at_the_first_one(tmp_path: Path) -> None:
    joined, _ = torture.make("size_changes", tmp_path)
    source = tmp_path / "source.mkv"
    with av.open(str(joined)) as given, av.open(str(source), "w") as container:
        stream = container.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(video=0):
            if packet.size:
                packet.stream = stream
                container.mux(packet)
    times_s, images, keys = pictures(source)
    second = next(k for k, key in enumerate(keys) if key and images[k].shape != images[0].shape)
    first = cut_exactly(source, 0.0, times_s[second], tmp_path / "first.mp4")
    later = cut_exactly(source, times_s[second], 9.0, tmp_path / "later.mp4")
    assert (first.copied, later.copied) == (True, False)
    assert probe(tmp_path / "first.mp4").height == probe(tmp_path / "later.mp4").height == probe(source).height


@pytest.mark.parametrize("kind", sorted(torture.KINDS))
def test_whatever_a_file_is_its_cut_is_whole_or_refused(kind: str, tmp_path: Path) -> None:
    source, truth = torture.make(kind, tmp_path)
    target = tmp_path / "exactly.mp4"
    try:
        made = cut_exactly(source, 0.0, 1e6, target)
    except (DecodeError, InputError):
        assert truth.failed or truth.damaged or truth.shorter, "a good file is cut"
        assert not target.exists()
        return
    info = probe(target)
    assert (info.frames, info.start_offset_s) == (len(made.times_s), 0)
    assert info.duration_s == pytest.approx(made.duration_s, abs=1e-5)
    if truth.times_s and not (truth.failed or truth.damaged or truth.shorter):
        assert made.times_s == pytest.approx(np.array(truth.times_s), abs=0.0011)
        if truth.numbers:
            assert numbers(target) == list(range(len(truth.times_s)))


@pytest.mark.parametrize("span", [(1.0, 1.0), (2.5, 3.0), (-1.0, 1.0)])
def test_a_span_without_frames_is_refused(make_video: Maker, tmp_path: Path, span: tuple[float, float]) -> None:
    with pytest.raises(InputError, match="no span"):
        cut_exactly(make_video(), *span, tmp_path / "cut.mp4")
