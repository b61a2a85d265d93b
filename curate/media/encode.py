"""What every cut is written with: upright pictures, H.264 that all players show, AAC, one mp4 in one step.

H.264 yuv420p without B-frames (so that pictures need no edit list and start at zero), AAC where there is sound, index
in front. One thread, no dates and no versions in it: the same pictures and sound are the same bytes on every run.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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

from curate.media.container import open_video
from curate.media.picture import Scaler, is_plain, rotation_of
from curate.media.probe import VideoInfo
from curate.media.sound import read_sound

DETERMINISTIC_X264 = {"threads": "1", "x264-params": "mbtree=0"}
"""Same pictures, same bytes. Macroblock trees depend on where x264's buffers lie: 2 of 6 encodes differed."""

_AUDIO_RATES_HZ = (22_050, 24_000, 32_000, 44_100, 48_000)
_AAC_FRAME = 1024
_TRANSPOSE = {90: ("transpose", "clock"), 180: ("rotate", "PI"), 270: ("transpose", "cclock")}


@contextmanager
def new_mp4(target: Path, options: Mapping[str, str] | None = None) -> Iterator[OutputContainer]:
    """An mp4 to write, at `target` once it is whole: written aside and put in its place, or not at all."""
    written = target.with_name(f".{target.name}.{os.getpid()}.part")
    movflags = {"movflags": "+faststart", **(options or {})}
    try:
        with av.open(str(written), "w", format="mp4", options=movflags) as container:
            container.flags |= Flags.bitexact.value
            yield container
        written.replace(target)
    finally:
        written.unlink(missing_ok=True)


class Upright:
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


def add_h264(
    container: OutputContainer, size: tuple[int, int], rate: Fraction, time_base: Fraction | None = None
) -> VideoStream:
    """A video stream of this width and height at `rate`, whose frames count in `time_base`, 1 / rate where None."""
    stream = container.add_stream("libx264", rate=rate)
    stream.width, stream.height = size
    stream.pix_fmt = "yuv420p"
    stream.codec_context.time_base = time_base or 1 / rate
    stream.codec_context.thread_count = 1
    stream.options = {
        **DETERMINISTIC_X264,
        "preset": "veryfast",
        "crf": "22",
        "bf": "0",
        "g": str(max(round(rate), 1)),
    }
    return stream


def even_size(info: VideoInfo, height: int) -> tuple[int, int]:
    """Width and height of a video's pictures at about this height, as yuv420p needs them."""
    scale = height / info.height
    width, height = (max(round(side * scale / 2) * 2, 2) for side in (info.width, info.height))
    return width, height


@dataclass(frozen=True)
class Sound:
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


def sound_of(path: Path | str, info: VideoInfo, start_s: float, length_s: Fraction) -> Sound | None:
    """The sound of a span of a video, from `start_s` of its pictures; None where it has none that can be read."""
    if not info.has_audio:
        return None
    with open_video(path) as (container, _):
        codec = container.streams.audio[0].codec_context
        if not codec.sample_rate:
            return None
        rate_hz = min(_AUDIO_RATES_HZ, key=lambda rate: (rate < codec.sample_rate, abs(rate - codec.sample_rate)))
        layout = "mono" if codec.channels == 1 else "stereo"
    return Sound(path, info.start_offset_s + start_s, round(length_s * rate_hz), rate_hz, layout)


def add_aac(container: OutputContainer, sound: Sound) -> AudioStream:
    """An audio stream for `write_sound`."""
    stream: AudioStream = container.add_stream("aac", rate=sound.rate_hz, layout=sound.layout)
    stream.codec_context.bit_rate = 96_000
    stream.codec_context.thread_count = 1
    return stream


def write_sound(container: OutputContainer, stream: AudioStream, sound: Sound) -> None:
    """Encodes the sound of a span into its stream.

    Raises:
        DecodeError: it is damaged within the span.
    """
    for block in sound.blocks():
        container.mux(stream.encode(block))
    container.mux(stream.encode(None))
