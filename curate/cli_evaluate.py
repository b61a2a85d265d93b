"""`curate evaluate`: how good a model is, per capability and slice, and whether it is better than another."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate.cli_options import Json, Revision, given_workspace

if TYPE_CHECKING:
    import polars as pl

_SHOWN = {
    "f1@0.5": "f1@0.5", "joint_f1@0.5": "with fields", "map": "map", "false_alarms_per_min": "false alarms/min",
}  # fmt: skip
"""The metrics that `evaluate` shows without `--json`, and what their columns are called."""


def evaluate(
    mix: Annotated[str, typer.Argument(help="A published mix.")],
    rev: Revision = None,
    model: Annotated[
        Path | None, typer.Option(help="A trained model's directory or name; zero-shot where neither is given.")
    ] = None,
    predictions: Annotated[
        Path | None, typer.Option(help="What any model said, as JSON or JSON lines: ours, or ActivityNet's.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Of the model that said it; the file's if not given.")] = None,
    against: Annotated[
        str | None,
        typer.Option(help="Compare with: a model's directory or name, zero-shot, or predictions."),
    ] = None,
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    slices: Annotated[bool, typer.Option("--slices", help="Show each capability's slices too.")] = False,
    probes: Annotated[
        bool, typer.Option("--probes", help="Ask the model in ways that should change nothing, or everything.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Measure a model, ours or not, on a mix's split: per capability, with intervals, beside what annotators reach."""
    from curate.console import bars, out, show
    from curate.evaluation.examine import examine

    with bars() as progress:
        found = examine(
            given_workspace(), mix, rev, model=model, predictions=predictions, name=name, against=against,
            split=split, probes=probes, progress=progress,
        )  # fmt: skip
    if as_json:
        show(found.as_dict(), as_json=True)
        return
    rows = found.rows if slices else found.rows.filter(found.rows["slice"].is_null())
    show(_by_capability(rows, slices=slices))
    if found.probes is not None:
        out.print("\nprobes: the model asked otherwise")
        show(found.probes)
    if found.comparison is not None:
        out.print(f"\n{found.comparison.model} against {found.comparison.against}")
        show(_differences(found.comparison.rows))
        for line in found.comparison.regressions or ["no capability is shown to be worse"]:
            out.print(line)
    for line in found.notes:
        out.print(line)


def _by_capability(rows: "pl.DataFrame", *, slices: bool) -> "pl.DataFrame":
    """A row for each capability, or slice: its main metrics, with intervals, and the ceiling of the first."""
    import polars as pl

    shown = [metric for metric in _SHOWN if (rows["metric"] == metric).any()]
    table = []
    for (capability, part), own in rows.group_by("capability", "slice", maintain_order=True):
        by_metric = {row["metric"]: row for row in own.iter_rows(named=True)}
        first = own.row(0, named=True)
        ceiling = by_metric.get("f1@0.5", {}).get("ceiling")
        table.append(
            {"capability": capability}
            | ({"slice": part} if slices else {})
            | {_SHOWN[metric]: _figure(by_metric.get(metric)) for metric in shown}
            | {"annotators": "-" if ceiling is None else f"{ceiling:.2f}"}
            | {"videos": first["videos"], "segments": first["segments"]}
        )
    return pl.DataFrame(table)


def _differences(rows: "pl.DataFrame") -> "pl.DataFrame":
    """The rows that have a verdict."""
    import polars as pl

    return pl.DataFrame(
        [
            {
                "capability": row["capability"],
                "metric": row["metric"],
                "against": row["against"],
                "model": row["model"],
                "difference": _between(f"{row['difference']:+.2f}", row["low"], row["high"]),
                "p": row["p"],
                "verdict": row["verdict"],
            }
            for row in rows.drop_nulls("verdict").iter_rows(named=True)
        ]
    )


def _figure(row: dict[str, Any] | None) -> str:
    """0.81 (0.70 to 0.89)."""
    return "-" if row is None else _between(f"{row['value']:.2f}", row["low"], row["high"])


def _between(value: str, low: float | None, high: float | None) -> str:
    return value if low is None or high is None else f"{value} ({low:.2f} to {high:.2f})"
