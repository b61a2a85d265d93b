"""Fixtures that more than one area's tests use."""

from pathlib import Path

import pytest

from curate.workspace import Workspace, create_workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """An empty workspace with the sample world's configs."""
    return create_workspace(tmp_path / "workspace", sample=True)
