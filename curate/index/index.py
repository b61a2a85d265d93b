"""An index that grows: a manifest and immutable segments, merged by size.

New items become a new segment; segments of like size are merged, eight at a time, so that what a change costs follows
the change and not what stands (a log-structured merge). Items that go are masked, and dropped when their segment is
merged. The manifest is replaced by one rename, last: a build that is killed leaves the former index in service, and the
next one sweeps what it left. Readers keep what they opened: a removed file stays readable while it is mapped.

One process may `update` at a time; its lock is the caller's. Any number may read.
"""

import itertools
import re
import shutil
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from curate.index import ask, build, cosine, files, kinds, manifest
from curate.index.build import Built, Source, Task
from curate.index.manifest import Entry, Manifest
from curate.index.parts import Opened, open_parts
from curate.index.segment import DamagedError
from curate.index.types import Batch, Changes, Matches, Run, here

_OURS = re.compile(r"\d{8}-\d{4,}(\.gone)?|manifest\.new")

Load = Callable[[np.ndarray], Iterator[Batch]]


class Index:
    """Items by key, each with any number of unit vectors and a blob. See `open`."""

    def __init__(self, directory: Path, opened: Opened, sizes: kinds.Sizes) -> None:
        self.directory = directory
        self._sizes = sizes
        self._take(opened)

    @classmethod
    def open(cls, directory: Path, *, dim: int, model: str, sizes: kinds.Sizes = kinds.Sizes()) -> "Index":  # noqa: B008
        """The index in a directory, as its manifest says; empty where there is none.

        What is damaged (see `curate.index.segment`) or was made for another `dim` or `model` is left out: `note` says
        so, `version` is "" then, and the next `update` makes it again.
        """
        return cls(directory, open_parts(directory, dim, model), sizes)

    @property
    def version(self) -> str:
        """What the last update was given; "" where there was none, or what it made is damaged."""
        return self._opened.held.version

    @property
    def note(self) -> str:
        """What could not be used and why, when this was opened or last updated; "" where all was well."""
        return self._opened.note

    @cached_property
    def keys(self) -> np.ndarray:
        """S [n]: the items held, in the order of their numbers."""
        return np.concatenate([np.zeros(0, "S1"), *(part.segment.keys[part.alive] for part in self._parts)])

    @cached_property
    def numbers(self) -> np.ndarray:
        """int64 [n], ascending: the numbers of `keys`. An item keeps its number until its segment is merged."""
        own = (part.first + np.flatnonzero(part.alive) for part in self._parts)
        return np.concatenate([np.zeros(0, np.int64), *own])

    def update(self, wanted: np.ndarray, load: Load, *, version: str, run: Run = here) -> Changes:
        """Makes the index hold exactly the items `wanted`, in one commit.

        Args:
            wanted: keys, dtype S; doubles count once.
            load: asked for those missing; gives them in batches, in any order, each at most once. Asked again, for
                more, where a segment turns out to be damaged as it is merged.
            version: kept with the commit.
            run: where segments are built.

        Raises:
            ValueError: `load` gave a key twice, one that was not asked for, or vectors of another dimension.
        """
        held = self._opened.held
        self._take(open_parts(self.directory, held.dim, held.model))
        wanted, before = np.unique(wanted), self.keys
        self.directory.mkdir(parents=True, exist_ok=True)
        while True:
            self._sweep()
            changed, made = self._build(wanted, load, run)
            damaged = {name: why for one in made for name, why in one.damaged.items()}
            if not damaged:
                break
            self._take(self._opened.without(damaged))
        note = self.note
        manifest.write(self.directory, replace(changed, version=version))
        after = open_parts(self.directory, held.dim, held.model)
        self._take(replace(after, note=after.note or note))
        self._sweep()
        return Changes(
            added=np.setdiff1d(self.keys, before, assume_unique=True),
            removed=np.setdiff1d(before, self.keys, assume_unique=True),
            absent=np.setdiff1d(wanted, self.keys, assume_unique=True),
            built=len(made),
        )

    def above(self, queries: np.ndarray, threshold: float, *, limit: int, run: Run = here) -> Matches:
        """All items with a cosine of at least `threshold` to a query.

        The score of an item is that of its nearest vector, exact on the vectors as they are kept (float16), so it does
        not depend on how the index grew.

        Args:
            queries: float32 [q, dim].
            limit: most items a query row; the best are listed, and `Matches.capped` counts the rows that had more.
            run: where segments are searched.
        """
        halves = cosine.halved(queries)
        asked = [ask.Above(part, halves, threshold, limit + 1) for part in self._parts]
        query, number, score = self._answers(run(ask.above, asked), limit + 1)
        listed = ask.place(query) < limit
        return Matches(query[listed], number[listed], score[listed], int((~listed).sum()))

    def search(
        self, queries: np.ndarray, k: int, *, among: np.ndarray | None = None, run: Run = here
    ) -> tuple[np.ndarray, np.ndarray]:
        """The `k` best items for each query, best first; equals in the order of their keys.

        Args:
            queries: float32 [q, dim].
            among: numbers of the items allowed; all where None. Numbers that are not held are passed over. Where 10,000
                vectors or fewer of a segment are allowed, all are scored; else the codes rank as many more as the
                filter leaves out, so that it costs no recall.
            run: where segments are searched.

        Returns:
            int64 numbers [q, k], -1 where there are no more, and exact cosines float32 [q, k], -inf there.
        """
        halves = cosine.halved(queries)
        asked = [
            ask.Nearest(part, halves, k, allowed) for part in self._parts if (allowed := _allowed(part, among)).any()
        ]
        query, number, score = self._answers(run(ask.nearest, asked), k)
        numbers = np.full((len(queries), k), -1, np.int64)
        scores = np.full((len(queries), k), -np.inf, np.float32)
        place = ask.place(query)
        numbers[query, place], scores[query, place] = number, score
        return numbers, scores

    def vectors(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """All vectors of these items: float32 [v, dim] of unit norm, and int64 [v], the position in `numbers` of each.

        Raises:
            KeyError: a number is not held.
        """
        numbers = np.asarray(numbers, dtype=np.int64)
        vectors: list[np.ndarray] = [np.zeros((0, self._opened.held.dim), np.float32)]
        owner: list[np.ndarray] = [np.zeros(0, np.int64)]
        for part, at, items in self._located(numbers):
            rows, position = part.segment.rows(items)
            vectors.append(cosine.widened(part.segment.vectors[rows]))
            owner.append(at[position])
        order = np.argsort(np.concatenate(owner), kind="stable")
        return np.concatenate(vectors)[order], np.concatenate(owner)[order]

    def blobs(self, numbers: np.ndarray) -> list[bytes]:
        """The bytes kept for each of these items, in their order.

        Raises:
            KeyError: a number is not held.
        """
        numbers = np.asarray(numbers, dtype=np.int64)
        kept = [b""] * len(numbers)
        for part, at, items in self._located(numbers):
            for position, item in zip(at.tolist(), items.tolist(), strict=True):
                kept[position] = part.segment.blob(item)
        return kept

    def blob(self, number: int) -> bytes:
        """`blobs` of one item."""
        return self.blobs(np.array([number]))[0]

    def recall(self, *, sample: int, k: int, threshold: float | None = None, seed: int = 0) -> float:
        """Share of what brute force finds that the index finds, for a sample of the vectors held.

        Args:
            sample: vectors asked about.
            k: with a threshold, the limit of `above`; else the k of `search`.
            threshold: of `above`; None measures `search`.

        Returns:
            1.0 where there is nothing to find.
        """
        numbers = np.random.default_rng(seed).permutation(self.numbers)[:sample]
        queries = self.vectors(numbers)[0][:sample]
        halves = cosine.halved(queries)
        if threshold is not None:
            found = self.above(queries, threshold, limit=k)
            pairs = set(zip(found.query.tolist(), found.number.tolist(), strict=True))
            every = [ask.Above(part, halves, threshold, k) for part in self._parts]
            true = self._answers(map(ask.exactly_above, every), k)
        else:
            nearest, _ = self.search(queries, k)
            pairs = {(query, number) for query, row in enumerate(nearest.tolist()) for number in row}
            best = [ask.Nearest(part, halves, k, part.alive) for part in self._parts]
            true = self._answers(map(ask.exactly_nearest, best), k)
        truth = list(zip(true[0].tolist(), true[1].tolist(), strict=True))
        return sum(pair in pairs for pair in truth) / len(truth) if truth else 1.0

    def _answers(self, found: Iterable[ask.Found], limit: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of all segments together: query rows, item numbers and scores, best first."""
        columns: list[list[np.ndarray]] = [[np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0, np.float32)]]
        keys: list[np.ndarray] = [np.zeros(0, "S1")]
        for position, query, item, score in found:
            part = self._parts[position]
            for column, values in zip(columns, (query, item + part.first, score), strict=True):
                column.append(values)
            keys.append(part.segment.keys[item])
        query, number, score = (np.concatenate(column) for column in columns)
        order = ask.ranking(query, score, np.concatenate(keys))
        query, number, score = query[order], number[order], score[order]
        kept = ask.place(query) < limit
        return query[kept], number[kept], score[kept]

    def _located(self, numbers: np.ndarray) -> Iterator[tuple[ask.Part, np.ndarray, np.ndarray]]:
        """For each segment that has some of `numbers`: the segment, their positions and their items there."""
        missing = np.ones(len(numbers), bool)
        for part in self._parts:
            at = np.flatnonzero((numbers >= part.first) & (numbers < part.first + len(part.alive)))
            at = at[part.alive[numbers[at] - part.first]]
            missing[at] = False
            if len(at):
                yield part, at, numbers[at] - part.first
        if missing.any():
            raise KeyError(f"no item has the number {numbers[missing][0]}")

    @property
    def _parts(self) -> list[ask.Part]:
        return self._opened.parts

    def _take(self, opened: Opened) -> None:
        self._opened = opened
        for cached in ("keys", "numbers"):
            self.__dict__.pop(cached, None)

    def _build(self, wanted: np.ndarray, load: Load, run: Run) -> tuple[Manifest, list[Built]]:
        """Writes what the next manifest names: that manifest, and the segments built."""
        held, serial = self._opened.held, self._opened.held.serial + 1
        names = (f"{serial:08d}-{at:04d}" for at in itertools.count())
        missing = np.setdiff1d(wanted, self.keys, assume_unique=True)
        came = np.zeros(len(missing), bool)
        staged: list[Source] = []
        if len(missing):
            batches = build.checked(load(missing), missing, came, held.dim)
            staged = build.stage(self.directory, names, batches, dim=held.dim, most_rows=self._sizes.most_rows)
        standing = {entry.name: entry for entry in held.segments}
        sources = [self._source(part, wanted) for part in self._parts]
        sources = [source for source in [*sources, *staged] if source.alive.any()]
        groups = kinds.merges([some.rows for some in sources], [some.gone for some in sources], self._sizes)
        merged = {at for group in groups for at in group}
        tasks = [
            Task(self.directory / next(names), tuple(sources[at] for at in group), held.dim, self._sizes.cells_from)
            for group in groups
        ]
        tasks += [
            Task(source.directory, (), held.dim, self._sizes.cells_from)
            for at, source in enumerate(sources)
            if at not in merged and source.directory.name not in standing
        ]
        made = sorted(run(build.build, tasks), key=lambda built: built.name)
        kept = [
            self._entry(standing[source.directory.name], source, f"{next(names)}.gone")
            for at, source in enumerate(sources)
            if at not in merged and source.directory.name in standing
        ]
        number = held.next_number
        for built in made:
            kept.append(Entry(built.name, built.checksum, number, built.items))
            number += built.items
        return replace(held, serial=serial, next_number=number, segments=tuple(kept)), made

    def _source(self, part: ask.Part, wanted: np.ndarray) -> Source:
        """A standing segment with what is not in `wanted` taken out."""
        alive = part.alive & np.isin(part.segment.keys, wanted, assume_unique=True)
        return Source(part.segment.directory, part.segment.checksum, alive, len(part.segment.vectors))

    def _entry(self, entry: Entry, source: Source, name: str) -> Entry:
        """The entry of a segment that stays, with a new mask where more of it is gone."""
        alive = int(source.alive.sum())
        if alive == entry.alive:
            return entry
        bits = np.packbits(~source.alive).tobytes()
        files.write(self.directory / name, bits)
        return replace(entry, alive=alive, gone=name, gone_checksum=zlib.crc32(bits))

    def _sweep(self) -> None:
        """Removes what the manifest on disk does not name."""
        try:
            held = manifest.read(self.directory)
        except DamagedError:
            held = None
        named = {name for entry in (held.segments if held else ()) for name in (entry.name, entry.gone)}
        for path in self.directory.iterdir():
            if path.name not in named and _OURS.fullmatch(path.name):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _allowed(part: ask.Part, among: np.ndarray | None) -> np.ndarray:
    if among is None:
        return part.alive
    items = np.asarray(among, dtype=np.int64) - part.first
    chosen = np.zeros(len(part.alive), bool)
    chosen[items[(items >= 0) & (items < len(chosen))]] = True
    return chosen & part.alive
