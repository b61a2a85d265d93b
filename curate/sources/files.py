"""Which files a source holds, and what each is: its content's hash, taken once for each change of the file."""

import os
import re
import stat
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import polars as pl

from curate import views
from curate.catalog import Catalog
from curate.errors import InputError
from curate.identity import file_id, work_key
from curate.progress import Progress, silent
from curate.sources.download import fetch_all
from curate.sources.request import shown
from curate.specs import Source
from curate.specs.source import checked_url
from curate.workspace import Workspace

_COMMIT_S = 5.0


@dataclass(frozen=True)
class SourceFile:
    """A file of a source.

    Attributes:
        item: its name in `outcomes`: "<source>/<relative path>", or "<source>/<host>/<path>" of a URL.
        path: where it is; of a URL, where its download is, empty where there is none.
        video_id: hash of its content; empty where it cannot be read, and `problem` says why.
    """

    item: str
    source: str
    path: str
    licence: str
    size_bytes: int
    modified_ns: int
    video_id: str = ""
    problem: str = ""


def find_files(workspace: Workspace, sources: Iterable[Source], progress: Progress = silent) -> list[SourceFile]:
    """The files of some sources, sorted by item, not yet identified. Hidden ones are left out. URLs are fetched, except
    those that were withdrawn.

    Raises:
        InputError: a source's directory does not exist, or its list holds what is no URL: nothing was fetched then.
    """
    sources = list(sources)
    found = [
        file for source in sources if source.path is not None for file in _files_of(workspace, source.path, source)
    ]
    urls = {source.id: _urls_of(workspace, source) for source in sources if source.path is None}
    for source in sources:
        if source.id in urls:
            found += _downloads(workspace, source, urls[source.id], progress)
    return sorted(found, key=lambda file: file.item)


def identify(catalog: Catalog, found: list[SourceFile], run_id: str, progress: Progress) -> list[SourceFile]:
    """Fills in `video_id`, reading only files whose size or time changed since the catalog saw them."""
    seen = {
        (row["source"], row["path"], row["size_bytes"], row["modified_ns"]): (row["video_id"], row["licence"])
        for row in catalog.read("files").iter_rows(named=True)
    }
    identified: list[SourceFile] = []
    fresh: list[SourceFile] = []
    committed = time.monotonic()
    for number, file in enumerate(found, 1):
        video_id, licence = seen.get((file.source, file.path, file.size_bytes, file.modified_ns), (None, None))
        if not file.video_id:
            file = replace(file, video_id=video_id) if video_id else _hashed(file)
        identified.append(file)
        if not video_id or licence != file.licence:
            fresh.append(file)
        if time.monotonic() - committed > _COMMIT_S:
            _write(catalog, fresh, run_id)
            committed = time.monotonic()
        progress("files", number, len(found))
    _write(catalog, fresh, run_id)
    return identified


def _files_of(workspace: Workspace, place: str, source: Source) -> Iterator[SourceFile]:
    config = workspace.configs / "sources" / f"{source.id}.yaml"
    root = workspace.root / Path(place).expanduser()
    if not root.is_dir():
        raise InputError(f"no directory {place!r}", where=config, fix="Correct `path:`, or make the directory")
    for relative, path in files_below(root, source.include, source.exclude):
        try:
            status = path.stat()
            # A pipe would be waited for, and a device has no end.
            problem = "" if stat.S_ISREG(status.st_mode) else "is no regular file"
            size_bytes, modified_ns = status.st_size, status.st_mtime_ns
        except OSError as error:
            size_bytes, modified_ns, problem = 0, 0, f"cannot be opened: {error.strerror}"
        yield SourceFile(
            item=f"{source.id}/{relative}",
            source=source.id,
            path=str(path),
            licence=source.licence,
            size_bytes=size_bytes,
            modified_ns=modified_ns,
            problem=problem,
        )


def files_below(root: Path, include: Iterable[str], exclude: Iterable[str] = ()) -> Iterator[tuple[str, Path]]:
    """The files below a directory that glob patterns name: (path from there, path). Hidden ones are left out."""
    wanted, unwanted = _matcher(include), _matcher(exclude)
    for directory, names, files in os.walk(root):
        names[:] = [name for name in names if not name.startswith(".")]
        for name in files:
            path = Path(directory, name)
            relative = path.relative_to(root).as_posix()
            if not name.startswith(".") and wanted.fullmatch(relative) and not unwanted.fullmatch(relative):
                yield relative, path


def _urls_of(workspace: Workspace, source: Source) -> list[str]:
    """The URLs of a source, each once."""
    if source.url_list is None:
        return list(dict.fromkeys(source.urls or ()))
    path = workspace.root / Path(source.url_list).expanduser()
    if not path.is_file():
        config = workspace.configs / "sources" / f"{source.id}.yaml"
        raise InputError(f"no file {source.url_list!r}", where=config, fix="Correct `url_list:`, or write the list")
    urls: dict[str, None] = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        url = line.strip()
        if not url or url.startswith("#"):
            continue
        try:
            urls[checked_url(url)] = None
        except ValueError as error:
            raise InputError(f"{shown(url)}: {error}", where=f"{path}:{number}") from None
    return list(urls)


def _downloads(workspace: Workspace, source: Source, urls: list[str], progress: Progress) -> Iterator[SourceFile]:
    directory = workspace.state / "downloads" / source.id
    withdrawn = _withdrawn(workspace.catalog, source, urls)
    yield from withdrawn.values()
    for url, made in fetch_all([url for url in urls if url not in withdrawn], directory, source.download, progress):
        common: dict[str, Any] = {
            "item": f"{source.id}/{_name_of(url)}",
            "source": source.id,
            "licence": source.licence,
        }
        if isinstance(made, str):
            yield SourceFile(**common, path="", size_bytes=0, modified_ns=0, problem=made)
        else:
            yield SourceFile(
                **common,
                path=str(made.path),
                size_bytes=made.size_bytes,
                modified_ns=made.path.stat().st_mtime_ns,
                video_id=made.video_id,
            )


def _withdrawn(catalog: Catalog, source: Source, urls: list[str]) -> dict[str, SourceFile]:
    """The URLs that are not to be fetched again: their content, or all of the source or licence, is withdrawn."""
    held = set(views.withdrawals(catalog).select("kind", "item").collect().iter_rows())
    if not held:
        return {}
    of_source = ("source", source.id) in held or ("licence", source.licence) in held
    outcomes = catalog.scan("outcomes").filter(pl.col("stage") == "collect").select("item", "video_id")
    known = dict(outcomes.collect().iter_rows())
    found = {}
    for url in urls:
        item = f"{source.id}/{_name_of(url)}"
        video_id = known.get(item) or ""
        if of_source or ("video", video_id) in held:
            found[url] = SourceFile(item, source.id, "", source.licence, 0, 0, video_id)
    return found


def _name_of(url: str) -> str:
    """Host and path; a query, which may hold a token, is named by its hash."""
    parts = urlsplit(url)
    scheme = "" if parts.scheme == "https" else f"{parts.scheme}:"
    return f"{scheme}{parts.netloc}{parts.path}{f'?{work_key(parts.query)[:8]}' if parts.query else ''}"


def _matcher(patterns: Iterable[str]) -> re.Pattern[str]:
    """One expression for glob patterns, `**/` included; case does not count, as cameras write .MP4."""
    parts = []
    for pattern in patterns:
        escaped = re.escape(pattern).replace(r"\*\*/", "(?:.*/)?").replace(r"\*\*", ".*")
        parts.append(escaped.replace(r"\*", "[^/]*").replace(r"\?", "[^/]"))
    return re.compile("|".join(f"(?:{part})" for part in parts) or r"(?!)", re.IGNORECASE)


def _hashed(file: SourceFile) -> SourceFile:
    if file.problem:
        return file
    try:
        return replace(file, video_id=file_id(file.path))
    except OSError as error:
        return replace(file, problem=f"cannot be opened: {error.strerror}")


def _write(catalog: Catalog, fresh: list[SourceFile], run_id: str) -> None:
    columns = ("source", "path", "size_bytes", "modified_ns", "licence")
    rows = [{name: getattr(f, name) for name in columns} | {"video_id": f.video_id or None} for f in fresh if f.path]
    catalog.write("files", rows, run_id=run_id)
    fresh.clear()
