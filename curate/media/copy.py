"""Copies a span of H.264 into an mp4 without decoding and encoding it again, where that is exact.

A copy loses nothing, where an encode at crf 22 stands 43 dB from the source, and took 37% of its time and 55% of its
bytes; but a stream can be entered at certain pictures only: 13 of 34 clips of eleven real files, which were split at
shots. It is made where all of this holds, and else nobody is the worse: the caller encodes the span.

- The span begins at an IDR picture, from which a decoder needs nothing that came before. (An I picture of an open GOP
  will not do: pictures after it may refer to pictures before it.)
- It ends where the order of decoding can be cut: the pictures shown within the span are the first ones that follow in
  the file. Then none of them refers to one outside. The next keyframe and the end of the video are such places.
- H.264 in yuv420p, progressive, upright, in square pixels and standard dynamic range: what every player and every
  training loader shows as it is. HEVC, VP9 and AV1 lack somewhere, and rotation is an instruction that loaders ignore.
- The container is MP4 or Matroska, which keep parameter sets apart and times that go on. Transport streams may be
  joined, AVI has no times.

What was written is then proved: it decodes on its own, without loss, to as many pictures at the very times, and the
first is the source's, sample by sample. From an IDR picture on, the same bytes give the same pictures.
"""

import os
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from curate.errors import DecodeError
from curate.media.container import open_video
from curate.media.encode import Sound, add_aac, new_mp4, write_sound
from curate.media.frames import shown_frames
from curate.media.picture import is_plain
from curate.media.probe import VideoInfo, probe_times

_CONTAINERS = ("mov", "matroska")
_MARGINS_S = (0.5, 4.0)
"""How far before the span to enter the file, in turn: some demuxers seek past the picture that was asked for."""

_SAME_S = 1e-6
"""Times this close are one: spans come as seconds in floating point."""

_MP4 = {"movflags": "+faststart+negative_cts_offsets", "avoid_negative_ts": "disabled"}
"""Pictures that are shown in another order than decoded start at zero without an edit list, which loaders ignore."""

_SLICE, _IDR = 1, 5


def copy_span(
    path: Path | str, info: VideoInfo, times_s: np.ndarray, end_s: float, target: Path, sound: Sound | None
) -> bool:
    """Writes the pictures at these times as an mp4, as they are, if that is exact; says whether it was.

    Args:
        path: the source.
        info: of it, from `probe_times`.
        times_s: of all pictures of the span, in seconds from the first of the source: float64 [n], rising. The first is
            where the span begins.
        end_s: when the last one ends.
        target: replaced in one step, once it is proved.
        sound: of the span.
    """
    if info.codec != "h264" or info.container not in _CONTAINERS or info.rotation_deg:
        return False
    tick_s = Fraction(info.time_base)
    ticks = np.round(times_s / float(tick_s)).astype(np.int64)
    if np.abs(ticks * float(tick_s) - times_s).max() > _SAME_S:
        return False
    unproved = target.with_name(f".{target.name}.{os.getpid()}.copy")
    try:
        with open_video(path) as (container, stream):
            if not _plays_everywhere(stream, info):
                return False
            packets = _packets(container, stream, ticks + round(Fraction(info.start_offset_s) / tick_s), tick_s)
            if packets is None:
                return False
            with new_mp4(unproved, _MP4) as made:
                _write(made, stream, packets, [*ticks.tolist(), round(end_s / float(tick_s))], sound)
        is_exact = _shows(unproved, path, info, times_s, end_s)
        if is_exact:
            unproved.replace(target)
        return is_exact
    except (av.FFmpegError, DecodeError):
        return False
    finally:
        unproved.unlink(missing_ok=True)


def _plays_everywhere(stream: VideoStream, info: VideoInfo) -> bool:
    """Whether what the headers say of a stream is what all players and loaders show alike."""
    context = stream.codec_context
    parameter_sets = context.extradata or b""
    return (
        context.pix_fmt == "yuv420p"
        and (context.width, context.height) == (info.width, info.height)
        and parameter_sets[:1] == b"\x01"
    )


def _packets(
    container: InputContainer, stream: VideoStream, ticks: np.ndarray, tick_s: Fraction
) -> list[Packet] | None:
    """The packets that hold the pictures at these ticks, in the order of decoding, if they stand alone."""
    first = int(ticks[0])
    for margin_s in _MARGINS_S:
        container.seek(first - int(margin_s / tick_s), stream=stream)
        is_inside = False
        found: list[Packet] = []
        for packet in container.demux(stream):
            if not packet.size:
                continue
            if packet.pts is None or (not found and packet.pts > first):
                break
            if not found and packet.pts < first:
                is_inside = True
                continue
            if packet.is_corrupt or packet.is_discard or packet.has_sidedata("new_extradata"):
                return None
            if not found and not _is_idr(packet, stream):
                return None
            found.append(packet)
            if len(found) == len(ticks):
                shown = sorted(packet.pts for packet in found if packet.pts is not None)
                return found if shown == ticks.tolist() else None
        if found or is_inside:
            return None
    return None


def _is_idr(packet: Packet, stream: VideoStream) -> bool:
    """Whether every slice of a picture says that nothing before it is needed (ITU-T H.264, 7.4.1.2.4)."""
    prefix = ((stream.codec_context.extradata or b"")[4] & 3) + 1
    data, at, kinds = bytes(packet), 0, set()
    while at + prefix < len(data):
        length = int.from_bytes(data[at : at + prefix], "big")
        kinds.add(data[at + prefix] & 0x1F)
        at += prefix + length
    return {kind for kind in kinds if _SLICE <= kind <= _IDR} == {_IDR}


def _write(
    made: OutputContainer, stream: VideoStream, packets: list[Packet], ticks: list[int], sound: Sound | None
) -> None:
    """ticks: when the pictures are shown, in order of time, and when the last one ends."""
    video = made.add_stream_from_template(stream)
    video.time_base = stream.time_base
    audio = add_aac(made, sound) if sound is not None else None
    start = ticks[0]
    offset = (packets[0].pts or 0) - start
    shown_at = [(packet.pts or 0) - offset for packet in packets]
    lead = max(due - shown for due, shown in zip(ticks, shown_at, strict=False))
    for packet, shown, (due, following) in zip(packets, shown_at, pairwise(ticks), strict=True):
        packet.stream = video
        packet.pts, packet.dts, packet.duration = shown - start, due - start - lead, following - due
        made.mux(packet)
    if sound is not None and audio is not None:
        write_sound(made, audio, sound)


def _shows(copy: Path, source: Path | str, of: VideoInfo, times_s: np.ndarray, end_s: float) -> bool:
    """Whether a copy decodes without loss to as many pictures, of one size, at their times, from the source's first.

    Raises:
        DecodeError: it is damaged.
    """
    info, found_s = probe_times(copy)
    if len(found_s) != len(times_s) or info.start_offset_s or abs(info.duration_s - (end_s - times_s[0])) > _SAME_S:
        return False
    _, original, _ = next(shown_frames(source, float(times_s[0])))
    decoded = 0
    for time_s, picture, stretch in shown_frames(copy):
        if not is_plain(picture, stretch) or (picture.width, picture.height) != (of.width, of.height):
            return False
        if abs(time_s - (times_s[decoded] - times_s[0])) > _SAME_S:
            return False
        if not decoded and not np.array_equal(picture.to_ndarray(), original.to_ndarray()):
            return False
        decoded += 1
    return decoded == len(times_s)
