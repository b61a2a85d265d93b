"""Slices of packs: where a clip's bytes lie, and how they are read from this disk."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from curate.errors import CurateError


@dataclass(frozen=True)
class Clip:
    """One clip to decode: `size` bytes at `offset` of `pack`, which its source knows by this name."""

    clip_id: str
    pack: str
    offset: int
    size: int
    duration_s: float


class Source(Protocol):
    """Reads slices of packs, from several threads at once; it can be pickled. `MixFiles` is one."""

    def read(self, path: str, offset: int, size: int) -> bytes: ...


@dataclass(frozen=True)
class Disk:
    """Packs by their paths on this machine, relative ones from `directory`."""

    directory: Path = Path()

    def read(self, path: str, offset: int, size: int) -> bytes:
        """A slice of a file.

        Raises:
            CurateError: it is not there, or ends before.
        """
        place = self.directory / path
        try:
            descriptor = os.open(place, os.O_RDONLY)
            try:
                content = os.pread(descriptor, size, offset)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise CurateError(f"cannot be read: {error.strerror}", where=place, fix="Pull the mix again") from error
        if len(content) != size:
            raise CurateError(f"ends after {offset + len(content)} bytes", where=place, fix="Pull the mix again")
        return content
