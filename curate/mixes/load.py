"""Reading published mixes: any version, whole and exact, from the DVC cache here or from the remote.

A version is restored beside the work tree, under .curate/cache/mixes/ and keyed by its content, so that loading an old
version touches neither data/ nor a newer one, and versions that hold the same files share them.
"""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import datasets
from dvc.api import DVCFileSystem
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc_data.index import DataIndexDirError

from curate.errors import CurateError, InputError
from curate.identity import work_key
from curate.mixes.versions import Version, find_workspace, resolve, versions
from curate.workspace import Workspace

__all__ = ["Version", "load_mix", "read_lock", "restore", "versions"]

LOCK = "lock.json"


def load_mix(
    name: str, rev: str | None = None, split: str | None = None, *, workspace: Path | str = "."
) -> datasets.Dataset | datasets.DatasetDict:
    """A published mix, as plain `datasets` objects with typed features.

    Args:
        rev: v1, v2 ... or any git revision; the newest version where not given.
        split: train, validation or test; a DatasetDict of all where not given.
        workspace: a directory of the workspace, or of a clone that has data.dvc.

    Raises:
        InputError: no such mix, revision or split; it lists what there is.
        CurateError: the data is neither in the cache nor on a remote.
    """
    place = find_workspace(workspace)
    directory = restore(place, name, rev)
    shards: dict[str, list[str]] = {}
    for path in sorted(directory.glob("*.parquet")):
        shards.setdefault(path.name.rsplit("-", 1)[0], []).append(str(path))
    if split is not None and split not in shards:
        raise InputError(f"mix {name} has no split {split!r}", where=directory, fix=f"It has: {', '.join(shards)}")
    drew_bars = datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        cache = str(place.cache("datasets"))
        return datasets.load_dataset("parquet", data_files=shards, split=split, cache_dir=cache)
    finally:
        if drew_bars:
            datasets.enable_progress_bars()


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
        files = _Files(place, name, commit)
        with tempfile.TemporaryDirectory(dir=place.cache("locks")) as temporary:
            files.get(LOCK, Path(temporary) / LOCK)
            (Path(temporary) / LOCK).replace(cached)
    content: dict[str, Any] = json.loads(cached.read_text())
    return content


def restore(workspace: Workspace, name: str, rev: str | None = None) -> Path:
    """The directory of one version, exactly as it was published; fetched at the first call.

    Raises:
        InputError: no such mix or revision.
        CurateError: its files are neither in the cache nor on a remote.
    """
    files = _Files(workspace, name, resolve(workspace, name, rev))
    directory = workspace.cache("mixes") / files.key
    if directory.exists():
        return directory
    temporary = Path(tempfile.mkdtemp(dir=directory.parent, prefix="getting-"))
    try:
        for path in files.hashes:
            files.get(path, temporary / path)
        try:
            temporary.rename(directory)
        except OSError:
            if not directory.exists():  # else another process was first, with the same content
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return directory


class _Files:
    """The files of a mix at a commit, as DVC knows them. hashes: MD5 by path; key: one hash over them."""

    def __init__(self, workspace: Workspace, name: str, commit: str) -> None:
        self._where, self._top = f"mix {name} at {commit[:12]}", f"/data/{name}"
        try:
            self._system = _file_system(workspace.root, commit)
            found = self._system.find(self._top, detail=True)
        except (DvcException, DataIndexDirError, OSError) as error:
            raise self._missing(error) from error
        self.hashes = {path.removeprefix(f"{self._top}/"): facts["md5"] for path, facts in sorted(found.items())}
        if not self.hashes:
            raise InputError(f"no mix {name!r} at this revision", where=self._where, fix="`curate mix list` shows all")
        self.key = work_key(self.hashes)

    def get(self, path: str, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._system.get_file(f"{self._top}/{path}", str(target))
        except (DvcException, DataIndexDirError, OSError) as error:
            raise self._missing(error) from error

    def _missing(self, error: Exception) -> CurateError:
        return CurateError(
            f"its files cannot be read: {' '.join(str(error).split())}",
            where=self._where,
            fix="They must be in .dvc/cache or on the remote: `dvc remote list`, and `dvc push` where it was built",
        )


def _file_system(root: Path, commit: str) -> DVCFileSystem:
    """What DVC tracks at a commit, read through the cache and the remote of today, not through those of the commit."""
    with Repo(str(root)) as here:
        config: dict[str, Any] = {"cache": {"dir": here.cache.local.path}}
        remote = here.config["core"].get("remote")
        if remote:
            config |= {"core": {"remote": remote}, "remote": {remote: here.config["remote"][remote]}}
    return DVCFileSystem(str(root), rev=commit, config=config)
