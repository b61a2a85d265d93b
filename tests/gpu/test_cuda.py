"""What a GPU must not change: the same vectors, the same neighbours. `pytest -m gpu` where there is one."""

import numpy as np
import pytest
import torch

from curate.analyze.embed import load_embedder
from curate.dedupe import index
from curate.specs.analysis import Embedding
from curate.vectors import unit

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]


def test_embeddings_agree_with_those_of_the_cpu() -> None:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (8, 224, 224, 3), dtype=np.uint8)
    spec = Embedding(model="ViT-B-32", weights="random", device="cpu")
    here = load_embedder(spec).images(pictures)
    there = load_embedder(spec.model_copy(update={"device": "cuda"})).images(pictures)
    assert (here * there).sum(axis=1).min() > 0.99


def test_neighbours_agree_with_brute_force() -> None:
    vectors = unit(np.random.default_rng(0).normal(size=(2000, 64)).astype(np.float32))
    ids, _ = index.neighbours(vectors, k=5)
    expected = np.argsort(-(vectors @ vectors.T), axis=1)[:, :5]
    assert (ids == expected).mean() > 0.99
