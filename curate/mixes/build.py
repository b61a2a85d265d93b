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
from curate.dedupe.groups import leakage_groups
from curate.errors import CurateError, InputError
from curate.identity import work_key
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


def build(workspace: Workspace, name: str, *, who: str, why: str, progress: Progress = silent) -> Published:
    """Solves, splits, packs, verifies and publishes the next version of a mix, unless nothing changed.

    Args:
        name: of configs/mixes/.
        who, why: whose decision the release is, and its reason; kept in `decisions`, the commit and the tag.

    Raises:
        InputError: no such mix or capability, or no labels to build it from.
        CurateError: a share is short and the mix says `fail`, clips cannot be cut, it would leak, or git or DVC failed.
            Nothing is published then.
    """
    with workspace.lock("mix"):
        mix, capabilities = workspace.mix(name), workspace.capabilities()
        _check_capabilities(workspace, mix, capabilities)
        run_id = new_run_id("mix")
        progress("mix", 0, 4)
        supply = gather(workspace.catalog, capabilities)
        _check_labels(workspace, mix, supply)
        published = history(workspace)
        plan = _plan(workspace.catalog, mix, supply, published)
        solution = _solve(mix, supply, plan, capabilities)
        chosen = _choose(mix, supply, plan, solution)
        lock = make_lock(mix, capabilities, supply, plan, solution, chosen, workspace.catalog.versions())
        progress("mix", 1, 4)
        newest = next(iter(versions(workspace, name)[::-1]), None)
        if newest is not None and newest.content == lock["content"]:
            lock = read_lock(name, newest.revision, workspace=workspace.root)
            _record(workspace, newest, lock, who, why, run_id)
            progress("mix", 4, 4)
            return _published(workspace, newest, lock, new=False)
        _refuse_leaks(workspace, name, lock, published)
        settle = rows_to_settle(plan, chosen["video_id"].unique())
        workspace.catalog.write("splits", settle, run_id=run_id, work_key=lock["content"])
        media = cut_media(workspace, chosen, progress=progress)
        progress("mix", 2, 4)
        packed = _scratch(workspace)
        try:
            _pack(packed, chosen, supply, media, lock)
            progress("mix", 3, 4)
            rows = {split: facts["rows"] for split, facts in lock["splits"].items()}
            version = publish(workspace, name, packed, content=lock["content"], rows=rows, who=who, why=why)
        finally:
            shutil.rmtree(packed, ignore_errors=True)
        _record(workspace, version, lock, who, why, run_id)
        progress("mix", 4, 4)
        return _published(workspace, version, lock, new=True)


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


def _record(workspace: Workspace, version: Version, lock: Mapping[str, Any], who: str, why: str, run_id: str) -> None:
    """One `decisions` row for each version, written again only if a kill kept it from being written."""
    decision_id = work_key("release", version.tag, version.content)
    if decision_id in workspace.catalog.scan("decisions").select("decision_id").collect()["decision_id"]:
        return
    evidence = {key: lock[key] for key in ("requested", "feasible", "realised")}
    row = {"decision_id": decision_id, "kind": "release", "subject": version.tag, "status": "approved", "who": who,
           "why": why, "evidence": json.dumps(evidence, sort_keys=True)}  # fmt: skip
    workspace.catalog.write("decisions", [row], run_id=run_id, work_key=version.content)


def _published(workspace: Workspace, version: Version, lock: dict[str, Any], *, new: bool) -> Published:
    rows = {split: getattr(version, split) for split in SPLITS}
    return Published(version.name, version.revision, version.tag, workspace.data / version.name, lock, rows, new)
