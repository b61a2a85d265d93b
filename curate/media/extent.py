"""Whether a file ends before it says it does, and what it says.

Headers lie about durations often and about their own bytes hardly ever, so that is what is asked: an mp4's boxes, a
Matroska segment and an AVI's RIFF chunk each state their size. Where they reach past the end of the file, it was cut
short. Transport streams and raw streams have no end of their own, and so cannot be cut short.
"""

from pathlib import Path
from typing import BinaryIO

from av.container import InputContainer
from av.video.stream import VideoStream

from curate.media.container import has_timestamps, nominal_rate

_SHORTFALL_S = 0.5
"""How much earlier than declared a file may end: headers are rounded, and an edit may fall inside a frame."""

_LONGEST_S = 7 * 86_400.0
"""A header that declares more than a week is believed in nothing."""

_SEGMENT = 0x18538067
_BOXES = {b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"mfra", b"sidx", b"meta", b"uuid"}
_MOST_BOXES = 1_000_000


def missing_at_end(
    path: Path | str, container: InputContainer, stream: VideoStream, end_s: float, *, damaged: bool
) -> float | None:
    """Seconds of pictures that the file declares and that are gone with its last bytes; None where nothing is missing.

    Args:
        path: the file.
        container: it, opened.
        stream: its pictures.
        end_s: where they end, in the file's own time.
        damaged: whether the last of them do not decode: then other formats are believed too.

    Returns:
        0 where it was cut short and nobody knows by how much.
    """
    size = Path(path).stat().st_size
    readers = {"mov": _mov_end, "matroska": _matroska_end, "avi": _riff_end}
    reader = readers.get(container.format.name.split(",")[0])
    if reader is None and not damaged:
        return None
    if reader is not None:
        with Path(path).open("rb") as file:
            if reader(file, size) <= size:
                return None
    declared_s = _declared_end_s(container, stream)
    if declared_s is None or declared_s - end_s > _SHORTFALL_S:
        return max((declared_s or 0.0) - end_s, 0.0)
    is_fragmented = reader is _mov_end and not stream.frames  # then what is declared is what was found
    return 0.0 if is_fragmented else None


def _declared_end_s(container: InputContainer, stream: VideoStream) -> float | None:
    """The end of the video stream by its header, in the file's own time; of the whole file where it is silent on that.

    Matroska keeps it in a tag, AVI as a number of frames. None where nothing is declared, or nothing sensible.
    """
    declared_s = _of_stream(container, stream)
    if declared_s is None and container.duration:
        declared_s = container.duration / 1e6 + max(container.start_time or 0, 0) / 1e6
    return declared_s if declared_s is not None and 0 < declared_s < _LONGEST_S else None


def _of_stream(container: InputContainer, stream: VideoStream) -> float | None:
    if not has_timestamps(container):
        return float(stream.frames / nominal_rate(stream)) if stream.frames else None
    tag = next((value for key, value in stream.metadata.items() if key.upper().startswith("DURATION")), "")
    parts = tag.split(":")
    if len(parts) == 3:  # the end, also where the stream starts late; libav takes it for the duration
        try:
            return int(parts[0]) * 3600 + int(parts[1]) * 60 + float(parts[2])
        except ValueError:
            return None
    if stream.duration and stream.time_base:
        return float(((stream.start_time or 0) + stream.duration) * stream.time_base)
    return None


def _mov_end(file: BinaryIO, size: int) -> int:
    """Where the last top-level box ends (ISO/IEC 14496-12, 4.2). A size of 0 reaches to the end of the file."""
    at = 0
    for _ in range(_MOST_BOXES):
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            return size
        length = int.from_bytes(head[:4], "big")
        if length == 1 and len(head) == 16:
            length = int.from_bytes(head[8:], "big")
        if length < 8 or head[4:8] not in _BOXES:
            return size
        at += length
        if at >= size:
            return at
    return size


def _matroska_end(file: BinaryIO, size: int) -> int:
    """Where the segment ends (RFC 8794, 4 to 6); the file's end where its size is not known, as in a live recording."""
    at = 0
    for _ in range(8):
        file.seek(at)
        head = file.read(12)
        if len(head) < 2 or not head[0]:
            return size
        id_length = 9 - head[0].bit_length()
        if id_length > 4 or len(head) <= id_length or not head[id_length]:
            return size
        length = 9 - head[id_length].bit_length()
        value = int.from_bytes(head[id_length : id_length + length], "big") & ((1 << 7 * length) - 1)
        if value == (1 << 7 * length) - 1:
            return size
        at += id_length + length + value
        if int.from_bytes(head[:id_length], "big") == _SEGMENT:
            return at
    return size


def _riff_end(file: BinaryIO, size: int) -> int:
    """Where the last RIFF chunk ends; files above 1 GB have several in a row."""
    at = 0
    for _ in range(_MOST_BOXES):
        file.seek(at)
        head = file.read(8)
        if len(head) < 8 or head[:4] not in (b"RIFF", b"AVIX"):
            return size if at else 0
        length = int.from_bytes(head[4:8], "little")
        if not length:
            return size
        at += 8 + length + length % 2
        if at >= size:
            return at
    return size
