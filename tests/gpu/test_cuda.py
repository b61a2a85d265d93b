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


def test_a_segmenter_learns_in_bf16_on_the_device_what_it_learns_on_the_cpu() -> None:
    from curate.model.definitions import as_definitions, encode
    from curate.model.examples import examples_of
    from curate.model.fit import Recipe, fit, validation_f1
    from tests.model.synthetic import ACTIONS, capability, rows, texts

    encoded = {e.definition.id: e for e in encode(as_definitions([capability(name) for name in ACTIONS]), texts)}
    taught, held_out = examples_of(rows(120, 0), encoded), examples_of(rows(40, 9), encoded)
    recipe = Recipe(steps=150, batch=16, width=48, layers=1, warmup=20)
    scores = {}
    for name in ("cpu", "cuda"):
        fitted = fit(taught, [], encoded, recipe, seed=0, device=torch.device(name))
        assert next(fitted.model.parameters()).dtype == torch.float32
        scores[name] = validation_f1(fitted.model, held_out, encoded)
    assert scores["cuda"] == pytest.approx(scores["cpu"], abs=0.05)
