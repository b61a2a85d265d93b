"""`curate mix ...`: versioned training mixes, from what would be built to what a consumer pulls."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from curate.cli_decide import show_decisions
from curate.cli_options import Json, Revision, Who, Why, given_workspace, show_rows, user

mix = typer.Typer(
    help="Plan, build, check, compare and pull versioned training mixes.", no_args_is_help=True, rich_markup_mode=None
)
_Name = Annotated[str, typer.Argument(help="A mix of configs/mixes/.", show_default=False)]
_Published = Annotated[str, typer.Argument(help="A published mix.", show_default=False)]
_AnyMix = Annotated[str | None, typer.Argument(help="A mix; all where not given.", show_default=False)]


@mix.command("plan")
def plan(name: _Name, as_json: Json = False) -> None:
    """What the next version would hold, what it would lack and why; writes nothing."""
    from curate.console import out, show
    from curate.mixes.plan import plan as run_plan

    found = run_plan(given_workspace(), name)
    if as_json:
        show(found, as_json=True)
        return
    out.print(f"mix {name}, budget {found.budget:g} {found.unit}")
    show(_shares(found))
    _say_limits(found.lock)
    out.print()
    show(_splits(found.lock))
    for conflict in found.lock["conflicts"]:
        out.print(conflict)
    out.print(f"\n{found.against_newest}; next: {found.next}")


@mix.command("build")
def build(
    name: _Name,
    who: Who = "",
    why: Why = "curate mix build",
    propose: Annotated[
        bool, typer.Option("--propose", help="Publish nothing: propose the release, for somebody to approve.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Solve, split, pack and publish a new version of a mix, if anything changed."""
    from curate.console import bars
    from curate.mixes.build import build as run_build
    from curate.mixes.build import propose_release

    if propose:
        proposed = propose_release(given_workspace(), name, who=who or user(), why=why)
        show_decisions([proposed] if proposed else [], as_json)
        return
    with bars() as progress:
        published = run_build(given_workspace(), name, who=who or user(), why=why, progress=progress)
    _show_published(published, who, as_json)


@mix.command("release")
def release(name: _Name, why: Annotated[str, typer.Option(help="Why; kept with the decision.")], who: Who = "",
            as_json: Json = False) -> None:  # fmt: skip
    """Approve the release of a mix that waits, and publish exactly what was proposed."""
    from curate.console import bars
    from curate.mixes.release import release as run_release

    with bars() as progress:
        published = run_release(given_workspace(), name, who=who or user(), why=why, progress=progress)
    _show_published(published, who, as_json)


@mix.command("list")
def list_versions(name: _AnyMix = None, as_json: Json = False) -> None:
    """The published versions."""
    from curate.mixes.load import versions
    from curate.mixes.versions import published_names

    workspace = given_workspace()
    names = [name] if name else published_names(workspace)
    show_rows([version for each in names for version in versions(workspace, each)], as_json)


@mix.command("card")
def card(name: _Published, rev: Revision = None) -> None:
    """The dataset card of a version: what it holds, under which licences, what it lacks, how to load it."""
    from curate.mixes.card import card as read_card

    print(read_card(given_workspace(), name, rev))


@mix.command("diff")
def diff(
    name: _Published,
    old: Annotated[str, typer.Argument(help="v1, v2, ... or any git revision.", show_default=False)],
    new: Annotated[str | None, typer.Argument(help="As OLD; the newest if not given.")] = None,
    as_json: Json = False,
) -> None:
    """What changed between two versions: clips in and out with their reasons, repeats, labels, shares, configs."""
    from curate.console import show
    from curate.mixes.diff import diff as run_diff

    found = run_diff(given_workspace(), name, old, new)
    if as_json:
        show(found, as_json=True)
    else:
        print(found.text())


@mix.command("verify")
def verify(name: _AnyMix = None, as_json: Json = False) -> None:
    """Prove over all versions that nothing is on two sides: no video, no duplicate group, no near-duplicate."""
    from curate.console import bars, show
    from curate.mixes.verify import prove

    with bars() as progress:
        proof = prove(given_workspace(), name, progress=progress)
    if as_json:
        show(proof, as_json=True)
    else:
        for leak in proof.leaks:
            print(leak)
        print(proof)
    if proof.leaks:
        raise typer.Exit(1)


@mix.command("pull")
def pull(
    name: _Published,
    rev: Revision = None,
    split: Annotated[str | None, typer.Option(help="train, validation or test; all if not given.")] = None,
    media: Annotated[bool, typer.Option(help="The video clips; labels and vectors come without, too.")] = True,
    as_json: Json = False,
) -> None:
    """Fetch a version, or what is needed of it, for training on this machine. Interrupted, it resumes."""
    from curate.console import bars, show
    from curate.mixes.load import pull as run_pull

    with bars() as progress:
        pulled = run_pull(given_workspace(), name, rev, split=split, media=media, progress=progress)
    show(pulled, as_json=as_json)


@mix.command("export")
def export(
    name: _Published,
    to: Annotated[Path, typer.Option(help="A directory that is not there yet.")],
    form: Annotated[
        Literal["webdataset", "activitynet", "folder"], typer.Option("--as", help="Which form.")
    ] = "folder",
    rev: Revision = None,
    split: Annotated[str | None, typer.Option(help="train, validation or test; all if not given.")] = None,
) -> None:
    """Write a version in a form that other tools read: tar shards, ActivityNet JSON, or plain files."""
    from curate.console import bars
    from curate.mixes.loading.export import export as run_export

    splits = None if split is None else [split]
    with bars() as progress:
        run_export(given_workspace(), name, rev, form=form, directory=to, splits=splits, progress=progress)
    print(to)


def _show_published(published: Any, who: str, as_json: bool) -> None:
    """Says what was published, and files the orders of labels that the mix asks for where it is short."""
    from curate.console import show
    from curate.targets.choosing.shortfall import order_as_asked

    orders = order_as_asked(given_workspace(), published.lock, who=who or user())
    if as_json:
        show(published, as_json=True)
        return
    changed = "" if published.new else " (nothing changed since)"
    print(f"{published.name} {published.revision}{changed}: {published.directory}")
    show(published.rows)
    _say_limits(published.lock)
    if orders:
        show_decisions(orders, as_json=False)


def _say_limits(lock: Mapping[str, Any]) -> None:
    """What a version lacks and why, and which labels it was made without."""
    from curate.mixes.card import contested_words

    for shortfall in lock["shortfalls"]:
        print(shortfall["words"])
    for words in contested_words(lock):
        print(words)


def _shares(found: Any) -> Any:
    """A row for each share, in the budget's unit."""
    import polars as pl

    return pl.DataFrame(
        [
            {"share": share, **{kind: found.amount(kind, share) for kind in ("requested", "feasible", "realised")}}
            for share in found.lock["requested"]
        ],
        schema={"share": pl.String, "requested": pl.Float64, "feasible": pl.Float64, "realised": pl.Float64},
    )


def _splits(lock: Mapping[str, Any]) -> Any:
    import polars as pl

    kept = ("rows", "clips", "videos", "groups", "hours")
    return pl.DataFrame(
        [{"split": split, **{name: facts[name] for name in kept}} for split, facts in lock["splits"].items()]
    )
