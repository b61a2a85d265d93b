"""Fetches URLs into files, once each: resumed where it was cut off, hashed as the bytes arrive.

A URL's bytes gather in `<hash of the URL>.part`, beside a `.json` that says what they are part of: the server's ETag or
date, and the length. A later try asks for the rest under `If-Range`, so what changed on the server since comes whole
and anew; without an ETag or date nothing is resumed. The finished file is renamed into place in one step and its
`video_id` kept, so no byte is read twice but those of a part that is resumed. A URL that has been fetched is not asked
for again: footage under a URL is taken to stay what it was. To fetch it anew, delete its file.
"""

import email.message
import hashlib
import json
import mimetypes
import os
import re
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from urllib3.response import BaseHTTPResponse

from curate.identity import work_key
from curate.progress import Progress, silent
from curate.sources.request import DownloadError, PassingError, open_url
from curate.specs.source import Download

_BLOCK_BYTES = 1 << 18
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 60.0
_SUFFIX = re.compile(r"\.[a-z0-9]{2,5}")


@dataclass(frozen=True)
class Fetched:
    """A file that is here: its bytes' hash is the video_id."""

    path: Path
    size_bytes: int
    video_id: str


@dataclass(frozen=True)
class _State:
    """What the bytes of a part, or of a finished file, are: as the server said, but for `video_id`."""

    suffix: str = ""
    etag: str = ""
    modified: str = ""
    size_bytes: int | None = None
    video_id: str = ""

    @property
    def validator(self) -> str:
        """What `If-Range` may name: a strong ETag, else the date."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.modified


def fetch_all(
    urls: Sequence[str], directory: Path, limits: Download, progress: Progress = silent
) -> Iterator[tuple[str, Fetched | str]]:
    """Each URL with its file, or with why it has none, in the order they finish; a few at the same time."""
    stopped = threading.Event()
    pool = ThreadPoolExecutor(limits.at_once, thread_name_prefix="download")
    try:
        running = {pool.submit(_fetched, url, directory, limits, stopped.is_set): url for url in urls}
        for done, future in enumerate(as_completed(running), 1):
            yield running[future], future.result()
            progress("downloads", done, len(urls))
    finally:
        stopped.set()
        pool.shutdown(cancel_futures=True)


def fetch(
    url: str,
    directory: Path,
    limits: Download,
    stopped: Callable[[], bool] = lambda: False,
    hosts: Collection[str] | None = None,
) -> Fetched:
    """The file of `url`, in `directory`; fetched, or what is left of it, unless it is there.

    Args:
        stopped: asked now and then whether to give up.
        hosts: see `request.open_url`.

    Raises:
        DownloadError: it cannot be had within the limits. What has arrived stays, and the next call goes on from it.
    """
    place = _Place(directory, work_key("url", url))
    deadline_s = time.monotonic() + limits.timeout_s
    furthest = tries = 0
    while True:
        try:
            return place.complete() or _attempt(url, place, limits, deadline_s, stopped, hosts)
        except PassingError as error:
            reached = place.size_bytes
            tries = 0 if reached > furthest else tries + 1
            furthest = max(furthest, reached)
            wait_s = max(error.wait_s, min(_FIRST_WAIT_S * 2**tries, _LONGEST_WAIT_S))
            if tries > limits.retries or time.monotonic() + wait_s > deadline_s:
                raise
            _wait(wait_s, stopped)


def _fetched(url: str, directory: Path, limits: Download, stopped: Callable[[], bool]) -> Fetched | str:
    try:
        return fetch(url, directory, limits, stopped)
    except DownloadError as error:
        return error.what
    except OSError as error:
        return f"cannot be written: {error.strerror}"


class _Place:
    """Where one URL's part, state and file are."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory, self._name = directory, name
        self.part = directory / f"{name}.part"
        self._state = directory / f"{name}.json"

    @property
    def size_bytes(self) -> int:
        """How much of the part is here."""
        return self.part.stat().st_size if self.part.exists() else 0

    def state(self) -> _State:
        try:
            return _State(**json.loads(self._state.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return _State()

    def save(self, state: _State) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        written = self._state.with_suffix(".json.new")
        written.write_text(json.dumps(asdict(state)))
        written.replace(self._state)

    def complete(self) -> Fetched | None:
        """The finished file; a part that lacked only its last step is finished now."""
        state = self.state()
        final = self._directory / f"{self._name}{state.suffix}"
        if state.size_bytes is None:
            return None
        if state.video_id and final.is_file() and final.stat().st_size == state.size_bytes:
            return Fetched(final, state.size_bytes, state.video_id)
        if self.size_bytes == state.size_bytes > 0:
            return self.finish(state, _digest_of(self.part))
        return None

    def finish(self, state: _State, digest: Any) -> Fetched:
        """Names the part as the file it is. The state goes first: whatever ends the process, the rest is done later."""
        size_bytes, video_id = self.size_bytes, digest.hexdigest()[:16]
        self.save(replace(state, size_bytes=size_bytes, video_id=video_id))
        final = self._directory / f"{self._name}{state.suffix}"
        self.part.replace(final)
        return Fetched(final, size_bytes, video_id)


def _attempt(
    url: str,
    place: _Place,
    limits: Download,
    deadline_s: float,
    stopped: Callable[[], bool],
    hosts: Collection[str] | None,
) -> Fetched:
    """One request for what is missing."""
    before = place.state()
    have = place.size_bytes if before.validator and not before.video_id else 0
    headers = {"Range": f"bytes={have}-", "If-Range": before.validator} if have else {}
    with open_url(url, headers, limits, deadline_s, hosts) as response:
        if response.status in (206, 416) and not _goes_on(response, before, have):
            place.part.unlink(missing_ok=True)
            raise PassingError("changed on the server while it was fetched")
        state = before if response.status == 206 else _begun(response, url)
        if (state.size_bytes or 0) > limits.max_bytes:
            raise DownloadError(f"holds {state.size_bytes:,} bytes, more than max_bytes {limits.max_bytes:,}")
        if response.status != 206:
            have = 0
            place.part.unlink(missing_ok=True)  # before the new state is there: it must not speak for old bytes
            place.save(state)
        digest = _digest_of(place.part) if have else hashlib.sha256()
        with place.part.open("ab" if have else "wb") as file:
            while block := response.read1(_BLOCK_BYTES, decode_content=False):
                have += len(block)
                if have > limits.max_bytes:
                    raise DownloadError(f"holds more than max_bytes {limits.max_bytes:,}")
                _write(file, block)
                digest.update(block)
                if stopped():
                    raise DownloadError("stopped")
            os.fsync(file.fileno())
    if state.size_bytes is not None and have != state.size_bytes:
        raise PassingError(f"ended after {have:,} of {state.size_bytes:,} bytes")
    if have == 0:
        raise (PassingError if state.size_bytes is None else DownloadError)("the file is empty")
    return place.finish(state, digest)


def _begun(response: BaseHTTPResponse, url: str) -> _State:
    """The state of a file that comes from its first byte."""
    kind = email.message.Message()
    kind["content-type"] = response.headers.get("Content-Type", "application/octet-stream")
    if response.status != 200:
        raise DownloadError(f"the server answers {response.status}, not a file")
    if kind.get_content_type() == "text/html":
        raise DownloadError("a web page (text/html), not a video")
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise DownloadError(
            f"comes in content encoding {response.headers['Content-Encoding']}, which was not asked for"
        )
    suffix = PurePosixPath(unquote(urlsplit(url).path)).suffix.lower()
    if not _SUFFIX.fullmatch(suffix) or suffix in (".part", ".json"):
        suffix = mimetypes.guess_extension(kind.get_content_type()) or ".bin"
    length = response.headers.get("Content-Length", "")
    return _State(
        suffix=suffix,
        etag=response.headers.get("ETag", ""),
        modified=response.headers.get("Last-Modified", ""),
        size_bytes=int(length) if length.isdecimal() else None,
    )


def _goes_on(response: BaseHTTPResponse, before: _State, have: int) -> bool:
    """Whether an answer to `Range` is the rest of the same file."""
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    if response.status == 416 or not found or int(found[1]) != have:
        return False
    same_size = found[2] == "*" or before.size_bytes in (None, int(found[2]))
    return same_size and response.headers.get("ETag", before.etag) == before.etag


def _write(file: Any, block: bytes) -> None:
    try:
        file.write(block)
    except OSError as error:
        raise DownloadError(f"cannot be written: {error.strerror}") from None


def _digest_of(path: Path) -> Any:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest


def _wait(wait_s: float, stopped: Callable[[], bool]) -> None:
    until_s = time.monotonic() + wait_s
    while time.monotonic() < until_s:
        if stopped():
            raise DownloadError("stopped")
        time.sleep(min(0.1, wait_s))
