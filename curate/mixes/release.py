"""Releasing what was proposed: a person says yes, and exactly those clips are published."""

from curate.decisions import APPROVED, PROPOSED, RELEASE, decide, decisions
from curate.errors import InputError
from curate.mixes.build import Published, build
from curate.progress import Progress, silent
from curate.workspace import Workspace


def release(workspace: Workspace, name: str, *, who: str, why: str, progress: Progress = silent) -> Published:
    """Approves the release of a mix that waits, the newest one, and publishes what it proposes.

    Raises:
        InputError: none waits.
        CurateError: as `curate.mixes.build.build`; the release stays approved, and the same command completes it.
    """
    open_ones = decisions(workspace.catalog, kind=RELEASE, subject=name, status=[PROPOSED, APPROVED])
    if not open_ones:
        raise InputError(
            f"no release of mix {name!r} waits",
            where=workspace.root,
            fix=f"`curate mix build {name} --propose` proposes one, `curate mix build {name}` publishes at once",
        )
    newest = open_ones[-1]
    if newest.status == PROPOSED:
        newest = decide(workspace.catalog, newest.decision_id, APPROVED, who=who, why=why)
    return build(workspace, name, who=who, why=why, decision=newest, progress=progress)
