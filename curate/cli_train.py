"""`curate train`: the reference segmenter from a published mix."""

from typing import Annotated, Any

import typer

from curate.cli_options import Json, Revision, given_workspace


def train(
    mix: Annotated[str, typer.Argument(help="A published mix.")],
    rev: Revision = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Optimiser steps.")] = None,
    seed: int = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    as_json: Json = False,
) -> None:
    """Train the reference segmenter from a published mix. Interrupted, it resumes."""
    from curate.console import bars, show
    from curate.model.train import train as run_train

    options: dict[str, Any] = {} if steps is None else {"steps": steps}
    with bars() as progress:
        done = run_train(given_workspace(), mix, rev, seed=seed, device=device, progress=progress, **options)
    show(done, as_json=as_json)
