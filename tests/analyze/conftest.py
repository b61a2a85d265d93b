"""Workspaces over the small world: six originals, copies and broken files."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from curate.sample.world import Truth
from curate.workspace import Workspace

World = tuple[Path, Truth]


@pytest.fixture(scope="session")
def world(small_world: World) -> World:
    return small_world


@pytest.fixture
def make_workspace(tmp_path: Path, fresh: Path) -> Callable[..., Workspace]:
    """A workspace with the sample model and one source for each given directory."""

    def make(
        name: str = "workspace", *, engine: dict | None = None, clips: dict | None = None, **sources: Path
    ) -> Workspace:
        workspace = Workspace(shutil.copytree(fresh, tmp_path / name))
        for path in (workspace.configs / "sources").glob("*.yaml"):
            path.unlink()
        for source, directory in sources.items():
            content = {"id": source, "path": str(directory), "licence": "CC0-1.0"}
            (workspace.configs / "sources" / f"{source}.yaml").write_text(yaml.safe_dump(content))
        configure(workspace, engine=engine or {"workers": 1}, clips=clips or {})
        return workspace

    return make


def configure(workspace: Workspace, **sections: dict) -> None:
    """Changes sections of analysis.yaml."""
    path = workspace.configs / "analysis.yaml"
    content = yaml.safe_load(path.read_text())
    for section, values in sections.items():
        content[section] = {**content.get(section, {}), **values}
    path.write_text(yaml.safe_dump(content))


@pytest.fixture
def footage(world: World, tmp_path: Path) -> Path:
    """A copy of the world's files that a test may change."""
    directory = tmp_path / "footage"
    shutil.copytree(world[0], directory)
    return directory
