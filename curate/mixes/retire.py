"""Versions that are no longer to be had: annotated git tags `retired/NAME/vN`, and nothing else.

A version that holds withdrawn footage is retired when that footage is erased (`curate.mixes.withdraw`). Its own tag
stays, and so do its lock and card, since splits are for ever; its rows and media are gone.
"""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from curate import views
from curate.catalog import Catalog
from curate.errors import CurateError
from curate.mixes.versions import annotated_tags, versions
from curate.workspace import Workspace


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
    found = {}
    for tag, date, _, facts in annotated_tags(workspace.root, f"retired/{name}" if name else "retired"):
        if tag.count("/") != 2:
            continue
        _, mix, revision = tag.split("/")
        found[mix, revision] = Retired(mix, revision, date, facts["who"], facts["why"], facts["item"])
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
