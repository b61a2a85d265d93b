"""`curate segment`: segments of a video as JSON."""

from pathlib import Path
from typing import Annotated

import typer

from curate.cli_options import given_workspace


def segment(
    video: Annotated[Path, typer.Argument(help="A video file.")],
    definitions: Annotated[Path, typer.Option(help="JSON or YAML: the segment definitions that are asked for.")],
    model: Annotated[Path | None, typer.Option(help="A trained model's directory; the newest if not given.")] = None,
    zero_shot: Annotated[bool, typer.Option("--zero-shot", help="Similarities alone, no trained model.")] = False,
) -> None:
    """Time-based, structured metadata of a video: segments with start, end and typed fields, as JSON."""
    from curate.console import show
    from curate.model.infer import newest_model, read_definitions
    from curate.model.infer import segment as run_segment

    workspace = given_workspace()
    chosen = None if zero_shot else model or newest_model(workspace.models)
    wanted = read_definitions(definitions)
    found = run_segment(video, wanted, model=chosen, embedding=workspace.analysis().embedding)
    show(found, as_json=True)
