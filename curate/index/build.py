"""Making segments: staging what comes in, and building or merging segments, here or on a cluster."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from curate.index import segment
from curate.index.segment import DamagedError
from curate.index.types import Batch


@dataclass(frozen=True, eq=False)
class Source:
    """A segment that may be merged.

    Attributes:
        checksum: of its header.
        alive: bool [items], which are to stay.
        size: rows, or items where there are more of these.
    """

    directory: Path
    checksum: int
    alive: np.ndarray
    size: int

    @property
    def rows(self) -> float:
        """About how many rows stay."""
        return self.size * float(self.alive.mean())

    @property
    def gone(self) -> float:
        """Share of the items that go."""
        return 1 - float(self.alive.mean())


@dataclass(frozen=True, eq=False)
class Task:
    """A segment to be made in `directory`: of the sources, or, where there are none, of what is staged there."""

    directory: Path
    sources: tuple[Source, ...]
    dim: int
    cells_from: int


@dataclass(frozen=True)
class Built:
    """A segment ready for service; or the sources found damaged, by name, and how."""

    name: str
    checksum: int
    items: int
    damaged: dict[str, str]


def build(task: Task) -> Built:
    """Makes a segment. Every byte of what is merged is checked first, so that no damage is copied on."""
    damaged = {}
    for source in task.sources:
        try:
            segment.verify(source.directory, source.checksum)
        except DamagedError as error:
            damaged[source.directory.name] = str(error)
    if damaged:
        return Built(task.directory.name, 0, 0, damaged)
    if task.sources:
        opened = [(segment.read(source.directory, source.checksum), source.alive) for source in task.sources]
        batches = itertools.chain.from_iterable(some.batches(alive) for some, alive in opened)
        segment.stage(task.directory, batches, dim=task.dim)
    checksum, items = segment.finish(task.directory, task.cells_from)
    return Built(task.directory.name, checksum, items, {})


def stage(directory: Path, names: Iterator[str], batches: Iterator[Batch], *, dim: int, most_rows: int) -> list[Source]:
    """Writes what comes in as segments of about `most_rows` each."""
    staged = []
    for first in batches:
        place = directory / next(names)
        checksum, items, rows = segment.stage(place, _until(itertools.chain([first], batches), most_rows), dim=dim)
        staged.append(Source(place, checksum, np.ones(items, bool), max(items, rows)))
    return staged


def checked(batches: Iterator[Batch], missing: np.ndarray, came: np.ndarray, dim: int) -> Iterator[Batch]:
    """Passes on what may come in, and marks it in `came`, bool [missing].

    Raises:
        ValueError: a key came twice, or was not missing; or vectors are of another shape.
    """
    for batch in batches:
        at = np.minimum(np.searchsorted(missing, batch.keys), len(missing) - 1)
        if not (missing[at] == batch.keys).all():
            raise ValueError("load gave a key that was not asked for")
        if came[at].any() or len(np.unique(at)) < len(at):
            raise ValueError("load gave a key twice")
        if batch.vectors.shape != (len(batch.owner), dim):
            shape = batch.vectors.shape
            raise ValueError(f"load gave vectors of shape {shape} for {len(batch.owner)} owners in {dim} dimensions")
        came[at] = True
        if len(batch.keys):
            yield batch


def _until(batches: Iterator[Batch], most_rows: int) -> Iterator[Batch]:
    rows = 0
    for batch in batches:
        yield batch
        rows += max(len(batch.vectors), len(batch.keys))
        if rows >= most_rows:
            return
