"""Vectors belong to their pictures, wherever the model runs and whatever else is in the batch."""

import os
import random
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from curate.analyze.embed import Embedder, Pending, checked, load_embedder
from curate.analyze.embed.place import placed
from curate.analyze.embed.service import Batcher, ServiceEmbedder, service
from curate.analyze.embed.shared import share
from curate.errors import CurateError, InputError, RunError
from curate.specs.analysis import Embedding, Engine

SAMPLE = Embedding(model="sample", weights="sample", device="cpu", batch=16)
CLOSE = 1e-5


def requests(count: int = 24) -> list[np.ndarray]:
    """Pictures of several sizes, one to seven at a time, no two alike."""
    rng = np.random.default_rng(0)
    sizes = [(96, 96), (96, 170), (170, 96)]
    return [
        np.kron(rng.integers(0, 256, (1 + index % 7, 8, 8, 3)), np.ones((1, 22, 22, 1))).astype(np.uint8)[
            :, : sizes[index % 3][0], : sizes[index % 3][1]
        ]
        for index in range(count)
    ]


@pytest.fixture(scope="module")
def expected() -> list[np.ndarray]:
    embedder = load_embedder(SAMPLE)
    return [np.concatenate([embedder.images(one[None]) for one in some]) for some in requests()]


@pytest.fixture(scope="module")
def served() -> Iterator[ServiceEmbedder]:
    with service(SAMPLE) as there:
        yield there


def test_the_pictures_of_a_test_are_told_apart(expected: list[np.ndarray]) -> None:
    vectors = np.concatenate(expected)
    assert (vectors @ vectors.T - 2 * np.eye(len(vectors))).max() < 1 - 100 * CLOSE


@pytest.mark.parametrize("seed", range(3))
def test_any_order_of_asking_and_of_taking_gives_each_picture_its_own_vector(
    served: ServiceEmbedder, expected: list[np.ndarray], seed: int
) -> None:
    asked, order = requests(), list(range(24))
    random.Random(seed).shuffle(order)
    pending = [(index, served.submit(asked[index])) for index in order]
    random.Random(seed + 1).shuffle(pending)
    for index, one in pending:
        assert np.abs(one.result() - expected[index]).max() < CLOSE


def test_requests_of_many_threads_share_batches_and_keep_their_vectors(expected: list[np.ndarray]) -> None:
    batcher, asked = Batcher(load_embedder(SAMPLE), 16, wait_s=0.2), requests()
    found: dict[int, np.ndarray] = {}

    def ask(first: int) -> None:
        for index in range(first, len(asked), 6):
            found[index] = batcher.put(asked[index]).result()

    threads = [threading.Thread(target=ask, args=(first,)) for first in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    batcher.close()
    assert batcher.batches < len(asked)
    for index, vectors in enumerate(expected):
        assert np.abs(found[index] - vectors).max() < CLOSE


def test_who_asks_faster_than_the_model_answers_waits() -> None:
    class Stuck(Embedder):
        def submit(self, *parts: np.ndarray) -> Pending:
            free.wait()
            return super().submit(*parts)

    free, sent = threading.Event(), []
    one = load_embedder(SAMPLE)
    batcher = Batcher(Stuck(one.model_id, one.dim, one.device, one.preprocess, one.visual), 16, wait_s=0)

    def ask() -> None:
        for _ in range(500):
            sent.append(batcher.put(np.zeros((1, 96, 96, 3), np.uint8)))

    thread = threading.Thread(target=ask)
    thread.start()
    while len(sent) < 64:
        time.sleep(0.01)
    time.sleep(0.2)
    assert len(sent) < 100
    free.set()
    thread.join()
    batcher.close()
    assert all(future.result().shape == (1, one.dim) for future in sent)


def test_shared_weights_give_the_same_vectors_without_a_text_tower(expected: list[np.ndarray]) -> None:
    shared, file = share(load_embedder(SAMPLE))
    there = shared.open()
    for asked, vectors in zip(requests(), expected, strict=True):
        assert np.abs(there.images(asked) - vectors).max() < CLOSE
    os.close(file)
    assert len(shared.content) < shared.size_bytes / 4
    assert there.model_id == load_embedder(SAMPLE).model_id and there._model is None


def test_a_service_without_its_model_says_why() -> None:
    with (
        pytest.raises(InputError, match="no open_clip model 'ViT-B-23'"),
        service(Embedding(model="ViT-B-23", weights="random", device="cpu")),
    ):
        pass


def test_the_model_is_placed_in_workers(expected: list[np.ndarray]) -> None:
    with placed(SAMPLE, Engine(workers=1), "workers") as there:
        assert not isinstance(there, ServiceEmbedder)
        assert np.abs(there.open().images(requests()[5]) - expected[5]).max() < CLOSE


def test_the_model_is_placed_in_a_service_that_ends_the_run_when_it_dies_and_says_so(
    expected: list[np.ndarray],
) -> None:
    with placed(SAMPLE, Engine(workers=1), "service") as there:
        assert isinstance(there, ServiceEmbedder)
        opened = there.open()
        assert np.abs(opened.images(requests()[5]) - expected[5]).max() < CLOSE
    with pytest.raises(RunError, match="the embedding service has ended"):
        opened.images(requests()[0])


@pytest.mark.parametrize(
    "vectors", [np.ones((2, 4)) / 2, np.ones((3, 5)) / 5**0.5, np.ones((3, 4)), np.full((3, 4), np.nan)]
)
def test_other_than_unit_vectors_of_the_models_length_are_refused(vectors: np.ndarray) -> None:
    assert checked(np.ones((3, 4)) / 2, 3, 4, "a model").shape == (3, 4)
    with pytest.raises(CurateError, match="a model gave shape"):
        checked(vectors, 3, 4, "a model")
