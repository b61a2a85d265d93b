"""Takes away for good what was made of withdrawn footage: here, in DVC's cache, and on the default remote.

Rows of the catalog that picture or describe it, cuts, proxies and pages go. Rows that say where it was, which split it
measured in and what people said of it stay: splits are for ever, and a takedown must be provable.

Versions that hold it are retired: first the tag `retired/NAME/vN`, so that nobody loads half of one, then data/ where
it is what data.dvc pins, then every file of theirs that no version in service needs. lock.json, README.md and plots/
stay. Each step finds what is done already.
"""

import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl
from dvc.repo import Repo

from curate.errors import InputError
from curate.mixes.failing import in_one_line
from curate.mixes.files import MixFiles, open_files
from curate.mixes.load import read_lock
from curate.mixes.packs import packs_of
from curate.mixes.publish import pin, tag
from curate.mixes.retire import retired
from curate.mixes.versions import Version, published_names, versions
from curate.workspace import Workspace

_BY_CLIP = ("embeddings", "fingerprints", "thumbnails", "measures")
_BY_VIDEO = ("triage",)
_ID = re.compile(rb"\b[0-9a-f]{16}\b")


@dataclass(frozen=True)
class Retirement:
    """versions: retired by this run; objects, bytes: files removed from DVC's cache and the remote, counted once."""

    versions: tuple[str, ...] = ()
    objects: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class Erased:
    """rows: taken from the catalog, by table; files: cuts, proxies, downloads and pages; the rest as `Retirement`."""

    rows: dict[str, int]
    files: int
    versions: Retirement = Retirement()

    def with_versions(self, versions: Retirement) -> "Erased":
        return replace(self, versions=versions)


def erase_footage(workspace: Workspace, clips: pl.DataFrame, *, whole: Sequence[str]) -> Erased:
    """Erases what was made of these clips, and of the videos of which all is withdrawn. Hold the lock `collect`.

    Args:
        clips: clip_id.
        whole: video ids.
    """
    catalog, ids = workspace.catalog, clips["clip_id"].unique().sort().to_list()
    rows = {table: catalog.erase(table, "clip_id", ids) for table in _BY_CLIP}
    rows |= {table: catalog.erase(table, "video_id", list(whole)) for table in _BY_VIDEO}
    gone = [*_files_of_clips(workspace, set(ids)), *_downloads(workspace, whole), *_pages(workspace, set(ids))]
    for path in gone:
        path.unlink(missing_ok=True)
    # Derived from all clips, and made again when it is next asked for: an index, and joined rows of versions.
    shutil.rmtree(workspace.state / "index", ignore_errors=True)
    shutil.rmtree(workspace.cache("datasets"), ignore_errors=True)
    return Erased({table: count for table, count in rows.items() if count}, len(gone))


def retire_versions(
    workspace: Workspace, tags: Iterable[tuple[str, str]], gone: set[str], *, item: str, who: str, why: str
) -> Retirement:
    """Retires versions, and removes what only retired ones hold. Hold the lock `mix`.

    Args:
        tags: mix and revision of each version that is not retired yet.
        gone: the clips that may stay in no pack.
        item, who, why: what was withdrawn, told to whoever asks for the version.
    """
    done = []
    for name, revision in tags:
        facts = {"item": item, "who": who, "why": why}
        tag(workspace.root, f"retired/{name}/{revision}", f"Retired: mix {name} {revision}", facts, who, why)
        done.append(f"{name} {revision}")
    out = retired(workspace)
    known = {name: versions(workspace, name) for name in published_names(workspace)}
    for name in sorted({name for name, _ in out}):
        newest = known[name][-1]
        if (name, newest.revision) in out:
            _pin_what_stays(workspace, newest, f"Retire mix {name} {newest.revision}\n\n{why}\n\nBy: {who}\n")
    objects, size_bytes = 0, 0
    if out:
        fix = "Mend it, then run the command again"
        with in_one_line("versions are retired, not all of their files are removed", where=workspace.root, fix=fix):
            objects, size_bytes = _remove_objects(workspace, known, set(out), gone)
    return Retirement(tuple(done), objects, size_bytes)


def _files_of_clips(workspace: Workspace, ids: set[str]) -> list[Path]:
    """Cuts, proxies and whatever else of the caches is named by a clip."""
    return [
        path for path in (workspace.state / "cache").rglob("*") if path.name.split(".")[0] in ids and path.is_file()
    ]


def _downloads(workspace: Workspace, videos: Sequence[str]) -> list[Path]:
    files = workspace.catalog.scan("files").filter(pl.col("video_id").is_in(list(videos))).select("path").collect()
    ours = workspace.state / "downloads"
    return [path for path in map(Path, files["path"]) if ours in path.parents and path.is_file()]


def _pages(workspace: Workspace, ids: set[str]) -> list[Path]:
    """Pages that show one of the clips, thumbnails included."""
    wanted = {clip_id.encode() for clip_id in ids}
    pages = workspace.reports.rglob("*.html") if workspace.reports.is_dir() else ()
    return [page for page in pages if wanted & set(_ID.findall(page.read_bytes()))]


def _stays(path: str) -> bool:
    """Whether a retired version keeps a file: what says what it was, and shows nothing of it."""
    return path in ("lock.json", "README.md") or path.startswith("plots/")


def _pin_what_stays(workspace: Workspace, newest: Version, message: str) -> None:
    """Makes data/NAME hold no more than a retired version keeps, so that data.dvc can be pulled as a whole."""
    try:
        pinned = open_files(workspace, newest.name, "HEAD")
    except InputError:  # this branch does not hold the mix
        return
    if all(_stays(path) for path in pinned.hashes):
        return
    packed = workspace.state / "tmp" / "mix"
    shutil.rmtree(packed, ignore_errors=True)
    for path in filter(_stays, pinned.hashes):
        pinned.get(path, packed / path)
    pin(workspace, newest.name, packed, message)


def _remove_objects(
    workspace: Workspace, known: dict[str, list[Version]], out: set[tuple[str, str]], gone: set[str]
) -> tuple[int, int]:
    """Removes every file that only retired versions hold; how many, and their bytes.

    Packs of a newest version without a withdrawn clip stay: the next version takes them over.
    """
    needed: set[str] = set()
    doomed: dict[str, tuple[MixFiles, str]] = {}
    for name, of_mix in known.items():
        for version in of_mix:
            files = open_files(workspace, name, version.commit)
            if (name, version.revision) not in out:
                needed |= set(files.hashes.values())
                continue
            lock = read_lock(name, version.revision, workspace=workspace.root)
            clean = {pack.path for pack in packs_of(lock) if version is of_mix[-1] and not gone & set(pack.members)}
            for path, md5 in files.hashes.items():
                if _stays(path) or path in clean:
                    needed.add(md5)
                else:
                    doomed[md5] = (files, path)
            shutil.rmtree(workspace.cache("mixes") / f"{name}-{files.key}", ignore_errors=True)
        needed |= _pinned(workspace, name)
    removed = [_remove(*doomed[md5]) for md5 in sorted(doomed.keys() - needed)]
    _forget_remote(workspace)
    return sum(bool(size) for size in removed), sum(removed)


def _pinned(workspace: Workspace, name: str) -> set[str]:
    try:
        return set(open_files(workspace, name, "HEAD").hashes.values())
    except InputError:
        return set()


def _remove(files: MixFiles, path: str) -> int:
    """Removes a file from where it was fetched, the cache and the remote; its bytes, 0 where it was nowhere."""
    md5, size_bytes = files.hashes[path], 0
    if files.remote is not None and files.remote.system.exists(files.remote.path(md5)):
        size_bytes = int(files.remote.system.size(files.remote.path(md5)))
        files.remote.system.rm_file(files.remote.path(md5))
    for place in (files.place(path), files.cache / md5[:2] / md5[2:]):
        if place.is_file():
            size_bytes = place.stat().st_size
            place.unlink()
    return size_bytes


def _forget_remote(workspace: Workspace) -> None:
    """Drops what DVC remembers of the remote's files: it would not push one again that it believes to be there."""
    with Repo(str(workspace.root)) as repo:
        if repo.config["core"].get("remote"):
            repo.cloud.get_remote().index.clear()
