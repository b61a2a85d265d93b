"""`curate capability ...`: write a capability, see what it would match, where it stands, and what a change does."""

import typer

capability = typer.Typer(
    help="Write a capability, see what it matches today, and what a change does.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
