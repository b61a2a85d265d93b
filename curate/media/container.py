"""Opens video files that nobody vouches for.

Sources are hostile: libav may open nothing but this one file (a playlist could name others, or an address), and only
as one of the container formats of footage.
"""

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from curate.errors import DecodeError
from curate.specs.analysis import Limits

FORMATS = "mov,matroska,webm,avi,mpegts,mpeg,flv,ogg,asf,h264,hevc,mpegvideo,m4v,mxf,ivf,obu,gif,3gp,dv,rm,wav,mp3,flac"
"""Demuxers that may open a source. Audio ones are here so that an audio file is told apart from a broken one."""

_PICTURES = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image

_SLOWEST, _FASTEST = Fraction(1, 3600), 1000

_UNTIMED = {"avi", "h264", "hevc", "mpegvideo", "m4v"}
"""Containers without presentation timestamps."""


@contextmanager
def open_video(path: Path | str, limits: Limits = Limits()) -> Iterator[tuple[InputContainer, VideoStream]]:  # noqa: B008
    """The opened file and its main video stream, which decodes in one thread.

    Of several video streams it is the one that the file marks as the default, then the largest, then the first;
    never the picture of a cover.

    Raises:
        DecodeError: it is missing, no regular file, empty, not a media file, has no video or one that is larger than
            the limits; also in place of any libav error inside the `with`.
    """
    path = Path(path)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise DecodeError("is no regular file", where=path)
        if status.st_size == 0:
            raise DecodeError("the file is empty", where=path)
        with _open(path, limits) as container:
            yield container, _video_stream(container, path, limits)
    except av.FFmpegError as error:
        raise DecodeError(f"cannot be read as video (damaged or cut short): {error.strerror}", where=path) from error
    except OSError as error:
        raise DecodeError(f"cannot be opened: {error.strerror}", where=path) from error


def _open(path: Path, limits: Limits) -> InputContainer:
    """Opens a container so that no decoder that looks at its streams may allocate a frame above the limit."""
    options = {"protocol_whitelist": "file", "format_whitelist": FORMATS, "max_pixels": str(limits.max_pixels)}
    try:
        # Options reach those decoders only where the container lists its streams in front; PyAV says where it does
        # not when it is given some for each stream. There the parsers alone say the size first.
        return av.open(f"file:{path}", options=options, stream_options=[{}], metadata_errors="ignore")
    except ValueError:
        blind = options | {"codec_whitelist": "none"}
        with av.open(f"file:{path}", options=blind, metadata_errors="ignore") as container:
            for stream in container.streams.video:
                if stream.codec_context is not None:
                    _refuse_large(stream, path, limits)
        return av.open(f"file:{path}", options=options, metadata_errors="ignore")


def _refuse_large(stream: VideoStream, path: Path, limits: Limits) -> None:
    if stream.width * stream.height > limits.max_pixels:
        raise DecodeError(
            f"{stream.width} x {stream.height} pixels are more than limits.max_pixels ({limits.max_pixels})", where=path
        )


def has_timestamps(container: InputContainer) -> bool:
    """Whether the container stores presentation times."""
    return container.format.name not in _UNTIMED


def nominal_rate(stream: VideoStream) -> Fraction:
    """Frames per second as the file declares it, 25 where it declares nothing sensible (libav's own default)."""
    for rate in (stream.guessed_rate, stream.average_rate):
        if rate and _SLOWEST <= rate <= _FASTEST:
            return Fraction(rate)
    return Fraction(25)


def _video_stream(container: InputContainer, path: Path, limits: Limits) -> VideoStream:
    moving = [stream for stream in container.streams.video if not stream.disposition & _PICTURES]
    readable = [stream for stream in moving if stream.codec_context is not None]
    if not readable:
        raise DecodeError(f"has no video stream ({_what_else(container, moving)})", where=path)
    stream = max(readable, key=lambda one: (Disposition.default in one.disposition, one.width * one.height, -one.index))
    _refuse_large(stream, path, limits)
    stream.thread_count = 1
    stream.codec_context.options = {"max_pixels": str(limits.max_pixels)}
    return stream


def _what_else(container: InputContainer, moving: list[VideoStream]) -> str:
    if moving:
        return "no decoder for its codec"
    if container.streams.video:
        return "a cover picture only"
    return "audio only" if container.streams.audio else "no stream at all"
