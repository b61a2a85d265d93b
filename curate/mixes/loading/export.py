"""A version of a mix in the forms of other tools: WebDataset shards, ActivityNet JSON, a plain folder.

Each is a directory that is complete in itself: the card, the lock and a list of every clip's licence go with it. It is
written beside its place and moved there when it is whole. Labels are as in the mix, times in seconds from a clip's
start; what a form has no word for stands under further keys.
"""

import csv
import io
import json
import shutil
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from curate.errors import InputError
from curate.mixes.load import LOCK, load_mix, open_files, read_lock
from curate.mixes.loading.order import epoch_order
from curate.mixes.loading.read import Disk
from curate.mixes.loading.rows import Rows, clip_of
from curate.mixes.versions import resolve
from curate.progress import Progress, silent
from curate.workspace import Workspace

Form = Literal["webdataset", "activitynet", "folder"]

_SHARD_BYTES = 256 << 20
_CARD, _LICENCES = "CARD.md", "licences.csv"
_SUBSETS = {"train": "training", "validation": "validation", "test": "testing"}
_BLOCK = 256


@dataclass(frozen=True)
class Exported:
    """What was written. rows: occurrences of clips; clips: different ones; bytes: of all files."""

    directory: Path
    form: Form
    clips: int
    rows: int
    bytes: int


def export(
    workspace: Workspace,
    name: str,
    rev: str | None = None,
    *,
    form: Form,
    directory: Path | str,
    splits: Iterable[str] | None = None,
    progress: Progress = silent,
) -> Exported:
    """Writes a version of a mix as `directory`, which must not be there yet.

    webdataset: SPLIT-NNNNNN.tar of at most 256 MB with KEY.mp4 and KEY.json, a key for each occurrence of a clip, in a
    shuffled order, so that reading them in sequence needs no large buffer to shuffle.
    activitynet: activitynet.json and videos/CLIP.mp4; a clip stands once, `repeats` says how often the mix has it.
    folder: SPLIT/CLIP.mp4, SPLIT/CLIP.json and SPLIT/metadata.jsonl, which `load_dataset("videofolder")` reads; a clip
    stands once here too.

    Args:
        splits: all where not given.

    Raises:
        InputError: no such mix, revision, split or form, or the directory exists.
        CurateError: the mix is neither here nor on a remote.
    """
    target = Path(directory).absolute()
    if form not in get_args(Form):
        raise InputError(f"no form {form!r} to export to", fix=f"There are: {', '.join(get_args(Form))}")
    if target.exists():
        raise InputError("exists already", where=target, fix="Name a new directory, or remove this one")
    commit = resolve(workspace, name, rev)  # whatever is published in the meantime
    has = list(load_mix(name, commit, media=False, vectors=False, workspace=workspace.root))
    wanted = has if splits is None else list(dict.fromkeys(splits))
    unknown = [split for split in wanted if split not in has]
    if unknown:
        raise InputError(f"mix {name} has no split {unknown[0]!r}", fix=f"It has: {', '.join(has)}")
    parts = {split: Rows(load_mix(name, commit, split, vectors=False, workspace=workspace.root)) for split in wanted}
    beside = target.with_name(f".{target.name}.part")
    shutil.rmtree(beside, ignore_errors=True)  # what a killed export left
    beside.mkdir(parents=True)
    try:
        steps = _Steps(progress, sum(len(rows) for rows in parts.values()))
        _WRITERS[form](beside, parts, read_lock(name, commit, workspace=workspace.root), steps)
        clips = _write_licences(beside / _LICENCES, parts)
        files = open_files(workspace, name, commit)
        for path in files.hashes:
            if path in ("README.md", LOCK) or path.startswith("plots/"):
                files.get(path, beside / (_CARD if path == "README.md" else path))
        size_bytes = sum(path.stat().st_size for path in beside.rglob("*") if path.is_file())
        beside.rename(target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return Exported(target, form, clips, sum(len(rows) for rows in parts.values()), size_bytes)


def write_shards(directory: Path, split: str, rows: Rows, *, most_bytes: int = _SHARD_BYTES) -> Iterator[str]:
    """Writes a split as WebDataset shards; yields each sample's key when it is written.

    The same rows give the same bytes.
    """
    shard, number, filled = None, 0, 0
    try:
        for row in _rows(rows, epoch_order(len(rows), seed=0, epoch=0)):
            content = _content(row)
            if shard is None or filled + len(content) > most_bytes:
                if shard is not None:
                    shard.close()
                shard = tarfile.open(directory / f"{split}-{number:06}.tar", "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115
                number, filled = number + 1, 0
            key = row["clip_id"] + (f"-{row['repeat']}" if row["repeat"] else "")
            _add(shard, f"{key}.json", _json(record(row)).encode())
            _add(shard, f"{key}.mp4", content)
            filled += len(content)
            yield key
    finally:
        if shard is not None:
            shard.close()


def record(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as JSON says it: all but where its media lies, fields of segments as objects."""
    labels = [
        {
            **label,
            "segments": [{**part, "fields": json.loads(part["fields"] or "{}")} for part in label["segments"] or ()],
        }
        for label in row["labels"] or ()
    ]
    return {**{name: value for name, value in row.items() if name not in ("video", "media")}, "labels": labels}


class _Steps:
    """Counts rows for a progress bar."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def __call__(self) -> None:
        self._done += 1
        self._progress("export", self._done, self._total)


def _webdataset(directory: Path, parts: Mapping[str, Rows], lock: Mapping[str, Any], step: Callable[[], None]) -> None:
    for split, rows in parts.items():
        for _ in write_shards(directory, split, rows):
            step()


def _activitynet(directory: Path, parts: Mapping[str, Rows], lock: Mapping[str, Any], step: Callable[[], None]) -> None:
    """As ActivityNet's own file: version, taxonomy, and a database of videos with subset, duration and annotations."""
    (directory / "videos").mkdir()
    database: dict[str, Any] = {}
    for split, rows in parts.items():
        for row, repeats in _clips(rows, step):
            told = record(row)
            labels = [label for label in told["labels"] if label["verdict"] in ("present", "absent")]
            (directory / "videos" / f"{row['clip_id']}.mp4").write_bytes(_content(row))
            database[row["clip_id"]] = {
                "subset": _SUBSETS.get(split, split),
                "duration": row["duration_s"],
                "annotations": [
                    {
                        "segment": [span["start_s"], span["end_s"]],
                        "label": label["capability"],
                        "fields": span["fields"],
                    }
                    for label in labels
                    for span in label["segments"]
                ],
                "absent": sorted({label["capability"] for label in labels if label["verdict"] == "absent"}),
                "exhaustive": sorted({label["capability"] for label in labels if label["exhaustive"]}),
                "repeats": repeats,
                **{name: row[name] for name in ("video_id", "source", "licence", "start_s", "end_s")},
            }
    root = {"nodeId": 0, "nodeName": "Root", "parentId": None, "parentName": None}
    leaves = [
        {"nodeId": at, "nodeName": capability, "parentId": 0, "parentName": "Root"}
        for at, capability in enumerate(sorted(lock["capabilities"]), start=1)
    ]
    version = f"{lock['mix']['name']} {lock['content']}"
    whole = {"version": version, "taxonomy": [root, *leaves], "database": database}
    (directory / "activitynet.json").write_text(_json(whole) + "\n")


def _folder(directory: Path, parts: Mapping[str, Rows], lock: Mapping[str, Any], step: Callable[[], None]) -> None:
    for split, rows in parts.items():
        place = directory / split
        place.mkdir()
        with (place / "metadata.jsonl").open("w") as index:
            for row, repeats in _clips(rows, step):
                clip = row["clip_id"]
                told = {**record(row), "repeats": repeats}
                del told["repeat"]
                (place / f"{clip}.mp4").write_bytes(_content(row))
                (place / f"{clip}.json").write_text(_json(told) + "\n")
                labels = [
                    {**label, "segments": [{**part, "fields": _json(part["fields"])} for part in label["segments"]]}
                    for label in told["labels"]
                ]  # a column has one type, and fields are those of each capability
                index.write(_json({"file_name": f"{clip}.mp4", **told, "labels": labels}) + "\n")


_WRITERS: dict[str, Callable[[Path, Mapping[str, Rows], Mapping[str, Any], Callable[[], None]], None]] = {
    "webdataset": _webdataset,
    "activitynet": _activitynet,
    "folder": _folder,
}


def _rows(rows: Rows, order: np.ndarray) -> Iterator[dict[str, Any]]:
    for at in range(0, len(order), _BLOCK):
        yield from rows.take(order[at : at + _BLOCK])


def _clips(rows: Rows, step: Callable[[], None]) -> Iterator[tuple[dict[str, Any], int]]:
    """Each clip once, and how often it occurs: occurrences stand together."""
    first: dict[str, Any] | None = None
    count = 0
    for row in _rows(rows, np.arange(len(rows))):
        step()
        if first is not None and first["clip_id"] == row["clip_id"]:
            count += 1
            continue
        if first is not None:
            yield first, count
        first, count = row, 1
    if first is not None:
        yield first, count


def _content(row: dict[str, Any]) -> bytes:
    clip = clip_of(row)
    return Disk().read(clip.pack, clip.offset, clip.size)


def _add(shard: tarfile.TarFile, name: str, content: bytes) -> None:
    """Adds a member that says nothing of when or by whom it was made."""
    member = tarfile.TarInfo(name)
    member.size = len(content)
    shard.addfile(member, io.BytesIO(content))


def _write_licences(path: Path, parts: Mapping[str, Rows]) -> int:
    """Writes which licence each clip is under; returns how many clips there are."""
    columns = ("clip_id", "split", "licence", "source", "video_id", "start_s", "end_s")
    clips = 0
    with path.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(columns)
        for split, rows in parts.items():
            for row, _ in _clips(rows, lambda: None):
                told = {**row, "split": split}
                table.writerow([told[name] for name in columns])
                clips += 1
    return clips


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
