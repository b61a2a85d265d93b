"""Writing that survives a crash: everything is on disk before a name points to it."""

import os
import zlib
from pathlib import Path

import numpy as np

from curate.durable import sync

_CHUNK = 1 << 22
_SAMPLES, _SAMPLE_BYTES = 64, 4096


class Writer:
    """A file being written from start to end, with its checksum; on disk once `close` returns."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("xb")
        self.size_bytes = self.checksum = 0

    def write(self, content: bytes | memoryview) -> None:
        self._file.write(content)
        self.size_bytes += len(content)
        self.checksum = zlib.crc32(content, self.checksum)

    def array(self, values: np.ndarray) -> None:
        self.write(np.ascontiguousarray(values).data.cast("B") if values.size else b"")

    def close(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()


def write(path: Path, content: bytes) -> None:
    """Writes a new file."""
    writer = Writer(path)
    writer.write(content)
    writer.close()


def replace(path: Path, content: bytes) -> None:
    """Puts `content` where `path` is, whole or not at all."""
    beside = path.with_name(path.name + ".new")
    beside.unlink(missing_ok=True)
    write(beside, content)
    beside.replace(path)
    sync(path.parent)


def checksum(path: Path) -> int:
    """CRC-32 of a whole file."""
    value = 0
    with path.open("rb") as file:
        while part := file.read(_CHUNK):
            value = zlib.crc32(part, value)
    return value


def sampled_checksum(path: Path) -> int:
    """CRC-32 of pages spread over a file, its first and last among them: notices a torn file, not each flipped bit."""
    value, last = 0, max(0, path.stat().st_size - _SAMPLE_BYTES)
    with path.open("rb") as file:
        for at in range(_SAMPLES):
            file.seek(last * at // (_SAMPLES - 1))
            value = zlib.crc32(file.read(_SAMPLE_BYTES), value)
    return value


def mapped(path: Path, dtype: type | str, shape: tuple[int, ...]) -> np.ndarray:
    """An array file, read as it is used."""
    if 0 in shape:
        return np.zeros(shape, dtype)
    return np.memmap(path, dtype, "r", shape=shape)
