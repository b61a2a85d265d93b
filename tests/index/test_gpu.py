"""The choice of the GPU and the growing of k, with brute force in the device's place; tests/gpu has a real one."""

from pathlib import Path

import faiss
import numpy as np
import pytest

from curate.index import Index, gpu
from tests.index.made import DIM, world


def knn(
    resources: object, queries: np.ndarray, rows: np.ndarray, k: int, *, metric: int
) -> tuple[np.ndarray, np.ndarray]:
    assert metric == faiss.METRIC_INNER_PRODUCT and queries.dtype == rows.dtype == np.float16
    scores = queries.astype(np.float32) @ rows.astype(np.float32).T
    nearest = np.argsort(-scores, axis=1)[:, :k]
    return np.take_along_axis(scores, nearest, 1), nearest


@pytest.mark.parametrize(("first", "most"), [(32, 2048), (2, 8), (1000, 2048)])
def test_all_pairs_are_found_however_k_has_to_grow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: int, most: int
) -> None:
    made = world(300)
    index = Index.open(tmp_path, dim=DIM, model="m")
    index.update(made.keys, made.load(), version="1")
    queries = np.concatenate(made.vectors)
    expected = index.above(queries, 0.7, limit=1000)
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 1)
    monkeypatch.setattr(faiss, "StandardGpuResources", object, raising=False)
    monkeypatch.setattr(faiss, "knn_gpu", knn)
    monkeypatch.setattr(gpu, "_FIRST", first)
    monkeypatch.setattr(gpu, "_MOST", most)
    monkeypatch.setattr(gpu, "_ROWS", 128)
    found = index.above(queries, 0.7, limit=1000)
    assert len(found.query) > 1000
    for name in ("query", "number", "score"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
