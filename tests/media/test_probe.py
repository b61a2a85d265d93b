"""Probing real files: sizes, rates and times are those of the frames, and broken files say why."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from curate.errors import DecodeError
from curate.media.probe import probe
from curate.sample.world import plan_world, render_original
from tests.media.conftest import Maker


def test_a_plain_file_is_described_by_its_frames(make_video: Maker) -> None:
    info = probe(make_video())
    assert (info.container, info.codec, info.width, info.height) == ("mov", "h264", 320, 180)
    assert (info.frames, info.duration_s, info.fps) == (60, 2.0, 30.0)
    assert not info.variable_rate and not info.has_audio and info.rotation_deg == 0 and info.start_offset_s == 0
    assert info.bitrate_bps > 0


def test_ntsc_times_are_exact(make_video: Maker) -> None:
    info = probe(make_video(tick=Fraction(1001, 30000)))
    assert info.duration_s == float(60 * Fraction(1001, 30000))
    assert info.fps == pytest.approx(30000 / 1001, abs=1e-12)


def test_a_variable_rate_is_seen_and_the_last_frame_lasts_as_its_packet_says(make_video: Maker) -> None:
    ticks = (0, 3000, 6000, 15000, 18000, 40000, 49000)
    info = probe(make_video(ticks=ticks, tick=Fraction(1, 90_000), options={"bf": "0"}))
    assert info.variable_rate
    assert (info.frames, info.duration_s) == (6, 49000 / 90_000)


@pytest.mark.parametrize("rate", [Fraction(30000, 1001), Fraction(24000, 1001), Fraction(60)])
def test_milliseconds_of_matroska_are_no_variable_rate(make_video: Maker, rate: Fraction) -> None:
    info = probe(make_video("video.mkv", tick=1 / rate))
    assert not info.variable_rate
    assert info.duration_s == pytest.approx(float(60 / rate), abs=0.0015)


@pytest.mark.parametrize("name", ["video.mp4", "video.mkv"])
def test_time_starts_at_the_first_shown_frame_and_the_offset_is_kept(make_video: Maker, name: str) -> None:
    info = probe(make_video(name, ticks=tuple(range(45, 106)), audio_from_s=0.0))
    assert info.start_offset_s == pytest.approx(1.5, abs=0.002)
    assert info.duration_s == pytest.approx(2.0, abs=0.0015)
    assert info.has_audio


@pytest.mark.parametrize("rotation_deg", [90, 180, 270])
def test_size_is_as_shown(make_video: Maker, rotation_deg: int) -> None:
    info = probe(make_video(rotation_deg=rotation_deg))
    assert info.rotation_deg == rotation_deg
    assert (info.width, info.height) == ((320, 180) if rotation_deg == 180 else (180, 320))


@pytest.mark.parametrize(
    ("name", "codec", "container_format"),
    [("video.avi", "libx264", None), ("video.ts", "libx264", "mpegts"), ("video.h264", "libx264", "h264")],
)
def test_containers_without_times_or_index_count_their_frames(
    make_video: Maker, name: str, codec: str, container_format: str | None
) -> None:
    info = probe(make_video(name, codec=codec, container_format=container_format))
    assert (info.frames, info.duration_s) == (60, 2.0)


def test_a_late_start_is_no_truncation(tmp_path: Path) -> None:
    plan = next(plan for plan in plan_world(40, 123) if plan.file == "footage_0015.mkv")
    truth = render_original(tmp_path, plan)
    info = probe(tmp_path / plan.file)
    assert info.start_offset_s == truth["start_offset_s"] == 0.5
    assert info.duration_s == pytest.approx(truth["duration_s"], abs=0.002)


def test_packets_before_an_edit_do_not_count(make_video: Maker, tmp_path: Path) -> None:
    trimmed = tmp_path / "trimmed.mp4"
    with av.open(str(make_video())) as given, av.open(str(trimmed), "w") as made:
        stream = made.add_stream_from_template(given.streams.video[0])
        shift = 15 * 512  # half a second before zero: the muxer writes an edit list that hides it
        for packet in given.demux(video=0):
            if packet.dts is not None:
                packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, stream
                made.mux(packet)
    info = probe(trimmed)
    with av.open(str(trimmed)) as container:
        shown = [frame.pts for frame in container.decode(video=0)]
    assert info.frames == len(shown)
    assert info.frames in range(45, 61)


def test_broken_files_say_why(make_video: Maker, tmp_path: Path) -> None:
    whole = make_video().read_bytes()
    cases = {
        "empty.mp4": b"",
        "text.mp4": b"no video at all, only words\n" * 40,
        "headless.mp4": whole[: len(whole) // 2],
    }
    reasons = {}
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DecodeError) as caught:
            probe(tmp_path / name)
        reasons[name] = caught.value.what
    assert reasons["empty.mp4"] == "the file is empty"
    assert all("\n" not in reason for reason in reasons.values())
    with pytest.raises(DecodeError, match="cannot be opened"):
        probe(tmp_path / "missing.mp4")


def test_audio_only_has_no_video_stream(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(DecodeError, match="audio only"):
        probe(path)


@pytest.mark.parametrize(
    ("name", "container_options"),
    [("cut.mkv", {}), ("cut.mp4", {"movflags": "+faststart"}), ("cut.avi", {})],
)
def test_of_a_file_that_is_cut_short_what_is_there_is_described(
    make_video: Maker, tmp_path: Path, name: str, container_options: dict[str, str]
) -> None:
    content = make_video(name, container_options=container_options).read_bytes()
    path = tmp_path / name
    path.write_bytes(content[: int(0.6 * len(content))])
    info = probe(path)
    assert 0.4 < info.duration_s < 1.9
    assert (info.width, info.height, info.start_offset_s) == (320, 180, 0)


def test_a_playlist_opens_nothing_else(make_video: Maker, tmp_path: Path) -> None:
    playlist = tmp_path / "list.mp4"
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{make_video()}\n#EXT-X-ENDLIST\n")
    with pytest.raises(DecodeError):
        probe(playlist)
