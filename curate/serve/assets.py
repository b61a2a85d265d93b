"""Uploaded videos: written to disk as they arrive, named by their content, and gone when nothing needs them.

An asset's id is its `video_id`, so that an upload that is repeated, because its answer was lost, is the same asset.
What was cut off leaves a part that the next start removes.
"""

import hashlib
import os
import re
import threading
import time
import uuid
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from pathlib import Path

from starlette.concurrency import run_in_threadpool

from curate.durable import sync
from curate.errors import CurateError, InputError

_ID = re.compile(r"[0-9a-f]{16}")
_PART = ".part"
_BLOCK_BYTES = 1 << 20


class TooLargeError(InputError):
    """An upload holds more bytes than may be."""


class NoRoomError(CurateError):
    """The uploads that are there leave no room for another."""


@dataclass(frozen=True)
class Asset:
    id: str
    size_bytes: int


class Assets:
    """The uploads in a directory. Methods may be called from any thread.

    Args:
        directory: made if it is missing.
        most_bytes: of one upload.
        most_bytes_together: of all that are kept.
    """

    def __init__(self, directory: Path, *, most_bytes: int, most_bytes_together: int) -> None:
        self._directory, self._most_bytes, self._most_together = directory, most_bytes, most_bytes_together
        self._lock, self._arriving_bytes = threading.Lock(), 0
        directory.mkdir(parents=True, exist_ok=True)
        for part in directory.glob(f"*{_PART}"):
            part.unlink()

    def path(self, asset_id: str) -> Path:
        """Where an asset's bytes are. It will not be removed as an old one for some time from now.

        Raises:
            InputError: there is no such asset, or no longer.
        """
        path = self._directory / asset_id
        with self._lock:
            if not _ID.fullmatch(asset_id) or not path.is_file():
                raise InputError(f"no asset {asset_id!r}", where="video", fix="Upload it with POST /v1/assets")
            os.utime(path)
        return path

    async def receive(self, blocks: AsyncIterator[bytes], expected_bytes: int | None) -> Asset:
        """Writes an upload; it is on disk on return.

        Args:
            expected_bytes: what the client says that it will send.

        Raises:
            TooLargeError, NoRoomError; InputError: nothing, or not all of it, came.
        """
        kept_bytes = self._kept_bytes()
        self._refuse(expected_bytes or 0, kept_bytes + self._arriving_bytes + (expected_bytes or 0))
        part = self._directory / f"{uuid.uuid4().hex}{_PART}"
        digest, size_bytes = hashlib.sha256(), 0
        try:
            with part.open("wb") as file:
                waiting = bytearray()
                async for block in blocks:
                    size_bytes += len(block)
                    self._arriving_bytes += len(block)
                    self._refuse(size_bytes, kept_bytes + self._arriving_bytes)
                    digest.update(block)
                    waiting += block
                    if len(waiting) >= _BLOCK_BYTES:
                        await run_in_threadpool(file.write, bytes(waiting))
                        waiting.clear()
                file.write(waiting)
                if not size_bytes or size_bytes != (expected_bytes or size_bytes):
                    raise InputError(
                        f"{size_bytes:,} bytes came", where="body", fix="Send the video's bytes as the body"
                    )
                await run_in_threadpool(os.fsync, file.fileno())
            asset = Asset(digest.hexdigest()[:16], size_bytes)
            with self._lock:
                part.replace(self._directory / asset.id)
            await run_in_threadpool(sync, self._directory)
            return asset
        finally:
            self._arriving_bytes -= size_bytes
            part.unlink(missing_ok=True)

    def remove_old(self, *, keep_hours: float, needed: Collection[str]) -> int:
        """Removes assets that nobody has named for longer and that no job needs; how many."""
        oldest_s, removed = time.time() - keep_hours * 3600, 0
        for path in self._directory.iterdir():
            if path.name in needed or path.suffix == _PART:
                continue
            with self._lock:
                if path.stat().st_mtime < oldest_s:
                    path.unlink()
                    removed += 1
        return removed

    def _refuse(self, size_bytes: int, together_bytes: int) -> None:
        if size_bytes > self._most_bytes:
            raise TooLargeError(f"more than {self._most_bytes:,} bytes", where="body", fix="Send a smaller video")
        if together_bytes > self._most_together:
            raise NoRoomError(
                "no room for more uploads", where="body", fix="Ask again when older ones have been removed"
            )

    def _kept_bytes(self) -> int:
        with self._lock:
            return sum(path.stat().st_size for path in self._directory.iterdir() if path.suffix != _PART)
