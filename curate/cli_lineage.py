"""`curate trace | withdraw`: where a clip came from and went to, and how footage is taken back."""

from typing import Annotated

import typer

from curate.cli_options import Json, Who, given_workspace, show_rows, user

_Why = Annotated[str, typer.Option(help="Why; kept, and shown wherever it is missed.")]


def trace(
    item: Annotated[
        str,
        typer.Argument(
            help="A clip id, video id, file name, source or licence; or MIX@REV#CLIP, a row of a mix.",
            show_default=False,
        ),
    ],
    as_json: Json = False,
) -> None:
    """Everything known about one clip, video, file or source: why it is in or out, and which mixes hold it."""
    from curate.console import out, show
    from curate.report.trace import trace as run_trace

    found = run_trace(given_workspace(), item)
    if as_json:
        show({name: frame.to_dicts() for name, frame in found.items()}, as_json=True)
        return
    for name, frame in found.items():
        out.print(f"\n[bold]{name}[/bold]")
        show(frame)


def withdraw(
    item: Annotated[
        str,
        typer.Argument(help="A source, a licence, the end of a file's path, a video or clip id.", show_default=False),
    ],
    why: _Why,
    who: Who = "",
    copies: Annotated[bool, typer.Option("--copies", help="Also the clips that show the same.")] = False,
    erase: Annotated[
        bool,
        typer.Option("--erase", help="For good: remove what was made of it, and retire the versions that hold it."),
    ] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Put back what was withdrawn, and not erased.")] = False,
    as_json: Json = False,
) -> None:
    """Take footage out of all further use, and say which versions of which mixes hold it."""
    from curate.console import out, show
    from curate.mixes.withdraw import withdraw as run_withdraw

    found = run_withdraw(given_workspace(), item, who=who or user(), why=why, erase=erase, copies=copies, undo=undo)
    if as_json:
        show(found, as_json=True)
        return
    print(f"{found.item}: {'put back' if found.undone else 'withdrawn'}; videos {found.videos}, clips {found.clips}")
    for title, rows in (("versions that hold it", found.held), ("clips that show the same", found.copies)):
        if rows:
            out.print(f"\n[bold]{title}[/bold]")
            show_rows(list(rows), as_json=False)
    if found.erased is not None:
        out.print("\n[bold]erased[/bold]")
        show(found.erased)
    for step in (*(f"yours to delete: {path}" for path in found.footage), *found.next):
        print(step)
