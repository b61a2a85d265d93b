"""Footage with copies, rendered once: enough for every test that reads real files."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from curate.sample.world import plan_world, render_copy, render_original
from curate.workspace import Workspace
from tests.conftest import REPOSITORY

TRANSFORMS = ("remux", "reencode", "resize", "letterbox", "trim", "mirror", "color")


@pytest.fixture(scope="session")
def footage(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """A directory of four originals and a copy by each of TRANSFORMS, and the truth's entries."""
    directory = tmp_path_factory.mktemp("footage")
    plans = [plan for plan in plan_world(12, 5) if plan.file.endswith(".mp4") and not plan.rotation_deg][:4]
    originals = [render_original(directory, plan) for plan in plans]
    copies = [
        render_copy(directory, originals[at % len(originals)], transform, at) for at, transform in enumerate(TRANSFORMS)
    ]
    return directory, [*originals, *copies]


def bare_workspace(directory: Path) -> Workspace:
    """The sample world's configs alone: these stages ask nothing of git and DVC, which take a second to set up."""
    shutil.copytree(REPOSITORY / "curate" / "sample" / "configs", directory / "configs")
    return Workspace(directory)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return bare_workspace(tmp_path / "workspace")
