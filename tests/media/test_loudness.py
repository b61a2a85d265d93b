"""Loudness against known levels and against libav's own meter, on the picture's time line."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import av.filter
import numpy as np
import pytest

from curate.media.loudness import FLOOR_LUFS, Loudness, measure_loudness
from curate.media.probe import VideoInfo, probe

SECONDS = 4.0


def tone(amplitude: float, *, rate_hz: int = 48_000, seconds: float = SECONDS, hz: float = 1_000) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz)).astype(np.float32)


def write(
    path: Path,
    channels: Sequence[np.ndarray],
    *,
    layout: str = "stereo",
    rate_hz: int = 48_000,
    offset_s: float = 0.0,
    skip: tuple[float, float] = (0.0, 0.0),
    codec: str = "pcm_f32le",
) -> Path:
    """Four seconds of grey pictures from `offset_s` on, with sound from 0 on; `skip` holds no packets."""
    samples = np.stack(channels)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        audio = container.add_stream(codec, rate=rate_hz, layout=layout)
        for index in range(round(SECONDS * 25)):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 90, np.uint8), format="rgb24")
            frame.pts, frame.time_base = index + round(offset_s * 25), Fraction(1, 25)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        planar = audio.codec_context.format.name.endswith("p")
        for start in range(0, samples.shape[1], 960):
            if skip[0] * rate_hz <= start < skip[1] * rate_hz:
                continue
            part = np.ascontiguousarray(samples[:, start : start + 960])
            values = part if planar else part.T.reshape(1, -1).copy()
            frame = av.AudioFrame.from_ndarray(values, format="fltp" if planar else "flt", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = rate_hz, start, Fraction(1, rate_hz)
            container.mux(audio.encode(frame))
        container.mux(audio.encode(None))
    return path


def measured(path: Path) -> tuple[Loudness, VideoInfo]:
    info = probe(path)
    found = measure_loudness(path, info)
    assert found is not None
    return found, info


def libavs_own(path: Path) -> float:
    """Integrated loudness of the whole file by libav's ebur128 filter."""
    with av.open(str(path)) as container:
        graph = av.filter.Graph()
        graph.link_nodes(
            graph.add_abuffer(template=container.streams.audio[0]),
            graph.add("ebur128", "metadata=1:framelog=quiet"),
            graph.add("abuffersink"),
        ).configure()
        value = ""
        for frame in [*container.decode(audio=0), None]:
            graph.push(frame)
            while True:
                try:
                    value = graph.pull().metadata.get("lavfi.r128.I", value)
                except (av.BlockingIOError, av.EOFError):
                    break
    return float(value)


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 44_100, 48_000, 96_000])
def test_a_sine_in_both_channels_has_the_loudness_that_the_standard_says(tmp_path: Path, rate_hz: int) -> None:
    """EBU Tech 3341: a stereo sine of 1 kHz at -23 dBFS is -23 LUFS, within 0.1."""
    wave = tone(10 ** (-23 / 20), rate_hz=rate_hz)
    found, info = measured(write(tmp_path / "a.mov", [wave, wave], rate_hz=rate_hz))
    assert found.lufs((0.0, info.duration_s)) == pytest.approx(-23, abs=0.1)
    assert found.silence((0.0, info.duration_s)) == 0


def test_the_gates_leave_out_what_is_silent_and_what_is_quiet_beside_the_rest(tmp_path: Path) -> None:
    """As in EBU Tech 3341's third case, -36 dBFS around -23 dBFS does not count: 17 blocks are -23, and 6 partly so."""
    levels = [tone(10 ** (level / 20), seconds=1) for level in (-36, -23, -23, -36)]
    wave = np.concatenate(levels)
    found, _ = measured(write(tmp_path / "a.mov", [wave, wave]))
    assert found.lufs((0.0, 4.0)) == pytest.approx(-23 + 10 * np.log10((17 + 3) / 23), abs=0.1)
    assert found.lufs((1.0, 3.0)) == pytest.approx(-23, abs=0.1)
    assert found.lufs((0.0, 1.0)) == pytest.approx(-36, abs=0.1)
    assert found.lufs((1.2, 1.4)) == pytest.approx(-23, abs=0.1)


@pytest.mark.parametrize(("layout", "channels"), [("mono", 1), ("stereo", 2), ("5.1", 6)])
def test_the_whole_of_a_file_is_what_libavs_meter_says(tmp_path: Path, layout: str, channels: int) -> None:
    rng = np.random.default_rng(3)
    swell = np.abs(np.sin(np.linspace(0, 9, round(SECONDS * 48_000)))) ** 3
    waves = [(0.3 * swell * rng.standard_normal(len(swell))).clip(-1, 1).astype(np.float32) for _ in range(channels)]
    path = write(tmp_path / "a.mov", waves, layout=layout)
    found, _ = measured(path)
    assert found.lufs((0.0, SECONDS)) == pytest.approx(libavs_own(path), abs=0.1)


def test_the_low_frequency_channel_is_not_heard_and_those_behind_count_more(tmp_path: Path) -> None:
    quiet, loud = tone(0.0), tone(0.1)
    heard = {}
    for at, name in enumerate(("FL", "FR", "FC", "LFE", "BL", "BR")):
        waves = [loud if channel == at else quiet for channel in range(6)]
        heard[name] = measured(write(tmp_path / f"{name}.mov", waves, layout="5.1"))[0].lufs((0.0, SECONDS))
    assert heard["LFE"] == FLOOR_LUFS
    assert heard["FL"] == pytest.approx(heard["FR"]) == pytest.approx(heard["FC"])
    assert heard["BL"] == pytest.approx(heard["FL"] + 10 * np.log10(1.41), abs=0.01)


def test_silence_is_silent_and_has_the_floor_for_loudness(tmp_path: Path) -> None:
    wave = np.concatenate([tone(0.1, seconds=1), tone(0.0, seconds=3)])
    found, _ = measured(write(tmp_path / "a.mov", [wave, wave]))
    assert found.silence((0.0, 4.0)) == pytest.approx(0.75, abs=0.06)
    assert (found.silence((1.5, 4.0)), found.lufs((1.5, 4.0))) == (1, FLOOR_LUFS)


def test_sound_stands_on_the_time_line_of_the_pictures(tmp_path: Path) -> None:
    """Pictures that begin a second after the sound: their first second has the sound's second one."""
    wave = np.concatenate([tone(0.1, seconds=1), tone(0.0, seconds=1), tone(0.1, seconds=2)])
    found, info = measured(write(tmp_path / "a.mkv", [wave, wave], offset_s=1.0))
    assert info.start_offset_s == pytest.approx(1.0)
    assert found.silence((0.0, 0.9)) == 1
    assert found.silence((1.1, 2.9)) == 0
    assert found.silence((3.1, 4.0)) == 1


def test_a_hole_between_timestamps_is_silence(tmp_path: Path) -> None:
    wave = tone(0.1)
    found, _ = measured(write(tmp_path / "a.mkv", [wave, wave], skip=(1.0, 2.0)))
    assert [found.silence((at, at + 0.8)) for at in (0.1, 1.1, 2.1)] == [0, 1, 0]


def test_a_video_without_sound_has_no_loudness(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mov", [tone(0.1)] * 2)
    with av.open(str(path)) as given, av.open(str(tmp_path / "mute.mov"), "w") as made:
        stream = made.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(given.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                made.mux(packet)
    assert measure_loudness(tmp_path / "mute.mov", probe(tmp_path / "mute.mov")) is None


def test_what_is_damaged_is_unknown_and_the_rest_is_not(tmp_path: Path) -> None:
    wave = tone(0.1)
    path = write(tmp_path / "a.mkv", [wave, wave], codec="flac")
    content = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(audio=0) if p.pts is not None and 1.4 <= p.pts * p.time_base < 1.6]
        for packet in packets:
            at = content.find(bytes(packet))
            content[at : at + packet.size] = b"\0" * packet.size
    assert packets
    path.write_bytes(content)
    found, info = measured(path)
    assert found.lufs((0.0, info.duration_s)) is None
    assert found.silence((1.3, 1.7)) is None
    whole = found.lufs((0.0, 1.2))
    assert whole is not None and whole == pytest.approx(found.lufs((2.0, 4.0)) or 0, abs=0.1)


def test_a_sound_stream_that_does_not_decode_leaves_the_video_alone(tmp_path: Path) -> None:
    wave = tone(0.1)
    path = write(tmp_path / "a.mkv", [wave, wave], codec="flac")
    content = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        for packet in container.demux(audio=0):
            at = content.find(bytes(packet)) if packet.size else -1
            content[max(at, 0) : max(at, 0) + packet.size] = b"\0" * packet.size
    path.write_bytes(content)
    info = probe(path)
    found = measure_loudness(path, info)
    assert info.has_audio and (found is None or found.lufs((0.0, 4.0)) is None)
