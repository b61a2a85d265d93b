"""Copies and broken files: the duplicates that a crawl brings in, and the files that no decoder can open.

A copy is made from the finished file, as a re-upload is, and never from the script. Its frame times come from the
frames it keeps, so `time_map` (original_time = offset_s + speed * copy_time) is exact up to the container's tick.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from curate.sample.backgrounds import Image
from curate.sample.write import SAMPLE_RATE_HZ, PictureEncoder, add_x264_stream, open_output

TRANSFORMS = (
    "bytes", "remux", "reencode", "resize", "crop", "letterbox", "logo", "trim", "speed", "mirror", "color",
)  # fmt: skip
BREAKAGES = ("truncated", "empty", "audio_only", "bit_flipped")

_SPEED = Fraction(5, 4)
_TRIM_START, _TRIM_END = 0.2, 0.9  # of the original's length


@dataclass(frozen=True)
class TimeMap:
    """original_time_s = offset_s + speed * copy_time_s, both relative to the first shown frame."""

    offset_s: float = 0.0
    speed: float = 1.0


@dataclass(frozen=True)
class FrameTimes:
    """What a container says about its frames: times relative to the first, the end of the last, and the first pts."""

    times_s: tuple[float, ...]
    end_s: float
    start_offset_s: float
    width: int
    height: int
    has_audio: bool


def read_frame_times(path: Path) -> FrameTimes:
    """Reads timestamps from the packets of the first video stream, without decoding."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        size = (stream.codec_context.width, stream.codec_context.height)
        has_audio = bool(container.streams.audio)
        packets = sorted((p.pts, p.duration or 0) for p in container.demux(stream) if p.pts is not None)
        tick = stream.time_base
    first = packets[0][0]
    times = tuple(float((pts - first) * tick) for pts, _ in packets)
    end_s = float((packets[-1][0] + packets[-1][1] - first) * tick)
    return FrameTimes(times, end_s, float(first * tick), *size, has_audio)


def suffix_of_copy(transform: str, source: Path) -> str:
    """A remux goes to the other container; every other copy of the sample world is an mp4 or keeps its bytes."""
    return ".mkv" if transform == "remux" else source.suffix


def write_copy(source: Path, target: Path, transform: str) -> TimeMap:
    """Writes a copy of an unrotated mp4 by one of TRANSFORMS. Trimmed and sped-up copies lose the sound."""
    if transform == "bytes":
        shutil.copyfile(source, target)
        return TimeMap()
    if transform == "remux":
        _remux(source, target)
        return TimeMap()
    return _redraw(source, target, transform)


def write_broken(source: Path, target: Path, breakage: str, seed: int) -> None:
    """Writes a file that cannot be decoded; `source` is a good mp4 whose index (moov) is at its end."""
    data = source.read_bytes()
    if breakage == "truncated":
        target.write_bytes(data[: int(0.6 * len(data))])
    elif breakage == "empty":
        target.write_bytes(b"")
    elif breakage == "audio_only":
        _write_audio_only(target, seed)
    elif breakage == "bit_flipped":
        index_at = data.index(b"moov") + 4
        flips = np.random.default_rng(seed).integers(1, 256, len(data) - index_at, dtype=np.uint8)
        damaged = np.frombuffer(data[index_at:], np.uint8) ^ flips
        target.write_bytes(data[:index_at] + damaged.tobytes())
    else:
        raise ValueError(f"breakage {breakage!r} is not one of {', '.join(BREAKAGES)}")


def _remux(source: Path, target: Path) -> None:
    with av.open(str(source)) as given, open_output(target) as made:
        streams = {stream.index: made.add_stream_from_template(stream) for stream in given.streams}
        for packet in given.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                made.mux(packet)


def _redraw(source: Path, target: Path, transform: str) -> TimeMap:
    edit = _EDITS.get(transform, _same)
    speed = _SPEED if transform == "speed" else Fraction(1)
    known = read_frame_times(source)
    start_s, end_s = 0.0, known.end_s
    if transform == "trim":
        start_s, end_s = _TRIM_START * known.end_s, _TRIM_END * known.end_s
    with av.open(str(source)) as given, open_output(target) as made:
        stream = given.streams.video[0]
        tick = stream.time_base
        first = round(Fraction(known.start_offset_s) / tick)
        kept = [t for t in known.times_s if start_s - 1e-9 <= t < end_s - 1e-9]
        following = next((t for t in known.times_s if t > kept[-1]), known.end_s)
        edges = [round((Fraction(t) - Fraction(kept[0])) / speed / tick) for t in (*kept, following)]
        stream.codec_context.thread_count = 1
        height, width = edit(np.zeros((known.height, known.width, 3), np.uint8)).shape[:2]
        rate, crf = stream.average_rate * speed, 32 if transform == "reencode" else 25
        added = add_x264_stream(made, width, height, rate, tick, crf, "veryfast")
        encoder = PictureEncoder(made, added, edges)
        audio = made.add_stream_from_template(given.streams.audio[0]) if _keeps_sound(given, transform) else None
        for packet in given.demux():
            if packet.stream.type == "audio":
                if audio is not None and packet.dts is not None:
                    shift = round(first * tick / packet.time_base)
                    packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, audio
                    made.mux(packet)
                continue
            for frame in packet.decode():
                time_s = float((frame.pts - first) * tick)
                if start_s - 1e-9 <= time_s < end_s - 1e-9:
                    encoder.encode(edit(frame.to_ndarray(format="rgb24")))
        encoder.finish()
    return TimeMap(kept[0], float(speed))


def _keeps_sound(given: av.container.InputContainer, transform: str) -> bool:
    return bool(given.streams.audio) and transform not in {"trim", "speed"}


def _same(picture: Image) -> Image:
    return picture


def _resize(picture: Image) -> Image:
    height, width = picture.shape[:2]
    size = (round(0.75 * width / 2) * 2, round(0.75 * height / 2) * 2)
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _crop(picture: Image) -> Image:
    height, width = picture.shape[:2]
    top, left = round(0.06 * height / 2) * 2, round(0.06 * width / 2) * 2
    return np.ascontiguousarray(picture[top : height - top, left : width - left])


def _letterbox(picture: Image) -> Image:
    bar = round(0.12 * picture.shape[0] / 2) * 2
    return np.asarray(cv2.copyMakeBorder(picture, bar, bar, 0, 0, cv2.BORDER_CONSTANT, value=(0, 0, 0)), np.uint8)


def _logo(picture: Image) -> Image:
    height, width = picture.shape[:2]
    unit = min(height, width)
    center = (width - round(0.12 * unit), round(0.12 * unit))
    cv2.circle(picture, center, round(0.085 * unit), (235, 40, 110), -1, cv2.LINE_AA)
    cv2.circle(picture, center, round(0.045 * unit), (250, 250, 250), -1, cv2.LINE_AA)
    return picture


def _mirror(picture: Image) -> Image:
    return np.ascontiguousarray(picture[:, ::-1])


def _color(picture: Image) -> Image:
    warm = np.array([1.08, 0.98, 0.84], np.float32)
    return np.clip((picture - np.float32(128)) * 1.15 * warm + 134, 0, 255).astype(np.uint8)


_EDITS: dict[str, Callable[[Image], Image]] = {
    "resize": _resize,
    "crop": _crop,
    "letterbox": _letterbox,
    "logo": _logo,
    "mirror": _mirror,
    "color": _color,
}


def _write_audio_only(target: Path, seed: int) -> None:
    samples = np.random.default_rng(seed).integers(-4000, 4000, 4 * SAMPLE_RATE_HZ).astype(np.int16)
    with open_output(target) as container:
        stream = container.add_stream("aac", rate=SAMPLE_RATE_HZ, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate = SAMPLE_RATE_HZ
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
