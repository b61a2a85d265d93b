"""A version that could be published: which clips, in which splits, and why, before any file is made.

Candidates come from the catalog (`supply`), splits stand for ever (`split`), the solver chooses what is trained on, and
evaluation takes what is labelled. The lock says all of it, so a draft can be looked at, approved, or refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from curate.catalog import Catalog
from curate.dedupe.groups import leakage_groups
from curate.errors import CurateError, InputError
from curate.mixes.lock import make_lock
from curate.mixes.solving.program import allowed_clips
from curate.mixes.solving.solve import Solution, solve
from curate.mixes.split import SplitPlan, plan_splits
from curate.mixes.supply import Supply, gather
from curate.mixes.verify import clip_rows, leaks
from curate.mixes.versions import Version, versions
from curate.specs import Capability, Mix
from curate.workspace import Workspace

_EVALUATION = ("validation", "test")


@dataclass(frozen=True)
class Draft:
    """A version that could be published: `chosen` are its clips, `newest` is the version before it."""

    mix: Mix
    supply: Supply
    plan: SplitPlan
    chosen: pl.DataFrame
    lock: dict[str, Any]
    newest: Version | None

    @property
    def is_new(self) -> bool:
        return self.newest is None or self.newest.content != self.lock["content"]


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
    chosen = _choose(mix, supply, plan, solution)
    lock = make_lock(mix, capabilities, supply, plan, solution, chosen, workspace.catalog.versions())
    return Draft(mix, supply, plan, chosen, lock, next(iter(versions(workspace, name)[::-1]), None))


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
    return plan_splits(leakage_groups(catalog), settled, labelled.select(used), mix.splits, seed=mix.seed)


def _in_split(supply: Supply, plan: SplitPlan, split: str) -> pl.DataFrame:
    videos = plan.videos.filter(pl.col("split") == split).select("video_id", "group_id")
    return supply.clips.join(videos, on="video_id", maintain_order="left")


def _solve(mix: Mix, supply: Supply, plan: SplitPlan, capabilities: Mapping[str, Capability]) -> Solution:
    clips = _in_split(supply, plan, "train")
    return solve(
        clips,
        supply.labels.join(clips.select("clip_id"), on="clip_id", how="semi"),
        mix,
        negatives={name: capabilities[name].target.negatives for name in mix.capabilities},
        vectors=clips.filter(pl.col("vector").is_not_null()).select("clip_id", "vector"),
    )


def _choose(mix: Mix, supply: Supply, plan: SplitPlan, solution: Solution) -> pl.DataFrame:
    """The chosen clips: the columns of supply.clips, group_id, split, repeat, roles; sorted by clip_id.

    Training follows the solution. Evaluation takes every clip labelled for the mix under its limits, once.
    """
    picked = solution.picks.select("clip_id", "repeat", roles=pl.concat_list("role"))
    parts = [_in_split(supply, plan, "train").join(picked, on="clip_id").with_columns(split=pl.lit("train"))]
    labelled = _labelled(mix, supply)
    roles = labelled.group_by("clip_id").agg(roles=pl.col("capability").sort())
    for split in _EVALUATION:
        usable = _in_split(supply, plan, split).join(roles, on="clip_id")
        usable = allowed_clips(usable, labelled, mix.limits, mix.seed)
        if mix.limits.per_video is not None:
            first = usable.sort("present", "order", descending=[True, False])
            usable = first.filter(pl.int_range(pl.len()).over("video_id") < mix.limits.per_video)
        usable = usable.drop("present", "labelled", "order")
        parts.append(usable.with_columns(repeat=pl.lit(1, dtype=pl.Int32), split=pl.lit(split)))
    return pl.concat(parts, how="diagonal").sort("clip_id")


def refuse_leaks(workspace: Workspace, name: str, lock: Mapping[str, Any], published: pl.DataFrame) -> None:
    """Raises if this version leaks in itself, or holds a video that any version has on another side."""
    candidate = clip_rows(name, "(new)", True, lock["clips"])
    others = published.with_columns(newest=pl.lit(False))
    place = f" of {name} (new)"
    found = [
        leak
        for leak in leaks(pl.concat([others, candidate]), leakage_groups(workspace.catalog))
        if any(where.endswith(place) for where in leak.where)
    ]
    if found:
        raise CurateError(
            f"this version would leak: {found[0]}" + (f", and {len(found) - 1} more" if len(found) > 1 else ""),
            where=f"mix {name}",
            fix="Nothing was published; `curate mix verify` and the `splits` table show how it came about",
        )
