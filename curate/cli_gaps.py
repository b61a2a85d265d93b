"""`curate gaps`: what is missing, as a table that a lead reads."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate.cli_options import Json, given_workspace

if TYPE_CHECKING:
    import polars as pl

_UNKNOWN = "-"
_NO_ESTIMATE = "unknown"
_WHY_NONE = (
    "\nunknown: nothing says how many there are until 10 clips that were drawn at random, or 10 of either kind, are "
    "labelled: `curate label push` draws some"
)


def gaps(
    capability: Annotated[
        str | None, typer.Argument(help="Show one capability, with all of its slices.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """For each capability: target, supply, evaluation, and what is missing, most urgent first."""
    from curate.console import out, show
    from curate.targets.gaps.coverage import coverage

    found = coverage(given_workspace(), None if capability is None else [capability])
    if as_json:
        show({"capabilities": found.capabilities.to_dicts(), "slices": found.slices.to_dicts()}, as_json=True)
        return
    if capability is not None:
        show(_facts(found.capabilities.row(0, named=True)))
        if found.slices.height:
            out.print()
            show(_of_slices(found.slices, name=False))
        return
    show(_of_capabilities(found.capabilities))
    if found.capabilities["candidates"].null_count():
        out.print(_WHY_NONE)
    short = found.slices.filter(found.slices["gap_clips"] > 0).sort("priority", descending=True, maintain_order=True)
    if short.height:
        out.print("\nslices below their floor, and how many unlabelled clips could fill them")
        show(_of_slices(short, name=True))


def _of_capabilities(rows: "pl.DataFrame") -> "pl.DataFrame":
    """A row for each capability; figures as text, each beside what it is measured against."""
    import polars as pl

    return pl.DataFrame(
        [
            {
                "capability": row["capability"],
                "labelled": f"{row['positives']} of {row['target']}",
                "gap": row["gap_clips"],
                "gap h": _hours(row["gap_s"]),
                "unlabelled with it": _between(row),
                "matches": row["matches"],
                "reviewed": row["reviewed"],
                "in mix": _or_unknown(row["in_mix"]),
                "evaluation": _evaluation(row),
                "probes covered": _covered(row),
                "priority": f"{row['priority']:.2f}",
            }
            for row in rows.iter_rows(named=True)
        ]
    )


def _of_slices(rows: "pl.DataFrame", *, name: bool) -> "pl.DataFrame":
    import polars as pl

    return pl.DataFrame(
        [
            ({"capability": row["capability"]} if name else {})
            | {
                "slice": f"{row['slice']}={row['value']}" if row["value"] else row["slice"],
                "labelled": f"{row['positives']} of {row['target']}" if row["target"] else str(row["positives"]),
                "gap": row["gap_clips"],
                "unlabelled with it": _between(row),
                "in mix": _or_unknown(row["in_mix"]),
                "evaluation": _UNKNOWN if row["evaluation"] is None else f"{row['evaluation']:.2f}",
                "priority": f"{row['priority']:.2f}",
            }
            for row in rows.iter_rows(named=True)
        ]
    )


def _facts(row: dict[str, Any]) -> dict[str, str]:
    """One capability, a line for each thing that is known of it."""
    hours = "" if row["target_s"] is None else f" ({row['target_s'] / 3600:.2f} h)"
    return {
        "capability": f"{row['capability']} {row['spec_version']}",
        "target": f"{row['target']} clips{hours}",
        "labelled": f"{row['labelled']}: {row['positives']} with it ({_hours(row['positives_s'])} h), "
        f"{row['negatives']} without; {row['reviewed']} settled by a review or by two who agree",
        "gap": f"{row['gap_clips']} clips, {_hours(row['gap_s'])} h",
        "unlabelled": f"{_between(row)} with it; {row['matches']} match",
        "in_mix": _or_unknown(row["in_mix"]),
        "evaluation": f"{row['metric']} {_evaluation(row)}",
        "probes": f"{_covered(row)} near a labelled clip" if row["probes"] else "none yet",
        "priority": f"{row['priority']:.2f}",
    }


def _between(row: dict[str, Any]) -> str:
    """41 (28 to 60), or that nothing allows an estimate."""
    if row["candidates"] is None:
        return _NO_ESTIMATE
    return f"{row['candidates']:.0f} ({row['candidates_low']:.0f} to {row['candidates_high']:.0f})"


def _evaluation(row: dict[str, Any]) -> str:
    if row["evaluation"] is None:
        return f"{_UNKNOWN}, floor {row['floor']:.2f}"
    low, high = row["evaluation_low"], row["evaluation_high"]
    interval = "" if low is None or high is None else f" ({low:.2f} to {high:.2f})"
    return f"{row['evaluation']:.2f}{interval}, floor {row['floor']:.2f}"


def _covered(row: dict[str, Any]) -> str:
    share = "too few" if row["probe_coverage"] is None else f"{row['probe_coverage']:.0%}"
    return f"{share} of {row['probes']}" if row["probes"] else _UNKNOWN


def _hours(seconds: float | None) -> str:
    return _UNKNOWN if seconds is None else f"{seconds / 3600:.2f}"


def _or_unknown(value: int | None) -> str:
    return _UNKNOWN if value is None else str(value)
