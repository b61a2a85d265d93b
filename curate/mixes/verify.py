"""Proof that no version of any mix leaks: no source video, no leakage group and no near-duplicate is on two sides.

Sides are the splits. A video must be on one side in all versions of all mixes together, since a model may have been
trained on any of them. A group that measured, in validation or test, must not train in any later version: groups are
looked at as they were recorded when a version was made, and, for the newest version of each mix, also as they are known
now, where later footage may have joined two groups and the next build parts them.

Groups are only as good as the links that made them. So clips of different sides are also compared themselves, linked
or not: `curate.mixes.near`.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from curate.dedupe.groups import leakage_groups
from curate.mixes.load import read_lock
from curate.mixes.near import Pairs, near_duplicates
from curate.mixes.versions import Version, published_names, versions
from curate.progress import Progress, silent
from curate.workspace import Workspace

_CLIP: dict[str, Any] = {
    "clip_id": pl.String, "video_id": pl.String, "group_id": pl.String, "source": pl.String, "licence": pl.String,
    "start_s": pl.Float64, "end_s": pl.Float64, "split": pl.String, "repeat": pl.Int32, "roles": pl.List(pl.String),
    "labels": pl.String,
}  # fmt: skip
_HISTORY: dict[str, Any] = {"mix": pl.String, "revision": pl.String, "date": pl.String, "newest": pl.Boolean, **_CLIP}
_NOT_YET = "~"
"""Sorts after every date."""
_MADE = pl.concat_str("date", pl.col("revision").str.extract(r"(\d+)").fill_null("").str.zfill(9))
"""In the order of versions: dates know seconds alone."""


@dataclass(frozen=True)
class Leak:
    """What is on two sides.

    Attributes:
        kind: video, group, group as known now, near-duplicate.
        item: the video or the group; of near-duplicates both clips.
        where: `SPLIT of MIX REVISION`, two of them or more.
        similarity: cosine of the two clips' vectors; None where nothing was compared.
        found: what the pair is: exact, copy or semantic.
    """

    kind: str
    item: str
    where: tuple[str, ...]
    similarity: float | None = None
    found: str = ""

    def __str__(self) -> str:
        place = " and in ".join(self.where)
        if self.kind != "near-duplicate":
            return f"{self.kind} {self.item} is in {place}"
        alike = "" if self.similarity is None else f", similarity {self.similarity:.3f}"
        return f"clips {self.item} show the same ({self.found}{alike}) and are in {place}"


@dataclass(frozen=True)
class Proof:
    """What was looked at, and what was found.

    Attributes:
        leaks: what is on two sides; empty proves that nothing is, as far as `unproven` and `unseen` allow.
        parted: near-duplicates that older versions held on two sides and the newest do not: found late, and put right.
        unproven: near pairs without fingerprints of both here, so that nobody can say whether they show the same.
        versions: versions of mixes looked at.
        clips: distinct clips in them.
        compared: pairs of clips near enough to be compared in pixels.
        unseen: clips without a vector that could be searched for.
        capped: clips with more near ones on other sides than were compared.
    """

    leaks: list[Leak]
    parted: list[Leak]
    unproven: list[Leak]
    versions: int
    clips: int
    compared: int
    unseen: int
    capped: int

    def __str__(self) -> str:
        words = f"{len(self.leaks)} leaks in {self.versions} versions, {self.clips} clips, {self.compared} near pairs"
        doubts = (
            (len(self.parted), "near-duplicates are in old versions alone, and parted since"),
            (len(self.unproven), "near pairs could not be compared: no fingerprints here"),
            (self.unseen, "clips have no vector to search for"),
            (self.capped, "clips have more near ones on another side than were compared"),
        )
        return "; ".join([words, *(f"{count} {what}" for count, what in doubts if count)])


def verify(workspace: Workspace, name: str | None = None, *, progress: Progress = silent) -> list[Leak]:
    """Every leak in what is published; [] proves that there is none.

    Args:
        name: only leaks that a version of this mix takes part in.
        progress: told of clips searched and pairs compared.

    Raises:
        CurateError: a version's lock can be read neither from the cache nor from the remote.
    """
    return prove(workspace, name, progress=progress).leaks


def prove(workspace: Workspace, name: str | None = None, *, progress: Progress = silent) -> Proof:
    """`verify`, and what it rests on.

    Raises:
        CurateError: as `verify`.
    """
    rows = history(workspace)
    found = leaks(rows, leakage_groups(workspace.catalog))
    near = near_duplicates(workspace, rows.select("mix", "revision", "clip_id", "video_id", "split"), progress=progress)
    current = still_apart(rows, near.found)
    parted = near.found.join(current, on=["clip_id", "split", "other_id", "other_split"], how="anti")
    told = [[*found, *near_leaks(rows, current)], near_leaks(rows, parted), near_leaks(rows, near.unproven)]
    if name is not None:
        told = [[leak for leak in some if _takes_part(leak, name)] for some in told]
        rows = rows.filter(pl.col("mix") == name)
    looked = rows.select("mix", "revision").n_unique() if rows.height else 0
    return Proof(
        leaks=told[0],
        parted=told[1],
        unproven=told[2],
        versions=looked,
        clips=rows["clip_id"].n_unique(),
        compared=near.compared,
        unseen=near.unseen,
        capped=near.capped,
    )


def history(workspace: Workspace) -> pl.DataFrame:
    """The clips of every version of every mix: mix, revision, date, newest, and the columns of the lock's `clips`.

    What a lock says is kept as a table beside it, so that only new versions are parsed.
    """
    parts = []
    for mix in published_names(workspace):
        known = versions(workspace, mix)
        parts += [_version_rows(workspace, version, newest=version is known[-1]) for version in known]
    return pl.concat(parts) if parts else pl.DataFrame(schema=_HISTORY)


def _version_rows(workspace: Workspace, version: Version, *, newest: bool) -> pl.DataFrame:
    kept = workspace.cache("locks") / f"{version.name}-{version.commit}.clips.parquet"
    clips = _kept(kept)
    if clips is None:
        lock = read_lock(version.name, version.revision, workspace=workspace.root)
        clips = clip_rows(version.name, version.revision, newest, lock["clips"]).select(*_CLIP)
        written = kept.with_suffix(".new")
        clips.write_parquet(written)
        written.replace(kept)
    date = datetime.fromisoformat(version.date).astimezone(UTC).isoformat()
    return _of_version(clips, version.name, version.revision, date, newest=newest)


def _kept(path: Path) -> pl.DataFrame | None:
    """What an earlier call kept; None where it kept nothing, or an earlier release kept other columns."""
    if not path.exists() or pl.read_parquet_schema(path) != _CLIP:
        return None
    return pl.read_parquet(path)


def clip_rows(mix: str, revision: str, newest: bool, clips: Iterable[dict[str, Any]]) -> pl.DataFrame:
    """The clips of one lock as rows of `history`; those of a version that is not published yet come last."""
    found = pl.DataFrame(list(clips), schema=_CLIP)
    return _of_version(found, mix, revision, _NOT_YET, newest=newest)


def _of_version(clips: pl.DataFrame, mix: str, revision: str, date: str, *, newest: bool) -> pl.DataFrame:
    named = {"mix": mix, "revision": revision, "date": date, "newest": newest}
    return clips.with_columns(pl.lit(value).alias(name) for name, value in named.items()).select(*_HISTORY)


def leaks(rows: pl.DataFrame, groups_now: pl.DataFrame) -> list[Leak]:
    """Leaks in rows of `history`, of videos and groups.

    Args:
        groups_now: video_id, group_id as the catalog knows them today.
    """
    found = _on_two_sides(rows, "video", ["video_id"])
    found += _on_two_sides(rows, "group", ["mix", "revision", "group_id"])
    now = rows.drop("group_id").join(groups_now.select("video_id", "group_id"), on="video_id")
    later = [
        *_trained_after_it_measured(rows, "group"),
        *_on_two_sides(now.filter("newest"), "group as known now", ["group_id"]),
        *_trained_after_it_measured(now, "group as known now", newest=True),
    ]
    told: defaultdict[str, list[set[str]]] = defaultdict(list)
    for leak in found:
        told[leak.item].append(set(leak.where))
    for leak in later:
        if not any(set(leak.where) <= places for places in told[leak.item]):
            told[leak.item].append(set(leak.where))
            found.append(leak)
    return found


def near_leaks(rows: pl.DataFrame, pairs: pl.DataFrame) -> list[Leak]:
    """Pairs of `near.Pairs`, each with the places of its clips."""
    if pairs.is_empty():
        return []
    ends = pl.concat([pairs["clip_id"], pairs["other_id"]]).unique().to_frame("clip_id")
    held = rows.join(ends, on="clip_id", how="semi").sort("split", "mix", "date", "revision")
    places: defaultdict[tuple[str, str], dict[str, None]] = defaultdict(dict)
    for clip_id, split, mix, revision in held.select("clip_id", "split", "mix", "revision").iter_rows():
        places[clip_id, split].setdefault(f"{split} of {mix} {revision}")
    named = pairs.select("clip_id", "split", "other_id", "other_split", "similarity", "kind")
    return [
        Leak("near-duplicate", f"{one} and {other}", (*places[one, split], *places[other, other_split]), score, kind)
        for one, split, other, other_split, score, kind in named.iter_rows()
    ]


def still_apart(rows: pl.DataFrame, pairs: pl.DataFrame) -> pl.DataFrame:
    """The pairs that a newest version leaks by: it trains on one of which the other ever measured, or measures on both.

    As with groups: what is found after a version was published is put right by the next one.
    """
    now = rows.filter("newest").select("clip_id", "split", now=pl.lit(value=True)).unique()
    other = now.rename({"clip_id": "other_id", "split": "other_split", "now": "other_now"})
    held = pairs.join(now, on=["clip_id", "split"], how="left").join(other, on=["other_id", "other_split"], how="left")
    trains = ((pl.col("split") == "train") & pl.col("now")) | ((pl.col("other_split") == "train") & pl.col("other_now"))
    return held.filter((trains | (pl.col("now") & pl.col("other_now"))).fill_null(value=False)).select(pairs.columns)


def new_near_duplicates(workspace: Workspace, published: pl.DataFrame, candidate: pl.DataFrame) -> Pairs:
    """Near-duplicates across sides that a candidate version would bring: of its new clips alone, so that it is cheap.

    Args:
        published: of `history`.
        candidate: rows as of `clip_rows`.
    """
    columns = ["mix", "revision", "clip_id", "video_id", "split"]
    new = candidate.join(published, on=["clip_id", "split"], how="anti")["clip_id"].unique()
    return near_duplicates(workspace, pl.concat([published.select(columns), candidate.select(columns)]), new=new)


def _takes_part(leak: Leak, name: str) -> bool:
    return any(place.split(" of ", 1)[1].rsplit(" ", 1)[0] == name for place in leak.where)


def _on_two_sides(rows: pl.DataFrame, kind: str, key: list[str]) -> list[Leak]:
    """What is on more than one side among the rows that have the same `key`, of which the last column names it."""
    sides = rows.select(*key, "split").unique()
    two = sides.group_by(key).len().filter(pl.col("len") > 1)
    return _leaks(rows.join(two, on=key, how="semi"), kind, key)


def _trained_after_it_measured(rows: pl.DataFrame, kind: str, *, newest: bool = False) -> list[Leak]:
    """Groups in train of a version, and in validation or test of an earlier one.

    Args:
        newest: groups in train of the newest version of a mix, and in validation or test of any.
    """
    trains = pl.col("split") == "train"
    rows = rows.with_columns(made=_MADE)
    measured = rows.filter(~trains).group_by("group_id").agg(since=pl.col("made").min())
    after = rows.filter(trains & (pl.col("newest") | pl.lit(not newest))).join(measured, on="group_id")
    after = after.filter(pl.lit(newest) | (pl.col("made") > pl.col("since"))).drop("since")
    before = rows.filter(~trains).join(after, on="group_id", how="semi")
    return _leaks(pl.concat([after, before], how="diagonal"), kind, ["group_id"])


def _leaks(rows: pl.DataFrame, kind: str, key: list[str]) -> list[Leak]:
    places: defaultdict[tuple[str, ...], dict[str, None]] = defaultdict(dict)
    place = pl.format("{} of {} {}", "split", "mix", "revision")
    named = rows.select(*dict.fromkeys((*key, "split", "mix", "date", "revision")), place=place).unique()
    for *item, place in named.sort(*key, "split", "mix", "date", "revision").select(*key, "place").iter_rows():
        places[tuple(item)].setdefault(place)
    return [Leak(kind, str(item[-1]), tuple(where)) for item, where in places.items()]
