"""Reading published mixes: any version, exact, and of it no more than is asked for.

A version's files come from DVC's cache here or from the remote and are kept under .curate/cache/mixes/ by their
content, each put in place in one step: versions share them, an interrupted pull goes on where it was, and loading an
old version touches neither data/ nor a newer one. What `load_mix` returns is mapped from an Arrow file of rows, with
the vectors if they are wanted; media is read in place, from the packs.
"""

import bisect
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curate.errors import InputError
from curate.identity import work_key
from curate.mixes.files import MixFiles, open_files
from curate.mixes.loading.read import Disk
from curate.mixes.packs import FRAMES, MEDIA
from curate.mixes.retire import refuse_retired, warn_withdrawn
from curate.mixes.rows import FEATURES, FRAME_FEATURES
from curate.mixes.versions import Version, find_workspace, resolve, revision_of, versions
from curate.progress import Progress, silent
from curate.workspace import Workspace

__all__ = [
    "MixFiles", "Pulled", "Version", "clip_bytes", "fetch", "load_mix", "open_files", "pull", "read_lock", "versions",
]  # fmt: skip

LOCK = "lock.json"
ROWS = "rows"
"""A kind of file, beside `MEDIA` and `FRAMES`: the row files, the lock, the card and its plots."""

_BATCH_ROWS = 512
_FETCHING = 4
_WITH_VECTORS = datasets.Features(
    {**FEATURES, **{name: FRAME_FEATURES[name] for name in ("frame_times_s", "frame_vectors")}}
)


@dataclass(frozen=True)
class Pulled:
    """What a pull left on this machine.

    Attributes:
        name: of the mix.
        revision: v1, v2 ..., or the first digits of the commit.
        files: of the version that are here now, as many as were asked for.
        fetched_bytes: that came from the remote.
        present_bytes: that were here already.
        directory: the version as `datasets` reads it, of what was asked for; its files share the cache's bytes.
    """

    name: str
    revision: str
    files: int
    fetched_bytes: int
    present_bytes: int
    directory: Path


def load_mix(
    name: str,
    rev: str | None = None,
    split: str | None = None,
    *,
    media: bool = True,
    vectors: bool = True,
    workspace: Path | str = ".",
) -> datasets.Dataset | datasets.DatasetDict:
    """A published mix, as plain `datasets` objects with typed features (`curate.mixes.rows.FEATURES`).

    Args:
        rev: v1, v2 ... or any git revision; the newest version where not given.
        split: train, validation or test; a DatasetDict of all where not given.
        media: fetch the clips, and let `video.path` say where they are; else it is null. See `clip_bytes`.
        vectors: add frame_times_s (list of float64, seconds from the clip's start) and frame_vectors (list of lists of
            float16); empty where a clip has none.
        workspace: a directory of the workspace, or of a clone that has data.dvc.

    Raises:
        InputError: no such mix, revision or split; it lists what there is.
        CurateError: the data is neither in the cache nor on a remote, or the version was retired.
    """
    place = find_workspace(workspace)
    files, revision = _open(place, name, rev)
    known = _row_files(files)
    if split is not None:
        _check_split(files, split)
    wanted = [split] if split else list(known)
    kinds = {ROWS, *([MEDIA] if media else []), *([FRAMES] if vectors else [])}
    here = _fetch(files, _paths(files, kinds, wanted), silent)
    loaded = {each: _open_split(place, files, each, here, media=media, vectors=vectors) for each in wanted}
    warn_withdrawn(place, name, revision, (clip for each in loaded.values() for clip in each["clip_id"]))
    return loaded[split] if split else datasets.DatasetDict(loaded)


def clip_bytes(row: Mapping[str, Any]) -> bytes:
    """The mp4 of a row of `load_mix`, read from its pack.

    Raises:
        InputError: the row was loaded without media.
        CurateError: its pack is not there any more.
    """
    path = row["video"]["path"]
    if path is None:
        raise InputError(
            f"clip {row['clip_id']} was loaded without its media", where="load_mix", fix="Load it with media=True"
        )
    return Disk().read(path.split("::", 1)[1], row["media"]["offset"], row["media"]["size"])


def read_lock(name: str, rev: str | None = None, *, workspace: Path | str = ".") -> dict[str, Any]:
    """The lock of a published version: what it holds and why. Fetches the lock alone.

    Raises:
        InputError: no such mix or revision.
        CurateError: the lock is neither in the cache nor on a remote.
    """
    place = find_workspace(workspace)
    commit = resolve(place, name, rev)
    cached = place.cache("locks") / f"{name}-{commit}.json"
    if not cached.exists():
        open_files(place, name, commit).get(LOCK, cached)
    content: dict[str, Any] = json.loads(cached.read_bytes())
    return content


def fetch(
    workspace: Workspace,
    name: str,
    rev: str | None = None,
    *,
    kinds: Iterable[str] = (ROWS, MEDIA, FRAMES),
    splits: Iterable[str] | None = None,
    progress: Progress = silent,
) -> dict[str, Path]:
    """Brings files of a version to this machine: where each lies, by its path in the version's directory.

    Each file is written aside and moved into place when it is whole, so what an interrupted fetch had is not fetched
    again, and two that run at once agree.

    Args:
        kinds: of ROWS, MEDIA, FRAMES.
        splits: whose media and frames; all where not given.

    Raises:
        InputError: no such mix or revision.
        CurateError: a file is neither in the cache nor on a remote, or is damaged there.
    """
    files, _ = _open(workspace, name, rev)
    return _fetch(files, _paths(files, set(kinds), splits), progress)


def pull(
    workspace: Workspace,
    name: str,
    rev: str | None = None,
    *,
    split: str | None = None,
    media: bool = True,
    progress: Progress = silent,
) -> Pulled:
    """Brings a version to this machine, or what is needed of it; interrupted, it goes on where it was.

    Args:
        split: whose media and vectors; all where not given. Rows are small and come for every split.
        media: fetch the clips.

    Raises:
        InputError: no such mix, revision or split.
        CurateError: a file is neither in the cache nor on a remote, or is damaged there.
    """
    files, revision = _open(workspace, name, rev)
    if split is not None:
        _check_split(files, split)
    paths = _paths(files, {ROWS, FRAMES, *([MEDIA] if media else [])}, [split] if split else None)
    missing = {path for path in paths if files.local(path) is None}
    here = _fetch(files, paths, progress)
    directory = workspace.cache("mixes") / f"{name}-{files.key}"
    for path in paths:
        if not (directory / path).exists():
            files.get(path, directory / path)
    sizes = {path: place.stat().st_size for path, place in here.items()}
    fetched = sum(sizes[path] for path in missing)
    present = sum(sizes.values()) - fetched
    return Pulled(name, revision, len(paths), fetched, present, directory)


def _open(workspace: Workspace, name: str, rev: str | None) -> tuple[MixFiles, str]:
    """The files and the revision of a version that may be used: a retired one's lock stays, its footage is gone."""
    commit = resolve(workspace, name, rev)
    refuse_retired(workspace, name, commit)
    return open_files(workspace, name, commit), revision_of(workspace, name, commit)


def _check_split(files: MixFiles, split: str) -> None:
    known = _row_files(files)
    if split not in known:
        raise InputError(f"it has no split {split!r}", where=files.where, fix=f"It has: {', '.join(known)}")


def _row_files(files: MixFiles) -> dict[str, list[str]]:
    """The row files of each split."""
    found: dict[str, list[str]] = {}
    for path in files.hashes:
        if "/" not in path and path.endswith(".parquet"):
            found.setdefault(path.rsplit("-", 1)[0], []).append(path)
    return found


def _paths(files: MixFiles, kinds: set[str], splits: Iterable[str] | None) -> list[str]:
    wanted = None if splits is None else set(splits)
    found = []
    for path in files.hashes:
        kind, _, rest = path.partition("/")
        if kind in (MEDIA, FRAMES):
            if kind in kinds and (wanted is None or rest.rsplit("-", 1)[0] in wanted):
                found.append(path)
        elif ROWS in kinds:
            found.append(path)
    return found


def _fetch(files: MixFiles, paths: list[str], progress: Progress) -> dict[str, Path]:
    files.sweep()
    missing = [path for path in paths if not files.place(path).exists()]
    with ThreadPoolExecutor(_FETCHING) as threads:
        for done, _ in enumerate(threads.map(lambda path: files.get(path, files.place(path)), missing), start=1):
            progress("pull", done, len(missing))
    return {path: files.place(path) for path in paths}


def _open_split(
    workspace: Workspace, files: MixFiles, split: str, here: Mapping[str, Path], *, media: bool, vectors: bool
) -> datasets.Dataset:
    """A split as a `Dataset` that is mapped from an Arrow file, which is written where it is not there yet."""
    rows = _row_files(files)[split]
    packs = {path: here[path] for path in _paths(files, {MEDIA}, [split])} if media else {}
    frames = [here[path] for path in _paths(files, {FRAMES}, [split])] if vectors else None
    parts = [files.hashes[path] for path in [*rows, *_paths(files, {FRAMES} if vectors else set(), [split])]]
    key = work_key(parts, vectors, str(files.fetched) if media else "")
    target = workspace.cache("datasets") / f"{split}-{key}.arrow"
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".joining-") as temporary:
            joined = Path(temporary) / "joined"
            features = FEATURES if frames is None else _WITH_VECTORS
            joins = None if frames is None else _Frames(frames, Path(temporary))
            with pa.OSFile(str(joined), "wb") as file, pa.ipc.new_stream(file, features.arrow_schema) as writer:
                for table in _batches([here[path] for path in rows], files.where):
                    placed = _place_media(table, packs if media else None)
                    writer.write_table((joins.join(placed) if joins else placed).cast(features.arrow_schema))
            joined.replace(target)
    return datasets.Dataset.from_file(str(target), split=datasets.NamedSplit(split))


def _batches(paths: Iterable[Path], where: str) -> Iterator[pa.Table]:
    for path in paths:
        file = pq.ParquetFile(path)
        if file.schema_arrow.names != list(FEATURES):
            fix = "`curate mix build NAME` publishes a version that this Curate reads"
            raise InputError("it was published in an older format", where=where, fix=fix)
        for batch in file.iter_batches(_BATCH_ROWS):
            yield pa.Table.from_batches([batch])


def _place_media(table: pa.Table, packs: Mapping[str, Path] | None) -> pa.Table:
    """`video.path` as one that opens from anywhere; null without media."""
    if packs is None:
        paths = pa.nulls(table.num_rows, pa.string())
    else:
        within = pc.struct_field(table["media"].combine_chunks(), "pack").dictionary_encode()
        names = pa.array([str(packs[pack]) for pack in within.dictionary.to_pylist()], pa.string())
        clips = table["clip_id"].combine_chunks()
        paths = pc.binary_join_element_wise("zip://", clips, ".mp4::", names.take(within.indices), "")
    nothing = pa.nulls(table.num_rows, pa.binary())
    video = pa.StructArray.from_arrays([nothing, paths], names=["bytes", "path"])
    return table.set_column(table.schema.get_field_index("video"), "video", video)


class _Frames:
    """Vectors of a split, joined to rows a batch at a time: rows and packs are sorted by clip, so a batch needs one run
    of each pack, which is read from a mapped copy."""

    def __init__(self, paths: list[Path], scratch: Path) -> None:
        self._packs = []
        for number, path in enumerate(paths):
            copy = scratch / f"{number}.arrow"
            with pa.OSFile(str(copy), "wb") as file, pa.ipc.new_stream(file, FRAME_FEATURES.arrow_schema) as writer:
                for batch in pq.ParquetFile(path).iter_batches(_BATCH_ROWS):
                    writer.write_batch(batch)
            table = pa.ipc.open_stream(pa.memory_map(str(copy))).read_all()
            self._packs.append((table["clip_id"].to_pylist(), table))

    def join(self, rows: pa.Table) -> pa.Table:
        clips = rows["clip_id"].to_pylist()
        runs = [FRAME_FEATURES.arrow_schema.empty_table()]
        for ids, table in self._packs:
            first, end = bisect.bisect_left(ids, clips[0]), bisect.bisect_right(ids, clips[-1])
            runs.append(table.slice(first, end - first))
        none = pa.Table.from_pylist(
            [{"clip_id": None, "frame_times_s": [], "frame_vectors": []}], schema=FRAME_FEATURES.arrow_schema
        )
        near = pa.concat_tables([*runs, none]).combine_chunks()
        at = {clip: index for index, clip in enumerate(near["clip_id"].to_pylist())}
        found = near.take(pa.array([at.get(clip, near.num_rows - 1) for clip in clips]))
        for name in ("frame_times_s", "frame_vectors"):
            rows = rows.append_column(name, found[name])
        return rows
