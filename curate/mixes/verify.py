"""Proof that no version of any mix leaks: no source video and no leakage group is on two sides.

Sides are the splits. A video must be on one side in all versions of all mixes together, since a model may have been
trained on any of them. Groups are looked at as they were recorded when a version was made, and, for the newest version
of each mix, also as they are known now: later footage may have joined two groups, and the next build parts them.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from curate.dedupe.groups import leakage_groups
from curate.mixes.load import read_lock
from curate.mixes.versions import published_names, versions
from curate.workspace import Workspace

_HISTORY = {
    "mix": pl.String, "revision": pl.String, "newest": pl.Boolean, "clip_id": pl.String, "video_id": pl.String,
    "group_id": pl.String, "split": pl.String,
}  # fmt: skip


@dataclass(frozen=True)
class Leak:
    """A video or a group on two sides. where: `SPLIT of MIX REVISION`, two of them or more."""

    kind: str  # video, group, group as known now
    item: str
    where: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.kind} {self.item} is in {' and in '.join(self.where)}"


def verify(workspace: Workspace, name: str | None = None) -> list[Leak]:
    """Every leak in what is published; [] proves that there is none.

    Args:
        name: only leaks that a version of this mix takes part in.

    Raises:
        CurateError: a version's lock can be read neither from the cache nor from the remote.
    """
    rows = history(workspace)
    found = leaks(rows, leakage_groups(workspace.catalog))
    if name is None:
        return found
    return [leak for leak in found if any(f" of {name} v" in place for place in leak.where)]


def history(workspace: Workspace) -> pl.DataFrame:
    """The clips of every version of every mix: mix, revision, newest, clip_id, video_id, group_id, split."""
    rows = []
    for mix in published_names(workspace):
        known = versions(workspace, mix)
        for version in known:
            lock = read_lock(mix, version.revision, workspace=workspace.root)
            rows.append(clip_rows(mix, version.revision, version is known[-1], lock["clips"]))
    return pl.concat(rows) if rows else pl.DataFrame(schema=_HISTORY)


def clip_rows(mix: str, revision: str, newest: bool, clips: Iterable[dict]) -> pl.DataFrame:
    """The clips of one lock as rows of `history`."""
    return pl.DataFrame(
        [{"mix": mix, "revision": revision, "newest": newest, **{key: clip[key] for key in _HISTORY if key in clip}}
         for clip in clips],
        schema=_HISTORY,
    )  # fmt: skip


def leaks(rows: pl.DataFrame, groups_now: pl.DataFrame) -> list[Leak]:
    """Leaks in rows of `history`.

    Args:
        groups_now: video_id, group_id as the catalog knows them today.
    """
    found = _on_two_sides(rows, "video", ["video_id"])
    found += _on_two_sides(rows, "group", ["mix", "revision", "group_id"])
    now = rows.filter("newest").drop("group_id").join(groups_now.select("video_id", "group_id"), on="video_id")
    known = {(leak.item, leak.where) for leak in found}
    found += [
        leak for leak in _on_two_sides(now, "group as known now", ["group_id"]) if (leak.item, leak.where) not in known
    ]
    return found


def _on_two_sides(rows: pl.DataFrame, kind: str, key: list[str]) -> list[Leak]:
    two = rows.filter(pl.col("split").n_unique().over(key) > 1).sort(*key, "split", "mix", "revision")
    places: defaultdict[tuple, dict[str, None]] = defaultdict(dict)
    for row in two.iter_rows(named=True):
        item = tuple(row[column] for column in key)
        places[item].setdefault(f"{row['split']} of {row['mix']} {row['revision']}")
    return [Leak(kind, str(item[-1]), tuple(where)) for item, where in places.items()]
