"""One process that holds the model and embeds for all workers: batches are filled across clips and videos.

Workers decode and send uint8 pictures over a socket; each request carries its number, and its vectors come back under
that number, so what else was in its batch and which answer comes first do not matter. A batch waits a few milliseconds
at most to be filled. Everything is bounded: a worker has a few requests under way, the service a few batches; who
is ahead waits. Where the service dies, the run ends with one line.
"""

import contextlib
import multiprocessing
import os
import queue
import secrets
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import lru_cache
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.analyze.embed import Embedder, Pending, branch_of, checked, load_embedder
from curate.analyze.embed.preprocess import Preprocess
from curate.errors import InputError, RunError
from curate.worker import describe, end_with_parent, heartbeat

if TYPE_CHECKING:
    from curate.media.decode import Branch
    from curate.specs.analysis import Embedding

_WAIT_S = 0.004
_UNDER_WAY = 4
"""Requests of one worker without an answer: enough that it decodes while they are embedded."""
_QUEUED = 64
_SILENCE_S = 300.0


_Asked = tuple[np.ndarray, "Future[np.ndarray]"]
_CLOSE: _Asked = (np.zeros(0, np.uint8), Future())


class Batcher:
    """Fills batches from requests of many threads, and starts the next while the last is on its way back."""

    def __init__(self, embedder: Embedder, batch: int, wait_s: float = _WAIT_S) -> None:
        self._embedder, self._batch, self._wait_s = embedder, batch, wait_s
        self._asked: queue.Queue[_Asked] = queue.Queue(maxsize=_QUEUED)
        self._made: queue.Queue[tuple[list[_Asked], Pending] | None] = queue.Queue(maxsize=2)
        self.batches = 0
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._embed, self._answer)]
        for thread in self._threads:
            thread.start()

    def put(self, pictures: np.ndarray) -> "Future[np.ndarray]":
        """Asks for vectors of pictures [n, height, width, 3]; waits while too much is under way."""
        future: Future[np.ndarray] = Future()
        self._asked.put((pictures, future))
        return future

    def close(self) -> None:
        """Ends its threads when all that was asked is answered."""
        self._asked.put(_CLOSE)
        for thread in self._threads:
            thread.join()

    def _embed(self) -> None:
        held: _Asked | None = None
        while (first := held or self._asked.get()) is not _CLOSE:
            some, held = self._filled(first)
            self._start(some)
        self._made.put(None)

    def _filled(self, first: "_Asked") -> "tuple[list[_Asked], _Asked | None]":
        """(a batch that begins with `first`, what came and did not fit)."""
        some, count, until = [first], len(first[0]), time.monotonic() + self._wait_s
        while True:
            try:
                asked = self._asked.get(timeout=max(until - time.monotonic(), 0))
            except queue.Empty:
                return some, None
            if asked is _CLOSE or count + len(asked[0]) > self._batch:
                return some, asked
            some.append(asked)
            count += len(asked[0])

    def _start(self, some: list[_Asked]) -> None:
        self.batches += 1
        try:
            self._made.put((some, self._embedder.submit(*(pictures for pictures, _ in some))))
        except Exception as error:
            _fail(some, error)

    def _answer(self) -> None:
        while (made := self._made.get()) is not None:
            some, pending = made
            try:
                vectors = pending.result()
            except Exception as error:
                _fail(some, error)
                continue
            start = 0
            for pictures, future in some:
                future.set_result(vectors[start : start + len(pictures)])
                start += len(pictures)


def _fail(some: list[_Asked], error: Exception) -> None:
    for _, future in some:
        future.set_exception(error)


@dataclass(frozen=True)
class ServiceEmbedder:
    """A model in a service, as workers use it and as it travels to them."""

    model_id: str
    dim: int
    preprocess: Preprocess
    addresses: tuple[Any, ...]
    key: bytes = field(repr=False)

    def open(self) -> "ServiceEmbedder":
        _link(self)
        return self

    def branch(self, width: int, height: int, every_s: float | None = None) -> "Branch":
        """As `Embedder.branch`."""
        return branch_of(self.preprocess, width, height, every_s)

    def images(self, pictures: np.ndarray) -> np.ndarray:
        """As `Embedder.images`."""
        return self.submit(pictures).result()

    def submit(self, pictures: np.ndarray) -> Pending:
        """Sends pictures; waits first where too many of this process have no answer yet."""
        link = _link(self)
        number, count = link.send(np.ascontiguousarray(pictures)), len(pictures)
        return Pending(lambda: checked(link.take(number), count, self.dim, self.model_id))


class _Link:
    """A process's connection to the service."""

    def __init__(self, address: Any, key: bytes) -> None:
        try:
            self._connection = Client(address, authkey=key)
        except OSError as error:
            raise _gone() from error
        self._sent, self._open, self._answers = 0, 0, dict[int, np.ndarray]()

    def send(self, pictures: np.ndarray) -> int:
        while self._open >= _UNDER_WAY:
            self._receive()
        self._sent += 1
        try:
            self._connection.send((self._sent, pictures.shape))
            self._connection.send_bytes(pictures.tobytes())
        except OSError as error:
            raise _gone() from error
        self._open += 1
        return self._sent

    def take(self, number: int) -> np.ndarray:
        while number not in self._answers:
            self._receive()
        return self._answers.pop(number)

    def _receive(self) -> None:
        until = time.monotonic() + _SILENCE_S
        try:
            while not self._connection.poll(1.0):
                heartbeat()  # the video at hand is not what is slow
                if time.monotonic() > until:
                    raise RunError(f"the embedding service gave no answer for {_SILENCE_S:g} s")
            number, said = self._connection.recv()
        except (EOFError, OSError) as error:
            raise _gone() from error
        if isinstance(said, str):
            raise RunError(said)
        self._open -= 1
        self._answers[number] = said


def _gone() -> RunError:
    return RunError("the embedding service has ended", fix="`curate collect` again goes on where this run stopped")


@lru_cache(maxsize=1)
def _link(service: ServiceEmbedder) -> _Link:
    return _Link(service.addresses[os.getpid() % len(service.addresses)], service.key)


def serve(embedder: Embedder, listener: Listener, batch: int, wait_s: float = _WAIT_S) -> None:
    """Answers whoever connects, for ever."""
    batcher = Batcher(embedder, batch, wait_s)
    while True:
        try:
            connection = listener.accept()
        except (OSError, EOFError, multiprocessing.AuthenticationError):
            continue
        threading.Thread(target=_converse, args=(connection, batcher), daemon=True).start()


def _converse(connection: Connection, batcher: Batcher) -> None:
    lock = threading.Lock()

    def answer(number: int) -> Callable[[Future], None]:
        def send(future: Future) -> None:
            error = future.exception()
            said = describe(error) if error is not None else future.result()
            with lock, contextlib.suppress(OSError):  # its worker may be gone
                connection.send((number, said))

        return send

    with contextlib.suppress(EOFError, OSError):
        while True:
            number, shape = connection.recv()
            pictures = np.frombuffer(connection.recv_bytes(), np.uint8).reshape(shape)
            batcher.put(pictures).add_done_callback(answer(number))


@contextlib.contextmanager
def service(spec: "Embedding", wait_s: float = _WAIT_S) -> Iterator[ServiceEmbedder]:
    """A service process on this machine while the block lasts.

    Raises:
        InputError: the model cannot be had.
        RunError: the process died before it was ready.
    """
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="curate-") as directory:
        address, key = str(Path(directory) / "embed"), secrets.token_bytes(32)
        ours, theirs = context.Pipe()
        process = context.Process(target=_run, args=(spec, address, key, theirs, wait_s), daemon=True)
        process.start()
        theirs.close()
        try:
            said = ours.recv()
        except EOFError:
            process.join()
            raise RunError(f"the embedding service died with exit code {process.exitcode}") from None
        try:
            if isinstance(said, str):
                raise InputError(said)
            yield said
        finally:
            process.kill()
            process.join()


def _run(spec: "Embedding", address: str, key: bytes, ready: Connection, wait_s: float) -> None:
    end_with_parent()
    try:
        embedder = load_embedder(spec)
        listener = Listener(address, authkey=key, backlog=256)
    except Exception as error:
        ready.send(str(error) or describe(error))
        return
    ready.send(ServiceEmbedder(embedder.model_id, embedder.dim, embedder.preprocess, (address,), key))
    serve(embedder, listener, spec.batch, wait_s)
