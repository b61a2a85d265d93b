"""What a GPU must not change: the same vectors, the same neighbours. `pytest -m gpu` where there is one."""

import numpy as np
import pytest
import torch

from curate.analyze.embed import load_embedder
from curate.specs.analysis import Embedding

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]

CPU = Embedding(model="ViT-B-32", weights="random", device="cpu")
CUDA = CPU.model_copy(update={"device": "cuda"})


def pictures(count: int, seed: int = 0) -> np.ndarray:
    """No two alike, with edges that a model sees."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 14, 14, 3), dtype=np.uint8)
    return np.kron(coarse, np.ones((1, 16, 16, 1), np.uint8))


def test_embeddings_agree_with_those_of_the_cpu() -> None:
    here, there = (load_embedder(spec).images(pictures(8)) for spec in (CPU, CUDA))
    assert (here * there).sum(axis=1).min() > 0.99


def test_batches_under_way_at_once_keep_their_pictures_apart() -> None:
    embedder = load_embedder(CUDA)
    parts = [pictures(1 + index % 5, seed=index) for index in range(20)]
    pending = [embedder.submit(part) for part in parts]
    for part, one in reversed(list(zip(parts, pending, strict=True))):
        assert (one.result() * embedder.images(part)).sum(axis=1).min() > 0.999


def test_the_service_runs_on_the_device_and_gives_the_same_vectors() -> None:
    from curate.analyze.embed.service import service

    with service(CUDA) as there:
        found = there.images(pictures(8))
    assert (found * load_embedder(CUDA).images(pictures(8))).sum(axis=1).min() > 0.999
