"""Cuts a span of a video to an mp4 that every browser plays and whose frames stand on a known grid.

An annotator's tool and a training set both need "frame k" to mean one time, so a cut has a constant rate: frame k
shows what the source shows at start_s + k / fps, whatever the source's own timing. H.264 yuv420p without B-frames (so
that the pictures need no edit list and start at zero), AAC where there is sound, index in front. One thread, no dates
and no versions in it: the same span of the same file is the same bytes on every run.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.filter
import numpy as np
from av.audio.stream import AudioStream
from av.container import Flags, OutputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace
from av.video.stream import VideoStream

from curate.errors import InputError
from curate.media.container import open_video
from curate.media.frames import shown_frames
from curate.media.picture import Scaler, is_plain, rotation_of
from curate.media.probe import VideoInfo, probe
from curate.media.sound import read_sound

DETERMINISTIC_X264 = {"threads": "1", "x264-params": "mbtree=0"}
"""Same pictures, same bytes. Macroblock trees depend on where x264's buffers lie: 2 of 6 encodes differed."""

_RATES = (
    *(Fraction(whole) for whole in (10, 12, 15, 20, 24, 25, 30, 48, 50, 60)),
    *(Fraction(whole * 1000, 1001) for whole in (24, 30, 60)),
)
_AUDIO_RATES_HZ = (22_050, 24_000, 32_000, 44_100, 48_000)
_AAC_FRAME = 1024
_TICK_S = 0.001
"""Containers that count milliseconds put frames this much beside their rate; a picture due so soon is shown now."""
_TRANSPOSE = {90: ("transpose", "clock"), 180: ("rotate", "PI"), 270: ("transpose", "cclock")}


@dataclass(frozen=True)
class Cut:
    """What was written: constant rate, number of frames, and frames / fps."""

    fps: Fraction
    frames: int
    duration_s: float


def cut(
    path: Path | str,
    start_s: float,
    end_s: float,
    target: Path,
    *,
    fps: Fraction | None = None,
    max_height: int | None = None,
) -> Cut:
    """Writes [start_s, end_s) of a video, in seconds from its first shown frame, as an mp4 at `target`.

    Args:
        path: the source.
        start_s: shown first; the end of the video bounds the span.
        end_s: not shown.
        target: replaced in one step when the whole file is written.
        fps: rate of the cut; where not given, the source's, at its nearest usual value and at most 60. Of a variable
            rate the next higher of 30 and 60, which moves no frame by more than one interval.
        max_height: pictures higher than this are scaled down. Sides are rounded to even numbers.

    Raises:
        DecodeError: the source is damaged within the span.
        InputError: the span is empty or begins after the end of the video.
    """
    info = probe(path)
    rate = fps or usual_rate(info)
    if not 0 <= start_s < min(end_s, info.duration_s):
        raise InputError(f"no span from {start_s:g} to {end_s:g} s in a video of {info.duration_s:.3f} s", where=path)
    frames = max(round((min(end_s, info.duration_s) - start_s) * rate), 1)
    written = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with av.open(str(written), "w", format="mp4", options={"movflags": "+faststart"}) as container:
            container.flags |= Flags.bitexact.value
            video = _add_video(container, info, rate, max_height)
            sound = _sound(path, info, start_s, frames / rate) if info.has_audio else None
            audio = _add_audio(container, sound) if sound is not None else None
            for picture in _on_grid(path, start_s, rate, frames, video):
                container.mux(video.encode(picture))
            container.mux(video.encode(None))
            if sound is not None and audio is not None:
                for block in sound.blocks():
                    container.mux(audio.encode(block))
                container.mux(audio.encode(None))
        written.replace(target)
    finally:
        written.unlink(missing_ok=True)
    return Cut(rate, frames, float(frames / rate))


def usual_rate(info: VideoInfo) -> Fraction:
    """The rate at which a cut of this video is made."""
    if info.variable_rate:
        return Fraction(30) if info.fps <= 30 else Fraction(60)
    nearest = min(_RATES, key=lambda rate: abs(float(rate) - info.fps))
    if abs(float(nearest) - info.fps) / info.fps < 0.0005:
        return nearest
    return min(Fraction(info.fps).limit_denominator(1000), Fraction(60))


def _on_grid(path: Path | str, start_s: float, rate: Fraction, frames: int, video: VideoStream) -> Iterator[VideoFrame]:
    """The picture on screen at each grid time, in the stream's size, upright."""
    last_s = start_s + float((frames - 1) / rate)
    scaler = _Upright(video.width, video.height)
    index, on_screen = 0, None

    def repeat_until(time_s: float) -> Iterator[VideoFrame]:
        nonlocal index
        while on_screen is not None and index < frames and start_s + float(index / rate) < time_s - _TICK_S:
            on_screen.pts, on_screen.time_base = index, 1 / rate
            yield on_screen
            index += 1

    for time_s, stored, stretch in shown_frames(path, start_s, last_s + _TICK_S, lead=True):
        yield from repeat_until(time_s)
        on_screen = scaler.picture(stored, stretch)
    yield from repeat_until(float("inf"))


class _Upright:
    """Scales and turns pictures in one filter graph, built anew when the source changes its format midway."""

    def __init__(self, width: int, height: int) -> None:
        self._size = (width, height)
        self._unusual = Scaler(width, height, "rgb24", "bicubic")
        self._shape: tuple[int, int, str, int] | None = None
        self._graph = av.filter.Graph()

    def picture(self, stored: VideoFrame, stretch: float) -> VideoFrame:
        if not is_plain(stored, stretch):
            image = self._unusual.picture(stored, stretch)
            space = Colorspace.ITU709 if self._size[1] > 576 else Colorspace.ITU601
            return VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p", dst_colorspace=space)
        rotation_deg = rotation_of(stored)
        shape = (stored.width, stored.height, stored.format.name, rotation_deg)
        if shape != self._shape:
            self._graph, self._shape = self._build(stored, rotation_deg), shape
        self._graph.vpush(stored)
        return self._graph.vpull()

    def _build(self, stored: VideoFrame, rotation_deg: int) -> av.filter.Graph:
        width, height = self._size if rotation_deg % 180 == 0 else self._size[::-1]
        graph = av.filter.Graph()
        graph.threads = 1
        nodes = [
            graph.add_buffer(
                width=stored.width, height=stored.height, format=stored.format, time_base=stored.time_base
            ),
            graph.add("scale", f"{width}:{height}:flags=bicubic:out_range=tv"),
            graph.add("format", "yuv420p"),
            *([graph.add(*_TRANSPOSE[rotation_deg])] if rotation_deg else []),
            graph.add("setsar", "1"),
            graph.add("buffersink"),
        ]
        graph.link_nodes(*nodes).configure()
        return graph


def _add_video(container: OutputContainer, info: VideoInfo, rate: Fraction, max_height: int | None) -> VideoStream:
    scale = min(1.0, (max_height or info.height) / info.height)
    stream = container.add_stream("libx264", rate=rate)
    stream.width, stream.height = (max(round(side * scale / 2) * 2, 2) for side in (info.width, info.height))
    stream.pix_fmt = "yuv420p"
    stream.codec_context.time_base = 1 / rate
    stream.codec_context.thread_count = 1
    stream.options = {
        **DETERMINISTIC_X264,
        "preset": "veryfast",
        "crf": "22",
        "bf": "0",
        "g": str(max(round(rate), 1)),
    }
    return stream


@dataclass(frozen=True)
class _Sound:
    """The sound of a span, to be read in blocks of one AAC frame."""

    path: Path | str
    offset_s: float  # of the span's start, in the file's own time
    samples: int
    rate_hz: int
    layout: str

    def blocks(self) -> Iterator[av.AudioFrame]:
        """Blocks in the file's own timing: gaps are silence, what lies outside the span is left out."""
        rest: np.ndarray = np.zeros((1 if self.layout == "mono" else 2, 0), np.float32)
        written = 0
        for piece in read_sound(self.path, self.offset_s, self.samples, self.rate_hz, self.layout):
            rest = np.concatenate([rest, piece], axis=1)
            while rest.shape[1] >= _AAC_FRAME:
                yield self._block(rest[:, :_AAC_FRAME], written)
                rest, written = rest[:, _AAC_FRAME:], written + _AAC_FRAME
        if rest.shape[1]:
            yield self._block(rest, written)

    def _block(self, samples: np.ndarray, position: int) -> av.AudioFrame:
        block = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout=self.layout)
        block.sample_rate, block.pts, block.time_base = self.rate_hz, position, Fraction(1, self.rate_hz)
        return block


def _sound(path: Path | str, info: VideoInfo, start_s: float, length_s: Fraction) -> _Sound | None:
    with open_video(path) as (container, _):
        codec = container.streams.audio[0].codec_context
        if not codec.sample_rate:
            return None
        rate_hz = min(_AUDIO_RATES_HZ, key=lambda rate: (rate < codec.sample_rate, abs(rate - codec.sample_rate)))
        layout = "mono" if codec.channels == 1 else "stereo"
    return _Sound(path, info.start_offset_s + start_s, round(length_s * rate_hz), rate_hz, layout)


def _add_audio(container: OutputContainer, sound: _Sound) -> AudioStream:
    stream: AudioStream = container.add_stream("aac", rate=sound.rate_hz, layout=sound.layout)
    stream.codec_context.bit_rate = 96_000
    stream.codec_context.thread_count = 1
    return stream
