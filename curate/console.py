"""What the command line shows a person: tables, facts, and bars on long work. Nothing here computes."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table

from curate.progress import Progress

_PIPE_COLUMNS = 240
"""A table that is piped or redirected is not folded to the width of a window that is not there."""
_NAMES_WIDTH = 16

out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _PIPE_COLUMNS)
err = Console(stderr=True, highlight=False)


@contextmanager
def bars() -> Iterator[Progress]:
    """A progress callback that draws a bar for each kind of thing counted; on a terminal, gone when done."""
    columns = (
        TextColumn("{task.description:>12}"),
        BarColumn(40),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Bars(*columns, console=err, transient=True, disable=not err.is_terminal) as shown:
        tasks: dict[str, TaskID] = {}

        def advance(what: str, done: int, total: int, note: str = "") -> None:
            if what not in tasks:
                tasks[what] = shown.add_task(what, total=total, note=note)
            shown.update(tasks[what], completed=done, total=total, note=note)

        yield advance


def show(result: Any, *, as_json: bool = False, columns: list[str] | None = None) -> None:
    """Prints a frame as a table, anything else as facts; with `as_json`, the whole of it as one JSON value."""
    if as_json:
        print(json.dumps(_plain(result), default=str, indent=1))
    elif hasattr(result, "iter_rows"):
        out.print(_table(result, columns or result.columns))
    else:
        facts = _plain(result)
        width = max([_NAMES_WIDTH, *(len(name) for name, value in facts.items() if value not in (None, [], {}))])
        for name, value in facts.items():
            if isinstance(value, Mapping) and value and all(isinstance(part, Mapping) for part in value.values()):
                out.print(_facts_table(name, value))
            elif value not in (None, [], {}):
                out.print(f"  {name.replace('_', ' '):<{width}} {_cell(value)}")


def _plain(result: Any) -> Any:
    if hasattr(result, "to_dicts"):
        return result.to_dicts()
    if is_dataclass(result) and not isinstance(result, type):
        return asdict(result)
    return result


def _table(frame: Any, columns: list[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        numeric = frame.schema[name].is_numeric()
        table.add_column(
            name.replace("_", " "), justify="right" if numeric else "left", no_wrap=numeric, overflow="fold"
        )
    for row in frame.select(columns).iter_rows():
        table.add_row(*(_cell(value) for value in row))
    return table


def _facts_table(title: str, facts: Mapping[str, Mapping[str, Any]]) -> Table:
    """Facts of several things as a table, a row for each."""
    import polars as pl

    rows = pl.DataFrame([{title: name, **part} for name, part in facts.items()])
    return _table(rows, rows.columns)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_cell(part)}" for name, part in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_cell(part) for part in value)
    return str(value)
