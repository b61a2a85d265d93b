"""Opens video files that nobody vouches for.

Sources are hostile: libav may open nothing but this one file (a playlist could name others, or an address), and only
as one of the container formats of footage.
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


def _video_stream(container: InputContainer, path: Path) -> VideoStream:
    for stream in container.streams.video:
        if Disposition.attached_pic not in stream.disposition:
            stream.thread_count = 1
            return stream
    kind = "audio only" if container.streams.audio else "no stream at all"
    raise DecodeError(f"has no video stream ({kind})", where=path)
