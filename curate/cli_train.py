"""`curate train`: the reference segmenter from a published mix."""

from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from curate.cli_options import Json, Revision, given_workspace
from curate.errors import InputError


def train(
    mix: Annotated[str, typer.Argument(help="A published mix.")],
    rev: Revision = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Optimiser steps.")] = None,
    seed: int = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto (bf16 on CUDA), fp32 or bf16.")] = "auto",
    tensorboard: Annotated[
        Path | None, typer.Option(help="Directory for TensorBoard's event files (pip install 'curate[tensorboard]').")
    ] = None,
    as_json: Json = False,
) -> None:
    """Train the reference segmenter from a published mix. Interrupted, it resumes."""
    from curate.console import bars, show
    from curate.model.fit import Precision
    from curate.model.train import train as run_train

    if precision not in get_args(Precision):
        raise InputError(f"precision is {precision!r}", fix=f"Allowed: {', '.join(get_args(Precision))}")
    options: dict[str, Any] = {"precision": precision, "tensorboard": tensorboard, "device": device, "seed": seed}
    if steps is not None:
        options["steps"] = steps
    with bars() as progress:
        done = run_train(given_workspace(), mix, rev, progress=progress, **options)
    show(done, as_json=as_json)
