"""Train: the segmenter from a published mix, measured beside the untrained one on the same held-out videos."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from curate.evaluation.evaluate import evaluate
from curate.model.train import train
from curate.workspace import open_workspace
from flows.settings import progress


@task(cache_policy=NO_CACHE, retries=1)
def train_model(workspace: str, mix: str, rev: str | None, options: dict[str, Any]) -> dict[str, Any]:
    return asdict(train(open_workspace(workspace), mix, rev, progress=progress.get(), **options))


@task(cache_policy=NO_CACHE, retries=1)
def evaluate_model(workspace: str, mix: str, rev: str | None, model: str | None) -> list[dict[str, Any]]:
    path = Path(model) if model else None
    return evaluate(open_workspace(workspace), mix, rev, model=path, progress=progress.get()).to_dicts()


@flow(name="train")
def train_flow(
    workspace: str, mix: str, rev: str | None = None, steps: int | None = None, seed: int = 0
) -> dict[str, Any]:
    """Trains on `mix` and evaluates the result and the zero-shot baseline on its test split."""
    options: dict[str, Any] = {"seed": seed} if steps is None else {"seed": seed, "steps": steps}
    trained = train_model(workspace, mix, rev, options)
    return {
        "train": trained,
        "zero_shot": evaluate_model(workspace, mix, rev, None),
        "trained": evaluate_model(workspace, mix, rev, str(trained["model_path"])),
    }
