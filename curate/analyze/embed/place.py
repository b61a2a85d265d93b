"""Where a model runs while many workers analyse: decided once, by the driver.

On the CPU in each worker, from one copy of the weights; on CUDA in one service process of the machine; on a Ray cluster
with GPUs in one actor for each, which is that same service, and without any in each worker.
"""

import contextlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from curate.analyze.embed import Embedder, PictureEmbedder, load_embedder, pick_device
from curate.analyze.embed.service import ServiceEmbedder, serve, service
from curate.analyze.embed.shared import share

if TYPE_CHECKING:
    from curate.specs.analysis import Embedding, Engine


class Placed(Protocol):
    """A model on its way to workers: picklable, opened in each."""

    def open(self) -> PictureEmbedder: ...


@dataclass(frozen=True)
class EachItsOwn:
    """Every worker loads the model from the config: where they share no machine."""

    spec: "Embedding"

    def open(self) -> Embedder:
        return load_embedder(self.spec)


@contextlib.contextmanager
def placed(
    spec: "Embedding", engine: "Engine", where: Literal["auto", "workers", "service"] = "auto"
) -> Iterator[Placed]:
    """The model for workers of an engine while the block lasts. `where` forces a place, for tests.

    Raises:
        InputError: the model cannot be had.
    """
    if engine.kind == "ray":
        with _on_ray(spec, engine, where) as there:
            yield there
        return
    device = pick_device(spec.device)
    if where == "service" or (where == "auto" and device.startswith("cuda")):
        with service(spec) as there:
            yield there
        return
    import os

    shared, file = share(load_embedder(spec))
    try:
        yield shared
    finally:
        os.close(file)


@contextlib.contextmanager
def _on_ray(spec: "Embedding", engine: "Engine", where: str) -> Iterator[Placed]:
    from curate.engine_ray import connect

    ray = connect(engine)
    gpus = int(ray.cluster_resources().get("GPU", 0)) if spec.device != "cpu" else 0
    if where == "workers" or (where == "auto" and not gpus):
        yield EachItsOwn(spec.model_copy(update={"device": "cpu"}))
        return
    key = secrets.token_bytes(32)
    actor = ray.remote(num_cpus=0, num_gpus=1 if gpus else 0)(_Actor)
    actors = [actor.remote(spec, key) for _ in range(max(gpus, 1))]
    try:
        found: list[ServiceEmbedder] = ray.get([one.start.remote() for one in actors])
        addresses = tuple(address for one in found for address in one.addresses)
        yield ServiceEmbedder(found[0].model_id, found[0].dim, found[0].preprocess, addresses, key)
    finally:
        for one in actors:
            ray.kill(one)


class _Actor:
    """The service in a Ray actor: workers reach it over TCP, so pictures do not pass through the object store."""

    def __init__(self, spec: "Embedding", key: bytes) -> None:
        self._spec, self._key = spec, key

    def start(self) -> ServiceEmbedder:
        import threading
        from multiprocessing.connection import Listener

        import ray

        embedder = load_embedder(self._spec)
        host = ray.util.get_node_ip_address()
        listener = Listener((host, 0), authkey=self._key, backlog=256)
        arguments: tuple[Any, ...] = (embedder, listener, self._spec.batch)
        threading.Thread(target=serve, args=arguments, daemon=True).start()
        return ServiceEmbedder(embedder.model_id, embedder.dim, embedder.preprocess, (listener.address,), self._key)
