"""`curate decisions | approve | reject | proceed`: people decide, and what was approved is carried out."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate.cli_options import Json, Who, given_workspace, user

if TYPE_CHECKING:
    from curate.decisions import Decision

_Ids = Annotated[list[str], typer.Argument(help="Decision ids, or as much of them as is needed to tell.")]
_Why = Annotated[str, typer.Option(help="Why; kept with the decision.")]


def decisions(
    everything: Annotated[bool, typer.Option("--all", help="Those that were taken, too.")] = False,
    as_json: Json = False,
) -> None:
    """What waits for a person: collections, label orders and releases, with their evidence and cost."""
    from curate.decisions import APPROVED, PROPOSED
    from curate.decisions import decisions as find_decisions

    status = () if everything else (PROPOSED, APPROVED)
    show_decisions(find_decisions(given_workspace().catalog, status=status), as_json)


def approve(ids: _Ids, why: _Why, who: Who = "", as_json: Json = False) -> None:
    """Approve what is proposed. `curate proceed` then carries it out."""
    from curate.decisions import APPROVED

    _decide(ids, APPROVED, who, why, as_json)
    if not as_json:
        print("next: `curate proceed` carries it out")


def reject(ids: _Ids, why: _Why, who: Who = "", as_json: Json = False) -> None:
    """Reject what is proposed. It stays on record, with the reason."""
    from curate.decisions import REJECTED

    _decide(ids, REJECTED, who, why, as_json)


def proceed(
    ids: Annotated[
        list[str] | None, typer.Argument(help="Decision ids; all that are approved and not done if not given.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Carry out what was approved, oldest first. One that fails stays approved, and stops no other."""
    from curate.console import bars, show
    from flows import run_flow
    from flows.settings import progress

    with bars() as callback:
        token = progress.set(callback)
        try:
            done = run_flow(given_workspace(), "proceed", {"decision_ids": ids})
        finally:
            progress.reset(token)
    if as_json:
        show(done, as_json=True)
    elif not done:
        print("nothing is approved and waiting: `curate decisions` lists what is proposed")
    else:
        for row in done:
            print(f"{row['decision_id']}  {row['kind']} {row['subject']}: {row['problem'] or 'done'}")
    if any(row["problem"] for row in done):
        raise typer.Exit(1)


def show_decisions(found: Sequence["Decision"], as_json: bool) -> None:
    """Prints decisions, each on a few lines: what, why, what it costs, what speaks for it."""
    from dataclasses import asdict

    from curate.console import show

    if as_json:
        show([asdict(each) for each in found], as_json=True)
        return
    for each in found:
        print(f"{each.decision_id}  {each.status}  {each.kind} {each.subject}, {each.who}: {each.why}")
        for title, facts in (("cost", each.cost), ("evidence", each.evidence)):
            if facts:
                print(f"    {title:<9} {_words(facts)}")
    if not found:
        print("no decision waits")


def _decide(ids: Sequence[str], status: str, who: str, why: str, as_json: bool) -> None:
    from curate.decisions import decide, find

    catalog = given_workspace().catalog
    found = [find(catalog, each) for each in ids]
    taken = [decide(catalog, each.decision_id, status, who=who or user(), why=why) for each in found]
    show_decisions(taken, as_json)


def _words(facts: dict[str, Any]) -> str:
    """Facts on one line; lists that are long, or of more than plain values, are counted."""
    return ", ".join(f"{name} {_word(value)}" for name, value in facts.items() if value not in (None, [], {}))


def _word(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, dict):
        return f"({_words(value)})"
    if isinstance(value, list):
        short = len(value) <= 3 and not any(isinstance(part, dict) for part in value)
        return f"({'; '.join(map(_word, value))})" if short else f"({len(value)})"
    return str(value)
