"""From a draft to a new version of a mix: media, shards, publication, and the decision that it was.

The lock is made before any file is: where it says what the newest version's lock says, there is nothing to publish.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.decisions import APPROVED, PROPOSED, RELEASE, Decision, decisions, finish, propose
from curate.errors import CurateError
from curate.mixes.card import write_card
from curate.mixes.draft import Draft, make_draft, moves, refuse_leaks
from curate.mixes.failing import in_one_line
from curate.mixes.files import MixFiles, open_files
from curate.mixes.load import LOCK, read_lock
from curate.mixes.lock import lock_text
from curate.mixes.packs import Pack, packs_of
from curate.mixes.publish import publish
from curate.mixes.retire import forbidden
from curate.mixes.split import SPLITS, rows_to_settle
from curate.mixes.stage import stage
from curate.mixes.verify import history
from curate.mixes.versions import Version
from curate.progress import Progress, silent
from curate.workspace import Workspace, new_run_id


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
        draft = make_draft(workspace, name, published)
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
        refuse_leaks(workspace, name, draft.lock, published)
        approved = decision or _release(workspace, draft, who, why, status=APPROVED, run_id=run_id)
        settle = rows_to_settle(draft.plan, draft.chosen["video_id"].unique())
        workspace.catalog.write("splits", settle, run_id=run_id, work_key=draft.lock["content"])
        progress("mix", 2, 4)
        directory = _scratch(workspace)
        try:
            lock = _fill(workspace, directory, draft, progress)
            progress("mix", 3, 4)
            version = publish(
                workspace, name, directory, content=lock["content"], rows=_rows(lock), who=who, why=why
            )  # fmt: skip
        finally:
            shutil.rmtree(directory, ignore_errors=True)
        finish(workspace.catalog, approved, _result(version), run_id=run_id)
        progress("mix", 4, 4)
        return _published(workspace, version, lock, new=True)


def propose_release(workspace: Workspace, name: str, *, who: str, why: str) -> Decision | None:
    """Proposes the next version of a mix without publishing it; None where nothing changed since the newest one.

    Raises:
        InputError, CurateError: as `build`.
    """
    with workspace.lock("mix"):
        published = history(workspace)
        draft = make_draft(workspace, name, published)
        if not draft.is_new:
            return None
        refuse_leaks(workspace, name, draft.lock, published)
        return _release(workspace, draft, who, why)


def _rows(lock: Mapping[str, Any]) -> dict[str, int]:
    return {split: facts["rows"] for split, facts in lock["splits"].items()}


def _scratch(workspace: Workspace) -> Path:
    """An empty directory beside data/. What a killed build left there goes first: the lock `mix` is held."""
    directory = workspace.state / "tmp" / "mix"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    return directory


def _fill(workspace: Workspace, directory: Path, draft: Draft, progress: Progress) -> dict[str, Any]:
    """Writes the files of a version; returns its lock, which lists its packs."""
    before = _before(workspace, draft.newest) if draft.newest else None
    fix = "Make room, then run the command again"
    with in_one_line("nothing is published", where=workspace.root, fix=fix, kinds=OSError):
        packs = stage(
            workspace, directory, draft.mix.name, draft.chosen, draft.supply,
            before=before, refused=frozenset(forbidden(workspace.catalog)), progress=progress,
        )  # fmt: skip
        lock = {**draft.lock, "packs": [pack.record() for pack in packs]}
        write_card(directory, lock)
        (directory / LOCK).write_text(lock_text(lock))
    return lock


def _before(workspace: Workspace, newest: Version) -> tuple[MixFiles, list[Pack]]:
    lock = read_lock(newest.name, newest.revision, workspace=workspace.root)
    return open_files(workspace, newest.name, newest.commit), packs_of(lock)


def _release(
    workspace: Workspace, draft: Draft, who: str, why: str, *, status: str = PROPOSED, run_id: str = ""
) -> Decision:
    """The decision to publish a draft: what it holds, how it differs from the newest version, and what it costs."""
    lock, changed = draft.lock, moves(workspace, draft)
    evidence = {
        **{key: lock[key] for key in ("requested", "feasible", "realised")},
        "shortfalls": [shortfall["words"] for shortfall in lock["shortfalls"]],
        "contested": lock["contested"],
        "rows": _rows(lock),
        "newest": draft.newest.revision if draft.newest else None,
        "clips_added": changed.added,
        "clips_removed": changed.removed,
    }
    cost = {"clips": len(lock["clips"]), "footage_h": round(float(draft.chosen["duration_s"].sum()) / 3600, 4)}
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
