"""Packs: immutable files that hold the media or the vectors of many clips, so that a new version shares most bytes.

DVC stores whole files, so a file that changes by one clip is stored again. A pack therefore never changes: a version
takes over the packs of the one before, some of whose clips it may no longer use, and adds new ones. `plan_packs` weighs
the bytes that lie unused in a pack against those that it costs to write the used ones again, as a log-structured file
system cleans its segments (Rosenblum and Ousterhout, 1992), with a bound on what one version may rewrite.

A media pack is a ZIP whose members are stored as they are, so a clip is a slice of it: one read, or one range request.
A pack's name is a hash over its members' bytes, and nothing in it says when it was made: the same members are the same
file.
"""

import hashlib
import os
import struct
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

MEDIA, FRAMES = "media", "frames"
"""Directories of a version."""

_KEPT_LIVE = 0.5
_FLOOR_LIVE = 0.25
_REWRITE_OF_ADDED, _REWRITE_OF_LIVE = 0.7, 0.02
_LEAST_BYTES, _MOST_BYTES, _PACKS = 1 << 20, 256 << 20, 32
_LOCAL_HEADER = struct.Struct("<26xHH")


@dataclass(frozen=True)
class Pack:
    """A pack of a version.

    Attributes:
        path: in the version's directory: media/SPLIT-HASH.zip or frames/SPLIT-HASH.parquet.
        bytes: of the file.
        members: clip ids, sorted.
        md5s: of each member's bytes.
        sizes: of each member, in bytes.
        offsets: where each member's bytes begin in the file; none for vectors.
    """

    path: str
    bytes: int
    members: tuple[str, ...]
    md5s: tuple[str, ...]
    sizes: tuple[int, ...]
    offsets: tuple[int, ...] = ()

    @property
    def kind(self) -> str:
        return self.path.split("/")[0]

    @property
    def split(self) -> str:
        return self.path.split("/")[1].rsplit("-", 1)[0]

    def record(self) -> dict[str, Any]:
        """As a lock has it."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


@dataclass(frozen=True)
class PackPlan:
    """kept: packs that the next version takes over; new: the clip ids of each pack to write."""

    kept: tuple[Pack, ...]
    new: tuple[tuple[str, ...], ...]


def packs_of(lock: Mapping[str, Any]) -> list[Pack]:
    """The packs that a lock lists; none where the version is older than packs."""
    lists = ("members", "md5s", "sizes", "offsets")
    return [
        Pack(record["path"], record["bytes"], *(tuple(record[name]) for name in lists))
        for record in lock.get("packs", ())
    ]


def pack_bytes(live_bytes: int) -> int:
    """How large new packs are to be: small against the whole, so that one can be rewritten alone, but few files."""
    return min(max(live_bytes // _PACKS, _LEAST_BYTES), _MOST_BYTES)


def plan_packs(
    previous: Sequence[Pack], live: Mapping[str, int], *, target_bytes: int, refused: frozenset[str] = frozenset()
) -> PackPlan:
    """Which packs the next version of one split keeps, and what goes into new ones.

    Every live clip is in exactly one kept or new pack. A pack is dissolved, its live clips rewritten, where less than
    half of its bytes are live, and where it is smaller than what is written anyway, which bounds the number of packs
    and writes a clip again O(log n) times. A version rewrites at most 0.7 of what it adds, or 2% of what is
    live, the emptiest packs first; so a change of 5% adds less than 9%. Without regard to that, packs under a quarter
    live are dissolved, which bounds the bytes of all kept packs by four times their live bytes.

    Args:
        previous: of the version before, of one kind and split.
        live: size in bytes of every clip that the next version holds.
        target_bytes: of a new pack; only a clip that is larger makes a larger one.
        refused: clips that no pack may hold from now on, live or not: a pack that does is dissolved at once. A live one
            is packed anew.
    """
    packs = {pack.path: pack for pack in previous}
    home: dict[str, str] = {}
    for path in sorted(packs):
        for clip in packs[path].members:
            if clip in live:
                home.setdefault(clip, path)
    used = dict.fromkeys(packs, 0)
    for clip, path in home.items():
        used[path] += live[clip]
    dissolved = {path for path in packs if not used[path] or not refused.isdisjoint(packs[path].members)}
    added = sum(size for clip, size in live.items() if clip not in home or home[clip] in dissolved)
    budget = max(_REWRITE_OF_ADDED * added, _REWRITE_OF_LIVE * sum(live.values()))

    fill = {path: used[path] / max(pack.bytes, 1) for path, pack in packs.items()}
    rewritten = 0
    for path in sorted(packs.keys() - dissolved, key=lambda path: (fill[path], path)):
        if fill[path] < _FLOOR_LIVE or (fill[path] < _KEPT_LIVE and rewritten + used[path] <= budget):
            dissolved.add(path)
            rewritten += used[path]
    for path in sorted(packs.keys() - dissolved, key=lambda path: (used[path], path)):
        small = used[path] <= min(target_bytes / 2, added + rewritten)
        if small and rewritten + used[path] <= budget:
            dissolved.add(path)
            rewritten += used[path]

    loose = sorted(clip for clip in live if clip not in home or home[clip] in dissolved)
    kept = tuple(packs[path] for path in sorted(packs.keys() - dissolved))
    return PackPlan(kept, tuple(_chunks(loose, live, target_bytes)))


def write_media_pack(
    directory: Path, split: str, clip_ids: Sequence[str], content: Callable[[str], bytes]
) -> tuple[Pack, Path]:
    """Writes media/SPLIT-HASH.zip under `directory`: a member CLIP_ID.mp4 for each clip.

    Args:
        content: the mp4 of a clip.
    """
    members = sorted(clip_ids)
    temporary = _temporary(directory / MEDIA, split)
    md5s, sizes = [], []
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for clip in members:
            mp4 = content(clip)
            info = zipfile.ZipInfo(f"{clip}.mp4")  # 1980-01-01: a ZIP must say some date
            info.create_system, info.external_attr = 3, 0o644 << 16
            archive.writestr(info, mp4)
            md5s.append(hashlib.md5(mp4).hexdigest())
            sizes.append(len(mp4))
        headers = [info.header_offset for info in archive.infolist()]
    with temporary.open("rb") as file:
        offsets = [_data_offset(file.fileno(), header) for header in headers]
    return _named(directory, temporary, f"{MEDIA}/{split}", ".zip", members, md5s, sizes, offsets)


def write_frames_pack(
    directory: Path,
    split: str,
    clip_ids: Sequence[str],
    write: Callable[[Path, list[str]], tuple[list[str], list[int]]],
) -> tuple[Pack, Path]:
    """Writes frames/SPLIT-HASH.parquet under `directory`.

    Args:
        write: writes the vectors of sorted clips to a path; returns each clip's MD5 and size in bytes.
    """
    members = sorted(clip_ids)
    temporary = _temporary(directory / FRAMES, split)
    md5s, sizes = write(temporary, members)
    return _named(directory, temporary, f"{FRAMES}/{split}", ".parquet", members, md5s, sizes, [])


def _named(
    directory: Path, temporary: Path, stem: str, suffix: str, members: list[str], md5s: list[str], sizes: list[int],
    offsets: list[int],
) -> tuple[Pack, Path]:  # fmt: skip
    lines = "".join(f"{clip} {md5}\n" for clip, md5 in zip(members, md5s, strict=True))
    path = f"{stem}-{hashlib.sha256(lines.encode()).hexdigest()[:16]}{suffix}"
    temporary.replace(directory / path)
    size_bytes = (directory / path).stat().st_size
    return Pack(path, size_bytes, tuple(members), tuple(md5s), tuple(sizes), tuple(offsets)), directory / path


def _temporary(directory: Path, split: str) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    return directory / f".{split}.part"


def _data_offset(descriptor: int, header: int) -> int:
    """Where a stored member's bytes begin: after its local header, its name and its extra field."""
    name, extra = _LOCAL_HEADER.unpack(os.pread(descriptor, _LOCAL_HEADER.size, header))
    return header + _LOCAL_HEADER.size + name + extra


def _chunks(clips: Sequence[str], sizes: Mapping[str, int], target_bytes: int) -> list[tuple[str, ...]]:
    """Runs of clips of about equal bytes, none over the target unless one clip alone is."""
    total = sum(sizes[clip] for clip in clips)
    even = total / max(-(-total // max(target_bytes, 1)), 1)
    chunks: list[list[str]] = []
    filled = 0
    for clip in clips:
        if not chunks or filled >= even or filled + sizes[clip] > target_bytes:
            chunks.append([])
            filled = 0
        chunks[-1].append(clip)
        filled += sizes[clip]
    return [tuple(chunk) for chunk in chunks]
