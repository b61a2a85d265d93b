"""Opening what a directory holds: the manifest and its segments, or why they cannot be used."""

import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from curate.index import manifest, segment
from curate.index.ask import Part
from curate.index.manifest import Entry, Manifest
from curate.index.segment import DamagedError

_ATTEMPTS = 5


@dataclass(frozen=True)
class Opened:
    """What is in service.

    Attributes:
        held: the manifest, without what is damaged.
        parts: its segments, in order.
        note: what could not be used, and why; "" where all is well.
    """

    held: Manifest
    parts: list[Part]
    note: str

    def without(self, damaged: dict[str, str]) -> "Opened":
        """Leaves out damaged segments, by name, and says why."""
        held = replace(self.held.without(set(damaged)), version="")
        parts = [part for part in self.parts if part.segment.directory.name not in damaged]
        parts = [replace(part, position=position) for position, part in enumerate(parts)]
        return Opened(held, parts, f"{'; '.join(damaged.values())}: these items are made again at the next update")


def open_parts(directory: Path, dim: int, model: str) -> Opened:
    """Opens a directory; tries again where a writer replaced the manifest meanwhile and removed segments."""
    for _ in range(_ATTEMPTS):
        before = _raw(directory)
        held, note = _manifest(directory, dim, model)
        parts: list[Part] = []
        damaged: dict[str, str] = {}
        for entry in held.segments:
            try:
                parts.append(_part(directory, entry, len(parts)))
            except DamagedError as error:
                damaged[entry.name] = str(error)
        if not damaged or _raw(directory) == before:
            break
    opened = Opened(held, parts, note)
    return opened.without(damaged) if damaged else opened


def _raw(directory: Path) -> bytes:
    try:
        return (directory / manifest.NAME).read_bytes()
    except FileNotFoundError:
        return b""


def _manifest(directory: Path, dim: int, model: str) -> tuple[Manifest, str]:
    try:
        held = manifest.read(directory)
    except DamagedError as error:
        return Manifest(dim, model), f"{error}: it is made again at the next update"
    if held is None:
        return Manifest(dim, model), ""
    if (held.dim, held.model) != (dim, model):
        note = f"{directory} is of {held.model} with {held.dim} dimensions, not of {model} with {dim}"
        return Manifest(dim, model, serial=held.serial), f"{note}: it is made again at the next update"
    return held, ""


def _part(directory: Path, entry: Entry, position: int) -> Part:
    try:
        opened = segment.read(directory / entry.name, entry.checksum)
    except FileNotFoundError as error:  # a writer removed it between the checks and the opening
        raise DamagedError(f"{error.filename} is missing") from error
    alive: np.ndarray = np.ones(len(opened.keys), bool)
    if entry.gone:
        try:
            bits = (directory / entry.gone).read_bytes()
        except OSError as error:
            raise DamagedError(f"{directory / entry.gone} cannot be read: {error.strerror}") from error
        if zlib.crc32(bits) != entry.gone_checksum:
            raise DamagedError(f"{directory / entry.gone} has changed since it was written")
        alive = ~np.unpackbits(np.frombuffer(bits, np.uint8), count=len(alive)).astype(bool)
    return Part(position, entry.first, opened, alive)
