"""Opens video files that nobody vouches for, and walks their frames in the order they are shown.

Sources are hostile: libav may open nothing but this one file (a playlist could name others, or an address), and only
as one of the container formats of footage. Time starts at the first shown frame and comes from presentation
timestamps alone. AVI and raw streams have none; there frame k is shown at k / rate, which is how they are defined.

Damage is an error. libav conceals what it cannot decode and flags the frame; a flagged frame ends the walk here,
because embeddings and labels of grey blocks would poison everything after them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from curate.errors import DecodeError

FORMATS = "mov,matroska,webm,avi,mpegts,mpeg,flv,ogg,asf,h264,hevc,mpegvideo,m4v,mxf,ivf,obu,gif,3gp,dv,rm,wav,mp3,flac"
"""Demuxers that may open a source. Audio ones are here so that an audio file is told apart from a broken one."""

_UNTIMED = {"avi", "h264", "hevc", "mpegvideo", "m4v"}
"""Containers without presentation timestamps."""

_SEEK_MARGINS_S = (0.5, 4.0, 32.0)
"""How far before the wanted time to seek, in turn, until a frame comes out at or before it."""


@contextmanager
def open_video(path: Path | str) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The opened file and its first video stream, which decodes in one thread.

    Raises:
        DecodeError: it is missing, empty, not a media file, or has no video; also in place of any libav error
            inside the `with`.
    """
    path = Path(path)
    try:
        if path.stat().st_size == 0:
            raise DecodeError("the file is empty", where=path)
        with av.open(
            f"file:{path}",
            options={"protocol_whitelist": "file", "format_whitelist": FORMATS},
            metadata_errors="ignore",
        ) as container:
            yield container, _video_stream(container, path)
    except av.FFmpegError as error:
        raise DecodeError(f"cannot be read as video (damaged or cut short): {error.strerror}", where=path) from error
    except OSError as error:
        raise DecodeError(f"cannot be opened: {error.strerror}", where=path) from error


def has_timestamps(container: InputContainer) -> bool:
    """Whether the container stores presentation times."""
    return container.format.name not in _UNTIMED


def nominal_rate(stream: VideoStream) -> Fraction:
    """Frames per second as the file declares it, 25 where it does not (libav's own default)."""
    return Fraction(stream.guessed_rate or stream.average_rate or 25)


def rotation_of(frame: VideoFrame) -> int:
    """Degrees clockwise that a player turns the stored picture: 0, 90, 180 or 270."""
    return -90 * round(frame.rotation / 90) % 360


def shown_size(stream: VideoStream, frame: VideoFrame) -> tuple[int, int]:
    """Width and height as a player shows a frame of `stream`: rotated, in square pixels."""
    aspect = float(stream.codec_context.sample_aspect_ratio or 0) or 1.0
    size = (round(frame.width * aspect), frame.height)
    return size if rotation_of(frame) % 180 == 0 else (size[1], size[0])


def shown_frames(
    path: Path | str, start_s: float | None = None, end_s: float | None = None, *, lead: bool = False
) -> Iterator[tuple[float, VideoFrame]]:
    """Yields (seconds from the first shown frame, stored picture) in presentation order.

    Args:
        path: a video file.
        start_s: the first time to yield; the file is entered at a keyframe before it.
        end_s: the first time not to yield.
        lead: yield first the frame that is on screen at `start_s`, although it began earlier; the last frame
            where `start_s` is past the end.

    Raises:
        DecodeError: the file cannot be opened, or is damaged within the span; it says how far decoding got.
    """
    begin_s = start_s or 0.0
    with open_video(path) as (container, stream):
        reader = _Reader(container, stream, Path(path))
        held: tuple[float, VideoFrame] | None = None
        for time_s, frame in reader.frames_from(begin_s):
            if end_s is not None and time_s >= end_s - 1e-9:
                break
            if time_s < begin_s - 1e-9:
                held = (time_s, frame) if lead else None
                continue
            if held is not None and time_s > begin_s + 1e-9:
                yield held
            held = None
            _check(frame, time_s, reader.path)
            yield time_s, frame
        if held is not None:
            yield held


class _Reader:
    """Turns what libav decodes into frames on one time line, across seeks."""

    def __init__(self, container: InputContainer, stream: VideoStream, path: Path) -> None:
        self._container, self._stream, self.path = container, stream, path
        self._timed = has_timestamps(container)
        self._tick = Fraction(stream.time_base) if self._timed and stream.time_base else 1 / nominal_rate(stream)
        self._first_pts: int | None = None

    def frames_from(self, begin_s: float) -> Iterator[tuple[float, VideoFrame]]:
        """Frames from one at or before `begin_s` where there is one."""
        frames = self._decoded()
        try:
            first = next(frames)
        except StopIteration:
            raise DecodeError("no frame can be decoded", where=self.path) from None
        if self._timed and begin_s > 2 * _SEEK_MARGINS_S[0]:
            for margin_s in _SEEK_MARGINS_S:
                entered = self._enter(begin_s - margin_s)
                if entered is not None and entered[0] <= begin_s:
                    yield entered
                    yield from self._decoded(entered[0])
                    return
            self._container.seek(self._pts(0.0), stream=self._stream)
            yield from self._decoded()
            return
        yield first
        yield from frames

    def _enter(self, target_s: float) -> tuple[float, VideoFrame] | None:
        if target_s <= 0:
            return None
        try:
            self._container.seek(self._pts(target_s), stream=self._stream)
        except av.FFmpegError:
            return None
        return next(self._decoded(), None)

    def _pts(self, time_s: float) -> int:
        return (self._first_pts or 0) + int(time_s / self._tick)

    def _decoded(self, after_s: float = -1.0) -> Iterator[tuple[float, VideoFrame]]:
        """Decodes from where the container stands; frames whose time does not advance are not shown by players."""
        last_s, index = after_s, 0
        numerator, denominator = self._tick.numerator, self._tick.denominator
        try:
            for frame in self._container.decode(self._stream):
                if not self._timed or frame.pts is None:
                    pts = index if not self._timed or self._first_pts is None else self._pts(last_s) + 1
                else:
                    pts = frame.pts
                index += 1
                if self._first_pts is None:
                    self._first_pts = pts
                time_s = (pts - self._first_pts) * numerator / denominator
                if time_s > last_s:
                    last_s = time_s
                    yield time_s, frame
        except av.FFmpegError as error:
            raise DecodeError(
                f"decoding stops at {max(last_s, 0.0):.2f} s: {error.strerror}", where=self.path
            ) from error


def _video_stream(container: InputContainer, path: Path) -> VideoStream:
    for stream in container.streams.video:
        if Disposition.attached_pic not in stream.disposition:
            stream.thread_count = 1
            return stream
    kind = "audio only" if container.streams.audio else "no stream at all"
    raise DecodeError(f"has no video stream ({kind})", where=path)


def _check(frame: VideoFrame, time_s: float, path: Path) -> None:
    if frame.is_corrupt:
        raise DecodeError(f"damaged at {time_s:.2f} s: the frame there does not decode", where=path)
