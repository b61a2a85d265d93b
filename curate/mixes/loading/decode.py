"""A clip's bytes -> the frames that a trainer asks for, at exact times, decoding no more than they need.

A clip is small, so all its packets are looked at first. Their presentation times tell which frames are wanted before
any is decoded; then decoding begins at the keyframe before each wanted frame, ends with it, and leaves out pictures
that no other refers to. At 2 frames a second, with keyframes a second apart, that halves the work, and at one it leaves
the keyframes alone. Frames come out the same as by decoding everything.

What is not plain is left to `curate.media.frames`, which decodes everything and knows damage: a clip that begins before
its first keyframe, changes its size, or does not give a wanted frame.
"""

import io
import math
import tempfile
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from curate.errors import DecodeError, InputError
from curate.media.picture import Scaler, shown_size

_EPSILON_S = 1e-6
_OPTIONS = {"format_whitelist": "mov,matroska,webm,mpegts"}
"""What may open a clip: nothing that names other files."""


@dataclass(frozen=True)
class Sampling:
    """Which frames of a clip, and at which size.

    Args:
        size: height and width in pixels. A picture is scaled until it covers them, and what stands over is cut off on
            both sides alike: short side, then centre crop.
        fps: the first frame at or after each multiple of 1 / fps, no frame twice.
        frames: without `fps`, the frames on screen in the middle of so many equal parts of the clip, no frame twice.
            With `fps`, the most there may be: a longer clip is sampled by equal parts.
    """

    size: tuple[int, int]
    fps: float | None = None
    frames: int | None = None

    def __post_init__(self) -> None:
        if self.fps is None and self.frames is None:
            raise InputError("neither fps nor frames is given", fix="Say fps=2, or frames=16, or both for a most")
        for name, value in (("fps", self.fps), ("frames", self.frames), ("size", min(self.size))):
            if value is not None and not 0 < value < math.inf:
                raise InputError(f"{name} is {value}", fix="It must be above 0")

    def most(self, duration_s: float) -> int:
        """More frames than this are not taken of a clip of this length."""
        on_grid = math.inf if self.fps is None else max(math.ceil((duration_s - _EPSILON_S) * self.fps), 1)
        return int(min(on_grid, self.frames or math.inf))

    def choose(self, times_s: np.ndarray, duration_s: float) -> np.ndarray:
        """Indices, rising, of the frames to take of those shown at `times_s` [n], rising from 0."""
        most = self.most(duration_s)
        if self.fps is not None and most != self.frames:
            first = np.searchsorted(times_s, np.arange(most) / self.fps - _EPSILON_S)
            return np.unique(first[first < len(times_s)])
        if len(times_s) <= most:
            return np.arange(len(times_s))
        middles_s = (np.arange(most) + 0.5) * duration_s / most
        return np.unique(np.maximum(np.searchsorted(times_s, middles_s + _EPSILON_S, side="right") - 1, 0))


def decode_clip(content: bytes, sampling: Sampling, duration_s: float) -> tuple[np.ndarray, np.ndarray]:
    """The frames uint8 [T, 3, height, width] RGB, and their times float64 [T] in seconds from the first shown frame.

    Args:
        content: an mp4, or any container and codec that libav reads.
        sampling: what is wanted.
        duration_s: of the clip, as its row states it.

    Raises:
        DecodeError: it is no video, or damaged.
    """
    return _decode_few(content, sampling, duration_s) or _decode_all(content, sampling, duration_s)


def _decode_few(content: bytes, sampling: Sampling, duration_s: float) -> tuple[np.ndarray, np.ndarray] | None:
    """The wanted frames alone; None where the clip is not plain."""
    try:
        with av.open(io.BytesIO(content), options=_OPTIONS, metadata_errors="ignore") as container:
            if len(container.streams.video) != 1 or container.streams.video[0].codec_context is None:
                return None
            stream = container.streams.video[0]
            stream.thread_count = 1
            packets = [packet for packet in container.demux(stream) if packet.size]
            ticks = _shown_ticks(packets)
            if not ticks or stream.time_base is None:
                return None
            times_s = _seconds(ticks, stream.time_base)
            wanted = sampling.choose(times_s, duration_s)
            frames = _decode_wanted(stream, packets, [ticks[index] for index in wanted], sampling.size)
            return None if frames is None else (frames, times_s[wanted])
    except av.FFmpegError:
        return None


def _shown_ticks(packets: Sequence[Packet]) -> list[int]:
    """Presentation times of what is shown, rising; none where packets do not tell them."""
    if not packets or not packets[0].is_keyframe or any(packet.is_corrupt for packet in packets):
        return []
    ticks = [packet.pts for packet in packets if not packet.is_discard and packet.pts is not None]
    first = packets[0].pts
    if first is None or any(packet.pts is None or packet.pts < first for packet in packets):
        return []
    return sorted(set(ticks))


def _seconds(ticks: Sequence[int], tick_s: Fraction) -> np.ndarray:
    since = np.array(ticks, np.int64) - ticks[0]
    return since * tick_s.numerator / tick_s.denominator


def _decode_wanted(
    stream: VideoStream, packets: Sequence[Packet], wanted: Sequence[int], size: tuple[int, int]
) -> np.ndarray | None:
    """Pictures [T, 3, height, width] of the wanted times; None where one does not come out whole."""
    codec = stream.codec_context
    place = {tick: index for index, tick in enumerate(wanted)}
    frames = np.empty((len(wanted), 3, *size), np.uint8)
    shape: tuple[int, int] | None = None
    missing = set(wanted)
    for start, end in _stretches(packets, wanted):
        due = {tick for packet in packets[start:end] if (tick := packet.pts) in missing}
        codec.flush_buffers()
        for packet in (*packets[start:], None):
            if packet is not None:
                codec.skip_frame = "DEFAULT" if packet.pts in missing else "NONREF"
            for frame in codec.decode(packet):
                stored = (frame.width, frame.height)
                if frame.is_corrupt or stored != (shape or stored):
                    return None
                shape = stored
                if frame.pts in missing:
                    _draw(stream, frame, frames[place[frame.pts]])
                    missing.discard(frame.pts)
                    due.discard(frame.pts)
            if not due:
                break
        if due:
            return None
    return frames


def _stretches(packets: Sequence[Packet], wanted: Sequence[int]) -> list[tuple[int, int]]:
    """Spans of packets, in the order of decoding, that hold the wanted frames and all that they refer to."""
    keys = [index for index, packet in enumerate(packets) if packet.is_keyframe]
    key_ticks = {index: packets[index].pts or 0 for index in keys}
    of = {packet.pts: index for index, packet in enumerate(packets)}
    spans: list[tuple[int, int]] = []
    for tick, index in sorted(((tick, of[tick]) for tick in wanted), key=lambda one: one[1]):
        at = bisect_right(keys, index) - 1
        if tick < key_ticks[keys[at]] and at:  # shown before its keyframe: it refers to earlier ones
            at -= 1
        start = keys[at]
        while spans and start <= spans[-1][1]:
            start = min(start, spans.pop()[0])
        spans.append((start, index + 1))
    return spans


def _draw(stream: VideoStream, frame: VideoFrame, out: np.ndarray) -> None:
    out[:] = _covering(shown_size(stream, frame), out.shape[1:], frame, 1.0)


def _covering(shown: tuple[int, int], size: tuple[int, ...], frame: VideoFrame, stretch: float) -> np.ndarray:
    """A frame that is shown in this width and height, as [3, height, width] of `size`: scaled to cover it, cropped."""
    height, width = size
    scale = max(width / shown[0], height / shown[1])
    whole = max(round(shown[0] * scale), width), max(round(shown[1] * scale), height)
    left, top = (whole[0] - width) // 2, (whole[1] - height) // 2
    image = _scaler(*whole).picture(frame, stretch)
    return image[top : top + height, left : left + width].transpose(2, 0, 1)


@lru_cache(maxsize=32)
def _scaler(width: int, height: int) -> Scaler:
    return Scaler(width, height, "rgb24", "bicubic")


def _decode_all(content: bytes, sampling: Sampling, duration_s: float) -> tuple[np.ndarray, np.ndarray]:
    """The wanted frames by decoding everything, once for the times and once for the pictures."""
    from curate.media.frames import shown_frames  # these bring configs along: a third of a worker's start
    from curate.media.probe import probe

    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        file.write(content)
        file.flush()
        path = Path(file.name)
        try:
            info = probe(path)
            times_s = np.array([time_s for time_s, _, _ in shown_frames(path)])
            wanted = sampling.choose(times_s, duration_s)
            frames = np.empty((len(wanted), 3, *sampling.size), np.uint8)
            for at, (_, stored, stretch) in enumerate(shown_frames(path)):
                index = bisect_left(wanted, at)
                if index < len(wanted) and wanted[index] == at:
                    frames[index] = _covering((info.width, info.height), sampling.size, stored, stretch)
        except DecodeError as error:
            raise DecodeError(error.what) from error  # without the name of a file that was never the user's
    return frames, times_s[wanted]
