"""What a video file is: size, rate, length and where its time starts, read without decoding more than one frame.

Headers lie or are silent, so counts and times come from a pass over the packets of the video stream: its presentation
timestamps, with no decoding. Times are relative to the first shown frame. Packets that an edit list discards, and those
shown before the first frame that decodes, do not count. The last frame lasts as long as its packet says, or else the
median interval. A file that ends well before the time its own header declares is truncated, and that is an error.
"""

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from statistics import median_low

from av.container import InputContainer
from av.video.stream import VideoStream

from curate.errors import DecodeError
from curate.media.container import has_timestamps, nominal_rate, open_video, rotation_of, shown_size

_JITTER_S = 0.0015
"""Intervals this close to the median are one rate: containers that count milliseconds round by up to one."""

_SHORTFALL_S = 0.5
"""How much earlier than declared a sound file may end: headers are rounded, and an edit may fall inside a frame."""


@dataclass(frozen=True)
class VideoInfo:
    """The technical columns of the `videos` table."""

    container: str
    codec: str
    width: int
    height: int
    rotation_deg: int
    start_offset_s: float
    time_base: str
    duration_s: float
    frames: int
    fps: float
    variable_rate: bool
    has_audio: bool
    bitrate_bps: int


@dataclass(frozen=True)
class _Timeline:
    """Presentation times of the shown frames, in ticks, sorted, and the tick at which the last one ends."""

    pts: list[int]
    end_pts: int
    tick_s: Fraction


def probe(path: Path | str) -> VideoInfo:
    """Reads a file's technical data.

    Width and height are as shown: rotated, in square pixels. rotation_deg is clockwise, as a player turns the picture.

    Raises:
        DecodeError: the file is empty, is no video, its first frame does not decode, its times do not
            advance, or it is truncated.
    """
    path = Path(path)
    with open_video(path) as (container, stream):
        first = next(container.decode(stream), None)
        if first is None:
            raise DecodeError("no frame can be decoded", where=path)
        width, height = shown_size(stream, first)
    with open_video(path) as (container, stream):
        timeline = _read_timeline(container, stream, first.pts, path)
        _refuse_truncated(container, stream, timeline, path)
        duration_s = float((timeline.end_pts - timeline.pts[0]) * timeline.tick_s)
        return VideoInfo(
            container=container.format.name.split(",")[0],
            codec=stream.codec_context.name,
            width=width,
            height=height,
            rotation_deg=rotation_of(first),
            start_offset_s=float(timeline.pts[0] * timeline.tick_s),
            time_base=f"{timeline.tick_s.numerator}/{timeline.tick_s.denominator}",
            duration_s=duration_s,
            frames=len(timeline.pts),
            fps=len(timeline.pts) / duration_s,
            variable_rate=_is_variable(timeline),
            has_audio=bool(container.streams.audio),
            bitrate_bps=round(path.stat().st_size * 8 / duration_s),
        )


def _read_timeline(container: InputContainer, stream: VideoStream, first_pts: int | None, path: Path) -> _Timeline:
    """One pass over the packets. Where the container has no presentation times, frame k is at k / rate."""
    if not has_timestamps(container) or first_pts is None:
        frames = sum(1 for packet in container.demux(stream) if packet.size and not packet.is_discard)
        return _Timeline(list(range(frames)), frames, 1 / nominal_rate(stream))
    shown = [
        (packet.pts, packet.duration or 0)
        for packet in container.demux(stream)
        if packet.pts is not None and packet.pts >= first_pts and packet.size and not packet.is_discard
    ]
    durations = dict(shown)
    pts = sorted(durations)
    if 2 * len(pts) < len(shown):
        raise DecodeError(f"timestamps do not advance: {len(shown)} frames share {len(pts)} times", where=path)
    tick_s = Fraction(stream.time_base or Fraction(1, 90_000))
    intervals = [later - earlier for earlier, later in pairwise(pts)]
    usual = median_low(intervals) if intervals else max(round(1 / nominal_rate(stream) / tick_s), 1)
    return _Timeline(pts, pts[-1] + (durations[pts[-1]] or usual), tick_s)


def _is_variable(timeline: _Timeline) -> bool:
    intervals = [later - earlier for earlier, later in pairwise(timeline.pts)]
    if not intervals:
        return False
    usual = median_low(intervals)
    allowed = max(_JITTER_S, 1.5 * float(timeline.tick_s)) / timeline.tick_s
    return any(abs(interval - usual) > allowed for interval in intervals)


def _refuse_truncated(container: InputContainer, stream: VideoStream, timeline: _Timeline, path: Path) -> None:
    """Compares the end of the packets with the end that the header declares for the stream, or for the whole file."""
    end_s = float(timeline.end_pts * timeline.tick_s)
    declared_end_s = _declared_end_s(container, stream)
    if declared_end_s is None and container.duration:
        declared_end_s = container.duration / 1e6
        if declared_end_s - end_s > _SHORTFALL_S:
            end_s = _last_packet_end_s(path)
    if declared_end_s is not None and declared_end_s - end_s > _SHORTFALL_S:
        raise DecodeError(f"truncated: it declares {declared_end_s:.1f} s and ends at {end_s:.1f} s", where=path)


def _declared_end_s(container: InputContainer, stream: VideoStream) -> float | None:
    """The end of the video stream by its header; Matroska keeps it in a tag, AVI as a number of frames."""
    if not has_timestamps(container):
        return float(stream.frames / nominal_rate(stream)) if stream.frames else None
    tag = next((value for key, value in stream.metadata.items() if key.upper().startswith("DURATION")), None)
    if tag and tag.count(":") == 2:  # the end, also where the stream starts late; libav takes it for the duration
        hours, minutes, seconds = tag.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    if stream.duration and stream.time_base:
        return float(((stream.start_time or 0) + stream.duration) * stream.time_base)
    return None


def _last_packet_end_s(path: Path) -> float:
    """The end of the last packet of any stream, from the file's zero."""
    with open_video(path) as (container, _):
        return max(
            float((packet.pts + (packet.duration or 0)) * packet.time_base)
            for packet in container.demux()
            if packet.pts is not None
        )
