"""What a clip looks like over time, small enough to keep for every clip and fine enough to tell copies from twins.

CLIP says what a picture is about: two takes of one action before one background are the same to it. Whether two
clips show the same footage is asked of the pixels: 8 pictures a second of 32 x 32 luma, taken from the small frames
that shot detection sees anyhow, so no footage is decoded for it. Packed, a second takes 2.3 kB on real footage, as much
as the thumbnails; 1e8 clips of 5 s are 1.2 TB. At 4 a second a moving thing jumps two cells between pictures, and the
pictures of a trimmed copy, taken at other moments, no longer agree in what moves; at 16 x 16 a crop cannot be laid over
its original.

`content` is the other half: a hash of every frame, and of no time, so that a remux and a lossless re-encode are known
for what they are without any comparison.
"""

import hashlib
import struct
import zlib
from array import array
from dataclasses import dataclass
from functools import cached_property, lru_cache

import cv2
import numpy as np

PICTURE_PX = 32
PICTURES_PER_S = 8.0
_VERSION = 1
_HEAD = struct.Struct("<BId4H16s")  # version, pictures, length_s, box in 1/65535 of the picture, content
_BOX_UNIT = 65535
_LOST_BITS = 1
"""The lowest bit of luma is noise to what is asked, and a fifth of the size."""
_CHUNK = 256
"""Pictures that are compressed together while a video passes, so that memory hardly grows with it."""
_HASH_BYTES = 8
LEAST_CONTRAST = 4.0
"""Standard deviation of luma below which a picture shows next to nothing: black, a plain card, the deep of a fade."""
MOST_BLANK = 0.5
_BAR_LEVEL, _MOST_BAR, _LEAST_SHOWN = 24, 0.3, 0.5
_EPSILON_S = 1e-9
_TICK_S = 0.002
"""A frame this much before its time is on it: containers round times, and a copy must take the same frames."""

Box = tuple[float, float, float, float]
WHOLE: Box = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """The pictures of one clip.

    Attributes:
        content: 32 hex digits over all frames that begin in the clip and the video's size; equal for clips whose frames
            decode to the same pictures, whatever their container, times and codec.
        length_s: of the clip.
        times_s: float32 [n], from the clip's start, rising; n is at least 1.
        luma: uint8 [n, 32, 32], the whole picture, whatever its shape.
        box: left, top, right, bottom of what is shown between black bars, in shares of the picture.
    """

    content: str
    length_s: float
    times_s: np.ndarray
    luma: np.ndarray
    box: Box = WHOLE

    def pack(self) -> bytes:
        """As the catalog keeps it; luma loses its lowest bit."""
        times_us = np.diff(np.round(self.times_s.astype(np.float64) * 1e6).astype(np.int64), prepend=0)
        head = _HEAD.pack(
            _VERSION,
            len(self.luma),
            self.length_s,
            *(round(edge * _BOX_UNIT) for edge in self.box),
            bytes.fromhex(self.content),
        )
        return head + _deflate(times_us.astype(np.uint32).tobytes() + _steps(self.luma))

    @staticmethod
    def unpack(data: bytes) -> "Fingerprint":
        """The inverse of `pack`.

        Raises:
            ValueError: packed by another release.
        """
        version, count, length_s, *box, content = _HEAD.unpack_from(data)
        if version != _VERSION:
            raise ValueError(f"a fingerprint of version {version}; this release reads {_VERSION}")
        rest = zlib.decompress(data[_HEAD.size :])
        times_s = np.cumsum(np.frombuffer(rest[: 4 * count], np.uint32).astype(np.float64)) / 1e6
        left, top, right, bottom = (edge / _BOX_UNIT for edge in box)
        return Fingerprint(
            content.hex(),
            length_s,
            times_s.astype(np.float32),
            _from_steps(rest[4 * count :]),
            (left, top, right, bottom),
        )

    @cached_property
    def shown(self) -> np.ndarray:
        """What is seen between the bars, float32 [n, 32, 32]."""
        return resample(self.luma.astype(np.float32), self.box, (PICTURE_PX, PICTURE_PX))

    @cached_property
    def contrast(self) -> np.ndarray:
        """Standard deviation of each picture between the bars, in levels of 8 bits, float32 [n]."""
        return np.asarray(self.shown.std(axis=(1, 2)))

    @property
    def blank(self) -> bool:
        """Whether most of the pictures show next to nothing: that two such clips are alike says nothing of them."""
        return bool((self.contrast < LEAST_CONTRAST).mean() > MOST_BLANK)


class Fingerprinter:
    """Takes the frames of a video as they pass, and gives the fingerprint of any span of them."""

    def __init__(self) -> None:
        self._frames_s, self._hashes = array("d"), bytearray()
        self._times_s, self._brightest = array("d"), bytearray()
        self._chunks: list[bytes] = []
        self._open: list[np.ndarray] = []
        self._edges = (0, 0)
        self._next_s = 0.0

    def process(self, time_s: float, image: np.ndarray) -> None:
        """Takes the next frame: seconds from the first one, uint8 BGR [height, width, 3], always of one size."""
        self._frames_s.append(time_s)
        self._hashes += hashlib.sha256(np.ascontiguousarray(image).data).digest()[:_HASH_BYTES]
        if time_s < self._next_s - _TICK_S:
            return
        self._next_s = (int((time_s + _TICK_S) * PICTURES_PER_S) + 1) / PICTURES_PER_S
        luma = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        self._edges = luma.shape
        self._times_s.append(time_s)
        self._brightest += luma.max(axis=1).tobytes() + luma.max(axis=0).tobytes()
        small = cv2.resize(luma, (PICTURE_PX, PICTURE_PX), interpolation=cv2.INTER_AREA)
        self._open.append(np.asarray(small >> _LOST_BITS << _LOST_BITS))
        if len(self._open) == _CHUNK:
            self._chunks.append(_deflate(_steps(np.stack(self._open))))
            self._open.clear()

    def between(self, span: tuple[float, float], width: int, height: int) -> Fingerprint:
        """The fingerprint of the frames that begin in a span; of the one on screen where none begins.

        Args:
            span: start and end in seconds from the first frame.
            width: of the video's picture as shown; clips of other sizes are never the same content.
            height: likewise.
        """
        first, last = _inside(self._frames_s, span)
        digest = hashlib.sha256(f"{width}x{height} {last - first}".encode())
        digest.update(self._hashes[first * _HASH_BYTES : last * _HASH_BYTES])
        first, last = _inside(self._times_s, span)
        brightest = np.frombuffer(self._brightest, np.uint8).reshape(len(self._times_s), -1)[first:last].max(axis=0)
        rows, columns = brightest[: self._edges[0]], brightest[self._edges[0] :]
        (top, bottom), (left, right) = _between_bars(rows), _between_bars(columns)
        times_s = np.maximum(np.frombuffer(self._times_s)[first:last] - span[0], 0).astype(np.float32)
        pictures, box = self._pictures(first, last), (left, top, right, bottom)
        return Fingerprint(digest.hexdigest()[:32], span[1] - span[0], times_s, pictures, box)

    def _pictures(self, first: int, last: int) -> np.ndarray:
        chunks = range(first // _CHUNK, (last - 1) // _CHUNK + 1)
        pictures = [
            _from_steps(zlib.decompress(self._chunks[at])) if at < len(self._chunks) else np.stack(self._open)
            for at in chunks
        ]
        return np.concatenate(pictures)[first - chunks.start * _CHUNK : last - chunks.start * _CHUNK]


def resample(pictures: np.ndarray, box: Box, size: tuple[int, int]) -> np.ndarray:
    """A part of each picture at another size, linearly between cells.

    Args:
        pictures: float32 [n, h, w].
        box: left, top, right, bottom in shares of the picture.
        size: height and width wanted.
    """
    if pictures.shape[1:] == size and box == WHOLE:
        return pictures
    rows = _weights(box[1], box[3], pictures.shape[1], size[0])
    columns = _weights(box[0], box[2], pictures.shape[2], size[1])
    return np.asarray(rows @ pictures @ columns.T, np.float32)


def interpolate(pictures: np.ndarray, times_s: np.ndarray, wanted_s: np.ndarray) -> np.ndarray:
    """Pictures [n, d] at times [n], linearly between neighbours, as [len(wanted_s), d]; clamped at the ends."""
    after = np.clip(np.searchsorted(times_s, wanted_s), 1, max(len(times_s) - 1, 1))
    if len(times_s) == 1:
        return np.repeat(pictures, len(wanted_s), axis=0)
    before_s, after_s = times_s[after - 1], times_s[after]
    weight = np.clip((wanted_s - before_s) / np.maximum(after_s - before_s, 1e-9), 0, 1).astype(np.float32)[:, None]
    return pictures[after - 1] * (1 - weight) + pictures[after] * weight


@lru_cache(maxsize=4096)
def _weights(start: float, end: float, given: int, wanted: int) -> np.ndarray:
    """Triangle filter from `given` cells to `wanted` ones over a part of them, float32 [wanted, given]."""
    step = (end - start) * given / wanted
    centers = start * given + (np.arange(wanted) + 0.5) * step - 0.5
    away = np.abs(np.arange(given)[None, :] - np.clip(centers, 0, given - 1)[:, None])
    weights = np.maximum(1 - away / max(step, 1.0), 0)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)


def _inside(times_s: array, span: tuple[float, float]) -> tuple[int, int]:
    """First and last + 1 of the times within a span; of the last one before it where there is none."""
    first, last = np.searchsorted(np.frombuffer(times_s), np.array(span) - _EPSILON_S)
    return (int(first), int(last)) if last > first else (max(int(first) - 1, 0), max(int(first), 1))


def _between_bars(brightest: np.ndarray) -> tuple[float, float]:
    """Where what is shown begins and ends, as shares: rows at the ends that never rise above black are bars. They may
    differ, as those of a cropped film do. Where more would be bars than not, or one is too wide, there are none."""
    lit = np.flatnonzero(brightest > _BAR_LEVEL)
    if not len(lit):
        return 0.0, 1.0
    start, end = lit[0] / len(brightest), (lit[-1] + 1) / len(brightest)
    return (
        (float(start), float(end)) if max(start, 1 - end) <= _MOST_BAR and end - start >= _LEAST_SHOWN else (0.0, 1.0)
    )


def _steps(luma: np.ndarray) -> bytes:
    """Pictures as changes from one to the next, which compress to less."""
    kept = luma >> _LOST_BITS
    return bytes(np.diff(kept, axis=0, prepend=np.zeros_like(kept[:1])).tobytes())


def _from_steps(data: bytes) -> np.ndarray:
    steps = np.frombuffer(data, np.uint8).reshape(-1, PICTURE_PX, PICTURE_PX)
    return np.cumsum(steps, axis=0, dtype=np.uint8) << _LOST_BITS


def _deflate(data: bytes) -> bytes:
    """Runs and Huffman codes alone: smaller here than full deflate, and seven times faster."""
    packer = zlib.compressobj(6, strategy=zlib.Z_RLE)
    return packer.compress(data) + packer.flush()
