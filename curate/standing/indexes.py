"""The indexes that stand beside the catalog, under .curate/index/, brought up to date with its current clips.

An index is derived: delete its directory and it is made again. Its items are clips as they were analysed,
`clip_id/work_key`, so that a clip analysed anew is a new item. Bringing one up to date compares keys, which are a few
columns, and reads vectors for the new items alone.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from deltalake import DeltaTable

from curate import views
from curate.catalog import Catalog
from curate.errors import CurateError, InputError
from curate.index import Batch, Changes, Index, Run, here
from curate.progress import Progress, silent
from curate.standing.frames import Frames
from curate.standing.moments import ALIKE, moments
from curate.vectors import matrix
from curate.workspace import Workspace

_ROWS_AT_ONCE = 2048
_TABLES = ("clips", "outcomes", "videos", "withdrawals")
"""Besides its own: what decides which clips an index holds."""

Hold = Callable[[pl.DataFrame], tuple[np.ndarray, np.ndarray, list[bytes] | None]]
"""Rows of a table to float32 vectors [v, dim] of unit norm, the row of each, int64 [v], and a blob of each row."""


@dataclass(frozen=True)
class Kind:
    """What an index holds of each clip.

    Attributes:
        name: its directory.
        table: of the catalog, with a row for each clip and work_key.
        columns: of that table, that `hold` needs.
        hold: makes vectors and blobs of rows.
        model: what made the vectors, beside the rows' own `model_id` where `dim` is not given; another model is another
            index.
        dim: of the vectors; that of the table's `vector` where not given.
    """

    name: str
    table: str
    columns: tuple[str, ...]
    hold: Hold
    model: str = ""
    dim: int | None = None


def _means(rows: pl.DataFrame) -> tuple[np.ndarray, np.ndarray, None]:
    return matrix(rows["vector"]), np.arange(len(rows)), None


def _moments(rows: pl.DataFrame) -> tuple[np.ndarray, np.ndarray, list[bytes]]:
    frames = Frames.of_rows(rows)
    return *moments(frames), frames.blobs()


MEANS = Kind("clips", "embeddings", ("vector",), _means)
"""One vector for each clip: the mean of its frame vectors."""

MOMENTS = Kind("moments", "embeddings", ("frame_times_s", "frame_vectors"), _moments, model=f"moments {ALIKE:g}")
"""A few vectors for each clip (`curate.standing.moments`); its blob is its frames (`curate.standing.frames`)."""


@dataclass(frozen=True)
class Standing:
    """An index of current clips.

    Attributes:
        index: the index itself.
        dim: of its vectors.
        model_id: of the rows it was made of; "" where they have none.
        changes: what bringing it up to date changed; None where it was.
        note: why it is not up to date; "" where it is.
    """

    index: Index
    dim: int
    model_id: str
    changes: Changes | None = None
    note: str = ""

    @cached_property
    def items(self) -> pl.DataFrame:
        """clip_id and int64 `number` of every item."""
        return pl.DataFrame({"clip_id": _clip_ids(self.index.keys), "number": self.index.numbers})

    def numbers(self, clip_ids: pl.Series | Iterable[str]) -> np.ndarray:
        """The items of these clips, int64, ascending; a clip that is not held has none."""
        asked = pl.Series("clip_id", clip_ids, dtype=pl.String).to_frame()
        if asked.is_empty():
            return np.zeros(0, np.int64)
        return self.items.join(asked, on="clip_id", how="semi")["number"].sort().to_numpy()

    def clip_ids(self, numbers: np.ndarray) -> pl.Series:
        """The clips of these items, in their order; all must be held."""
        return _clip_ids(self.index.keys[np.searchsorted(self.index.numbers, numbers)])


def standing(
    workspace: Workspace, kind: Kind, *, former_ok: bool = False, run: Run = here, progress: Progress = silent
) -> Standing:
    """The index of a kind, brought up to date with the current clips.

    Args:
        workspace: its current clips are indexed.
        kind: what of them.
        former_ok: where another process is bringing the index up to date, take it as it was before, and say so
            in `note`.
        run: runs the index's work on its segments.
        progress: told the clips indexed, of those that are new.

    Raises:
        InputError: the current clips were embedded by more than one model.
        CurateError: another process is bringing it up to date, and `former_ok` is false or there is no former one.
    """
    catalog = workspace.catalog
    version = _version(catalog, kind)
    model_id, dim = _model(catalog, kind)
    directory, model = workspace.state / "index" / kind.name, " ".join(filter(None, (kind.model, model_id)))

    def opened() -> Index:
        return Index.open(directory, dim=dim, model=model)

    index = opened()
    if index.version == version:
        return Standing(index, dim, model_id)
    with ExitStack() as stack:
        try:
            stack.enter_context(workspace.lock(f"index-{kind.name}"))
        except CurateError:
            if not former_ok or not len(index.keys):
                raise
            note = f"index {kind.name!r} is being brought up to date by another process: the newest clips are not in it"
            return Standing(index, dim, model_id, note=note)
        index = opened()
        wanted = _wanted(catalog, kind)
        keys = wanted["key"].to_numpy().astype("S") if len(wanted) else np.zeros(0, "S1")

        def load(missing: np.ndarray) -> Iterator[Batch]:
            done = 0
            for batch in _load(catalog, kind, wanted, missing):
                yield batch
                done += len(batch.keys)
                progress("clips indexed", done, len(missing))

        changes = index.update(keys, load, version=version, run=run)
    return Standing(index, dim, model_id, changes)


def _clip_ids(keys: np.ndarray) -> pl.Series:
    names = pl.Series("clip_id", keys, dtype=pl.Binary).cast(pl.String)
    return names.str.split_exact("/", 1).struct[0].alias("clip_id")


def _version(catalog: Catalog, kind: Kind) -> str:
    """What names the content of the tables that an index is made of."""
    parts = []
    for name in (kind.table, *_TABLES):
        path = f"{catalog.root}/{name}"
        if DeltaTable.is_deltatable(path):
            table = DeltaTable(path)
            parts.append(f"{name} {table.metadata().id} {table.version()}")
    return "; ".join(parts) or "no clips"


def _current(catalog: Catalog, kind: Kind, *columns: str) -> pl.LazyFrame:
    """Rows of the table that belong to current clips, with only the named columns; some may be there twice."""
    current = views.clips(catalog).select("clip_id", "work_key")
    rows = catalog.rows(kind.table).select("clip_id", "work_key", *columns)
    return rows.join(current, on=["clip_id", "work_key"], how="semi")


def _model(catalog: Catalog, kind: Kind) -> tuple[str, int]:
    """The one model of the current rows, "" where they name none, and the dimension of their vectors."""
    if kind.dim is not None:
        return "", kind.dim
    rows = catalog.rows(kind.table)
    found = rows.select(pl.col("model_id").unique()).collect()["model_id"].to_list()
    if len(found) > 1:
        found = _current(catalog, kind, "model_id").select(pl.col("model_id").unique()).collect()["model_id"].to_list()
    if len(found) > 1:
        raise InputError(
            f"clips are embedded by {len(found)} models: {', '.join(sorted(found))}",
            where=catalog.root,
            fix="Run `curate collect`: it embeds all clips by one",
        )
    if not found:
        return "", 1
    [vector] = rows.filter(pl.col("model_id") == found[0]).select("vector").head(1).collect()["vector"]
    return found[0], len(vector) // np.dtype(np.float16).itemsize


def _wanted(catalog: Catalog, kind: Kind) -> pl.DataFrame:
    """The items that an index of now holds: key, clip_id, work_key and when the row was written; sorted."""
    rows = _current(catalog, kind, "written_at")
    newest = rows.group_by("clip_id", "work_key").agg(pl.col("written_at").max())
    key = pl.concat_str("clip_id", "work_key", separator="/").alias("key")
    return newest.select(key, "clip_id", "work_key", "written_at").sort("key").collect()


def _load(catalog: Catalog, kind: Kind, wanted: pl.DataFrame, missing: np.ndarray) -> Iterator[Batch]:
    """The missing items, in one pass over the part of the table that was written since the first of them."""
    keys = pl.Series("key", missing, dtype=pl.Binary).cast(pl.String)
    asked = wanted.join(keys.to_frame(), on="key", how="semi").with_row_index("at")
    rows = (
        catalog.rows(kind.table)
        .filter(pl.col("written_at") >= asked["written_at"].min())
        .select("clip_id", "work_key", "written_at", *kind.columns)
        .join(asked.lazy(), on=["clip_id", "work_key", "written_at"], how="inner")
    )
    done = np.zeros(len(asked), bool)
    for batch in rows.collect_batches(chunk_size=_ROWS_AT_ONCE):
        once = batch.unique("at", keep="first", maintain_order=True)
        new = once.filter(pl.Series(~done[once["at"].to_numpy()]))
        done[new["at"].to_numpy()] = True
        vectors, owner, blobs = kind.hold(new)
        yield Batch(new["key"].to_numpy().astype("S"), vectors, owner, blobs)
