"""What a change of a capability does: against the version that is committed, or another git revision.

A version is a hash of what the spec says with defaults filled in, so a comment or another order of keys changes
nothing. What a change does to the matches is measured on the clips of now: both specs are scored as they would be
today, with the labels of today.
"""

import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from curate import views
from curate.errors import CurateError, InputError
from curate.specs import Capability, read_spec
from curate.targets.scoring.preview import one_spec, scored
from curate.targets.scoring.score import Known, read_known
from curate.workspace import Workspace

HEAD = "HEAD"
_FOLDER = "configs/capabilities"


@dataclass(frozen=True)
class Revised:
    """What became of one capability.

    Attributes:
        name: its id.
        rev: the git revision it is compared with.
        before, after: versions; None where there is none, as of a new capability.
        changes: key, before, after of each key that says something else; values as plain data.
        matches_before, matches_after: current kept clips that match; None without such a spec.
        gained, lost: clips, best first: clip_id, path, best_start_s, best_end_s, similarity, probability. None where
            the spec is on one side alone.
        note: why matches are not compared, else "".
    """

    name: str
    rev: str
    before: str | None
    after: str | None
    changes: list[dict[str, Any]]
    matches_before: int | None = None
    matches_after: int | None = None
    gained: pl.DataFrame | None = None
    lost: pl.DataFrame | None = None
    note: str = ""


def revised(workspace: Workspace, name: str | None = None, rev: str = HEAD) -> list[Revised]:
    """What differs between a git revision and the files of now; capabilities that say the same are left out.

    Args:
        name: a capability; all that changed where not given.
        rev: a commit, branch or tag.

    Raises:
        InputError: not a git repository, no such revision, no such capability in either, or a spec of now, or its
            condition or exemplar, cannot be used.
    """
    _git(workspace, "rev-parse", "--verify", "--quiet", f"{rev}^{{commit}}", what=f"no revision {rev!r}")
    then, now = _names(workspace, rev), _names_now(workspace)
    names = [name] if name else sorted({*then, *now})
    known: Known | None = None
    found = []
    for each in names:
        before, trouble = _spec_at(workspace, each, rev) if each in then else (None, "")
        after = None if each in then and each not in now else one_spec(workspace, each)
        if trouble:
            found.append(Revised(each, rev, None, after.version if after else None, [], note=trouble))
        elif (before.version if before else None) != (after.version if after else None):
            known = known or read_known(workspace)
            found.append(_compared(workspace, each, rev, before, after, known))
    return found


def _compared(
    workspace: Workspace, name: str, rev: str, before: Capability | None, after: Capability | None, known: Known
) -> Revised:
    versions = [spec.version if spec else None for spec in (before, after)]
    was, now = ({} if spec is None else _flat(spec.model_dump(mode="json")) for spec in (before, after))
    changes = [
        {"key": key, "before": was.get(key), "after": now.get(key)}
        for key in [*was, *(key for key in now if key not in was)]
        if was.get(key) != now.get(key)
    ]
    if before is None or after is None:
        changes = []
    sides: list[pl.DataFrame | None] = [None, None]
    note = ""
    for at, spec in enumerate((before, after)):
        try:
            sides[at] = _matching(workspace, spec, known) if spec else None
        except InputError as error:
            if at == 1:
                raise
            note = f"what it matched at {rev} cannot be said: {error}"
    counts = [None if side is None else len(side) for side in sides]
    if sides[0] is None or sides[1] is None:
        return Revised(name, rev, versions[0], versions[1], changes, counts[0], counts[1], note=note)
    gained = sides[1].join(sides[0], on="clip_id", how="anti", maintain_order="left")
    lost = sides[0].join(sides[1], on="clip_id", how="anti", maintain_order="left")
    return Revised(name, rev, versions[0], versions[1], changes, counts[0], counts[1], gained, lost, note)


def _matching(workspace: Workspace, spec: Capability, known: Known) -> pl.DataFrame:
    """The kept clips that match, best first."""
    rows, _ = scored(workspace, [spec], known)[spec.id]
    kept = views.kept_clips(workspace.catalog).select("clip_id", "path").collect()
    matches = rows.filter("matches").join(kept, on="clip_id")
    columns = ("clip_id", "path", "best_start_s", "best_end_s", "similarity", "probability")
    return matches.sort(["probability", "similarity", "clip_id"], descending=[True, True, False]).select(columns)


def _flat(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested keys joined by dots; lists are values, but for those of named things, as fields."""
    flat: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, list) and value and all(isinstance(each, dict) and "name" in each for each in value):
            value = {each["name"]: each for each in value}
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _names_now(workspace: Workspace) -> list[str]:
    return sorted(path.stem for path in (workspace.root / _FOLDER).glob("*.yaml"))


def _names(workspace: Workspace, rev: str) -> list[str]:
    """The capabilities of a revision."""
    listed = _git(workspace, "ls-tree", "--name-only", rev, f"{_FOLDER}/", what=f"nothing can be read at {rev!r}")
    return [Path(line).stem for line in listed.splitlines() if line.endswith(".yaml")]


def _spec_at(workspace: Workspace, name: str, rev: str) -> tuple[Capability | None, str]:
    """A spec as it was, and why it cannot be read, where it is there and cannot."""
    content = _git(workspace, "show", f"{rev}:./{_FOLDER}/{name}.yaml", what=f"nothing can be read at {rev!r}")
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / f"{name}.yaml"
        path.write_text(content)
        try:
            return read_spec(path, Capability), ""
        except CurateError as error:
            return None, f"its spec at {rev} is none of this release: {error.what}"


def _git(workspace: Workspace, *arguments: str, what: str) -> str:
    """What git prints.

    Raises:
        InputError: it fails.
    """
    done = subprocess.run(["git", *arguments], cwd=workspace.root, capture_output=True, text=True)
    if done.returncode:
        inside = subprocess.run(["git", "rev-parse", "--git-dir"], cwd=workspace.root, capture_output=True)
        if inside.returncode:
            raise InputError("not in a git repository", where=workspace.root, fix="`git init`, and commit configs/")
        fix = "Commit configs/ first" if arguments[-1].startswith(HEAD) else "Give a commit, a branch or a tag"
        raise InputError(what, where=workspace.root, fix=fix)
    return done.stdout
