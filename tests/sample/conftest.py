"""One small rendered world for all tests of the sample package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from curate.sample.world import render_world


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The directory and the truth of a world of 6 originals."""
    directory = tmp_path_factory.mktemp("world")
    return directory, render_world(directory, 6, 11)
