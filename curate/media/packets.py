"""The packets of a stream with timestamps that can be believed.

Demuxers hand on what the file says, and damaged or joined files say odd things. Three of them would cost whole hours if
they were believed, since a player shows no frame whose time does not advance:

- A stray timestamp, far ahead of its neighbours: it is taken away, and the picture comes after the one before it.
- Transport and program streams that were joined start again from another time: their time goes on where it was.
- A demuxer that fails in the middle goes on when asked again; only after many failures in a row is the rest given up.

What a single frame is off by is left alone.
"""

from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from curate.media.container import nominal_rate, open_video

JOINED = {"mpegts", "mpeg"}
"""Formats that are made to be cut and joined, so that their time may start again."""

_FAR_S, _BACK_S, _ANOTHER_TIME_S = 10.0, 1.0, 3600.0
"""A step forward that is checked against what follows; one back, and one forward, that mean another time."""

_LOOK_AHEAD = 32
_FAILURES = 64


def packets_of(
    container: InputContainer, stream: VideoStream, failed: Callable[[], None] = lambda: None
) -> Iterator[Packet]:
    """The packets of a stream that hold something, in the order of decoding, from where the container stands.

    Args:
        container: the opened file.
        stream: of it.
        failed: called when the demuxer fails and something is lost.
    """
    clock = _Clock(stream, joined=container.format.name in JOINED)
    failures = 0
    while failures < _FAILURES:
        try:
            for packet in container.demux(stream):
                if packet.size:
                    failures = 0
                    yield from clock.take(packet)
            break
        except av.FFmpegError:
            failures += 1
            failed()
    yield from clock.rest()


def starts_again(path: Path) -> bool:
    """Whether the time of a joined format starts again midway; read once from the packets, as it is in no header."""
    status = path.stat()
    return _starts_again(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=64)
def _starts_again(path: Path, size: int, modified_ns: int) -> bool:
    with open_video(path) as (container, stream):
        clock = _Clock(stream, joined=True)
        try:
            for packet in container.demux(stream):
                for _ in clock.take(packet) if packet.size else ():
                    pass
        except av.FFmpegError:
            return True  # so that it is read from its start
        return clock.is_shifted


class _Clock:
    """Holds packets back where time jumps, until it is known what the jump means."""

    def __init__(self, stream: VideoStream, *, joined: bool) -> None:
        tick_s = Fraction(stream.time_base or Fraction(1, 90_000))
        self._far, self._back, self._another = (round(s / tick_s) for s in (_FAR_S, _BACK_S, _ANOTHER_TIME_S))
        self._step = max(round(1 / nominal_rate(stream) / tick_s), 1)
        self._joined = joined
        self._last: int | None = None
        self._offset = self._earlier_offset = 0
        self._held: list[Packet] = []

    def take(self, packet: Packet) -> Iterator[Packet]:
        """Packets that are clear now."""
        dts = packet.dts if packet.dts is not None else packet.pts
        if dts is None:
            if self._held:
                self._held.append(packet)
            else:
                yield packet
            return
        if packet.pts is not None and packet.pts - dts > self._far:
            packet.pts = None
        if self._last is None:
            yield from self._begin(packet, dts)
            return
        step = dts + self._offset - self._last
        if -self._back <= step <= self._far:
            yield from self._strays()
            yield self._placed(packet, dts)
        elif step > self._far:
            self._held.append(packet)
            if len(self._held) >= _LOOK_AHEAD:
                yield from self._believed()
        elif self._joined:
            yield from self._strays()
            if 0 < dts + self._earlier_offset - self._last <= self._far:
                self._offset, self._earlier_offset = self._earlier_offset, self._offset
            else:
                self._earlier_offset, self._offset = self._offset, self._last + self._step - dts
            yield self._placed(packet, dts)
        else:
            yield from self._strays()
            yield packet

    @property
    def is_shifted(self) -> bool:
        """Whether time has started again."""
        return bool(self._offset or self._earlier_offset)

    def rest(self) -> Iterator[Packet]:
        """What is still held back when the stream has ended."""
        if self._last is None:
            yield from self._held
        else:
            yield from self._believed()

    def _begin(self, packet: Packet, dts: int) -> Iterator[Packet]:
        """The first packet waits for the second: if time then goes back, the first was the stray one."""
        if not self._held:
            self._held = [packet]
            return
        first = self._held[0]
        first_dts = first.dts if first.dts is not None else first.pts
        if first_dts is not None and dts < first_dts - self._back and not self._joined:
            first.dts, first.pts = dts - self._step, (packet.pts if packet.pts is not None else dts) - self._step
            first_dts = first.dts
        self._last = first_dts
        waiting, self._held = self._held, []
        yield from waiting
        yield from self.take(packet)

    def _placed(self, packet: Packet, dts: int) -> Packet:
        self._last = dts + self._offset
        if self._offset:
            packet.dts = dts + self._offset
            packet.pts = packet.pts + self._offset if packet.pts is not None else None
        return packet

    def _strays(self) -> Iterator[Packet]:
        """Time is back where it was: what was held back lay beside it."""
        for packet in self._held:
            packet.pts = packet.dts = None
            yield packet
        self._held = []

    def _believed(self) -> Iterator[Packet]:
        """Time does not come back: it has gone forward, or is another one."""
        for packet in self._held:
            dts = packet.dts if packet.dts is not None else packet.pts
            if dts is not None and self._last is not None:
                if self._joined and dts + self._offset - self._last > self._another:
                    self._earlier_offset, self._offset = self._offset, self._last + self._step - dts
                yield self._placed(packet, dts)
            else:
                yield packet
        self._held = []
