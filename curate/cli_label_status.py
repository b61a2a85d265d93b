"""`curate label status`: where the work of annotators and reviewers stands."""

import sys
from typing import Annotated

import typer

from curate.cli_options import Json, given_workspace, show_rows


def status(
    capabilities: Annotated[
        list[str] | None, typer.Argument(help="Capability ids; all that were sent if not given.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Count what annotators and reviewers were sent, have done and have before them. Reads no tasks."""
    from curate.errors import CurateError
    from labeling.server import connect
    from labeling.status import work

    workspace = given_workspace()
    try:
        found = work(workspace, connect(workspace.state / "label-studio"), capabilities or None)
    except CurateError as error:
        found = work(workspace, None, capabilities or None)
        print(f"only what was pulled is known: {error}", file=sys.stderr)
    if found or as_json:
        show_rows(found, as_json)
    else:
        print("nothing was sent to annotators yet: `curate label push` does")
