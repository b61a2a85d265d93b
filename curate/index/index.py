"""An index that grows: a manifest and immutable segments, merged by size.

New items become a new segment; segments of like size are merged, eight at a time, so that what a change costs follows
the change and not what stands (a log-structured merge). Items that go are masked, and dropped when their segment is
merged. The manifest is replaced by one rename, last: a build that is killed leaves the former index in service, and the
next one sweeps what it left. Readers keep what they opened: a removed file stays readable while it is mapped.

One process may `update` at a time; its lock is the caller's. Any number may read.
"""

import re
import shutil
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from curate.index import ask, cosine, files, manifest, segment
from curate.index.manifest import Entry, Manifest
from curate.index.segment import DamagedError, Segment
from curate.index.types import Batch, Changes, Matches, Run, here

FANOUT = 8
"""Segments of like size that are merged into one."""

_OURS = re.compile(r"\d{8}-\d{4}(\.gone)?|manifest\.new")
_OPENING = 5

Load = Callable[[np.ndarray], Iterator[Batch]]


class Index:
    """Items by key, each with any number of unit vectors and a blob. See `open`."""

    def __init__(self, directory: Path, held: Manifest, parts: list[ask.Part], note: str) -> None:
        self.directory = directory
        self.note = note
        self._manifest = held
        self._parts = parts

    @classmethod
    def open(cls, directory: Path, *, dim: int, model: str) -> "Index":
        """The index in a directory, as its manifest says; empty where there is none.

        What is damaged (see `curate.index.segment`) or was made for another `dim` or `model` is left out: `note` says
        so, `version` is "" then, and the next `update` makes it again.
        """
        for _ in range(_OPENING):
            before = _raw(directory)
            held, note = _manifest(directory, dim, model)
            parts: list[ask.Part] = []
            bad: dict[str, str] = {}
            for entry in held.segments:
                try:
                    parts.append(_part(directory, entry, len(parts)))
                except DamagedError as error:
                    bad[entry.name] = str(error)
            if not bad or _raw(directory) == before:
                break
        if bad:
            held = replace(held.without(set(bad)), version="")
            note = f"{'; '.join(bad.values())}: these items are made again at the next update"
        return cls(directory, held, parts, note)

    @property
    def version(self) -> str:
        """What the last update was given; "" where there was none, or what it made is damaged."""
        return self._manifest.version

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
            load: asked once for those missing; gives them in batches, in any order, each at most once.
            version: kept with the commit.
            run: where segments are built.

        Raises:
            ValueError: `load` gave a key twice, one that was not asked for, or vectors of another dimension.
        """
        self._reload()
        self._sweep()
        held = self.keys
        wanted = np.unique(wanted)
        missing = np.setdiff1d(wanted, held, assume_unique=True)
        parts = self._masked(wanted)
        serial = self._manifest.serial + 1
        names = (f"{serial:08d}-{at:04d}" for at in range(10_000))
        self.directory.mkdir(parents=True, exist_ok=True)
        arrived: list[np.ndarray] = [np.zeros(0, "S1")]
        entries, built = self._kept(parts, serial), 0
        if len(missing):
            name = next(names)
            checked = _checked(load(missing), missing, self._manifest.dim, arrived)
            entry = self._entry(name, segment.write(self.directory / name, checked, dim=self._manifest.dim))
            entries, built = [*entries, *([entry] if entry.items else [])], 1
        added = np.sort(np.concatenate(arrived))
        removed = np.setdiff1d(held, wanted, assume_unique=True)
        changed = replace(self._manifest, version=version, serial=serial, segments=())
        for entry in entries:
            if entry.first < 0:
                entry = replace(entry, first=changed.next_number)
                changed = replace(changed, next_number=entry.first + entry.items)
            changed = replace(changed, segments=(*changed.segments, entry))
        files.sync(self.directory)
        manifest.write(self.directory, changed)
        self._reload()
        self._sweep()
        return Changes(added, removed, np.setdiff1d(missing, added, assume_unique=True), built)

    def above(self, queries: np.ndarray, threshold: float, *, limit: int, run: Run = here) -> Matches:
        """All items with a cosine of at least `threshold` to a query.

        The score of an item is that of its nearest vector, exact on the vectors as they are kept (float16), so it does
        not depend on how the index grew.

        Args:
            queries: float32 [q, dim].
            limit: most items a query row; the best are listed, and `Matches.capped` counts the rows that had more.
            run: where segments are searched.
        """
        asked = [ask.Above(part, cosine.halved(queries), threshold, limit + 1) for part in self._parts]
        query, number, score = self._answers(run(ask.above, asked), limit + 1)
        rank = np.arange(len(query)) - np.searchsorted(query, query)
        listed = rank < limit
        return Matches(query[listed], number[listed], score[listed], int((~listed).sum()))

    def search(
        self, queries: np.ndarray, k: int, *, among: np.ndarray | None = None, run: Run = here
    ) -> tuple[np.ndarray, np.ndarray]:
        """The `k` best items for each query, best first; equals in the order of their keys.

        Args:
            queries: float32 [q, dim].
            among: numbers of the items allowed; all where None. Numbers that are not held are passed over.
            run: where segments are searched.

        Returns:
            int64 numbers [q, k], -1 where there are no more, and exact cosines float32 [q, k], -inf there.
        """
        asked = [
            ask.Nearest(part, cosine.halved(queries), k, allowed)
            for part in self._parts
            if (allowed := _allowed(part, among)).any()
        ]
        query, number, score = self._answers(run(ask.nearest, asked), k)
        numbers = np.full((len(queries), k), -1, np.int64)
        scores = np.full((len(queries), k), -np.inf, np.float32)
        rank = np.arange(len(query)) - np.searchsorted(query, query)
        numbers[query, rank], scores[query, rank] = number, score
        return numbers, scores

    def vectors(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """All vectors of these items: float32 [v, dim] of unit norm, and int64 [v], the position in `numbers` of each.

        Raises:
            KeyError: a number is not held.
        """
        numbers = np.asarray(numbers, dtype=np.int64)
        vectors: list[np.ndarray] = [np.zeros((0, self._manifest.dim), np.float32)]
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
        if threshold is not None:
            found = self.above(queries, threshold, limit=k)
            asked = [ask.Above(part, cosine.halved(queries), threshold, k) for part in self._parts]
            true = self._answers(map(ask.above, asked), k)
            pairs = set(zip(found.query.tolist(), found.number.tolist(), strict=True))
        else:
            numbers, _ = self.search(queries, k)
            nearest = [ask.Nearest(part, cosine.halved(queries), k, part.alive) for part in self._parts]
            true = self._answers(map(ask.nearest, nearest), k)
            pairs = {(query, number) for query, row in enumerate(numbers.tolist()) for number in row}
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
        order = np.lexsort((np.concatenate(keys), -score, query))
        query, number, score = query[order], number[order], score[order]
        kept = np.arange(len(query)) - np.searchsorted(query, query) < limit
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

    def _masked(self, wanted: np.ndarray) -> list[ask.Part]:
        """The segments with what is not in `wanted` (sorted) taken out."""
        return [
            replace(part, alive=part.alive & np.isin(part.segment.keys, wanted, assume_unique=True))
            for part in self._parts
        ]

    def _kept(self, parts: list[ask.Part], serial: int) -> list[Entry]:
        """Entries of the standing segments; where more items are gone, with a new mask."""
        entries = []
        for part, entry in zip(parts, self._manifest.segments, strict=True):
            alive = int(part.alive.sum())
            if 0 < alive < entry.alive:
                name, bits = f"{serial:08d}-{part.position:04d}.gone", np.packbits(~part.alive).tobytes()
                files.write(self.directory / name, bits)
                entry = replace(entry, alive=alive, gone=name, gone_checksum=zlib.crc32(bits))
            if alive:
                entries.append(entry)
        return entries

    def _entry(self, name: str, checksum: int) -> Entry:
        made: Segment = segment.read(self.directory / name, checksum)
        count = len(made.keys)
        return Entry(name, checksum, -1, count, len(made.vectors), count)

    def _reload(self) -> None:
        again = Index.open(self.directory, dim=self._manifest.dim, model=self._manifest.model)
        self._manifest, self._parts, self.note = again._manifest, again._parts, again.note
        for cached in ("keys", "numbers"):
            self.__dict__.pop(cached, None)

    def _sweep(self) -> None:
        """Removes what the manifest on disk does not name."""
        try:
            held = manifest.read(self.directory)
        except DamagedError:
            held = None
        named = {name for entry in (held.segments if held else ()) for name in (entry.name, entry.gone)}
        for path in self.directory.glob("*"):
            if path.name not in named and _OURS.fullmatch(path.name):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _raw(directory: Path) -> bytes:
    try:
        return (directory / manifest.NAME).read_bytes()
    except FileNotFoundError:
        return b""


def _manifest(directory: Path, dim: int, model: str) -> tuple[Manifest, str]:
    try:
        held = manifest.read(directory)
    except DamagedError as error:
        return Manifest(dim, model), f"{error}: it is made again at the next update"
    if held is None:
        return Manifest(dim, model), ""
    if (held.dim, held.model) != (dim, model):
        note = f"{directory} is of {held.model} with {held.dim} dimensions, not of {model} with {dim}"
        return Manifest(dim, model, serial=held.serial), f"{note}: it is made again at the next update"
    return held, ""


def _part(directory: Path, entry: Entry, position: int) -> ask.Part:
    alive: np.ndarray = np.ones(entry.items, bool)
    opened = segment.read(directory / entry.name, entry.checksum)
    if entry.gone:
        try:
            bits = (directory / entry.gone).read_bytes()
        except OSError as error:
            raise DamagedError(f"{directory / entry.gone} cannot be read: {error.strerror}") from error
        if zlib.crc32(bits) != entry.gone_checksum:
            raise DamagedError(f"{directory / entry.gone} has changed since it was written")
        alive = ~np.unpackbits(np.frombuffer(bits, np.uint8), count=entry.items).astype(bool)
    return ask.Part(position, entry.first, opened, alive)


def _allowed(part: ask.Part, among: np.ndarray | None) -> np.ndarray:
    if among is None:
        return part.alive
    items = np.asarray(among, dtype=np.int64) - part.first
    chosen = np.zeros(len(part.alive), bool)
    chosen[items[(items >= 0) & (items < len(chosen))]] = True
    return chosen & part.alive


def _checked(batches: Iterator[Batch], missing: np.ndarray, dim: int, arrived: list[np.ndarray]) -> Iterator[Batch]:
    """Passes on what may come in, and notes its keys."""
    came = np.zeros(len(missing), bool)
    for batch in batches:
        at = np.searchsorted(missing, batch.keys)
        if not (missing[np.minimum(at, len(missing) - 1)] == batch.keys).all():
            raise ValueError("load gave a key that was not asked for")
        if came[at].any() or len(np.unique(at)) < len(at):
            raise ValueError("load gave a key twice")
        if batch.vectors.ndim != 2 or batch.vectors.shape[1] != dim or len(batch.owner) != len(batch.vectors):
            raise ValueError(
                f"load gave vectors of shape {batch.vectors.shape} with {len(batch.owner)} owners; dim is {dim}"
            )
        came[at] = True
        arrived.append(batch.keys)
        yield batch
