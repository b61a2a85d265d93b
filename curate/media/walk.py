"""One pass over what libav decodes, at exact times, past whatever is damaged.

Time starts at the first frame that decodes and comes from presentation timestamps alone. AVI stores none: there a frame
stands at the place of its chunk, empty ones (frames that were dropped at recording) counted. Raw streams have neither;
there frame k is shown at k / rate, which is how they are defined.

libav conceals what it cannot decode, and goes on after errors with pictures whose references are missing. Embeddings
and labels of grey blocks would poison everything after them, so what a damaged picture may have spoilt is left out: all
frames from it to the next clean keyframe, but for those that were decoded before it. That stretch is a `Gap`. What the
codec itself cannot tell from good data (VP9 and AV1 have no check in the picture data) is not seen here either.
"""

import math
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from curate.errors import DecodeError
from curate.media.container import has_timestamps, nominal_rate
from curate.media.extent import missing_at_end
from curate.media.gaps import Gap
from curate.media.packets import JOINED, packets_of, starts_again
from curate.media.picture import shown_size

_EPSILON_S = 1e-9

_SEEK_MARGINS_S = (0.5, 4.0, 32.0)
"""How far before the wanted time to seek, in turn, until a frame comes out at or before it."""

_WORTH_A_SEEK_S = 5.0
"""Keyframes further apart than this are sought one by one."""

_ABSURD_S = 10.0
"""A lost frame that claims to be this far from the others has lost its time too."""

_BACK_S = 1.0
"""A frame that comes this much too late is no disorder of a few frames: it is lost."""

_REORDERED = 32
"""More frames than any codec holds back to bring them into order."""


@dataclass(frozen=True)
class Origin:
    """The first frame that decodes, by which the others are measured.

    Attributes:
        tick: its presentation time.
        shape: its width over its height, as shown.
        pixel_aspect: what the codec says of its pixels; None where it says nothing.
    """

    tick: int
    shape: float
    pixel_aspect: Fraction | None


Shown = tuple[float, VideoFrame, float]
"""Seconds from the first frame, the stored picture, and how much wider in shape it is than the first."""


class Walk:
    """Turns what libav decodes into frames on one time line, across damage and seeks.

    Args:
        container: the opened file.
        stream: the one to decode.
        path: for messages, and to look at how it ends.
        keys_only: of packets that are no keyframes none is decoded.
        origin: what another walk of the same file found at its start.

    Attributes:
        gaps: what was lost on the way so far, in order of time.
        origin: where time starts, once a frame has decoded.
        tick_s: the unit of ticks.
        lengths_are_ticks: whether packets and frames state their length in them.
    """

    def __init__(
        self,
        container: InputContainer,
        stream: VideoStream,
        path: Path,
        *,
        keys_only: bool = False,
        origin: Origin | None = None,
    ) -> None:
        self._container, self._stream, self.path, self._keys_only = container, stream, path, keys_only
        self._timed = has_timestamps(container)
        self._chunked = container.format.name == "avi"
        has_tick = stream.time_base and (self._timed or self._chunked)
        self.tick_s = Fraction(stream.time_base) if has_tick and stream.time_base else 1 / nominal_rate(stream)
        self.lengths_are_ticks = self._timed or self._chunked
        self._interval_s = float(1 / nominal_rate(stream))
        self.origin = origin
        self._stretch, self._stored_size = 1.0, (0, 0)
        self._indexed: dict[int, int] | None = None
        self._chunks_lost = 0
        self.gaps: list[Gap] = []
        self._enter_at(0.0)

    def _enter_at(self, time_s: float) -> None:
        """Nothing is sent to the decoder yet, nothing lost."""
        self._sent: deque[int | None] = deque(maxlen=_REORDERED)
        self._due: deque[int] = deque()
        self._last_s, self._last_end_s = -_EPSILON_S, time_s
        self._broken = False
        self._broken_tick: int | None = None
        self._intact: frozenset[int | None] = frozenset()
        self._lost_from_s: float | None = None
        self._lost_to_s = 0.0

    def frames_from(self, begin_s: float) -> Iterator[Shown]:
        """Frames from one at or before `begin_s` where there is one.

        Raises:
            DecodeError: no frame decodes.
        """
        frames = self._decoded()
        try:
            first = next(frames)
        except StopIteration:
            raise DecodeError("no frame can be decoded", where=self.path) from None
        if begin_s > 2 * _SEEK_MARGINS_S[0] and self._can_seek():
            self.gaps.clear()
            for margin_s in _SEEK_MARGINS_S:
                entered = self._enter(begin_s, margin_s)
                if entered is not None:
                    yield entered[0]
                    yield from entered[1]
                    return
            self._container.seek(self._pts(0.0), stream=self._stream)
            yield from self._decoded()
            return
        yield first
        yield from frames

    def keys(self, every_s: float | None) -> Iterator[Shown]:
        """Keyframes, the first at or after each multiple of `every_s`; the file is entered anew for distant ones."""
        due_s, sought_s = -_EPSILON_S, 0.0
        frames: Iterator[Shown] | None = self._decoded()
        while frames is not None:
            again = None
            for shown in frames:
                time_s = shown[0]
                if time_s >= due_s - _EPSILON_S:
                    yield shown
                    due_s = (math.floor(time_s / every_s + _EPSILON_S) + 1) * every_s if every_s else time_s
                if due_s > max(time_s + _WORTH_A_SEEK_S, sought_s) and self._can_seek():
                    sought_s = due_s
                    again = self._entered_at(due_s)
                    break
            frames = again

    def _entered_at(self, time_s: float) -> Iterator[Shown]:
        """Frames from a keyframe before a time, or from where the container stands if it cannot be entered there."""
        with suppress(av.FFmpegError):
            self._container.seek(self._pts(time_s), stream=self._stream)
        return self._decoded(time_s)

    def _enter(self, begin_s: float, margin_s: float) -> tuple[Shown, Iterator[Shown]] | None:
        """The first frame after a seek and those that follow; None where the seek led past the wanted time."""
        if begin_s <= margin_s:
            return None
        try:
            self._container.seek(self._pts(begin_s - margin_s), stream=self._stream)
        except av.FFmpegError:
            return None
        frames = self._decoded(begin_s - margin_s)
        first = next(frames, None)
        if first is None or first[0] > begin_s + _EPSILON_S:
            self.gaps.clear()
            return None
        return first, frames

    def _can_seek(self) -> bool:
        """Whether seeking by time leads to that time: there must be one, and it must not start again midway."""
        return self._timed and not (self._container.format.name in JOINED and starts_again(self.path))

    def _pts(self, time_s: float) -> int:
        return (self.origin.tick if self.origin else 0) + int(time_s / self.tick_s)

    def _decoded(self, at_s: float = 0.0) -> Iterator[Shown]:
        """Good frames from where the container stands; those whose time does not advance are not shown by players."""
        self._enter_at(at_s)
        numerator, denominator = self.tick_s.numerator, self.tick_s.denominator
        length_s = float(self.tick_s) if self.lengths_are_ticks else 0.0
        for packet in chain(packets_of(self._container, self._stream, self._demuxer_failed), (None,)):
            for frame in self._pictures(packet):
                tick = self._tick_of(frame)
                if self.origin is None:
                    self.origin = self._origin_at(tick, frame)
                time_s = (tick - self.origin.tick) * numerator / denominator
                is_good = not (self._broken or frame.is_corrupt) or self._is_good(frame, tick)
                if time_s <= self._last_s:
                    if time_s < self._last_s - _BACK_S:
                        self._lose(self._last_end_s)
                    continue
                if not is_good:
                    self._lose(time_s)
                    continue
                if self._lost_from_s is not None and self._lost_from_s < time_s:
                    self.gaps.append(Gap(self._lost_from_s, time_s, "damaged"))
                    self._lost_from_s = None
                elif self._last_s >= 0:
                    self._interval_s = time_s - self._last_s
                self._last_s = time_s
                self._last_end_s = time_s + (frame.duration * length_s or self._interval_s)
                if frame.key_frame or self._stored_size != (frame.width, frame.height):
                    self._stretch = self._shape_of(frame) / self.origin.shape
                    self._stored_size = (frame.width, frame.height)
                yield time_s, frame, self._stretch
        self._end()

    def _origin_at(self, tick: int, frame: VideoFrame) -> Origin:
        width, height = shown_size(self._stream, frame)
        return Origin(tick, width / height, self._stream.codec_context.sample_aspect_ratio)

    def _shape_of(self, frame: VideoFrame) -> float:
        """Width over height as shown. The container's word on pixels holds until the codec changes its own."""
        own = self._stream.codec_context.sample_aspect_ratio
        changed = self.origin is not None and own != self.origin.pixel_aspect
        width, height = shown_size(self._stream, frame, own if changed else None)
        return width / height

    def _pictures(self, packet: Packet | None) -> list[VideoFrame]:
        """What the decoder gives for a packet; nothing where it fails."""
        if packet is not None and self._keys_only and not packet.is_keyframe:
            return []
        if packet is not None:
            if self._chunked and (self._broken or self._indexed is not None):
                self._place(packet)
            self._sent.append(packet.pts)
            if self._chunked and packet.dts is not None:
                self._due.append(packet.dts)
            if packet.is_corrupt:
                self._fail(packet)
        try:
            return self._stream.codec_context.decode(packet)
        except av.FFmpegError:
            if packet is not None:
                self._fail(packet)
                if self._chunked and self._due:
                    self._due.pop()
            return []

    def _place(self, packet: Packet) -> None:
        """In AVI libav counts the chunks that it finds; the file's index knows of those that it does not."""
        if self._indexed is None:
            head = 8  # the index names a chunk's head, libav what follows it
            self._indexed = {entry.pos + head: entry.timestamp for entry in self._stream.index_entries}
        at = self._indexed.get(packet.pos if packet.pos is not None else -1)
        if at is not None and packet.dts is not None:
            self._chunks_lost = at - packet.dts
        if packet.dts is not None:
            packet.dts += self._chunks_lost

    def _demuxer_failed(self) -> None:
        self._break(None)
        self._lose(self._last_end_s)

    def _fail(self, packet: Packet) -> None:
        """A packet that does not decode: what refers to it is broken."""
        tick = self.tick_of_packet(packet)
        self._break(tick)
        if tick is None or self.origin is None:
            self._lose(self._last_end_s)
        else:
            self._lose(float((tick - self.origin.tick) * self.tick_s))

    def _break(self, tick: int | None) -> None:
        """From now on only a clean keyframe later than `tick` is good, and what was sent before it."""
        sent = list(self._sent)
        before = sent[: sent.index(tick)] if tick in sent else []
        self._intact = frozenset(before) & self._intact if self._broken else frozenset(before)
        self._broken_tick = tick if not self._broken or tick is None else max(tick, self._broken_tick or tick)
        self._broken = True

    def _lose(self, time_s: float) -> None:
        """Notes that a frame due at this time is lost."""
        if time_s < -_EPSILON_S:
            return
        latest_s = max(self._last_end_s, self._lost_to_s) + _ABSURD_S
        earliest_s = time_s if self._last_s < time_s < latest_s else self._last_end_s
        self._lost_from_s = earliest_s if self._lost_from_s is None else min(self._lost_from_s, earliest_s)
        self._lost_to_s = max(self._lost_to_s, earliest_s + self._interval_s)

    def _is_good(self, frame: VideoFrame, tick: int) -> bool:
        """Whether a frame that is flagged, or comes when references are missing, can be shown all the same."""
        if frame.is_corrupt:
            self._break(tick)
            return False
        if frame.pts in self._intact and self._timed:
            return True
        if frame.key_frame and (self._broken_tick is None or tick > self._broken_tick):
            self._broken, self._broken_tick, self._intact = False, None, frozenset()
            return True
        return False

    def tick_of_packet(self, packet: Packet, number: int | None = None) -> int | None:
        """When a packet's picture is due: where the container has no times, by its number; None where nobody knows.

        In AVI these are the times of the pictures taken together: packets come in the order of decoding.
        """
        return packet.dts if self._chunked else packet.pts if self._timed else number

    def _tick_of(self, frame: VideoFrame) -> int:
        if self._chunked:
            if self._broken:  # chunks that gave no picture: the decoder holds back no more than this
                while len(self._due) > self._stream.codec_context.reorder_depth + 1:
                    self._due.popleft()
            return self._due.popleft() if self._due else self._pts(self._last_s) + 1
        if self._timed and frame.pts is not None:
            return frame.pts
        if self.origin is None:
            return 0
        return self._pts(max(self._last_s, 0.0) + self._interval_s + _EPSILON_S)

    def _end(self) -> None:
        """Notes what is missing at the end of the file."""
        if self.origin is None:
            return
        zero_s = float(self.origin.tick * self.tick_s) if self._timed else 0.0
        is_lost = self._lost_from_s is not None
        end_s = zero_s + self._last_end_s
        missing_s = missing_at_end(self.path, self._container, self._stream, end_s, damaged=is_lost)
        if is_lost or missing_s is not None:
            start_s = self._last_end_s if self._lost_from_s is None else self._lost_from_s
            end_s = max(start_s, self._lost_to_s, self._last_end_s + (missing_s or 0.0))
            self.gaps.append(Gap(start_s, end_s, "damaged" if missing_s is None else "cut short"))
            self._lost_from_s = None
