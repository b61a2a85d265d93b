"""The manifest: the one file that says what an index holds. Replacing it is the commit."""

import json
import zlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from curate.index import files
from curate.index.segment import DamagedError

FORMAT = 1
NAME = "manifest"


@dataclass(frozen=True)
class Entry:
    """A segment in service.

    Attributes:
        name: of its directory.
        checksum: of its header.
        first: the number of its first item.
        alive: items not gone.
        gone: name of the file of bits that says which items are gone; "" where none is.
        gone_checksum: of that file.
    """

    name: str
    checksum: int
    first: int
    alive: int
    gone: str = ""
    gone_checksum: int = 0


@dataclass(frozen=True)
class Manifest:
    """Attributes:
    dim, model: what vectors it holds; an index for others is made anew.
    version: of the catalog that it matches.
    serial: commits so far; names of new files carry it, so that none is used twice.
    next_number: the number of the next item that comes in.
    """

    dim: int
    model: str
    version: str = ""
    serial: int = 0
    next_number: int = 0
    segments: tuple[Entry, ...] = ()

    def without(self, names: set[str]) -> "Manifest":
        return replace(self, segments=tuple(entry for entry in self.segments if entry.name not in names))


def read(directory: Path) -> Manifest | None:
    """The manifest in a directory; None where there is none.

    Raises:
        DamagedError: it is torn, or of another format.
    """
    try:
        content = (directory / NAME).read_bytes()
    except FileNotFoundError:
        return None
    head, _, body = content.partition(b"\n")
    if head != _head(body):
        raise DamagedError(f"{directory / NAME} is torn or of another format")
    fields = json.loads(body)
    fields["segments"] = tuple(Entry(**entry) for entry in fields["segments"])
    return Manifest(**fields)


def write(directory: Path, manifest: Manifest) -> None:
    """Commits."""
    body = json.dumps(asdict(manifest), indent=1).encode()
    files.replace(directory / NAME, _head(body) + b"\n" + body)


def _head(body: bytes) -> bytes:
    return f"curate index {FORMAT} {zlib.crc32(body):08x}".encode()
