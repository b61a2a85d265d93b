"""One segment of an index: some items with their vectors in a directory that never changes once written.

    keys       S [items]
    starts     int64 [items + 1]: the vectors of item i are rows starts[i] to starts[i + 1]
    vectors    float16 [vectors, dim], memory-mapped
    blobs      bytes of all items on end
    ends       int64 [items]: where the blob of each item ends
    header     JSON: the shape, and size and checksum of each file

**Damage.** Opening a segment compares the size of every file and the checksum of all but `vectors` and `blobs`, of
which pages are sampled: a torn, cut or swapped file is noticed, and so is any flipped bit in what says which vector is
whose. A flipped bit inside `vectors` or `blobs` is noticed when the segment is merged, or by `verify`; until then it
can falsify the scores of one vector, or one blob.
"""

import json
import shutil
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from curate.index import cosine, files
from curate.index.types import Batch

_LARGE = frozenset({"vectors", "blobs"})


class DamagedError(Exception):
    """What lies in an index's directory is not what was written there."""


@dataclass(frozen=True, eq=False)
class Segment:
    """An open segment. Item numbers here count from 0; rows are rows of `vectors`."""

    directory: Path
    checksum: int
    kind: str
    dim: int
    keys: np.ndarray
    starts: np.ndarray
    vectors: np.ndarray
    ends: np.ndarray

    def __reduce__(self) -> tuple:
        """Travels as its place: whoever gets it opens the same files."""
        return read, (self.directory, self.checksum)

    @cached_property
    def owner(self) -> np.ndarray:
        """int64 [vectors]: the item of each row."""
        return np.repeat(np.arange(len(self.keys)), np.diff(self.starts))

    def rows(self, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """All rows of these items: int64 rows [v], and int64 [v], the position in `items` that each is of."""
        counts = self.starts[items + 1] - self.starts[items]
        position = np.repeat(np.arange(len(items)), counts)
        within = np.arange(len(position)) - np.repeat(np.cumsum(counts) - counts, counts)
        return self.starts[items][position] + within, position

    def blob(self, item: int) -> bytes:
        start = int(self.ends[item - 1]) if item else 0
        with (self.directory / "blobs").open("rb") as file:
            file.seek(start)
            return file.read(int(self.ends[item]) - start)

    def batches(self, alive: np.ndarray, items_at_once: int = 4096) -> Iterator[Batch]:
        """The items where `alive` (bool [items]) is true, as they went in, a few at a time."""
        kept = np.flatnonzero(alive)
        for at in range(0, len(kept), items_at_once):
            items = kept[at : at + items_at_once]
            rows, owner = self.rows(items)
            yield Batch(self.keys[items], self.vectors[rows], owner, [self.blob(int(item)) for item in items])


def write(directory: Path, batches: Iterable[Batch], *, dim: int) -> int:
    """Writes a segment; nothing is kept in memory but keys and offsets. float16 vectors are taken as they are.

    Returns:
        The checksum of the header, which the manifest holds.
    """
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    vectors, blobs = files.Writer(directory / "vectors"), files.Writer(directory / "blobs")
    keys: list[np.ndarray] = [np.zeros(0, "S1")]
    counts: list[np.ndarray] = [np.zeros(1, np.int64)]
    sizes: list[int] = []
    for batch in batches:
        order = np.argsort(batch.owner, kind="stable")
        rows = batch.vectors[order]
        vectors.array(rows if rows.dtype == np.float16 else cosine.halved(rows))
        for blob in batch.blobs or [b""] * len(batch.keys):
            blobs.write(blob)
            sizes.append(len(blob))
        keys.append(batch.keys)
        counts.append(np.bincount(batch.owner, minlength=len(batch.keys)).astype(np.int64))
    names = np.concatenate(keys)
    written = {"vectors": vectors, "blobs": blobs}
    for name, values in (
        ("keys", names),
        ("starts", np.cumsum(np.concatenate(counts))),
        ("ends", np.cumsum(np.array(sizes, np.int64))),
    ):
        written[name] = files.Writer(directory / name)
        written[name].array(values)
    for writer in written.values():
        writer.close()
    header = {
        "kind": "flat",
        "dim": dim,
        "items": len(names),
        "vectors": int(sum(part.sum() for part in counts)),
        "key_bytes": names.dtype.itemsize,
        "files": {
            name: {
                "bytes": writer.size_bytes,
                "checksum": writer.checksum,
                "sampled": files.sampled_checksum(directory / name),
            }
            for name, writer in written.items()
        },
    }
    content = json.dumps(header, indent=1).encode()
    files.write(directory / "header", content)
    files.sync(directory)
    return zlib.crc32(content)


def read(directory: Path, checksum: int) -> Segment:
    """Opens a segment after the checks that the module's docstring lists.

    Raises:
        DamagedError: they failed.
    """
    header = _header(directory, checksum)
    for name, expected in header["files"].items():
        path = directory / name
        if not path.is_file() or path.stat().st_size != expected["bytes"]:
            raise DamagedError(f"{path} is missing or has another size than {expected['bytes']} bytes")
        large = name in _LARGE
        found = files.sampled_checksum(path) if large else files.checksum(path)
        if found != expected["sampled" if large else "checksum"]:
            raise DamagedError(f"{path} has changed since it was written")
    items, dim = header["items"], header["dim"]
    return Segment(
        directory,
        checksum,
        header["kind"],
        dim,
        _mapped(directory / "keys", f"S{header['key_bytes']}", (items,)),
        _mapped(directory / "starts", np.int64, (items + 1,)),
        _mapped(directory / "vectors", np.float16, (header["vectors"], dim)),
        _mapped(directory / "ends", np.int64, (items,)),
    )


def verify(directory: Path, checksum: int) -> None:
    """Reads every byte of a segment.

    Raises:
        DamagedError: one has changed.
    """
    for name, expected in _header(directory, checksum)["files"].items():
        if files.checksum(directory / name) != expected["checksum"]:
            raise DamagedError(f"{directory / name} has changed since it was written")


def _header(directory: Path, checksum: int) -> dict:
    try:
        content = (directory / "header").read_bytes()
    except OSError as error:
        raise DamagedError(f"{directory / 'header'} cannot be read: {error.strerror}") from error
    if zlib.crc32(content) != checksum:
        raise DamagedError(f"{directory / 'header'} has changed since it was written")
    header: dict = json.loads(content)
    return header


def _mapped(path: Path, dtype: type | str, shape: tuple[int, ...]) -> np.ndarray:
    if 0 in shape:
        return np.zeros(shape, dtype)
    return np.memmap(path, dtype, "r", shape=shape)
