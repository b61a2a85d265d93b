"""The files of one version of a mix, wherever they lie: fetched before, in DVC's cache, or on the remote.

DVC keeps a file under its MD5, so a version is a list of paths and hashes: `open_files` reads that list from data.dvc
at a commit, and no index of DVC's is built. What it returns needs neither DVC nor git: it goes to other processes as it
is, and reads a slice of a file from the disk or by one range request.
"""

import hashlib
import json
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import fsspec
import yaml
from fsspec import AbstractFileSystem

from curate.errors import CurateError, InputError
from curate.identity import work_key
from curate.mixes.failing import in_one_line
from curate.mixes.versions import git
from curate.workspace import Workspace

_ROOM = "Make room, then run it again: what has come is kept"
_BEGUN, _ABANDONED_S = ".getting-", 24 * 3600
_FIX = "They must be in .dvc/cache or on the remote: `dvc remote list`, and `dvc push` where it was built"


@dataclass(frozen=True)
class Remote:
    """A DVC remote as fsspec sees it. root: under which objects lie at ab/cdef..., as they do in DVC's cache."""

    system: AbstractFileSystem
    root: str

    def path(self, md5: str) -> str:
        return f"{self.root}/{md5[:2]}/{md5[2:]}"


@dataclass(frozen=True)
class MixFiles:
    """The files of a mix at a commit. Safe to use from several threads, and to send to other processes.

    Attributes:
        where: which version, for errors.
        hashes: MD5 of each file by its path in the version's directory.
        cache: DVC's.
        fetched: where `fetch` keeps files.
        remote: None where the workspace has none.
    """

    where: str
    hashes: dict[str, str]
    cache: Path
    fetched: Path
    remote: Remote | None

    @property
    def key(self) -> str:
        """One hash over all files."""
        return work_key(self.hashes)

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Bytes of each file by path."""
        with ThreadPoolExecutor(8) as threads:
            return dict(zip(self.hashes, threads.map(self._size, self.hashes), strict=True))

    def local(self, path: str) -> Path | None:
        """Where a file lies on this machine; None where only the remote can have it. Not to be written to."""
        for place in (self.place(path), _object(self.cache, self.hashes[path])):
            if place.is_file():
                return place
        return None

    def place(self, path: str) -> Path:
        """Where `fetch` puts a file: by its content, so that versions share it."""
        return _object(self.fetched, self.hashes[path]).with_suffix(Path(path).suffix)

    def has(self, path: str) -> bool:
        """Whether the file can still be had: what a retired version held alone is gone."""
        if path not in self.hashes:
            return False
        if self.local(path) is not None:
            return True
        with self._reading(path):
            return self.remote is not None and bool(self.remote.system.exists(self.remote.path(self.hashes[path])))

    def read(self, path: str, offset: int = 0, size: int | None = None) -> bytes:
        """A slice of a file, without the rest of it being read or sent.

        Raises:
            CurateError: it is neither here nor on the remote, or the remote does not answer.
        """
        local = self.local(path)
        end = None if size is None else offset + size
        with self._reading(path):
            if local is None:
                remote = self._remote(path)
                content: bytes = remote.system.cat_file(remote.path(self.hashes[path]), start=offset, end=end)
            else:
                with local.open("rb", buffering=0) as file:
                    file.seek(offset)
                    content = file.read(-1 if size is None else size)
        if size is not None and len(content) != size:
            raise self._missing(path, f"it ends after {offset + len(content)} bytes")
        return content

    def get(self, path: str, target: Path) -> None:
        """Puts a file at `target` in one step: as a hard link where it is on this disk, else a copy.

        Raises:
            CurateError: it is neither here nor on the remote, or what came is not what was published.
        """
        local = self.local(path)
        with in_one_line(f"{path} cannot be kept here", where=self.where, fix=_ROOM, kinds=OSError):
            target.parent.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=_BEGUN)
            os.close(descriptor)
            temporary = Path(name)
            try:
                if local is not None:
                    link(local, temporary)
                else:
                    self._download(path, temporary)
                temporary.replace(target)
            finally:
                temporary.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Removes what fetches that were killed long ago had begun."""
        for begun in self.fetched.glob(f"*/{_BEGUN}*"):
            with suppress(FileNotFoundError):  # another process swept it, or has finished it
                if time.time() - begun.stat().st_mtime > _ABANDONED_S:
                    begun.unlink()

    def _download(self, path: str, target: Path) -> None:
        remote = self._remote(path)
        with self._reading(path):
            remote.system.get_file(remote.path(self.hashes[path]), str(target))
            with target.open("rb") as file:
                digest = hashlib.file_digest(file, "md5").hexdigest()
        if digest != self.hashes[path]:
            raise self._missing(path, "what the remote holds under its name is damaged")

    def _size(self, path: str) -> int:
        local = self.local(path)
        if local is not None:
            return local.stat().st_size
        with self._reading(path):
            remote = self._remote(path)
            return int(remote.system.info(remote.path(self.hashes[path]))["size"])

    def _remote(self, path: str) -> Remote:
        if self.remote is None:
            raise self._missing(path, "it is not in the cache, and there is no remote")
        return self.remote

    @contextmanager
    def _reading(self, path: str) -> Iterator[None]:
        """Each kind of remote has its own errors: whatever it raises says that the file cannot be read."""
        try:
            yield
        except CurateError:
            raise
        except Exception as error:
            raise self._missing(path, f"{type(error).__name__}: {' '.join(str(error).split())}") from error

    def _missing(self, path: str, why: str) -> CurateError:
        return CurateError(f"{path} cannot be read: {why}", where=self.where, fix=_FIX)


def open_files(workspace: Workspace, name: str, commit: str) -> MixFiles:
    """The files of a mix at a commit, through the cache and the remote of today, not through those of the commit.

    Raises:
        InputError: the commit holds no such mix.
        CurateError: DVC is not set up here, or the list of files is neither in its cache nor on the remote.
    """
    where = f"mix {name} at {commit[:12]}"
    pinned = yaml.safe_load(git(workspace.root, "show", f"{commit}:./data.dvc", check=False)) or {}
    cache, remote = _stores(workspace, where)
    listing = MixFiles(
        where=where,
        hashes={out["path"]: out["md5"] for out in pinned.get("outs", ())},
        cache=cache,
        fetched=workspace.cache("mixes") / "files",
        remote=remote,
    )
    entries: list[dict[str, str]] = json.loads(listing.read("data")) if listing.hashes else []
    top = f"{name}/"
    hashes = {entry["relpath"].removeprefix(top): entry["md5"] for entry in entries if entry["relpath"].startswith(top)}
    if not hashes:
        raise InputError(f"no mix {name!r} at this revision", where=where, fix="`curate mix list` shows all")
    return MixFiles(where, dict(sorted(hashes.items())), cache, listing.fetched, remote)


def link(source: Path, target: Path) -> None:
    """Puts a file that is never written to at a second place: the same bytes on disk, a copy across disks."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _object(directory: Path, md5: str) -> Path:
    return directory / md5[:2] / md5[2:]


def _stores(workspace: Workspace, where: str) -> tuple[Path, Remote | None]:
    """DVC's cache, and its default remote, as the workspace's configuration has them now."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(workspace.root)) as repo:
            cache = Path(repo.cache.local.path)
            return cache, _remote(repo) if repo.config["core"].get("remote") else None
    except (DvcException, OSError, sqlite3.Error) as error:
        raise CurateError(f"DVC: {' '.join(str(error).split())}", where=where, fix=_FIX) from error


def _remote(repo: Any) -> Remote:
    store = repo.cloud.get_remote().odb
    system = fsspec.filesystem("file") if store.fs.protocol == "local" else store.fs.fs
    return Remote(system, store.path.rstrip("/"))
