"""Fixtures that more than one area's tests use."""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from curate.cli import main
from curate.workspace import Workspace, create_workspace

REPOSITORY = Path(__file__).parent.parent

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with the sample world's configs, to be copied: git and DVC take seconds to begin."""
    return create_workspace(tmp_path_factory.mktemp("fresh") / "workspace", sample=True).root


@pytest.fixture
def workspace(tmp_path: Path, fresh: Path) -> Workspace:
    """An empty workspace with the sample world's configs."""
    return Workspace(shutil.copytree(fresh, tmp_path / "workspace"))


class Curate:
    """Runs a command over a workspace in this process, and says how it ended and what it printed."""

    def __init__(self, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
        self._workspace, self._monkeypatch, self._capsys = workspace, monkeypatch, capsys

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        self._monkeypatch.setattr(sys, "argv", ["curate", "--workspace", str(self._workspace.root), *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = self._capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err


@pytest.fixture
def curate(workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Curate:
    return Curate(workspace, monkeypatch, capsys)


@dataclass(frozen=True)
class World:
    """A workspace whose footage is the sample world, and what is true of that footage."""

    workspace: Workspace
    truth: dict[str, Any]


@pytest.fixture(scope="session")
def small_world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """(directory, truth) of a sample world of six originals, two copies and four broken files.

    Tests read the files and change nothing.
    """
    from curate.sample.world import render_world

    directory = tmp_path_factory.mktemp("small")
    return directory, render_world(directory, 6, seed=5)


@pytest.fixture(scope="session")
def sample_world(tmp_path_factory: pytest.TempPathFactory, fresh: Path) -> World:
    """The sample world, collected: clips, duplicates and scores are there. Tests read it and change nothing."""
    from curate.analyze.collect import collect
    from curate.dedupe.duplicates import find_duplicates
    from curate.sample.world import render_world
    from curate.targets.scoring.score import score

    workspace = Workspace(shutil.copytree(fresh, tmp_path_factory.mktemp("sample") / "workspace"))
    truth = render_world(workspace.root / "footage", 24, seed=11)
    collect(workspace)
    find_duplicates(workspace)
    score(workspace)
    return World(workspace, truth)
