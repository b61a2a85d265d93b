"""The trained models of a workspace, found without loading any of them."""

from pathlib import Path

from curate.errors import InputError
from curate.model import ZERO_SHOT


def trained_models(models: Path) -> list[Path]:
    """The directories that hold a whole model, the one that was trained last at the end."""
    finished = sorted(models.glob("*/config.json"), key=lambda path: (path.stat().st_mtime_ns, path))
    return [path.parent for path in finished]


def newest_model(models: Path) -> Path:
    """The model that was trained last among a workspace's models.

    Raises:
        InputError: there is none.
    """
    found = trained_models(models)
    if not found:
        raise InputError("no trained model yet", where=models, fix="`curate train MIX` makes one; or use --zero-shot")
    return found[-1]


def model_directory(models: Path, model: Path | str | None) -> Path | None:
    """Where a trained model is, given its directory or its name among a workspace's models; None for the baseline."""
    if model is None or str(model) == ZERO_SHOT:
        return None
    named = models / model
    return named if named.is_dir() and not Path(model).is_dir() else Path(model)
