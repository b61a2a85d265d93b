"""A version that could be published: which clips, in which splits, and why, before any file is made.

Candidates come from the catalog (`supply`), splits stand for ever (`split`), the solver chooses what is trained on, and
evaluation takes what is labelled. The lock says all of it, so a draft can be looked at, approved, or refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from curate.catalog import Catalog
from curate.conditions import matching
from curate.dedupe.groups import join_groups, leakage_groups
from curate.errors import CurateError, InputError
from curate.mixes.load import read_lock
from curate.mixes.lock import make_lock
from curate.mixes.near import link
from curate.mixes.retire import retired
from curate.mixes.solving.chance import turns
from curate.mixes.solving.problem import SLICES, allowed, as_asked, config_of, drawn_clips
from curate.mixes.solving.solve import Solution, solve
from curate.mixes.split import SplitPlan, plan_splits
from curate.mixes.supply import Supply, gather, with_frames
from curate.mixes.verify import clip_rows, leaks, near_leaks, new_near_duplicates, still_apart
from curate.mixes.versions import Version, versions
from curate.slices import slices, slices_of
from curate.specs import Capability, Mix
from curate.workspace import Workspace

_EVALUATION = ("validation", "test")


@dataclass(frozen=True)
class Draft:
    """A version that could be published: `chosen` are its clips, `newest` is the version before it, and whether that is
    `retired`."""

    mix: Mix
    supply: Supply
    plan: SplitPlan
    chosen: pl.DataFrame
    lock: dict[str, Any]
    newest: Version | None
    retired: bool

    @property
    def is_new(self) -> bool:
        return self.newest is None or self.retired or self.newest.content != self.lock["content"]


class Moves(NamedTuple):
    """A draft against the newest version, in clips: only in it, only in the version, in both with other labels."""

    added: int
    removed: int
    relabelled: int


def moves(workspace: Workspace, draft: Draft) -> Moves:
    """What a draft changes; against nothing where it is the first version."""
    before: dict[str, str] = {}
    if draft.newest is not None:
        old = read_lock(draft.mix.name, draft.newest.revision, workspace=workspace.root)
        before = {clip["clip_id"]: clip["labels"] for clip in old["clips"]}
    now = {clip["clip_id"]: clip["labels"] for clip in draft.lock["clips"]}
    relabelled = sum(now[clip_id] != before[clip_id] for clip_id in now.keys() & before.keys())
    return Moves(len(now.keys() - before.keys()), len(before.keys() - now.keys()), relabelled)


def make_draft(workspace: Workspace, name: str, published: pl.DataFrame) -> Draft:
    """The next version of a mix as the catalog and the configs have it now.

    Args:
        published: of `curate.mixes.verify.history`.

    Raises:
        InputError: no such mix or capability, or no labels to build it from.
        CurateError: a share is short and the mix says `fail`.
    """
    mix, capabilities = workspace.mix(name), workspace.capabilities()
    _check_capabilities(workspace, mix, capabilities)
    supply = gather(workspace.catalog, capabilities)
    _check_labels(workspace, mix, supply)
    plan = _plan(workspace.catalog, mix, supply, published)
    solution = _solve(mix, supply, plan, capabilities)
    chosen = with_frames(workspace.catalog, _choose(mix, supply, plan, solution))
    lock = make_lock(mix, capabilities, supply, plan, solution, chosen, workspace.catalog.versions())
    newest = next(iter(versions(workspace, name)[::-1]), None)
    is_retired = newest is not None and (name, newest.revision) in retired(workspace, name)
    return Draft(mix, supply, plan, chosen, lock, newest, is_retired)


def _check_capabilities(workspace: Workspace, mix: Mix, capabilities: Mapping[str, Capability]) -> None:
    for name in mix.capabilities:
        if name not in capabilities:
            known = ", ".join(capabilities) or "none"
            raise InputError(
                f"mix {mix.name} names a capability {name!r} that is not configured",
                where=workspace.configs / "mixes" / f"{mix.name}.yaml",
                fix=f"Known: {known}",
            )


def _check_labels(workspace: Workspace, mix: Mix, supply: Supply) -> None:
    if supply.clips.is_empty():
        raise InputError("there are no clips to build from", where=workspace.root, fix="`curate collect` first")
    if mix.capabilities and _labelled(mix, supply).is_empty():
        first = next(iter(mix.capabilities))
        raise InputError(
            f"no clip is labelled for any capability of mix {mix.name}",
            where=workspace.root,
            fix=f"`curate label push {first}` sends clips to annotators, `curate label pull` brings their labels",
        )


def _labelled(mix: Mix, supply: Supply) -> pl.DataFrame:
    """The labels that count for a mix: of its capabilities, and decided."""
    return supply.labels.filter(
        pl.col("capability").is_in(list(mix.capabilities)), pl.col("verdict").is_in(["present", "absent"])
    )


def _plan(catalog: Catalog, mix: Mix, supply: Supply, published: pl.DataFrame) -> SplitPlan:
    settled = pl.concat(
        [catalog.scan("splits").select("video_id", "split").collect(), published.select("video_id", "split")]
    ).unique()
    labelled = supply.labels.filter(pl.col("verdict").is_in(["present", "absent"])).join(
        supply.clips.select("clip_id", "video_id"), on="clip_id"
    )
    used = ["video_id", "capability", "verdict"]
    return plan_splits(_groups(catalog, published), settled, labelled.select(used), mix.splits, seed=mix.seed)


def _groups(catalog: Catalog, published: pl.DataFrame) -> pl.DataFrame:
    """The leakage groups, with what any version knew of them: a catalog that was lost forgets no link."""
    known = leakage_groups(catalog)
    published = published.filter(pl.col("group_id").is_not_null())
    links = published.select("video_id", other_video="group_id").unique()
    videos = pl.concat([known, links.select("video_id", group_id="video_id")]).unique("video_id", keep="first")
    moved = join_groups(videos, links)
    return videos.update(moved, on="video_id").sort("video_id")


def _in_split(supply: Supply, plan: SplitPlan, split: str) -> pl.DataFrame:
    videos = plan.videos.filter(pl.col("split") == split).select("video_id", "group_id")
    return supply.clips.join(videos, on="video_id", maintain_order="left")


def _solve(mix: Mix, supply: Supply, plan: SplitPlan, capabilities: Mapping[str, Capability]) -> Solution:
    clips = _in_split(supply, plan, "train")
    labels = supply.labels.join(clips.select("clip_id"), on="clip_id", how="semi")
    return solve(
        clips,
        labels,
        mix,
        negatives={name: capabilities[name].target.negatives for name in mix.capabilities},
        vectors=clips.filter(pl.col("vector").is_not_null()).select("clip_id", "vector"),
        slices=_slices(mix, clips, labels, capabilities),
    )


def _slices(
    mix: Mix, clips: pl.DataFrame, labels: pl.DataFrame, capabilities: Mapping[str, Capability]
) -> pl.DataFrame:
    """The slices of the capabilities whose share has `per_slice`, with the clips in each, as `solve` takes them."""
    found = [pl.DataFrame(schema=SLICES)]
    sources, licences = clips["source"].drop_nulls().unique(), clips["licence"].drop_nulls().unique()
    for name, share in mix.capabilities.items():
        if not share.per_slice:
            continue
        spec = capabilities[name]
        known = [each.said for each in slices(spec, sources=sources, licences=licences)]
        mine = labels.filter(pl.col("capability") == name)
        members = slices_of(spec, clips.join(mine, on="clip_id", how="semi"), mine).select(
            slice=pl.when(pl.col("value") == "").then("slice").otherwise(pl.format("{}={}", "slice", "value")),
            clip_id="clip_id",
        )
        named = pl.DataFrame({"slice": known}, schema={"slice": pl.String}).join(
            members, on="slice", how="full", coalesce=True
        )
        found.append(named.select(pl.lit(name).alias("capability"), "slice", "clip_id"))
    return pl.concat(found)


def _choose(mix: Mix, supply: Supply, plan: SplitPlan, solution: Solution) -> pl.DataFrame:
    """The chosen clips: the columns of supply.clips, group_id, split, repeat, roles; sorted by clip_id.

    Training follows the solution. Evaluation takes every clip labelled for the mix under its limits, once.
    """
    picked = solution.picks.select("clip_id", "repeat", roles=pl.concat_list("role"))
    parts = [_in_split(supply, plan, "train").join(picked, on="clip_id").with_columns(split=pl.lit("train"))]
    labelled = _as_asked(mix, supply)
    roles = labelled.group_by("clip_id").agg(roles=pl.col("capability").sort())
    for split in _EVALUATION:
        usable = _within_limits(
            drawn_clips(_in_split(supply, plan, split).join(roles, on="clip_id"), mix.seed), labelled, mix
        )
        parts.append(usable.with_columns(repeat=pl.lit(1, dtype=pl.Int32), split=pl.lit(split)))
    return pl.concat(parts, how="diagonal").sort("clip_id")


def _as_asked(mix: Mix, supply: Supply) -> pl.DataFrame:
    """The labels that count for a mix, as each share asks: reviewed, and of clips that fulfil its condition."""
    labels = _labelled(mix, supply).filter(as_asked(mix))
    for name, share in mix.capabilities.items():
        if share.where is not None:
            outside = supply.clips.filter(~matching(supply.clips, share.where, source=config_of(mix)))["clip_id"]
            labels = labels.filter((pl.col("capability") != name) | ~pl.col("clip_id").is_in(outside.implode()))
    return labels


def _within_limits(clips: pl.DataFrame, labelled: pl.DataFrame, mix: Mix) -> pl.DataFrame:
    """What evaluation takes of labelled clips, in the order of the draw: within licences, `where` and the duplicate
    limit, and at most `per_video` of a video, first those that show something. Limits of amounts are training's."""
    usable = clips.filter(pl.Series(allowed(clips, labelled, mix)))
    if mix.limits.per_video is None:
        return usable
    shows = pl.col("clip_id").is_in(labelled.filter(pl.col("verdict") == "present")["clip_id"].implode())
    first = usable.sort(shows, descending=True, maintain_order=True)
    codes = first["video_id"].rank("dense").to_numpy().astype(np.int64)
    return first.filter(pl.Series(turns(codes) < mix.limits.per_video))


def refuse_leaks(workspace: Workspace, name: str, lock: Mapping[str, Any], published: pl.DataFrame) -> None:
    """Raises if this version leaks in itself, or holds on another side what any version has: a video, a group, or clips
    that show the same. Such clips are linked then, so that the next draft parts them.
    """
    candidate = clip_rows(name, "(new)", True, lock["clips"])
    others = published.with_columns(newest=pl.lit(False))
    place = f" of {name} (new)"
    rows = pl.concat([others, candidate])
    found = [
        leak
        for leak in leaks(rows, leakage_groups(workspace.catalog))
        if any(where.endswith(place) for where in leak.where)
    ]
    fix = "Nothing was published; `curate mix verify` and the `splits` table show how it came about"
    if not found:
        near = new_near_duplicates(workspace, published, candidate)
        found = near_leaks(rows, still_apart(rows, near.found))
        link(workspace.catalog, near)
        fix = "Nothing was published; they are linked now: run it again, and the split parts them"
    if found:
        raise CurateError(
            f"this version would leak: {found[0]}" + (f", and {len(found) - 1} more" if len(found) > 1 else ""),
            where=f"mix {name}",
            fix=fix,
        )
