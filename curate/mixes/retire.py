"""Versions that are no longer to be had: annotated git tags `retired/NAME/vN`, and nothing else.

A version that holds withdrawn footage is retired when that footage is erased (`curate.mixes.withdraw`). Its own tag
stays, and so do its lock and card, since splits are for ever; its rows and media are gone.
"""

import json
import warnings
from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from curate import views
from curate.catalog import Catalog
from curate.errors import CurateError
from curate.mixes.versions import git, versions
from curate.workspace import Workspace

_FIELD, _RECORD = "\x1f", "\x1e"


@dataclass(frozen=True)
class Retired:
    """A version that was retired: when, by whom, why, and what was withdrawn ("source phone")."""

    name: str
    revision: str
    date: str
    who: str
    why: str
    item: str


def retired(workspace: Workspace, name: str | None = None) -> dict[tuple[str, str], Retired]:
    """The retired versions of a mix, or of all, by name and revision."""
    form = "%(refname:short)%1f%(taggerdate:iso-strict)%1f%(contents:body)%1e"
    place = f"refs/tags/retired/{name}" if name else "refs/tags/retired"
    found = {}
    for record in git(workspace.root, "for-each-ref", place, f"--format={form}", check=False).split(_RECORD):
        fields = record.strip().split(_FIELD)
        if len(fields) != 3 or fields[0].count("/") != 2:
            continue
        _, mix, revision = fields[0].split("/")
        facts = json.loads(fields[2].strip().splitlines()[0])
        found[mix, revision] = Retired(mix, revision, fields[1], facts["who"], facts["why"], facts["item"])
    return found


def refuse_retired(workspace: Workspace, name: str, commit: str) -> None:
    """Raises where the version at a commit was retired.

    Raises:
        CurateError: it says when and why, and which version to use.
    """
    gone = retired(workspace, name)
    if not gone:
        return
    known = versions(workspace, name)
    for version in known:
        facts = gone.get((name, version.revision))
        if facts is None or version.commit != commit:
            continue
        left = [other.revision for other in known if (name, other.revision) not in gone]
        use = f"Use {left[-1]}" if left else f"`curate mix build {name}` makes one without it"
        raise CurateError(
            f"{version.revision} was retired on {facts.date[:10]}: {facts.item} was withdrawn ({facts.why})",
            where=f"mix {name}",
            fix=use,
        )


def warn_withdrawn(workspace: Workspace, name: str, revision: str, clip_ids: Iterable[str]) -> None:
    """Warns, in one line, where some of a version's clips were withdrawn since, as far as this workspace knows."""
    if not (workspace.state / "catalog" / "withdrawals").is_dir():
        return
    held = len(forbidden(workspace.catalog) & set(clip_ids))
    if held:
        clips = "clip that was" if held == 1 else "clips that were"
        warnings.warn(
            f"mix {name} {revision} holds {held} {clips} withdrawn since: `curate mix build {name}` makes one without",
            stacklevel=3,
        )


def forbidden(catalog: Catalog) -> set[str]:
    """Every clip that may be in no mix, however it was cut up."""
    return set(views.withdrawn(catalog).select(pl.col("clip_id")).collect()["clip_id"])
