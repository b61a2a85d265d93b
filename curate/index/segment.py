"""One segment of an index: some items with their vectors, in a directory that does not change once it is in service.

    keys       S [items]
    starts     int64 [items + 1]: the vectors of item i are rows starts[i] to starts[i + 1]
    vectors    float16 [rows, dim], memory-mapped
    blobs      bytes of all items on end
    ends       int64 [items]: where the blob of each item ends
    header     JSON: the kind, and shape, size and checksum of each file
    and those of `curate.index.cells`, where there are many rows

**Damage.** Opening a segment compares the size of every file and the checksum of all but the largest (`vectors`,
`blobs`, `sketches`, `codes`), of which pages are sampled: a torn, cut or swapped file is noticed, and so is any flipped
bit in what says which vector is whose. A flipped bit inside one of the largest is noticed when the segment is merged,
or by `verify`; until then it can falsify the scores of one vector, one blob, or hide a neighbour.
"""

import json
import shutil
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from curate.index import cells, cosine, files
from curate.index.types import Batch

_LARGE = frozenset({"vectors", "blobs", "sketches", "codes"})


class DamagedError(Exception):
    """What lies in an index's directory is not what was written there."""


@dataclass(frozen=True, eq=False)
class Segment:
    """An open segment. Items are counted from 0 here; rows are rows of `vectors`."""

    directory: Path
    checksum: int
    keys: np.ndarray
    starts: np.ndarray
    vectors: np.ndarray
    ends: np.ndarray
    blobs: np.ndarray
    cells: cells.Cells | None

    def __reduce__(self) -> tuple:
        """Travels as its place: whoever gets it opens the same files."""
        return read, (self.directory, self.checksum)

    @cached_property
    def owner(self) -> np.ndarray:
        """int64 [rows]: the item of each row."""
        return np.repeat(np.arange(len(self.keys)), np.diff(self.starts))

    def rows(self, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """All rows of these items: int64 rows [v], and int64 [v], the position in `items` that each is of."""
        counts = self.starts[items + 1] - self.starts[items]
        position = np.repeat(np.arange(len(items)), counts)
        within = np.arange(len(position)) - np.repeat(np.cumsum(counts) - counts, counts)
        return self.starts[items][position] + within, position

    def blob(self, item: int) -> bytes:
        return self.blobs[int(self.ends[item - 1]) if item else 0 : int(self.ends[item])].tobytes()

    def batches(self, alive: np.ndarray, items_at_once: int = 4096) -> Iterator[Batch]:
        """The items where `alive` (bool [items]) is true, as they went in, a few at a time."""
        kept = np.flatnonzero(alive)
        for at in range(0, len(kept), items_at_once):
            items = kept[at : at + items_at_once]
            rows, owner = self.rows(items)
            yield Batch(self.keys[items], self.vectors[rows], owner, [self.blob(int(item)) for item in items])


def stage(directory: Path, batches: Iterable[Batch], *, dim: int) -> tuple[int, int, int]:
    """Writes all of a segment but its cells; in memory are keys and offsets. float16 vectors are taken as they are.

    Returns:
        The checksum of its header, items and rows.
    """
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    vectors, blobs = files.Writer(directory / "vectors"), files.Writer(directory / "blobs")
    keys: list[np.ndarray] = [np.zeros(0, "S1")]
    counts: list[np.ndarray] = [np.zeros(1, np.int64)]
    sizes: list[int] = []
    for batch in batches:
        rows = batch.vectors[np.argsort(batch.owner, kind="stable")]
        vectors.array(rows if rows.dtype == np.float16 else cosine.halved(rows))
        for blob in batch.blobs or [b""] * len(batch.keys):
            blobs.write(blob)
            sizes.append(len(blob))
        keys.append(batch.keys)
        counts.append(np.bincount(batch.owner, minlength=len(batch.keys)).astype(np.int64))
    names, starts = np.concatenate(keys), np.cumsum(np.concatenate(counts))
    written = {"vectors": (vectors, (int(starts[-1]), dim)), "blobs": (blobs, (blobs.size_bytes,))}
    for name, values in (("keys", names), ("starts", starts), ("ends", np.cumsum(np.array(sizes, np.int64)))):
        written[name] = files.Writer(directory / name), values.shape
        written[name][0].array(values)
    for writer, _ in written.values():
        writer.close()
    header = {"key_bytes": names.dtype.itemsize, "files": _described(directory, written)}
    return _write_header(directory, header), len(names), int(starts[-1])


def finish(directory: Path, cells_from: int) -> tuple[int, int]:
    """Makes a staged segment ready for service: with cells where it has `cells_from` rows or more.

    Returns:
        The checksum of its header, which the manifest holds, and its items.
    """
    header = json.loads((directory / "header").read_bytes())
    shape = tuple(header["files"]["vectors"]["shape"])
    if shape[0] >= cells_from:
        made = cells.build(directory, files.mapped(directory / "vectors", np.float16, shape))
        header["files"] |= _described(directory, made)
        _write_header(directory, header)
    return zlib.crc32((directory / "header").read_bytes()), header["files"]["keys"]["shape"][0]


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
    shapes = {name: described["shape"] for name, described in header["files"].items()}
    types: dict[str, type | str] = {
        "keys": f"S{header['key_bytes']}",
        "starts": np.int64,
        "vectors": np.float16,
        "ends": np.int64,
        "blobs": np.uint8,
    }
    arrays = {name: files.mapped(directory / name, dtype, tuple(shapes[name])) for name, dtype in types.items()}
    return Segment(directory, checksum, **arrays, cells=cells.opened(directory, shapes) if "codes" in shapes else None)


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


def _write_header(directory: Path, header: dict) -> int:
    content = json.dumps(header, indent=1).encode()
    files.replace(directory / "header", content)
    return zlib.crc32(content)


def _described(directory: Path, written: dict[str, tuple[files.Writer, tuple[int, ...]]]) -> dict[str, dict]:
    return {
        name: {
            "shape": shape,
            "bytes": writer.size_bytes,
            "checksum": writer.checksum,
            "sampled": files.sampled_checksum(directory / name),
        }
        for name, (writer, shape) in written.items()
    }
