"""Cuts a span of a video to an mp4 that shows the source's pictures at the source's own times: what mixes hold.

A label says when something happens in seconds of the source, so what a model is trained on must show each picture when
the source does. A cut on a grid of constant rate (`curate.media.cut`) shows it up to a frame late where the source's
rate varies or the span begins between two pictures, and has pictures twice or not at all. Here picture k is the k-th of
the source within the span, once, at its time less the span's start; a picture that is on screen when the span begins
comes first, at zero.

Where the stream allows it, pictures are copied as they are (`curate.media.copy`); else they are encoded as H.264 that
all players show. The times are the same either way. The same span of the same file is the same bytes on every run.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import chain
from math import ceil
from pathlib import Path

import numpy as np
from av.video.frame import VideoFrame

from curate.errors import InputError
from curate.media.copy import copy_span
from curate.media.cut import usual_rate
from curate.media.encode import Upright, add_aac, add_h264, even_size, new_mp4, sound_of, write_sound
from curate.media.frames import shown_frames
from curate.media.probe import VideoInfo, probe_times

_SOON_S = 0.001
"""Containers that count milliseconds put pictures this much beside their time: one that is due so soon is shown at the
start, one that would be shown for so short at the end is not."""

_SAME_S = 1e-6
"""Times this close are one: spans come as seconds in floating point."""

_FINE, _FINEST = 90_000, 1_000_000
"""Ticks a second of what is encoded: of a source's own tick at least so many, so that a span that begins between two
ticks moves no picture by more than 6 microseconds; at most so many, or a long picture would overflow 32 bits."""


@dataclass(frozen=True)
class ExactCut:
    """What was written.

    Attributes:
        times_s: when its pictures are shown, from its start: float64 [pictures], rising from 0.
        duration_s: when the last one ends.
        copied: that the pictures are the source's own, not encoded again.
    """

    times_s: np.ndarray
    duration_s: float
    copied: bool


def cut_exactly(path: Path | str, start_s: float, end_s: float, target: Path, *, copy: bool = True) -> ExactCut:
    """Writes [start_s, end_s) of a video, in seconds from its first shown frame, as an mp4 at `target`.

    Args:
        path: the source.
        start_s: shown first; the end of the video bounds the span.
        end_s: not shown.
        target: replaced in one step when the whole file is written.
        copy: copy what can be copied.

    Raises:
        DecodeError: the source is damaged within the span.
        InputError: the span is empty or begins after the end of the video.
    """
    info, all_s = _times_of(Path(path))
    stop_s = min(end_s, info.duration_s)
    if not 0 <= start_s < stop_s:
        raise InputError(f"no span from {start_s:g} to {end_s:g} s in a video of {info.duration_s:.3f} s", where=path)
    last_s = max(stop_s - _SOON_S, start_s + _SOON_S)
    length_s = Fraction(stop_s) - Fraction(start_s)
    sound = sound_of(path, info, start_s, length_s)
    begin_s = all_s[(all_s > start_s - _SAME_S) & (all_s < last_s)]
    begins_on_picture = len(begin_s) > 0 and begin_s[0] < start_s + _SAME_S
    if copy and begins_on_picture and copy_span(path, info, begin_s, stop_s, target, sound):
        return ExactCut(begin_s - begin_s[0], float(length_s), copied=True)
    time_base = _time_base(info)
    spans = _Spans(start_s, round(length_s / time_base), time_base)
    with new_mp4(target) as container:
        video = add_h264(container, even_size(info, info.height), usual_rate(info), time_base)
        audio = add_aac(container, sound) if sound is not None else None
        for picture in chain(spans.pictures(path, last_s, Upright(video.width, video.height)), (None,)):
            for packet in video.encode(picture):
                packet.duration = spans.lengths[packet.pts or 0]
                container.mux(packet)
        if sound is not None and audio is not None:
            write_sound(container, audio, sound)
    return ExactCut(np.array(list(spans.lengths)) * float(time_base), float(length_s), copied=False)


class _Spans:
    """The pictures of a span, and how long each is shown. Ticks are of `time_base`, from the span's start.

    Attributes:
        lengths: ticks that a picture is shown, by the tick at which it begins, of those given so far.
    """

    def __init__(self, start_s: float, length: int, time_base: Fraction) -> None:
        self._start_s, self._length, self._time_base = start_s, length, time_base
        self.lengths: dict[int, int] = {}

    def pictures(self, path: Path | str, until_s: float, upright: Upright) -> Iterator[VideoFrame]:
        """Each picture of the source that begins before `until_s`, once, ready to be encoded.

        Raises:
            DecodeError: the source is damaged within the span.
        """
        held: tuple[int, VideoFrame, float] | None = None
        for time_s, stored, stretch in shown_frames(path, self._start_s, until_s, lead=True):
            begins = round((Fraction(time_s) - Fraction(self._start_s)) / self._time_base)
            tick = begins if time_s > self._start_s + _SOON_S else 0
            if held is not None and tick > held[0]:
                yield self._ready(*held, tick, upright)
            held = (tick, stored, stretch)
        if held is not None:
            yield self._ready(*held, self._length, upright)

    def _ready(self, tick: int, stored: VideoFrame, stretch: float, end: int, upright: Upright) -> VideoFrame:
        picture = upright.picture(stored, stretch)
        picture.pts, picture.time_base = tick, self._time_base
        self.lengths[tick] = end - tick
        return picture


def _time_base(info: VideoInfo) -> Fraction:
    """The source's own, or a part of it."""
    rate = Fraction(info.time_base).denominator
    return Fraction(1, min(rate * ceil(_FINE / rate), _FINEST))


def _times_of(path: Path) -> tuple[VideoInfo, np.ndarray]:
    """As `probe_times`; a file of which one span was cut is not read again for the next."""
    try:
        status = path.stat()
    except OSError:
        return probe_times(path)  # which says what is wrong
    return _probed(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=32)
def _probed(path: Path, size: int, modified_ns: int) -> tuple[VideoInfo, np.ndarray]:
    info, times_s = probe_times(path)
    times_s.flags.writeable = False
    return info, times_s
