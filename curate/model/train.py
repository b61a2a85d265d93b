"""Trains the reference segmenter on a published mix, and keeps the result beside what it was made from.

A run is a function of (mix revision, seed, recipe): killed, it resumes; finished, it is not repeated. On two cores a
mix of 250 clips takes 30 to 50 s.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from curate.errors import InputError
from curate.identity import work_key
from curate.model.fit import DEFAULT_STEPS, Precision, Recipe, fit
from curate.model.published import open_mix
from curate.model.segmenter import pick_device, read_config, save_model
from curate.model.tracking import facts
from curate.progress import Progress, silent

if TYPE_CHECKING:
    from curate.workspace import Workspace

STAGE_VERSION = 2
"""Part of every model's key: raised when the same mix, seed and recipe would give other weights."""


@dataclass(frozen=True)
class TrainSummary:
    """What came of a run.

    Attributes:
        loss: a running mean at its end.
        seconds: of training and validation, in all tries of an interrupted run: what the device was busy for.
        clips_per_s, waited: of the last try; the share of its time that went into waiting for batches.
        device: cpu or cuda.
        skipped: this very model was there already.
    """

    model_path: str
    mix: str
    revision: str
    steps: int
    train_examples: int
    loss: float
    validation_f1: float | None
    seconds: float
    clips_per_s: float
    waited: float
    device: str
    skipped: bool = False


def train(
    workspace: Workspace,
    mix: str,
    rev: str | None = None,
    *,
    steps: int = DEFAULT_STEPS,
    seed: int = 0,
    device: str = "auto",
    precision: Precision = "auto",
    tensorboard: Path | None = None,
    progress: Progress = silent,
) -> TrainSummary:
    """Trains on the `train` split of a mix; writes model.safetensors and config.json to .curate/models/MIX-REV-sSEED.

    config.json, and the header of the weights, say what the model was made from: mix, revision and content, versions
    of the capabilities' specs, recipe, seed, the code's version, the device and how long it was busy. history.jsonl has
    loss, rate and validation of the steps.

    The weights kept are those with the best F1 at tIoU 0.5 on the `validation` split, the last ones where that split
    has no labels. Done before with everything equal, it returns at once.

    Args:
        rev: v1, v2 ... or a git revision; the newest where not given.
        device: auto, cpu or cuda.
        precision: see `fit.Recipe`.
        tensorboard: a directory that gets the run's event files, in one named after the model.

    Raises:
        InputError: no such mix, no labels in its train split, or its vectors are another embedding's.
    """
    place = pick_device(device)
    published = open_mix(workspace, mix, rev)
    recipe = Recipe(steps=steps, precision=precision)
    directory = workspace.models / f"{mix}-{published.revision}-s{seed}"
    key = work_key("train", STAGE_VERSION, published.content, published.embedding_model, asdict(recipe), seed)
    with workspace.lock(f"train-{directory.name}"):
        done = _finished(directory, key)
        if done is not None:
            return done
        examples = published.examples("train")
        if not examples:
            raise InputError(
                f"the train split of {mix} {published.revision} has no labels to learn from",
                fix="`curate label pull`, then `curate mix build`",
            )
        begun = facts(place)
        checkpoint = directory / "checkpoint.safetensors"
        fitted = fit(
            examples,
            published.examples("validation"),
            published.encoded(),
            recipe,
            seed=seed,
            device=place,
            checkpoint=checkpoint,
            key=key,
            history=directory / "history.jsonl",
            tensorboard=tensorboard / directory.name if tensorboard else None,
            progress=progress,
        )
        summary = TrainSummary(
            model_path=str(directory),
            mix=mix,
            revision=published.revision,
            steps=steps,
            train_examples=len(examples),
            loss=round(fitted.loss, 4),
            validation_f1=fitted.validation_f1,
            seconds=round(fitted.seconds, 1),
            clips_per_s=round(fitted.clips_per_s, 1),
            waited=round(fitted.waited, 3),
            device=str(place),
        )
        config = {
            "key": key,
            "mix": mix,
            "revision": published.revision,
            "content": published.content,
            "embedding_model": published.embedding_model,
            "capabilities": published.versions,
            "seed": seed,
            "recipe": asdict(recipe),
            "run": {**asdict(begun), "device_h": round(fitted.seconds / 3600, 5)},
            "summary": asdict(summary),
        }
        save_model(directory, fitted.model, config)
        checkpoint.unlink(missing_ok=True)
        return summary


def _finished(directory: Path, key: str) -> TrainSummary | None:
    """The summary of an earlier run with the same key, if its model is there."""
    if not (directory / "config.json").exists():
        return None
    config = read_config(directory)
    if config.get("key") != key:
        return None
    return TrainSummary(**{**config["summary"], "model_path": str(directory), "skipped": True})
