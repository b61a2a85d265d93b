"""What several commands share: their common options, and the workspace that was named before the command."""

import getpass
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from curate.workspace import Workspace

SOME_FAILED = 3
"""Exit status of a run that finished while some items failed."""
Json = Annotated[bool, typer.Option("--json", help="Print one JSON value instead of a table.")]
Who = Annotated[str, typer.Option(help="Who decides; recorded with the decision.")]
Why = Annotated[str, typer.Option(help="Why; recorded with the decision.")]
RestoreInterface = Annotated[
    bool, typer.Option("--restore-interface", help="Put back a labelling interface that was edited by hand.")
]
Revision = Annotated[
    str | None, typer.Option("--rev", help="v1, v2, ... or any git revision; the newest if not given.")
]


@dataclass
class _Said:
    """What was said before the command."""

    workspace: Path = Path()
    debug: bool = False


said = _Said()


def given_workspace() -> "Workspace":
    """The workspace that the command is for.

    Raises:
        InputError: there is none.
    """
    from curate.workspace import open_workspace

    return open_workspace(said.workspace)


def user() -> str:
    """Who decides where nobody is named."""
    return getpass.getuser()


def show_rows(rows: list, as_json: bool) -> None:
    """Prints dataclasses of one kind as a table."""
    import polars as pl

    from curate.console import show

    show(pl.DataFrame([asdict(row) for row in rows]), as_json=as_json)
