"""The published versions of a mix: annotated git tags `mix/NAME/vN`, and nothing else.

A tag is the last thing a publication writes, so what has a tag is complete. Its message carries the counts that lists
show, so that listing needs neither DVC nor the data.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.errors import CurateError, InputError
from curate.workspace import Workspace, open_workspace

_FIELD, _RECORD = "\x1f", "\x1e"


@dataclass(frozen=True)
class Version:
    """One published version. rows: clip occurrences in all splits; content: the hash of what it holds."""

    name: str
    revision: str
    date: str
    rows: int
    train: int
    validation: int
    test: int
    tag: str
    commit: str
    content: str


def versions(workspace: Workspace, name: str) -> list[Version]:
    """The versions of a mix, oldest first; none where the workspace is not under git."""
    found = []
    for tag, date, commit, facts in annotated_tags(workspace.root, f"mix/{name}"):
        if not tag.rsplit("/v", 1)[-1].isdigit():
            continue
        rows = {split: int(facts.get("rows", {}).get(split, 0)) for split in ("train", "validation", "test")}
        revision = tag.rsplit("/", 1)[-1]
        content = str(facts.get("content", ""))
        found.append(Version(name, revision, date, sum(rows.values()), **rows, tag=tag, commit=commit, content=content))
    return sorted(found, key=lambda version: int(version.revision[1:]))


def annotated_tags(root: Path, place: str) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """The annotated tags under refs/tags/`place`: name, date, commit, and the facts that the message begins with."""
    form = "%(refname:short)%1f%(taggerdate:iso-strict)%1f%(*objectname)%1f%(contents:body)%1e"
    listed = git(root, "for-each-ref", f"refs/tags/{place}", f"--format={form}", check=False)
    for record in listed.split(_RECORD):
        fields = record.strip().split(_FIELD)
        if len(fields) == 4:
            yield fields[0], fields[1], fields[2], _facts(fields[3])


def published_names(workspace: Workspace) -> list[str]:
    """Names of all mixes with a version."""
    tags = git(workspace.root, "for-each-ref", "refs/tags/mix", "--format=%(refname:short)", check=False).split()
    return sorted({tag.split("/")[1] for tag in tags if tag.count("/") == 2})


def resolve(workspace: Workspace, name: str, rev: str | None) -> str:
    """The commit of a revision: the newest version where `rev` is None, else vN or any git revision.

    A clone without tags knows no versions; the newest is then what HEAD pins.

    Raises:
        InputError: there is no such mix or revision; it lists what there is.
    """
    known = versions(workspace, name)
    if rev is None and not published_names(workspace):
        rev = "HEAD" if git(workspace.root, "ls-tree", "HEAD", "data.dvc", check=False) else None
    if not known and (rev is None or rev.startswith("v")):
        names = ", ".join(published_names(workspace)) or "none"
        raise InputError(
            f"no published mix {name!r}", where=workspace.root, fix=f"Published: {names}. `curate mix build {name}`"
        )
    if rev is None:
        return known[-1].commit
    for version in known:
        if rev in (version.revision, version.tag):
            return version.commit
    commit = git(
        workspace.root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{rev}^{{commit}}", check=False
    )
    if not commit.strip():
        listed = ", ".join(version.revision for version in known) or "none"
        raise InputError(f"no revision {rev!r} of mix {name!r}", where=workspace.root, fix=f"Published: {listed}")
    return commit.strip()


def revision_of(workspace: Workspace, name: str, commit: str) -> str:
    """v1, v2 ... where a commit is a version's, else its first 12 digits."""
    named = [version.revision for version in versions(workspace, name) if version.commit == commit]
    return named[-1] if named else commit[:12]


def find_workspace(start: Path | str) -> Workspace:
    """The workspace that holds `start`; a clone that has nothing but data.dvc will do.

    Raises:
        InputError: neither `start` nor a directory above it has configs or data.dvc.
    """
    try:
        return open_workspace(start)
    except InputError:
        here = Path(start).resolve()
        for directory in (here, *here.parents):
            if (directory / "data.dvc").is_file():
                return Workspace(directory)
        raise


def git(root: Path, *arguments: str, check: bool = True) -> str:
    """Runs git in `root`, never asking anyone anything.

    Raises:
        CurateError: git failed and `check` is set.
    """
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    done = subprocess.run(
        ["git", *arguments], cwd=root, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if done.returncode and check:
        line = " ".join((done.stderr or done.stdout).split())
        raise CurateError(f"`git {arguments[0]}` failed: {line}", where=root, fix="Mend it, then run the command again")
    return done.stdout if not done.returncode else ""


def _facts(body: str) -> dict[str, Any]:
    try:
        facts = json.loads(body.strip().splitlines()[0])
    except (ValueError, IndexError):
        return {}
    return facts if isinstance(facts, dict) else {}
