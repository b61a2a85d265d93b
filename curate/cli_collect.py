"""`curate collect`."""

import sys
from dataclasses import asdict
from typing import Annotated, Any

import typer

from curate.cli_options import SOME_FAILED, Json, given_workspace
from curate.errors import InputError


def collect(
    sources: Annotated[list[str] | None, typer.Argument(help="Source ids; all where not given.")] = None,
    capability: Annotated[
        str | None, typer.Option("--for", help="Analyse first what looks most like this capability.")
    ] = None,
    budget: Annotated[
        float | None, typer.Option("--budget", help="With --for: hours of footage to analyse in this run.")
    ] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try failed files again.")] = False,
    as_json: Json = False,
) -> None:
    """Bring sources up to date: decode new videos into clips, find duplicates, measure, score capabilities."""
    from curate.analyze.collect import collect as run_collect
    from curate.analyze.measure import check_conditions
    from curate.analyze.measure import measure as run_measure
    from curate.console import bars, show
    from curate.dedupe.duplicates import find_duplicates
    from curate.targets.aim import aim, aim_summary
    from curate.targets.score import score

    if budget is not None and capability is None:
        raise InputError("--budget without --for", fix="Say with --for which capability the hours are for")
    workspace = given_workspace()
    check_conditions(workspace)
    order = aim(workspace, capability, budget) if capability else None
    with bars() as progress:
        collected = run_collect(workspace, sources, order=order, retry_failed=retry_failed, progress=progress)
        deduplicated = find_duplicates(workspace, progress=progress)
        measured = run_measure(workspace, progress=progress)
        scored = score(workspace, progress=progress)
    parts: dict[str, Any] = {"collect": collected, "dedupe": deduplicated, "measure": measured, "score": scored}
    if capability:
        parts["aim"] = aim_summary(workspace, capability, collected.run_id)
    if as_json:
        show({name: asdict(part) for name, part in parts.items()}, as_json=True)
    else:
        titles = {
            "collect": "collected", "dedupe": "duplicates", "measure": "costly signals", "score": "scored",
            "aim": f"aimed at {capability}",
        }  # fmt: skip
        for name, part in parts.items():
            print(titles[name])
            show(part)
    if collected.failed:
        print(f"{collected.failed} files failed: `curate outcomes --outcome failed` says why", file=sys.stderr)
        raise typer.Exit(SOME_FAILED)
