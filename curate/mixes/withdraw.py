"""A takedown: footage that may not be used any more, and every version of every mix that holds it.

From the moment its rows are in table `withdrawals` no view shows its clips (`curate.views.clips`), so they are in no
search, in no draft of a mix and not sent to annotators; files with its content are not collected again, whatever their
name. A withdrawn clip is a span of its video: cut up anew, the span stays out.

Published versions stay as they are, and say that they hold it when they are loaded, until it is erased
(`curate.mixes.erase`). Which split footage was in is never forgotten: what measured once never trains.

Each step leaves what it did behind, so that an interrupted withdrawal is completed by the same command.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from curate import views
from curate.catalog import Catalog
from curate.decisions import APPROVED, DONE, WITHDRAWAL, Decision, decisions, finish, propose
from curate.errors import InputError
from curate.mixes.erase import Erased, erase_footage, retire_versions
from curate.mixes.load import read_lock
from curate.mixes.packs import packs_of
from curate.mixes.retire import retired
from curate.mixes.verify import history
from curate.mixes.versions import published_names, versions
from curate.workspace import Workspace, new_run_id

_CLIPS = ("clip_id", "video_id", "source", "licence", "start_s", "end_s")
_SAME = ("exact", "copy")


@dataclass(frozen=True)
class Held:
    """A version that holds some of what was asked about, oldest first in lists.

    Attributes:
        newest: of its mix.
        retired: its media is gone.
        clips: of the version's clips.
        packed: clips that its rows do not name, and its packs still hold.
    """

    mix: str
    revision: str
    date: str
    newest: bool
    retired: bool
    clips: int
    packed: int


@dataclass(frozen=True)
class Copy:
    """A clip that shows what a withdrawn clip shows: exact or copy."""

    clip_id: str
    video_id: str
    source: str
    path: str
    kind: str
    withdrawn: bool


@dataclass(frozen=True)
class Withdrawal:
    """What was withdrawn, or put back.

    Attributes:
        item: what was asked for: "source phone", "video 0f3a...".
        undone: it was put back.
        videos, clips: that the catalog or a version knows of it.
        copies: clips elsewhere that show the same.
        held: the versions of mixes that hold it.
        erased: what was erased, if that was asked for.
        footage: files with its content; they are the user's, and stay.
        next: what to do now.
    """

    item: str
    who: str
    why: str
    undone: bool
    videos: int
    clips: int
    copies: tuple[Copy, ...]
    held: tuple[Held, ...]
    erased: Erased | None
    footage: tuple[str, ...]
    next: tuple[str, ...]


@dataclass(frozen=True)
class _Asked:
    """An item, resolved.

    Attributes:
        kind: source, licence, file, video or clip.
        videos: of a clip its own.
        clips: columns of _CLIPS: all that is known of it, in the catalog or in a version.
    """

    kind: str
    name: str
    videos: tuple[str, ...]
    clips: pl.DataFrame

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def withdraw(
    workspace: Workspace,
    item: str,
    *,
    who: str,
    why: str,
    erase: bool = False,
    copies: bool = False,
    undo: bool = False,
) -> Withdrawal:
    """Withdraws footage from all further use, or puts it back.

    Args:
        item: a source, a licence (SPDX), the end of a file's path, a video id or a clip id.
        who, why: kept in `withdrawals` and `decisions`, and shown wherever it is missed.
        erase: also take away all that was made of it here, and retire the published versions that hold it. For good.
        copies: withdraw the clips, too, that show the same: exact and copy duplicates, and their copies.
        undo: put back what was withdrawn by the same name.

    Raises:
        InputError: nothing or more than one thing goes by that name, no reason is given, or it was erased already.
        CurateError: another run holds the workspace's locks, or git, DVC or the remote failed; the same command goes on
            from there.
    """
    if not why.strip():
        raise InputError("a withdrawal without a reason", where=item, fix="Say it with --why")
    if undo and erase:
        raise InputError("what is erased cannot be put back", where=item, fix="Give either of the two")
    with workspace.lock("mix"):
        catalog, rows = workspace.catalog, history(workspace)
        asked = _resolve(workspace, item, rows)
        twins = _copies(catalog, asked)
        decision = _decision(catalog, asked, who, why, erase=erase, copies=copies, undo=undo)
        run_id = new_run_id("withdraw")
        if undo:
            _put_back(catalog, asked, who, why, run_id)
        else:
            taken = pl.DataFrame(schema=asked.clips.schema) if not copies else _spans(catalog, twins)
            _take(catalog, asked, taken, decision.decision_id, who, why, run_id)
        everything = asked.clips if not copies else pl.concat([asked.clips, _spans(catalog, twins)])
        held = _holding(workspace, rows, everything)
        erased = None
        if erase:
            with workspace.lock("collect"):
                erased = erase_footage(workspace, everything, whole=asked.videos if asked.kind != "clip" else ())
            tags = [(each.mix, each.revision) for each in held if not each.retired]
            retirement = retire_versions(workspace, tags, set(everything["clip_id"]), item=str(asked), who=who, why=why)
            erased = erased.with_versions(retirement)
            _mark_erased(catalog, asked, run_id)
            held = _holding(workspace, rows, everything)
        if decision.status != DONE:
            finish(catalog, decision, {"versions": [f"{each.mix} {each.revision}" for each in held]}, run_id=run_id)
        return Withdrawal(
            item=str(asked),
            who=who,
            why=why,
            undone=undo,
            videos=len(asked.videos),
            clips=asked.clips.height,
            copies=tuple(_copies(catalog, asked)),
            held=tuple(held),
            erased=erased,
            footage=_footage(catalog, asked),
            next=tuple(_next(asked, held, twins, took_copies=copies, undo=undo)),
        )


def what_holds(workspace: Workspace, item: str) -> list[Held]:
    """Every version of every mix that holds a source, licence, file, video or clip, oldest first.

    Raises:
        InputError: nothing or more than one thing goes by that name.
    """
    rows = history(workspace)
    return _holding(workspace, rows, _resolve(workspace, item, rows).clips)


def _resolve(workspace: Workspace, item: str, rows: pl.DataFrame) -> _Asked:
    catalog = workspace.catalog
    clips = _known_clips(catalog, rows)
    files = catalog.scan("files").select("source", "path", "licence", "video_id").collect()
    own = clips.filter(pl.col("clip_id") == item)
    if own.height:
        same = pl.col("video_id") == own["video_id"][0]
        over = (pl.col("start_s") < own["end_s"][0]) & (pl.col("end_s") > own["start_s"][0])
        spans = clips.filter((pl.col("clip_id") == item) | (same & over.fill_null(value=False)))
        return _Asked("clip", item, (own["video_id"][0],), spans)
    column = {"source": "source", "licence": "licence", "video": "video_id"}
    configured = workspace.sources() if workspace.configs.is_dir() else {}
    for kind, name in column.items():
        videos = {*clips.filter(pl.col(name) == item)["video_id"], *files.filter(pl.col(name) == item)["video_id"]}
        if videos or (kind == "source" and item in configured):
            return _of_videos(kind, item, sorted(filter(None, videos)), clips)
    found = files.filter(pl.col("path").str.ends_with(item), pl.col("video_id").is_not_null())
    contents = sorted(found["video_id"].unique())
    if len(contents) == 1:
        return _of_videos("file", found["path"][0], contents, clips)
    if contents:
        which = ", ".join(sorted(found["path"])[:5])
        raise InputError(f"{item!r} ends the paths of {len(contents)} videos: {which}", fix="Give more of the path")
    raise InputError(
        f"nothing is known of {item!r}",
        where=workspace.root,
        fix="Give a source, a licence, a video id, a clip id, or the end of a file's path",
    )


def _of_videos(kind: str, name: str, videos: Sequence[str], clips: pl.DataFrame) -> _Asked:
    return _Asked(kind, name, tuple(videos), clips.filter(pl.col("video_id").is_in(list(videos))))


def _known_clips(catalog: Catalog, rows: pl.DataFrame) -> pl.DataFrame:
    """Every clip that the catalog or a version has, with its source and licence."""
    videos = catalog.scan("videos").select("video_id", "source", "licence")
    here = catalog.scan("clips").join(videos, on="video_id", how="left").select(*_CLIPS).collect()
    return pl.concat([here, rows.select(*_CLIPS)]).unique("clip_id", keep="first", maintain_order=True).sort("clip_id")


def _copies(catalog: Catalog, asked: _Asked) -> list[Copy]:
    """Clips that show what these show, and their copies in turn, that are not of these videos."""
    edges = catalog.scan("duplicates").filter(pl.col("kind").is_in(_SAME)).select("clip_id", "other_id", "kind")
    both = edges.collect()
    both = pl.concat([both, both.select(clip_id="other_id", other_id="clip_id", kind="kind")])
    reached = asked.clips.select("clip_id")
    found = pl.DataFrame(schema={"clip_id": pl.String, "kind": pl.String})
    while reached.height:
        near = both.join(reached, on="clip_id", how="semi").select(clip_id="other_id", kind="kind")
        near = near.unique("clip_id", keep="first", maintain_order=True).join(found, on="clip_id", how="anti")
        reached = near.join(asked.clips, on="clip_id", how="anti")
        found = pl.concat([found, reached])
        reached = reached.select("clip_id")
    videos = catalog.scan("videos").select("video_id", "source", "path", "licence")
    clips = catalog.scan("clips").join(found.lazy(), on="clip_id").join(videos, on="video_id")
    out = views.withdrawn_among(catalog, clips).with_columns(withdrawn=pl.lit(value=True))
    known = clips.join(out, on="clip_id", how="left").filter(~pl.col("video_id").is_in(list(asked.videos)))
    rows = known.select("clip_id", "video_id", "source", "path", "kind", pl.col("withdrawn").fill_null(value=False))
    return [Copy(*row) for row in rows.sort("clip_id").collect().iter_rows()]


def _spans(catalog: Catalog, copies: Sequence[Copy]) -> pl.DataFrame:
    """Copies as rows of _CLIPS."""
    videos = catalog.scan("videos").select("video_id", "source", "licence")
    wanted = catalog.scan("clips").filter(pl.col("clip_id").is_in([copy.clip_id for copy in copies]))
    return wanted.join(videos, on="video_id").select(*_CLIPS).sort("clip_id").collect()


def _decision(catalog: Catalog, asked: _Asked, who: str, why: str, **options: bool) -> Decision:
    """The decision for this withdrawal: the same one where it was begun, or done, and not undone since."""
    subject = str(asked)
    past = decisions(catalog, kind=WITHDRAWAL, subject=subject)
    undone = sum(each.status == DONE and bool(each.plan.get("undo")) for each in past)
    plan = {"item": subject, **options, "round": undone}
    evidence = {"videos": len(asked.videos), "clips": asked.clips.height}
    if options["undo"]:
        is_open = any(each.plan == plan and each.status == APPROVED for each in past)
        held = views.withdrawals(catalog).filter(pl.col("asked") == subject).select("erased").collect()["erased"]
        if held.is_empty() and not is_open:
            raise InputError(f"{subject} is not withdrawn", fix="Undo it by the name it was withdrawn by")
        if held.any():
            raise InputError(f"{subject} was erased: it cannot be put back")
    return propose(
        catalog, WITHDRAWAL, subject, plan=plan, evidence=evidence, cost={}, who=who, why=why, status=APPROVED,
        once=True,
    )  # fmt: skip


def _take(
    catalog: Catalog, asked: _Asked, copies: pl.DataFrame, decision_id: str, who: str, why: str, run_id: str
) -> None:
    """Writes the rows that are not in force yet."""
    rows = [{"kind": asked.kind, "item": asked.name}] if asked.kind in ("source", "licence") else []
    if asked.kind != "clip":
        rows += [{"kind": "video", "item": video_id, "video_id": video_id} for video_id in asked.videos]
    spans = asked.clips.filter(pl.col("clip_id") == asked.name) if asked.kind == "clip" else asked.clips.clear()
    rows += [
        {"kind": "clip", "item": clip_id, "video_id": video_id, "start_s": start_s, "end_s": end_s}
        for clip_id, video_id, start_s, end_s in pl.concat([spans, copies])
        .select("clip_id", "video_id", "start_s", "end_s")
        .iter_rows()
    ]
    common = {
        "asked": str(asked),
        "in_force": True,
        "erased": False,
        "decision_id": decision_id,
        "who": who,
        "why": why,
    }
    held = views.withdrawals(catalog).filter(pl.col("asked") == str(asked)).select("kind", "item").collect()
    known = set(held.iter_rows())
    catalog.write(
        "withdrawals", [row | common for row in rows if (row["kind"], row["item"]) not in known], run_id=run_id
    )


def _put_back(catalog: Catalog, asked: _Asked, who: str, why: str, run_id: str) -> None:
    held = views.withdrawals(catalog).filter(pl.col("asked") == str(asked)).drop("run_id", "work_key", "written_at")
    changed = held.with_columns(in_force=pl.lit(value=False), who=pl.lit(who), why=pl.lit(why))
    catalog.write("withdrawals", changed.collect(), run_id=run_id)


def _mark_erased(catalog: Catalog, asked: _Asked, run_id: str) -> None:
    held = views.withdrawals(catalog).filter(pl.col("asked") == str(asked), ~pl.col("erased"))
    rows = held.drop("run_id", "work_key", "written_at").with_columns(erased=pl.lit(value=True))
    catalog.write("withdrawals", rows.collect(), run_id=run_id)


def _holding(workspace: Workspace, rows: pl.DataFrame, clips: pl.DataFrame) -> list[Held]:
    """The versions that hold some of these clips, in rows or in packs alone."""
    ids, gone, found = set(clips["clip_id"]), retired(workspace), []
    named = rows.join(clips.select("clip_id"), on="clip_id", how="semi")
    counts = {(mix, revision): count for mix, revision, count in named.group_by("mix", "revision").len().iter_rows()}
    for mix in published_names(workspace):
        known = versions(workspace, mix)
        for version in known:
            members = _packed(workspace, mix, version.revision) & ids
            count = counts.get((mix, version.revision), 0)
            if not (count or members):
                continue
            of = (pl.col("mix") == mix) & (pl.col("revision") == version.revision)
            listed = set(named.filter(of)["clip_id"])
            is_retired = (mix, version.revision) in gone
            found.append(
                Held(
                    mix, version.revision, version.date, version is known[-1], is_retired, count, len(members - listed)
                )
            )
    return sorted(found, key=lambda each: (each.date, each.mix, int(each.revision[1:])))


def _packed(workspace: Workspace, mix: str, revision: str) -> set[str]:
    lock = read_lock(mix, revision, workspace=workspace.root)
    return {clip_id for pack in packs_of(lock) for clip_id in pack.members}


def _footage(catalog: Catalog, asked: _Asked) -> tuple[str, ...]:
    files = catalog.scan("files").filter(pl.col("video_id").is_in(list(asked.videos))).select("path").collect()
    return tuple(path for path in files["path"].unique().sort() if Path(path).exists())


def _next(
    asked: _Asked, held: Sequence[Held], copies: Sequence[Copy], *, took_copies: bool, undo: bool
) -> Iterator[str]:
    build = [f"`curate mix build {each.mix}`" for each in held if each.newest]
    if undo:
        yield "`curate collect` takes its files up again"
        return
    if build:
        yield f"{', '.join(build)}: the newest version holds it"
    left = [each for each in held if not each.retired]
    if left:
        yield f"`curate withdraw {asked.name} --erase` retires the versions that hold it: {len(left)}"
    others = sum(not copy.withdrawn for copy in copies)
    if others and not took_copies:
        yield f"{others} clips elsewhere show the same: `--copies` withdraws them too"
