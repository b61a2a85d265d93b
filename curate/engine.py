"""Runs a function over items: in processes here, or on a Ray cluster.

`run` streams results as they finish, in bounded memory: at most two items for each worker are under way or wait to be
taken. A server, whose items have no end, gives them to a `Pool` one by one. An item that raises, hangs, crashes or
takes too much memory becomes a `Failure` whose reason says which; the others go on (`curate.worker` says how). An item
whose worker is killed from outside is tried once more. The function and its items must be picklable, and the function
runs unchanged in a test, here and on Ray.
"""

import functools
import itertools
import multiprocessing
import os
import pickle
import queue
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import connection
from typing import Any, Generic, TypeVar

from curate.errors import CurateError
from curate.specs.analysis import Engine
from curate.worker import KILLED, Answer, Done, Failed, Limits, Ready, Worker, describe, heartbeat

__all__ = [
    "CANCELLED",
    "KILLED",
    "Failure",
    "Pool",
    "Success",
    "describe",
    "heartbeat",
    "mapped",
    "run",
    "worker_count",
]

I = TypeVar("I")  # noqa: E741
R = TypeVar("R")

CANCELLED = "cancelled"
_LOOK_S = 0.1
_STARTS = 3
"""How often in a row a worker may die before it can take an item, until the run is given up."""


@dataclass(frozen=True)
class Success(Generic[I, R]):
    item: I
    value: R
    seconds: float


@dataclass(frozen=True)
class Failure(Generic[I]):
    """Why an item gave no result, as one line for a table."""

    item: I
    reason: str
    seconds: float


def run(
    function: Callable[[I], R],
    items: Iterable[I],
    engine: Engine = Engine(),  # noqa: B008 - frozen
    *,
    prepare: Callable[[], object] | None = None,
) -> Iterator[Success[I, R] | Failure[I]]:
    """Yields the outcome of `function(item)` for each item, in the order they finish.

    Args:
        function: a picklable callable. It may call `heartbeat` while it goes on, and raise RunError to end the run.
        items: consumed lazily, a few ahead of the work.
        engine: how many processes, what an item may take, or which Ray cluster.
        prepare: called once in each worker before its first item, outside the limits: to load a model, say.

    Raises:
        CurateError: workers cannot start, or an item raised RunError.
    """
    queued = iter(items)
    first = list(itertools.islice(queued, 1))
    if not first:
        return
    queued, work = itertools.chain(first, queued), (function, prepare)
    if engine.kind == "ray":
        from curate.engine_ray import answers_on_ray

        yield from _outcomes(answers_on_ray(work, queued, engine, _module_of(function)))
        return
    with Pool(pickle.dumps(work), engine, worker_count(engine), _module_of(function)) as pool:
        yield from _outcomes(pool.answers(queued))


def mapped(engine: Engine, *, least: int = 1) -> Callable[[Callable[[Any], Any], Sequence[Any]], Iterator[Any]]:
    """`run` as a plain map, for work that must not fail: answers in any order, no limit but that of an item's time.

    Args:
        engine: as for `run`.
        least: with fewer items the function runs in this process.

    Raises:
        CurateError: an item failed.
    """
    patient = engine.model_copy(update={"frame_timeout_s": engine.timeout_s, "memory_mb": float(1 << 30)})

    def answers(function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Any]:
        if len(items) < least:
            yield from map(function, items)
            return
        for outcome in run(function, items, patient):
            if isinstance(outcome, Failure):
                raise CurateError(outcome.reason, fix="Run the command again; what is committed stays")
            yield outcome.value

    return answers


def worker_count(engine: Engine) -> int:
    """Processes that `run` starts here."""
    return engine.workers or len(os.sched_getaffinity(0))


def _outcomes(answers: Iterator[tuple[Any, Answer]]) -> Iterator[Success | Failure]:
    for item, answer in answers:
        if isinstance(answer, Done):
            yield Success(item, answer.value, answer.seconds)
        elif isinstance(answer, Failed):
            if answer.stops_run:
                raise CurateError(answer.reason)
            yield Failure(item, answer.reason, answer.seconds)


def _module_of(function: Callable) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    return function.__module__


@dataclass
class _Given:
    number: int
    content: bytes
    tries: int = 0


@dataclass
class _State:
    """What the thread that looks after the workers shares with the one that takes answers."""

    waiting: deque[_Given] = field(default_factory=deque)
    answers: "queue.Queue[tuple[int, Answer] | None]" = field(default_factory=queue.Queue)
    cancelled: set[int] = field(default_factory=set)
    ready: int = 0
    is_closing: bool = False


class Pool:
    """Workers here, looked after by a thread of their own: limits hold while the caller does something else."""

    def __init__(self, work: bytes, engine: Engine, workers: int, preload: str, *, retries: int = 1) -> None:
        """Starts them.

        Args:
            work: a pickled (function, prepare).
            engine: the limits.
            workers: how many.
            preload: a module that workers need; they are forked from a server that has imported it, once.
            retries: how often an item is given again whose worker was killed from outside.
        """
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["torch", preload])
        self._work, self._count, self._retries, self._numbers = work, workers, retries, itertools.count()
        self._limits = Limits(engine.timeout_s, engine.frame_timeout_s, engine.memory_mb)
        self._state, (self._wake_reader, self._wake_writer) = _State(), os.pipe()
        self._thread = threading.Thread(target=self._look_after, name="engine", daemon=True)
        self._thread.start()

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_: object) -> None:
        self._state.is_closing = True
        self._wake()
        self._thread.join()
        os.close(self._wake_reader)
        os.close(self._wake_writer)

    @property
    def ready(self) -> int:
        """Workers that can take an item or are at one; the others are starting."""
        return self._state.ready

    def answers(self, items: Iterable[Any]) -> Iterator[tuple[Any, Answer]]:
        """(item, answer) as they come; items are drawn when there is room."""
        drawn, under_way = iter(items), dict[int, Any]()
        while True:
            for item in itertools.islice(drawn, 2 * self._count - len(under_way)):
                under_way[self.submit(item)] = item
            if not under_way:
                return
            said = self.next_answer()
            if said is None:
                continue
            number, answer = said
            yield under_way.pop(number, None), answer
            if isinstance(answer, Failed) and answer.stops_run:
                return

    def submit(self, item: Any) -> int:
        """Has a worker take the item when one is free; the number that its answer comes under."""
        number = next(self._numbers)
        self._state.waiting.append(_Given(number, pickle.dumps(item)))
        self._wake()
        return number

    def next_answer(self, timeout_s: float | None = None) -> tuple[int, Answer] | None:
        """Waits for an answer: (number, answer). None after `timeout_s`, a `nudge`, or when a worker has become ready.

        An answer that stops the run is the last, and may be under a number that no item has: workers cannot start.
        """
        try:
            return self._state.answers.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def nudge(self) -> None:
        """Has `next_answer` return, in whatever thread it waits."""
        self._state.answers.put(None)

    def cancel(self, number: int) -> None:
        """Ends the worker that is at this item. The answer says so, unless one is on its way already."""
        self._state.cancelled.add(number)
        self._wake()

    def _wake(self) -> None:
        os.write(self._wake_writer, b".")

    def _look_after(self) -> None:
        """Gives items to free workers, takes answers, and holds workers to their limits, until closed."""
        workers: dict[Worker, _Given | None] = {}
        failed_starts, why = 0, Failed("", 0.0)
        try:
            while not self._state.is_closing and failed_starts < _STARTS:
                while len(workers) < self._count:
                    workers[Worker(self._work, self._limits, self._context)] = None
                for worker, given in workers.items():
                    if given is not None and given.number in self._state.cancelled:
                        worker.stop(CANCELLED)
                    elif given is None and worker.is_ready and (next_one := self._next_waiting()):
                        workers[worker] = next_one
                        worker.give(next_one.content)
                by_connection = {worker.connection: worker for worker in workers}
                settled: list[tuple[_Given, Answer]] = []
                for ready in connection.wait([self._wake_reader, *by_connection], timeout=_LOOK_S):
                    if ready == self._wake_reader:
                        os.read(self._wake_reader, 4096)
                        continue
                    worker = by_connection[ready]  # type: ignore[index]
                    was_ready, given, answer = worker.is_ready, workers[worker], worker.answer()
                    if isinstance(answer, Ready):
                        failed_starts = 0
                        self._state.ready = sum(other.is_ready for other in workers)
                        self.nudge()
                        continue
                    if isinstance(answer, Failed) and not was_ready:
                        failed_starts, why = _STARTS if answer.stops_run else failed_starts + 1, answer
                    elif given is not None:
                        settled.append((given, answer))
                    workers[worker] = None
                    if worker.connection.closed or not was_ready or worker.is_spent():
                        del workers[worker]
                        worker.end()
                for worker in workers:
                    worker.enforce()
                self._state.ready = sum(worker.is_ready for worker in workers)
                for given, answer in settled:
                    self._settle(given, answer)
            if failed_starts >= _STARTS:
                self._state.answers.put((-1, self._cannot_start(why)))
        except Exception as error:
            self._state.answers.put((-1, self._cannot_start(Failed(describe(error), 0.0))))
        finally:
            self._state.ready = 0
            for worker in workers:
                worker.end()

    def _next_waiting(self) -> _Given | None:
        while self._state.waiting:
            given = self._state.waiting.popleft()
            if given.number not in self._state.cancelled:
                return given
            self._settle(given, Failed(CANCELLED, 0.0))
        return None

    def _settle(self, given: _Given, answer: Answer) -> None:
        given.tries += 1
        if isinstance(answer, Failed) and answer.killed and given.tries <= self._retries:
            self._state.waiting.appendleft(given)
        else:
            self._state.cancelled.discard(given.number)
            self._state.answers.put((given.number, answer))

    def _cannot_start(self, why: Failed) -> Failed:
        if why.stops_run:
            return why
        error = CurateError(
            f"worker processes cannot start: {why.reason}",
            where=sys.argv[0],
            fix="In a script of your own, call the library under `if __name__ == '__main__':`",
        )
        return Failed(str(error), 0.0, stops_run=True)
