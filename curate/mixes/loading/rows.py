"""The rows of a split as a loader reads them: a few at a time, from Arrow, without vectors."""

import hashlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curate.errors import InputError
from curate.mixes.loading.read import Clip

if TYPE_CHECKING:
    import datasets

COLUMNS = (
    "clip_id", "video_id", "source", "licence", "group_id", "repeat", "start_s", "end_s", "duration_s",
    "video", "media", "roles", "labels",
)  # fmt: skip
_BLOCK = 10_000


class Rows:
    """Rows of a mix.

    Args:
        data: a `datasets.Dataset` with a mix's columns, whose indices are kept to, or an Arrow table.
    """

    def __init__(self, data: "datasets.Dataset | pa.Table") -> None:
        missing = sorted({"clip_id", "repeat", "duration_s", "media", "labels"} - set(data.column_names))
        if missing:
            raise InputError(f"these are no rows of a mix: no column {', '.join(missing)}", fix="See `curate.load_mix`")
        kept = [name for name in COLUMNS if name in data.column_names]
        self._data: Any
        if isinstance(data, pa.Table):
            self._data = data.select(kept).combine_chunks()  # else each `take` would join the chunks
        else:
            self._data = data.select_columns(kept).with_format("arrow")

    def __len__(self) -> int:
        return len(self._data)

    def take(self, indices: np.ndarray) -> list[dict[str, Any]]:
        """Some rows as plain values, in this order."""
        if not len(indices):
            return []
        is_table = isinstance(self._data, pa.Table)
        found: pa.Table = self._data.take(indices) if is_table else self._data[indices.tolist()]
        rows: list[dict[str, Any]] = found.to_pylist()
        return rows

    def capabilities(self) -> tuple[str, ...]:
        """Those that a label says to be present or absent, sorted."""
        found: set[str] = set()
        for table in self._tables(["labels"]):
            labels = pc.list_flatten(table.column("labels"))
            told = pc.is_in(pc.struct_field(labels, "verdict"), pa.array(["present", "absent"]))
            found |= set(pc.unique(pc.struct_field(labels, "capability").filter(told)).to_pylist())
        return tuple(sorted(found))

    @cached_property
    def digest(self) -> str:
        """A hash over which clip stands where: an order of these rows means nothing for others."""
        digest = hashlib.blake2b(digest_size=16)
        for table in self._tables(["clip_id", "repeat"]):
            for clip_id, repeat in zip(*(column.to_pylist() for column in table.columns), strict=True):
                digest.update(f"{clip_id} {repeat}\n".encode())
        return digest.hexdigest()

    def _tables(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        if isinstance(self._data, pa.Table):
            yield self._data.select(list(columns))
        else:
            yield from self._data.select_columns(list(columns)).iter(batch_size=_BLOCK)


def clip_of(row: dict[str, Any]) -> Clip:
    """Where a row's clip lies: in the pack that `video.path` names, which `load_mix` makes absolute, else `media`."""
    media = row["media"]
    path = (row.get("video") or {}).get("path")
    pack = path.rpartition("::")[2] if path else media["pack"]
    return Clip(row["clip_id"], pack, media["offset"], media["size"], row["duration_s"])


def read_directory(directory: Path, split: str) -> Rows:
    """The rows of a split of a version's directory.

    Raises:
        InputError: it has none.
    """
    files = sorted(directory.glob(f"{split}-*.parquet"))
    if not files:
        has = sorted({path.name.rpartition("-")[0] for path in directory.glob("*-*.parquet")})
        raise InputError(f"no rows of {split!r} here", where=directory, fix=f"It has: {', '.join(has) or 'no split'}")
    return Rows(pa.concat_tables([pq.read_table(path) for path in files]))
