from pathlib import Path

import pytest

from curate.catalog import Catalog, local_catalog


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """An empty catalog."""
    return local_catalog(tmp_path / "catalog")
