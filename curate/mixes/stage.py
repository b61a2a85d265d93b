"""The directory of a version before it is published: packs of the version before by hard link, new packs, and rows.

What a kept pack holds is neither cut nor written again, and clips of a pack that is dissolved are copied out of it, so
a build needs the sources only of clips that the version before does not hold. Files of that version are taken from
data/ where they are as published (DVC then knows their hashes already), else from DVC's cache, else from the remote.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import polars as pl

from curate.mixes.cuts import cut_media
from curate.mixes.files import MixFiles, link
from curate.mixes.packs import (
    FRAMES,
    MEDIA,
    Pack,
    PackPlan,
    pack_bytes,
    plan_packs,
    write_frames_pack,
    write_media_pack,
)
from curate.mixes.rows import carried_labels, frame_digests, labels_by_clip, write_frames, write_rows
from curate.mixes.split import SPLITS
from curate.mixes.supply import Supply
from curate.progress import Progress, silent
from curate.workspace import Workspace

_PLACES = {"clip_id": pl.String, "pack": pl.String, "offset": pl.Int64, "size": pl.Int64}


def stage(
    workspace: Workspace,
    directory: Path,
    name: str,
    chosen: pl.DataFrame,
    supply: Supply,
    *,
    before: tuple[MixFiles, list[Pack]] | None,
    refused: frozenset[str] = frozenset(),
    progress: Progress = silent,
) -> list[Pack]:
    """Fills `directory` with rows, media and vectors of a version; returns its packs.

    Args:
        directory: empty, on the file system of data/.
        chosen: as `curate.mixes.draft.Draft`.
        before: files and packs of the version before.
        refused: clips that no pack may hold any more.

    Raises:
        CurateError: clips cannot be cut, or a file of the version before cannot be read.
    """
    files, previous = before or (None, [])
    packs = [pack for pack in previous if files is not None and files.has(pack.path)]
    held = {
        (kind, split): [pack for pack in packs if (pack.kind, pack.split) == (kind, split)]
        for kind in (MEDIA, FRAMES)
        for split in SPLITS
    }
    cuts = cut_media(workspace, _not_packed(chosen, held, refused), progress=progress)
    found: list[Pack] = []
    with _Sources(workspace, name, files) as sources:
        for split in SPLITS:
            part = chosen.filter(pl.col("split") == split).sort("clip_id")
            if part.is_empty():
                continue
            media = _media(directory, split, part["clip_id"].to_list(), held[MEDIA, split], cuts, sources, refused)
            found += [*media, *_frames(directory, split, part, held[FRAMES, split], sources, refused)]
            labels = labels_by_clip(carried_labels(supply.labels, part))
            nothing = pl.lit([], dtype=labels.schema["labels"])
            rows = part.join(labels, on="clip_id", how="left").with_columns(
                pl.col("labels").fill_null(nothing), embedding_model=pl.lit(supply.embedding_model)
            )
            write_rows(directory, split, rows, _places(part["clip_id"], media))
    return found


class _Sources:
    """Where files of the version before are taken from."""

    def __init__(self, workspace: Workspace, name: str, files: MixFiles | None) -> None:
        self._root, self._data, self._files = workspace.root, workspace.data / name, files
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @property
    def files(self) -> MixFiles:
        assert self._files is not None, "there is no pack to take without a version before"
        return self._files

    def take(self, pack: Pack, directory: Path) -> None:
        here, target = self._data / pack.path, directory / pack.path
        target.parent.mkdir(parents=True, exist_ok=True)
        if here.is_file() and self._md5(here) == self.files.hashes[pack.path]:
            link(here, target)
        else:
            self.files.get(pack.path, target)

    def _md5(self, path: Path) -> str:
        """A file's MD5 through DVC's memory of it, so that what has not changed since is not read."""
        from dvc_data.hashfile.hash import hash_file
        from dvc_objects.fs.local import LocalFileSystem

        return str(hash_file(str(path), LocalFileSystem(), "md5", state=self._repo.state)[1].value)

    @cached_property
    def _repo(self) -> Any:
        from dvc.repo import Repo

        return self._open.enter_context(Repo(str(self._root)))


def _not_packed(
    chosen: pl.DataFrame, held: Mapping[tuple[str, str], list[Pack]], refused: frozenset[str]
) -> pl.DataFrame:
    """The clips whose media no pack of their split has, or whose pack must go."""
    packed = [
        (split, clip)
        for (kind, split), packs in held.items()
        if kind == MEDIA
        for pack in packs
        for clip in pack.members
        if clip not in refused
    ]
    known = pl.DataFrame(packed, schema={"split": pl.String, "clip_id": pl.String}, orient="row")
    return chosen.join(known, on=["split", "clip_id"], how="anti")


def _media(
    directory: Path,
    split: str,
    clip_ids: list[str],
    packs: list[Pack],
    cuts: Mapping[str, Path],
    sources: _Sources,
    refused: frozenset[str],
) -> list[Pack]:
    before = {
        clip: (pack.path, offset, size)
        for pack in packs
        for clip, offset, size in zip(pack.members, pack.offsets, pack.sizes, strict=True)
    }
    live = {clip: cuts[clip].stat().st_size if clip in cuts else before[clip][2] for clip in clip_ids}

    def content(clip: str) -> bytes:
        return cuts[clip].read_bytes() if clip in cuts else sources.files.read(*before[clip])

    return _write(
        directory, packs, live, refused, sources, lambda clips: write_media_pack(directory, split, clips, content)[0]
    )


def _frames(
    directory: Path,
    split: str,
    part: pl.DataFrame,
    packs: list[Pack],
    sources: _Sources,
    refused: frozenset[str],
) -> list[Pack]:
    """Packs of vectors. One whose clip has other vectors now, as after a change of the model, is dissolved."""
    frames = part.filter(pl.col("frame_times_s").list.len() > 0)
    md5s, sizes = frame_digests(frames)
    live = dict(zip(frames["clip_id"], sizes, strict=True))
    now = dict(zip(frames["clip_id"], md5s, strict=True))
    stale = {
        clip for pack in packs for clip, md5 in zip(pack.members, pack.md5s, strict=True) if now.get(clip, md5) != md5
    }

    def content(path: Path, clips: list[str]) -> tuple[list[str], list[int]]:
        rows = frames.filter(pl.col("clip_id").is_in(clips))
        write_frames(path, rows)
        return [now[clip] for clip in clips], [live[clip] for clip in clips]

    return _write(
        directory, packs, live, refused | stale, sources,
        lambda clips: write_frames_pack(directory, split, clips, content)[0],
    )  # fmt: skip


def _write(
    directory: Path,
    packs: list[Pack],
    live: Mapping[str, int],
    refused: frozenset[str],
    sources: _Sources,
    write: Callable[[tuple[str, ...]], Pack],
) -> list[Pack]:
    plan: PackPlan = plan_packs(packs, live, target_bytes=pack_bytes(sum(live.values())), refused=refused)
    for pack in plan.kept:
        sources.take(pack, directory)
    return sorted([*plan.kept, *map(write, plan.new)], key=lambda pack: pack.path)


def _places(clip_ids: pl.Series, packs: Iterable[Pack]) -> pl.DataFrame:
    """Where each clip lies: clip_id, pack, offset, size."""
    every = [
        pl.DataFrame({"clip_id": pack.members, "offset": pack.offsets, "size": pack.sizes}, schema_overrides=_PLACES)
        .select("clip_id", pl.lit(pack.path).alias("pack"), "offset", "size")
        for pack in packs
    ]  # fmt: skip
    return pl.concat(every).join(clip_ids.to_frame(), on="clip_id", how="semi").unique("clip_id", keep="first")
