"""`curate evaluate`: how good a model is, per capability."""

from pathlib import Path
from typing import Annotated

import typer

from curate.cli_options import Json, Revision, given_workspace

_HEADLINES = ["f1@0.5", "joint_f1@0.5", "false_alarms_per_min"]
"""What `evaluate` shows without `--json`."""


def evaluate(
    mix: Annotated[str, typer.Argument(help="A published mix.")],
    rev: Revision = None,
    model: Annotated[Path | None, typer.Option(help="A trained model's directory; zero-shot where not given.")] = None,
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    as_json: Json = False,
) -> None:
    """Measure a model on a mix's split, per capability, with intervals."""
    from curate.console import bars, show
    from curate.model.evaluate import evaluate as run_evaluate

    with bars() as progress:
        found = run_evaluate(given_workspace(), mix, rev, model=model, split=split, progress=progress)
    show(found if as_json else found.filter(found["metric"].is_in(_HEADLINES)), as_json=as_json)
