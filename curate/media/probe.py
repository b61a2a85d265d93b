"""What a video file is: size, rate, length and where its time starts, read without decoding more than one frame.

Headers lie or are silent, so counts and times come from a pass over the packets of the video stream: its presentation
timestamps, with no decoding. Times are relative to the first shown frame. Packets that an edit list discards, and those
shown before the first frame that decodes, do not count. The last frame lasts as long as its packet says, or else the
median interval. Of a file that is cut short or damaged it says what is there; what is lost is known when it is decoded.
"""

from array import array
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from curate.errors import DecodeError
from curate.media.container import nominal_rate, open_video
from curate.media.packets import packets_of
from curate.media.picture import rotation_of, shown_size
from curate.media.walk import Walk
from curate.specs.analysis import Limits

_JITTER_S = 0.0015
"""Intervals this close to the median are one rate: containers that count milliseconds round by up to one."""


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

    pts: np.ndarray  # int64 [frames]
    end_pts: int
    tick_s: Fraction


def probe(path: Path | str, limits: Limits = Limits()) -> VideoInfo:  # noqa: B008 - frozen
    """Reads a file's technical data (see `probe_times`)."""
    return probe_times(path, limits)[0]


def probe_times(path: Path | str, limits: Limits = Limits()) -> tuple[VideoInfo, np.ndarray]:  # noqa: B008 - frozen
    """Reads a file's technical data, and when its pictures are shown: float64 [frames], seconds from the first.

    Width and height are as shown: rotated, in square pixels. rotation_deg is clockwise, as a player turns the picture.

    Raises:
        DecodeError: the file is empty, is no video, no frame of it decodes, its times do not advance, or it is
            larger or longer than the limits.
    """
    path = Path(path)
    with open_video(path, limits) as (container, stream):
        walk = Walk(container, stream, path)
        _, first, _ = next(walk.frames_from(0.0))
        width, height = shown_size(stream, first)
    with open_video(path, limits) as (container, stream):
        timeline = _read_timeline(container, stream, walk, path)
        duration_s = float((timeline.end_pts - int(timeline.pts[0])) * timeline.tick_s)
        if duration_s > limits.max_duration_s:
            raise DecodeError(
                f"{duration_s:.0f} s are more than limits.max_duration_s ({limits.max_duration_s:g})", where=path
            )
        info = VideoInfo(
            container=container.format.name.split(",")[0],
            codec=stream.codec_context.name,
            width=width,
            height=height,
            rotation_deg=rotation_of(first),
            start_offset_s=float(int(timeline.pts[0]) * timeline.tick_s),
            time_base=f"{timeline.tick_s.numerator}/{timeline.tick_s.denominator}",
            duration_s=duration_s,
            frames=len(timeline.pts),
            fps=len(timeline.pts) / duration_s,
            variable_rate=_is_variable(timeline),
            has_audio=bool(container.streams.audio),
            bitrate_bps=round(path.stat().st_size * 8 / duration_s),
        )
        ticks = timeline.pts - timeline.pts[0]
        return info, ticks * timeline.tick_s.numerator / timeline.tick_s.denominator


def _read_timeline(container: InputContainer, stream: VideoStream, walk: Walk, path: Path) -> _Timeline:
    """One pass over the packets: 8 bytes for each, 40 MB for a day at 60 frames/s."""
    zero = walk.origin.tick if walk.origin else 0
    ticks, shown, last_tick, last_length = array("q"), 0, zero, 0
    for packet in packets_of(container, stream):
        tick = walk.tick_of_packet(packet, shown)
        if tick is None or tick < zero or packet.is_discard:
            continue
        shown += 1
        ticks.append(tick)
        if tick >= last_tick:
            last_tick, last_length = tick, packet.duration or 0
    pts = np.unique(np.frombuffer(ticks, np.int64))
    if 2 * len(pts) < shown:
        raise DecodeError(f"timestamps do not advance: {shown} frames share {len(pts)} times", where=path)
    if not len(pts):
        pts = np.array([zero])
    usual = _median_low(np.diff(pts)) or max(round(1 / nominal_rate(stream) / walk.tick_s), 1)
    length = last_length if walk.lengths_are_ticks else 0
    return _Timeline(pts, int(pts[-1]) + (length if length > 0 else usual), walk.tick_s)


def _median_low(intervals: np.ndarray) -> int:
    """The lower of the two middle values, 0 of none."""
    return int(np.partition(intervals, (len(intervals) - 1) // 2)[(len(intervals) - 1) // 2]) if len(intervals) else 0


def _is_variable(timeline: _Timeline) -> bool:
    intervals = np.diff(timeline.pts)
    if not len(intervals):
        return False
    allowed = max(_JITTER_S, 1.5 * float(timeline.tick_s)) / float(timeline.tick_s)
    return bool((np.abs(intervals - _median_low(intervals)) > allowed).any())
