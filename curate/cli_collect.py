"""`curate collect`: everything that is new, or what one capability lacks."""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate.cli_options import SOME_FAILED, Json, Who, Why, given_workspace, user
from curate.errors import InputError

if TYPE_CHECKING:
    from curate.workspace import Workspace


@dataclass(frozen=True)
class _Search:
    """What `--for` asks for."""

    capability: str
    budget: float | None
    sources: Sequence[str] | None
    options: dict[str, Any]
    who: str
    why: str


def collect(
    sources: Annotated[list[str] | None, typer.Argument(help="Source ids; all where not given.")] = None,
    capability: Annotated[
        str | None, typer.Option("--for", help="Find what this capability lacks, at the least cost, and no more.")
    ] = None,
    budget: Annotated[
        float | None, typer.Option("--budget", help="With --for: most hours of footage to analyse.")
    ] = None,
    worth: Annotated[
        float | None, typer.Option("--worth", help="With --for: most hours that one more useful clip may cost; 20.")
    ] = None,
    propose: Annotated[
        bool, typer.Option("--propose", help="With --for: only say what it would do and cost, for approval.")
    ] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try failed files again.")] = False,
    who: Who = "",
    why: Why = "",
    as_json: Json = False,
) -> None:
    """Bring sources up to date: decode new videos into clips, find duplicates, measure, score capabilities."""
    workspace = given_workspace()
    if capability is None:
        for given, name in ((budget, "--budget"), (worth, "--worth"), (propose, "--propose")):
            if given:
                raise InputError(f"{name} without --for", fix="Say with --for which capability it is for")
        failed = _everything(workspace, sources, retry_failed, as_json)
    elif retry_failed:
        raise InputError("--retry-failed with --for", fix="Run `curate collect --retry-failed` by itself")
    else:
        options = {} if worth is None else {"worth_hours": worth}
        asked = _Search(capability, budget, sources, options, who or user(), why)
        failed = _proposal(workspace, asked, as_json) if propose else _campaign(workspace, asked, as_json)
    if failed:
        print(f"{failed} files failed: `curate outcomes --outcome failed` says why", file=sys.stderr)
        raise typer.Exit(SOME_FAILED)


def _everything(workspace: "Workspace", sources: Sequence[str] | None, retry_failed: bool, as_json: bool) -> int:
    from curate.analyze.collect import collect as run_collect
    from curate.analyze.measure import check_conditions, measure
    from curate.console import bars, show
    from curate.dedupe.duplicates import find_duplicates
    from curate.targets.scoring.score import score

    check_conditions(workspace)
    with bars() as progress:
        collected = run_collect(workspace, sources, retry_failed=retry_failed, progress=progress)
        parts: dict[str, Any] = {
            "collect": collected,
            "dedupe": find_duplicates(workspace, progress=progress),
            "measure": measure(workspace, progress=progress),
            "score": score(workspace, progress=progress),
        }
    if as_json:
        show({name: asdict(part) for name, part in parts.items()}, as_json=True)
        return collected.failed
    titles = {"collect": "collected", "dedupe": "duplicates", "measure": "costly signals", "score": "scored"}
    for name, part in parts.items():
        print(titles[name])
        show(part)
    return collected.failed


def _campaign(workspace: "Workspace", asked: _Search, as_json: bool) -> int:
    from curate.console import bars, out, show
    from curate.targets.collection.account import arms_table, as_text
    from curate.targets.collection.campaign import collect_for
    from curate.targets.scoring.score import score

    try:
        with bars() as progress:
            done = collect_for(
                workspace, asked.capability, budget_hours=asked.budget, sources=asked.sources, who=asked.who,
                why=asked.why or "what it lacks", progress=progress, **asked.options,
            )  # fmt: skip
            score(workspace, progress=progress)
    except KeyboardInterrupt:
        print("stopped; what is analysed is kept, and the same command goes on from there", file=sys.stderr)
        raise
    if as_json:
        show(done, as_json=True)
    else:
        print(as_text(done))
        out.print("\nfolders, those that paid most first")
        show(arms_table(done.arms))
    return done.failed


def _proposal(workspace: "Workspace", asked: _Search, as_json: bool) -> int:
    from curate.console import bars, show
    from curate.decisions import COLLECTION, propose
    from curate.targets.collection.account import proposal_text
    from curate.targets.collection.campaign import propose_collection

    with bars() as progress:
        found = propose_collection(
            workspace, asked.capability, asked.budget, asked.sources, progress=progress, **asked.options
        )
    plan, evidence, cost = found["plan"], found["evidence"], found["cost"]
    short = f"{evidence['missing']:.3g} of {evidence['target']} clips are missing"
    made = propose(
        workspace.catalog, COLLECTION, asked.capability,
        plan=plan, evidence=evidence, cost=cost, who=asked.who, why=asked.why or short,
    )  # fmt: skip
    if as_json:
        show(made, as_json=True)
    else:
        print(proposal_text(made))
    return 0
