"""The index on a GPU gives the pairs that it gives on the CPU. `pytest -m gpu` where there is one and FAISS sees it."""

from pathlib import Path

import faiss
import numpy as np
import pytest

from curate.index import Index
from curate.index.kinds import Sizes
from tests.index.made import DIM, world

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not faiss.get_num_gpus(), reason="FAISS sees no GPU")]


@pytest.mark.parametrize("cells_from", [100, 10_000])
def test_pairs_agree_with_those_of_the_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cells_from: int) -> None:
    made = world(2000)
    index = Index.open(tmp_path, dim=DIM, model="m", sizes=Sizes(cells_from=cells_from))
    index.update(made.keys, made.load(500), version="1")
    queries = np.concatenate(made.vectors)
    found = index.above(queries, 0.8, limit=3000)
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 0)
    expected = index.above(queries, 0.8, limit=3000)
    for name in ("query", "number", "score"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
