"""`curate label agreement|adjudicate|compare|invite`: how good labels are, settling those in doubt, and which of two
models people prefer."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate.cli_options import SOME_FAILED, Json, RestoreInterface, given_workspace, show_rows

if TYPE_CHECKING:
    import polars as pl

    from curate.review.blind import Result

_UNKNOWN = "-"
_ALL = "all"


def agreement(
    capabilities: Annotated[list[str] | None, typer.Argument(help="Capability ids; all where not given.")] = None,
    as_json: Json = False,
) -> None:
    """How far annotators agree, and each one's work and answers on clips whose answer is known; 95% intervals."""
    from curate.console import out, show
    from curate.review.agreement import agreement as agreement_of
    from curate.review.agreement import pairs, update
    from curate.review.annotators import annotators
    from curate.workspace import new_run_id

    workspace = given_workspace()
    specs = workspace.capabilities(capabilities or None)
    catalog = workspace.catalog
    update(catalog, specs, run_id=new_run_id("agreement"))
    measured, people = agreement_of(catalog, specs), annotators(catalog, specs)
    contested = _contested(catalog.scan("agreements").collect(), list(specs))
    if as_json:
        found = {"agreement": measured, "pairs": pairs(catalog, specs), "annotators": people}
        rows = {name: frame.to_dicts() for name, frame in found.items()}
        show({**rows, "contested": contested}, as_json=True)
        return
    if people.is_empty():
        out.print("no labels yet: `curate label pull` fetches what annotators have done")
        return
    if measured.is_empty():
        out.print("no clip has two annotators' labels yet: `quality.overlap` of a capability says how many get two")
    else:
        show(_of_agreement(measured))
    out.print()
    show(_of_annotators(people))
    for name, count in contested.items():
        out.print(f"\n{name}: annotators differ on {count} clips; `curate label adjudicate {name}` asks a reviewer")


def adjudicate(
    capabilities: Annotated[list[str] | None, typer.Argument(help="Capability ids; all where not given.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Cases to look for, for each capability.")] = 100,
    restore_interface: RestoreInterface = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Send nothing: list the cases, worst first.")] = False,
    as_json: Json = False,
) -> None:
    """Send reviewers the clips whose annotators differ, or that a trained model is sure are labelled wrong."""
    from curate.console import bars
    from curate.review.cases import cases
    from labeling.adjudicate import adjudicate
    from labeling.server import connect

    workspace = given_workspace()
    names = capabilities or list(workspace.capabilities())
    if dry_run:
        import polars as pl

        from curate.console import show

        rows = [
            {"capability": name, "clip_id": case.clip_id, "reason": case.reason, "severity": case.severity}
            | {f"answer_{number}": _said(answer) for number, answer in enumerate(case.answers, start=1)}
            for name in names
            for case in cases(workspace, name, limit=limit)
        ]
        show(pl.DataFrame(rows), as_json=as_json)
        return
    server = connect(workspace.state / "label-studio")
    with bars() as progress:
        done = [
            adjudicate(workspace, server, name, limit=limit, restore_interface=restore_interface, progress=progress)
            for name in names
        ]
    show_rows(done, as_json)
    if any(summary.failed for summary in done):
        raise typer.Exit(SOME_FAILED)


def compare(
    capability: Annotated[str | None, typer.Argument(help="Capability id.")] = None,
    model_1: Annotated[str | None, typer.Argument(help="A trained model, or zero-shot.")] = None,
    model_2: Annotated[str | None, typer.Argument(help="The other one.")] = None,
    clips: Annotated[int, typer.Option(min=1, help="Ask about so many clips at most.")] = 100,
    result: Annotated[
        str | None, typer.Option("--result", help="Show what people have said in this comparison.")
    ] = None,
    restore_interface: RestoreInterface = False,
    as_json: Json = False,
) -> None:
    """Ask people which of two models marks clips better, blind; with --result, what they have said so far."""
    from curate.console import bars, show
    from curate.errors import InputError
    from curate.review.blind import result as result_of
    from labeling.compare import compare
    from labeling.server import connect

    workspace = given_workspace()
    if result is not None:
        found = result_of(workspace.catalog, result)
        show(_defined(asdict(found)) if as_json else _facts(found), as_json=as_json)
        return
    if not (capability and model_1 and model_2):
        raise InputError("a comparison is of one capability and two models", fix="Name them, or one with --result")
    server = connect(workspace.state / "label-studio")
    with bars() as progress:
        asked = compare(
            workspace, server, capability, model_1, model_2,
            count=clips, restore_interface=restore_interface, progress=progress,
        )  # fmt: skip
    show(asked, as_json=as_json)
    if asked.failed:
        raise typer.Exit(SOME_FAILED)


def invite() -> None:
    """Print the link by which annotators sign up. Whoever has it can: send it to people you know."""
    from labeling.accounts import invite_link
    from labeling.server import connect

    print(invite_link(connect(given_workspace().state / "label-studio")))


def _defined(facts: dict[str, Any]) -> dict[str, Any]:
    """Facts with null for what is not defined: JSON has no nan."""
    return {
        name: _defined(fact) if isinstance(fact, dict) else None if fact != fact else fact
        for name, fact in facts.items()
    }


def _contested(agreements: "pl.DataFrame", capabilities: list[str]) -> dict[str, int]:
    rows = agreements.filter(agreements["contested"] & agreements["capability"].is_in(capabilities))
    return dict(rows.group_by("capability").len().sort("capability").iter_rows())


def _of_agreement(rows: "pl.DataFrame") -> "pl.DataFrame":
    """A row for each capability and each of its annotators, with the measures that a lead reads."""
    import polars as pl

    found = []
    for (capability, annotator), part in rows.group_by("capability", "annotator", maintain_order=True):
        measure = {row["measure"]: row for row in part.iter_rows(named=True)}
        line = {
            "capability": capability,
            "annotator": annotator or _ALL,
            "clips": part["clips"][0],
            "segments F1@0.5": _interval(measure.get("f1@0.5")),
            "same verdict": _interval(measure.get("verdict")),
            "alpha": _interval(measure.get("verdict_alpha")),
            "ends apart s": _interval(measure.get("boundary_s")),
            "starts late s": _interval(measure.get("start_bias_s")),
            "ends late s": _interval(measure.get("end_bias_s")),
            "same fields": _interval(measure.get("fields")),
        }
        found.append(line)
    return pl.DataFrame(found)


def _of_annotators(rows: "pl.DataFrame") -> "pl.DataFrame":
    """A row for each annotator and capability; over all of them only where there are several."""
    import polars as pl

    several = pl.col("capability").count().over("annotator") > 1
    return pl.DataFrame(
        [
            {
                "annotator": row["annotator"],
                "capability": row["capability"] or _ALL,
                "labels": row["labels"],
                "reviews": row["reviews"],
                "s each": row["lead_time_s"],
                "minutes": row["minutes"],
                "known clips": row["gold_clips"],
                "right verdict": _between(row["gold_verdict"], row["gold_verdict_low"], row["gold_verdict_high"]),
                "right segments F1": _between(row["gold_f1"], row["gold_f1_low"], row["gold_f1_high"]),
            }
            for row in rows.filter(several | pl.col("capability").is_not_null()).iter_rows(named=True)
        ]
    )


def _facts(found: "Result") -> dict[str, Any]:
    """A comparison's result, a line for each thing that is known of it."""
    first, second = found.models
    if found.winner:
        verdict = found.winner
    elif found.needed:
        verdict = f"none yet; about {found.needed} clips more would tell at this share"
    else:
        verdict = "none"
    return {
        "comparison": f"{found.comparison_id} of {found.capability}",
        "winner": verdict,
        "clips": f"{found.clips}, {found.waiting} without a vote; {found.votes} votes by {found.annotators}",
        "preferred": f"{first} {found.wins[first]}, {second} {found.wins[second]}, ties {found.ties}, "
        f"both wrong {found.neither}",
        f"for {first}": f"{_between(found.share, found.low, found.high)} of the decided, p {found.p:.3g}",
        "same answer again": _estimate(found.consistency),
        "for side 1": f"{_estimate(found.first_side)} (0.5 where the side makes no difference)",
    }


def _said(answer: Any) -> str:
    """An answer in short: who, the verdict, and how many segments."""
    count = len(answer.segments)
    segments = f", {count} segment{'s' if count > 1 else ''}" if count else ""
    return f"{answer.by}: {answer.verdict}{segments}"


def _interval(row: dict[str, Any] | None) -> str:
    return _UNKNOWN if row is None else _between(row["value"], row["low"], row["high"])


def _estimate(found: Any) -> str:
    return _between(found.value, found.low, found.high)


def _between(value: float | None, low: float | None, high: float | None) -> str:
    """0.82 (0.70 to 0.91); unknown where it is not defined (null, or nan which is no number)."""
    if value is None or value != value:
        return _UNKNOWN
    known = low is not None and high is not None and low == low and high == high
    return f"{value:.2f} ({low:.2f} to {high:.2f})" if known else f"{value:.2f}"
