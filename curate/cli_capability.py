"""`curate capability ...`: write a capability, see what it would match, where it stands, and what a change does."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate.cli_options import Json, given_workspace, user

if TYPE_CHECKING:
    from curate.targets.scoring.preview import Preview
    from curate.targets.scoring.revise import Revised

Name = Annotated[str, typer.Argument(help="A capability of configs/capabilities/.")]

_SHOWN = ("place", "similarity", "probability", "best_start_s", "best_end_s", "verdict", "clip_id", "file")
_BAR = 40

capability = typer.Typer(
    help="Write a capability, see what it matches today, and what a change does.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@capability.command("new")
def capability_new(
    name: Annotated[str, typer.Argument(help="Its id: lower case letters, digits and _.")],
    text: Annotated[list[str] | None, typer.Option(help="What a frame of it shows, in words; repeatable.")] = None,
    not_text: Annotated[list[str] | None, typer.Option("--not", help="What it is mistaken for; repeatable.")] = None,
    like: Annotated[list[str] | None, typer.Option(help="A clip id or file that shows it; repeatable.")] = None,
    title: Annotated[str, typer.Option(help="For people; made of the name if not given.")] = "",
    why: Annotated[str, typer.Option(help="The evidence that asked for it.")] = "",
    owner: Annotated[str, typer.Option(help="Who answers for it; you if not given.")] = "",
) -> None:
    """Write a capability's file, with a comment at each thing to fill in. An existing one stays as it is."""
    from curate.specs.draft import write_draft

    path = write_draft(
        given_workspace().configs,
        name,
        title=title,
        owner=owner or user(),
        why=why,
        text=text or (),
        not_text=not_text or (),
        like=like or (),
    )
    print(path)
    print(f"Next: say in it what counts, then see what it matches: curate capability check {name}")


@capability.command("check")
def capability_check(
    name: Name,
    html: Annotated[Path | None, typer.Option(help="Write a page with pictures to this file.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Best, borderline and worst clips shown, of each.")] = 8,
    as_json: Json = False,
) -> None:
    """What it would match today, draft or not: counts, histogram, best, borderline and worst clips. Writes no score."""
    from curate.console import show
    from curate.report.preview import write_preview
    from curate.targets.scoring.preview import preview

    workspace = given_workspace()
    found = preview(workspace, name, limit=limit)
    if html:
        write_preview(workspace, found, html)
    if as_json:
        show({**_plain(found), "html": str(html) if html else None}, as_json=True)
        return
    _print_preview(found)
    if html:
        print(html)


@capability.command("show")
def capability_show(name: Name, as_json: Json = False) -> None:
    """What it says, its version, how good its scores are, and what is missing of it."""
    import polars as pl

    from curate.console import out, show
    from curate.targets.gaps.coverage import coverage
    from curate.targets.scoring.match import spec_path
    from curate.targets.scoring.preview import one_spec

    workspace = given_workspace()
    spec = one_spec(workspace, name)
    calibrations = workspace.catalog.scan("calibrations").filter(pl.col("capability") == name)
    calibration = calibrations.drop("run_id", "work_key", "written_at").collect().to_dicts()
    gap = coverage(workspace, [name]).capabilities.to_dicts()
    if as_json:
        facts = {"spec": spec.model_dump(mode="json"), "version": spec.version}
        show({**facts, "calibration": next(iter(calibration), None), "gap": next(iter(gap), None)}, as_json=True)
        return
    out.print(f"[bold]{name}[/bold] {spec.version}  {spec_path(workspace, spec).relative_to(workspace.root)}")
    show(_said(spec.model_dump(mode="json", exclude_defaults=True)))
    out.print("\n[bold]scores[/bold]")
    if not calibration:
        print("  not scored yet: `curate collect` does it, `curate capability check` shows what it matches")
    elif calibration[0]["spec_version"] != spec.version:
        print(f"  of version {calibration[0]['spec_version']}: `curate collect` scores this one")
    for row in calibration:
        _print_calibration(row)
    out.print("\n[bold]what is missing[/bold]")
    for row in gap:
        show({key: value for key, value in row.items() if key not in ("capability", "spec_version")})


@capability.command("diff")
def capability_diff(
    name: Annotated[str | None, typer.Argument(help="A capability; all that changed if not given.")] = None,
    rev: Annotated[str, typer.Argument(help="A git revision.")] = "HEAD",
    limit: Annotated[int, typer.Option(min=0, help="Most clips listed as gained and as lost.")] = 5,
    as_json: Json = False,
) -> None:
    """What changed in a spec since it was committed, or since a revision, and what that does to its matches now."""
    from curate.console import show
    from curate.targets.scoring.revise import revised

    found = revised(given_workspace(), name, rev)
    if as_json:
        show([_plain_revised(each) for each in found], as_json=True)
        return
    if not found:
        print(f"{name or 'every capability'} says what it said at {rev}")
    for each in found:
        _print_revised(each, limit)


def _print_preview(found: "Preview") -> None:
    import polars as pl

    from curate.console import out, show
    from curate.report.preview import decides

    out.print(f"[bold]{found.spec.id}[/bold] {found.spec.version}: {found.spec.title}", markup=True)
    if not found.clips:
        print("  no clips yet: `curate collect` makes them")
        return
    print(f"  {found.clips} clips, {found.eligible} eligible, {found.matches} match, {found.kept} of them no copies")
    print(f"  a clip matches from {decides(found)}")
    for row in found.excluded:
        print(f"  kept out by {row['condition']}: {row['clips']} clips, {row['alone']} by this alone")
    for note in found.notes:
        print(f"  {note}")
    _print_histogram(found)
    _print_calibration(found.calibration)
    unsure = {verdict: count for verdict, count in found.labels.items() if verdict not in ("present", "absent")}
    if unsure:
        print(f"  {', '.join(f'{count} labelled {verdict}' for verdict, count in unsure.items())}")
    if len(found.shown):
        print()
        file = pl.col("path").str.split("/").list.last()
        likeliness = "probability" if found.calibrated else "rank"
        named = found.shown.with_columns(file=file).rename({"probability": likeliness})
        show(named, columns=[likeliness if name == "probability" else name for name in _SHOWN])


def _print_histogram(found: "Preview") -> None:
    """A line for each bin: the clips that match as full blocks, the other eligible ones as light ones."""
    most = max((each["clips"] for each in found.histogram), default=0)
    level = None if found.calibrated else found.level
    if most:
        print(f"\n  {'similarity':>10}  clips   █ match  ░ eligible")
    for each in found.histogram:
        full = round(each["matches"] / most * _BAR)
        bar = "█" * full + "░" * (max(round(each["clips"] / most * _BAR), int(each["clips"] > 0)) - full)
        here = level is not None and each["low"] <= level < each["high"]
        print(f"  {each['low']:>10.3f} {each['clips']:>6}   {bar}{'  <- level' if here else ''}")
    if most:
        print()


def _print_calibration(row: dict[str, Any]) -> None:
    labels = f"  {row['labels']} labels, {row['positives']} of them present"
    if row["calibration"] == "rank":
        print(f"{labels}: too few for probabilities, scores are ranks")
        return
    audits = f"{row['audits']} drawn at random" if row["audits"] else "none drawn at random: they may say too much"
    print(f"{labels}, {audits}; {row['calibration']} over {row['features']}")
    if row["brier"] is None:
        print("  all labels are of one leakage group, so none can be held out")
        return
    print(f"  of held-out labels: Brier {row['brier']:.3f}, {row['brier_base_rate']:.3f} for the base rate alone")
    for each in row["reliability"]:
        said = f"said {each['predicted']:.2f}, {each['observed']:.2f} show it"
        print(f"    {each['low']:.1f} to {each['high']:.1f} {each['clips']:>5} labels: {said}")


def _print_revised(found: "Revised", limit: int) -> None:
    from curate.console import out, show

    out.print(
        f"[bold]{found.name}[/bold] {found.before or 'not there'} -> {found.after or 'not there'} since {found.rev}"
    )
    for change in found.changes:
        print(f"  {change['key']}")
        print(f"    - {json.dumps(change['before'], ensure_ascii=False)}")
        print(f"    + {json.dumps(change['after'], ensure_ascii=False)}")
    if found.note:
        print(f"  {found.note}")
    if found.gained is None or found.lost is None:
        count = found.matches_after if found.after else found.matches_before
        if count is not None:
            print(f"  {'matches' if found.after else 'matched'} {count} clips that are no copies")
        return
    gained, lost = len(found.gained), len(found.lost)
    print(f"  matches {found.matches_before} -> {found.matches_after} clips: {gained} gained, {lost} lost")
    for words, clips in (("gained", found.gained), ("lost", found.lost)):
        if len(clips) and limit:
            print(f"  {words}, best first")
            show(clips.head(limit), columns=["clip_id", "similarity", "best_start_s", "best_end_s", "path"])


def _plain(found: "Preview") -> dict[str, Any]:
    plain = {key: value for key, value in asdict(found).items() if key not in ("spec", "shown")}
    return {"capability": found.spec.id, "version": found.spec.version, **plain, "shown": found.shown.to_dicts()}


def _plain_revised(found: "Revised") -> dict[str, Any]:
    frames = {"gained": found.gained, "lost": found.lost}
    told = {key: value for key, value in vars(found).items() if key not in frames}
    return told | {key: None if value is None else value.to_dicts() for key, value in frames.items()}


def _said(spec: dict[str, Any]) -> dict[str, Any]:
    """Without the id, which stands above."""
    return {key: value for key, value in spec.items() if key != "id"}
