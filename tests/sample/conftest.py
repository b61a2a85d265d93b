"""One small rendered world for all tests of the sample package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def world(small_world: tuple[Path, dict[str, Any]]) -> tuple[Path, dict[str, Any]]:
    """The directory and the truth of a world of 6 originals."""
    return small_world
