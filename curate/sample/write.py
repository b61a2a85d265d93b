"""Encodes a drawn script as a file: frame times, containers, rotation, late starts and sound.

Timestamps are decided here first, in ticks of the container's own time base, and the script is planned on them, so
that what a decoder reads is what the truth says to the last digit. Encoding is single-threaded and bit-exact
(x264 `superfast`, FFmpeg's bitexact flags): a world is the same bytes on every run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Literal

import av
import cv2
import numpy as np
from av.audio.stream import AudioStream
from av.container import Flags as ContainerFlags
from av.container import OutputContainer
from av.video.stream import VideoStream

from curate.media.encode import DETERMINISTIC_X264
from curate.sample.backgrounds import Image

SAMPLE_RATE_HZ = 16_000
_MATROSKA_TICK = Fraction(1, 1000)
VARIABLE_TICK = Fraction(1, 90_000)


@dataclass(frozen=True)
class Clock:
    """When frames are shown: `ticks` of `time_base` from the first frame, and the tick at which the last one ends."""

    time_base: Fraction
    ticks: tuple[int, ...]
    end_tick: int

    @property
    def times_s(self) -> list[float]:
        return [float(tick * self.time_base) for tick in self.ticks]

    @property
    def end_s(self) -> float:
        return float(self.end_tick * self.time_base)


@dataclass(frozen=True)
class Sound:
    """One stretch of sound over [start_s, end_s): `tone`, `noise` or `silence`."""

    start_s: float
    end_s: float
    kind: str
    frequency_hz: float = 0.0


def make_clock(rng: np.random.Generator, length_s: float, fps: Fraction, *, variable: bool, matroska: bool) -> Clock:
    """Frame times for a video. Matroska counts milliseconds, so its 30000/1001 is already irregular; a variable rate
    drops a quarter of the frames and shifts the rest by up to 4 ms, as screen recorders and phones do."""
    frames = round(length_s * fps)
    if variable:
        kept = [0, *(i for i in range(1, frames) if rng.random() >= 0.25)]
        shifts = rng.integers(-360, 361, frames)
        ticks = [round(i / fps / VARIABLE_TICK) + (int(shifts[i]) if i else 0) for i in kept]
        return Clock(VARIABLE_TICK, tuple(ticks), ticks[-1] + round(1 / fps / VARIABLE_TICK))
    if matroska:
        ticks = [round(i / fps / _MATROSKA_TICK) for i in range(frames + 1)]
        return Clock(_MATROSKA_TICK, tuple(ticks[:-1]), ticks[-1])
    return Clock(1 / fps, tuple(range(frames)), frames)


def write_video(
    path: Path,
    pictures: Iterator[Image],
    clock: Clock,
    fps: Fraction,
    *,
    rotation_deg: int = 0,
    start_offset_s: Fraction = Fraction(0),
    sound: Sequence[Sound] = (),
    crf: int = 24,
    preset: str = "superfast",
) -> None:
    """Writes RGB pictures, all of one size, at the times of `clock`; mp4 or Matroska by the suffix of `path`.

    Pictures are as shown. With rotation_deg (clockwise, a multiple of 90) they are stored turned the other way, with
    a display matrix that asks the player to turn them back. start_offset_s delays the first frame in the file.
    """
    first = next(pictures)
    turned = _stored(first, rotation_deg)
    offset = round(start_offset_s / clock.time_base)
    with open_output(path) as container:
        stream = add_x264_stream(container, turned.shape[1], turned.shape[0], fps, clock.time_base, crf, preset)
        if rotation_deg:
            stream.set_display_rotation(-rotation_deg)  # FFmpeg counts counter-clockwise
        audio = _add_audio_stream(container) if sound else None
        if audio is not None:
            _write_sound(container, audio, sound, start_offset_s)
        encoder = PictureEncoder(container, stream, [tick + offset for tick in (*clock.ticks, clock.end_tick)])
        encoder.encode(turned)
        for picture in pictures:
            encoder.encode(_stored(picture, rotation_deg))
        encoder.finish()


class PictureEncoder:
    """Feeds pictures to a stream at given ticks, the last of which is the end of the last picture.

    Packet durations come from the ticks too: encoders know only a nominal rate and would end a variable-rate video
    at the wrong time.
    """

    def __init__(self, container: OutputContainer, stream: VideoStream, ticks: Sequence[int]) -> None:
        self._container, self._stream, self._ticks = container, stream, ticks
        self._durations = {start: end - start for start, end in pairwise(ticks)}
        self._encoded = 0

    def encode(self, picture: Image) -> None:
        """Encodes the next RGB picture."""
        planes = cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420)
        frame = av.VideoFrame.from_ndarray(np.asarray(planes, np.uint8), format="yuv420p")
        frame.pts = self._ticks[self._encoded]
        frame.time_base = self._stream.codec_context.time_base
        self._encoded += 1
        self._mux(frame)

    def finish(self) -> None:
        """Flushes the encoder."""
        self._mux(None)

    def _mux(self, frame: av.VideoFrame | None) -> None:
        for packet in self._stream.encode(frame):
            if packet.pts is not None:
                packet.duration = self._durations[packet.pts]
            self._container.mux(packet)


def open_output(path: Path) -> OutputContainer:
    """Opens an mp4 or Matroska file for writing without times, ids or versions in it."""
    container = av.open(str(path), "w", format="matroska" if path.suffix == ".mkv" else "mp4")
    container.flags |= ContainerFlags.bitexact.value
    return container


def add_x264_stream(
    container: OutputContainer, width: int, height: int, fps: Fraction, time_base: Fraction, crf: int, preset: str
) -> VideoStream:
    """Adds a single-threaded H.264 stream."""
    stream = container.add_stream("libx264", rate=fps)
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    stream.codec_context.time_base = time_base
    stream.codec_context.thread_count = 1
    stream.options = {**DETERMINISTIC_X264, "preset": preset, "crf": str(crf)}
    if time_base == VARIABLE_TICK:  # mp4 stores decoding durations: reordered, irregular frames would end it wrongly
        stream.options["bf"] = "0"
    return stream


def _stored(picture: Image, rotation_deg: int) -> Image:
    return np.ascontiguousarray(np.rot90(picture, rotation_deg // 90)) if rotation_deg else picture


def _add_audio_stream(container: OutputContainer) -> AudioStream:
    codec: Literal["flac", "aac"] = "flac" if container.format.name == "matroska" else "aac"
    stream: AudioStream = container.add_stream(codec, rate=SAMPLE_RATE_HZ, layout="mono")
    if codec == "aac":
        stream.codec_context.bit_rate = 48_000
        stream.options = {"aac_coder": "fast"}
    return stream


def _write_sound(
    container: OutputContainer, stream: AudioStream, sound: Sequence[Sound], start_offset_s: Fraction
) -> None:
    samples = np.concatenate([_samples(part) for part in sound])
    step = stream.codec_context.frame_size or 1024
    offset = round(start_offset_s * SAMPLE_RATE_HZ)
    for start in range(0, len(samples), step):
        frame = av.AudioFrame.from_ndarray(samples[None, start : start + step], format="s16", layout="mono")
        frame.sample_rate = SAMPLE_RATE_HZ
        frame.pts = start + offset
        frame.time_base = Fraction(1, SAMPLE_RATE_HZ)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def _samples(part: Sound) -> np.ndarray:
    start, end = round(part.start_s * SAMPLE_RATE_HZ), round(part.end_s * SAMPLE_RATE_HZ)
    if part.kind == "tone":
        wave = np.sin(2 * np.pi * part.frequency_hz / SAMPLE_RATE_HZ * np.arange(end - start))
    elif part.kind == "noise":
        wave = np.random.default_rng(start).uniform(-1.0, 1.0, end - start)
    else:
        wave = np.zeros(end - start)
    return (wave * 8_000).astype(np.int16)
