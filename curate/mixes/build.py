"""From labels to a new version of a mix: candidates, splits, solution, lock, shards, publication.

The lock is made before any file is: where it says what the newest version's lock says, there is nothing to publish.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from curate.catalog import Catalog
from curate.decisions import APPROVED, PROPOSED, RELEASE, Decision, decisions, finish, propose
from curate.dedupe.groups import leakage_groups
from curate.errors import CurateError, InputError
from curate.mixes.card import write_card
from curate.mixes.load import LOCK, read_lock
from curate.mixes.lock import make_lock
from curate.mixes.pack import cut_media, write_shard
from curate.mixes.program import allowed_clips
from curate.mixes.publish import publish
from curate.mixes.solve import Solution, solve
from curate.mixes.split import SPLITS, SplitPlan, plan_splits, rows_to_settle
from curate.mixes.supply import Supply, gather, labels_by_clip
from curate.mixes.verify import clip_rows, history, leaks
from curate.mixes.versions import Version, versions
from curate.progress import Progress, silent
from curate.specs import Capability, Mix
from curate.workspace import Workspace, new_run_id

_EVALUATION = ("validation", "test")


@dataclass(frozen=True)
class Published:
    """A version of a mix. rows: clip occurrences by split; new: this run published it."""

    name: str
    revision: str
    tag: str
    directory: Path
    lock: dict[str, Any]
    rows: dict[str, int]
    new: bool


@dataclass(frozen=True)
class _Draft:
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


def build(
    workspace: Workspace,
    name: str,
    *,
    who: str,
    why: str,
    decision: Decision | None = None,
    progress: Progress = silent,
) -> Published:
    """Solves, splits, packs, verifies and publishes the next version of a mix, unless nothing changed.

    Args:
        name: of configs/mixes/.
        who, why: whose decision the release is, and its reason; kept in `decisions`, the commit and the tag.
        decision: an approved proposal of `propose_release`, whose clips these must be.

    Raises:
        InputError: no such mix or capability, or no labels to build it from.
        CurateError: a share is short and the mix says `fail`, the clips are not those that were approved, clips cannot
            be cut, it would leak, or git or DVC failed. Nothing is published then.
    """
    with workspace.lock("mix"):
        run_id = new_run_id("mix")
        progress("mix", 0, 4)
        published = history(workspace)
        draft = _draft(workspace, name, published)
        progress("mix", 1, 4)
        if decision is not None and decision.plan["content"] != draft.lock["content"]:
            raise CurateError(
                "it would hold other clips than those that were approved: labels or footage changed since",
                where=f"mix {name}",
                fix=f"Propose it again: `curate mix build {name} --propose`",
            )
        if draft.newest is not None and not draft.is_new:
            lock = read_lock(name, draft.newest.revision, workspace=workspace.root)
            _record(workspace, draft.newest, lock, who, why, run_id)
            progress("mix", 4, 4)
            return _published(workspace, draft.newest, lock, new=False)
        _refuse_leaks(workspace, name, draft.lock, published)
        approved = decision or _release(workspace, draft, who, why, status=APPROVED, run_id=run_id)
        settle = rows_to_settle(draft.plan, draft.chosen["video_id"].unique())
        workspace.catalog.write("splits", settle, run_id=run_id, work_key=draft.lock["content"])
        media = cut_media(workspace, draft.chosen, progress=progress)
        progress("mix", 2, 4)
        packed = _scratch(workspace)
        try:
            _pack(packed, draft.chosen, draft.supply, media, draft.lock)
            progress("mix", 3, 4)
            rows = _rows(draft.lock)
            version = publish(workspace, name, packed, content=draft.lock["content"], rows=rows, who=who, why=why)
        finally:
            shutil.rmtree(packed, ignore_errors=True)
        finish(workspace.catalog, approved, _result(version), run_id=run_id)
        progress("mix", 4, 4)
        return _published(workspace, version, draft.lock, new=True)


def propose_release(workspace: Workspace, name: str, *, who: str, why: str) -> Decision | None:
    """Proposes the next version of a mix without publishing it; None where nothing changed since the newest one.

    Raises:
        InputError, CurateError: as `build`.
    """
    with workspace.lock("mix"):
        published = history(workspace)
        draft = _draft(workspace, name, published)
        if not draft.is_new:
            return None
        _refuse_leaks(workspace, name, draft.lock, published)
        return _release(workspace, draft, who, why)


def _draft(workspace: Workspace, name: str, published: pl.DataFrame) -> _Draft:
    mix, capabilities = workspace.mix(name), workspace.capabilities()
    _check_capabilities(workspace, mix, capabilities)
    supply = gather(workspace.catalog, capabilities)
    _check_labels(workspace, mix, supply)
    plan = _plan(workspace.catalog, mix, supply, published)
    solution = _solve(mix, supply, plan, capabilities)
    chosen = _choose(mix, supply, plan, solution)
    lock = make_lock(mix, capabilities, supply, plan, solution, chosen, workspace.catalog.versions())
    return _Draft(mix, supply, plan, chosen, lock, next(iter(versions(workspace, name)[::-1]), None))


def _rows(lock: Mapping[str, Any]) -> dict[str, int]:
    return {split: facts["rows"] for split, facts in lock["splits"].items()}


def _scratch(workspace: Workspace) -> Path:
    """An empty directory beside data/. What a killed build left there goes first: the lock `mix` is held."""
    directory = workspace.state / "tmp" / "mix"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    return directory


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


def _refuse_leaks(workspace: Workspace, name: str, lock: Mapping[str, Any], published: pl.DataFrame) -> None:
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


def _pack(
    directory: Path, chosen: pl.DataFrame, supply: Supply, media: Mapping[str, Path], lock: Mapping[str, Any]
) -> None:
    labels = labels_by_clip(supply, chosen)
    rows = chosen.with_columns(embedding_model=pl.lit(supply.embedding_model)).with_columns(
        labels=pl.Series([labels.get(clip_id, []) for clip_id in chosen["clip_id"]], dtype=pl.Object)
    )
    for split in SPLITS:
        part = rows.filter(pl.col("split") == split)
        if part.height:
            write_shard(directory / f"{split}-00000.parquet", part, media)
    write_card(directory / "README.md", lock)
    (directory / LOCK).write_text(json.dumps(lock, indent=1) + "\n")


def _release(
    workspace: Workspace, draft: _Draft, who: str, why: str, *, status: str = PROPOSED, run_id: str = ""
) -> Decision:
    """The decision to publish a draft: what it holds, how it differs from the newest version, and what it costs."""
    before: set[str] = set()
    if draft.newest is not None:
        old = read_lock(draft.mix.name, draft.newest.revision, workspace=workspace.root)
        before = {clip["clip_id"] for clip in old["clips"]}
    clip_ids = set(draft.chosen["clip_id"])
    lock = draft.lock
    evidence = {
        **{key: lock[key] for key in ("requested", "feasible", "realised")},
        "shortfalls": [shortfall["words"] for shortfall in lock["shortfalls"]],
        "contested": lock["contested"],
        "rows": _rows(lock),
        "newest": draft.newest.revision if draft.newest else None,
        "clips_added": len(clip_ids - before),
        "clips_removed": len(before - clip_ids),
    }
    cost = {"clips": len(clip_ids), "footage_h": round(float(draft.chosen["duration_s"].sum()) / 3600, 4)}
    plan = {"mix": draft.mix.name, "content": lock["content"]}
    return propose(
        workspace.catalog, RELEASE, draft.mix.name,
        plan=plan, evidence=evidence, cost=cost, who=who, why=why, status=status, run_id=run_id,
    )  # fmt: skip


def _record(workspace: Workspace, version: Version, lock: Mapping[str, Any], who: str, why: str, run_id: str) -> None:
    """Makes up for the decision of a published version where a kill kept it from being written."""
    catalog = workspace.catalog
    known = decisions(catalog, kind=RELEASE, subject=version.name)
    if any(each.evidence.get("result", {}).get("tag") == version.tag for each in known):
        return
    plan = {"mix": version.name, "content": version.content}
    evidence = {key: lock[key] for key in ("requested", "feasible", "realised")}
    approved = propose(
        catalog, RELEASE, version.name,
        plan=plan, evidence=evidence, cost={}, who=who, why=why, status=APPROVED, run_id=run_id,
    )  # fmt: skip
    finish(catalog, approved, _result(version), run_id=run_id)


def _result(version: Version) -> dict[str, Any]:
    return {"tag": version.tag, "revision": version.revision}


def _published(workspace: Workspace, version: Version, lock: dict[str, Any], *, new: bool) -> Published:
    rows = {split: getattr(version, split) for split in SPLITS}
    return Published(version.name, version.revision, version.tag, workspace.data / version.name, lock, rows, new)
