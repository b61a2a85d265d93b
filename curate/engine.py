"""Runs a function over items: in a process pool here, or on a Ray cluster.

`run` streams results as they finish, in bounded memory: at most two items for each worker are under way. An item
that raises, hangs or kills its worker becomes a `Failure`; the others go on. The function and its items must be
picklable, and the function runs unchanged in a test, in a pool and on Ray.
"""

import functools
import itertools
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pebble import ProcessExpired, ProcessPool

from curate.errors import CurateError, InputError
from curate.specs.analysis import Engine

I = TypeVar("I")  # noqa: E741
R = TypeVar("R")


@dataclass(frozen=True)
class Success(Generic[I, R]):
    item: I
    value: R
    seconds: float


@dataclass(frozen=True)
class Failure(Generic[I]):
    """Why an item gave no result: one line for a table, and the exception's type."""

    item: I
    reason: str
    seconds: float


def run(
    function: Callable[[I], R],
    items: Iterable[I],
    engine: Engine = Engine(),  # noqa: B008 - frozen
) -> Iterator[Success[I, R] | Failure[I]]:
    """Yields the outcome of `function(item)` for each item, in the order they finish.

    Args:
        function: a picklable callable; set-up that is worth keeping between items belongs in a cache of its module.
        items: consumed lazily, a few ahead of the work.
        engine: how many processes, how long an item may take, or which Ray cluster.
    """
    return _run_on_ray(function, items, engine) if engine.kind == "ray" else _run_here(function, items, engine)


def worker_count(engine: Engine) -> int:
    """Processes that `run` starts here."""
    return engine.workers or len(os.sched_getaffinity(0))


def _run_here(function: Callable[[I], R], items: Iterable[I], engine: Engine) -> Iterator[Success[I, R] | Failure[I]]:
    queue = iter(items)
    first = list(itertools.islice(queue, 1))
    if not first:
        return
    queue = itertools.chain(first, queue)
    workers = worker_count(engine)
    context = multiprocessing.get_context("forkserver")
    # Workers are forked from a server that has imported what they need, once, and not in each of them.
    context.set_forkserver_preload(["torch", _module_of(function)])
    pool = ProcessPool(max_workers=workers, context=context, initializer=_one_thread_each)
    try:
        _await_first_worker(pool)
        pending: dict[Future, tuple[I, float]] = {}
        while True:
            for item in itertools.islice(queue, 2 * workers - len(pending)):
                future = pool.schedule(_timed, args=(function, item), timeout=engine.timeout_s)
                pending[future] = (item, time.monotonic())
            if not pending:
                return
            done, _ = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                item, started = pending.pop(future)
                yield _outcome(future, item, started, engine)
    finally:
        pool.stop()
        pool.join()


def _await_first_worker(pool: ProcessPool) -> None:
    """Workers that cannot start are the run's failure, not that of each item."""
    try:
        pool.schedule(_one_thread_each).result()
    except Exception as error:
        raise CurateError(
            f"worker processes cannot start: {describe(error)}",
            where=sys.argv[0],
            fix="In a script of your own, call the library under `if __name__ == '__main__':`",
        ) from error


def _module_of(function: Callable) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    return function.__module__


def _outcome(future: Future, item: Any, started: float, engine: Engine) -> Success | Failure:
    try:
        value, seconds = future.result()
        return Success(item, value, seconds)
    except TimeoutError:
        return Failure(item, f"took longer than {engine.timeout_s:g} s", engine.timeout_s)
    except ProcessExpired as error:
        reason = f"worker died with exit code {error.exitcode}"
        return Failure(item, reason, time.monotonic() - started)
    except Exception as error:
        return Failure(item, describe(error), time.monotonic() - started)


def describe(error: Exception) -> str:
    """One line for an outcome: the message of our own errors, the type and first line of any other's."""
    if isinstance(error, CurateError):
        return error.what
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _timed(function: Callable[[I], R], item: I) -> tuple[R, float]:
    started = time.monotonic()
    return function(item), time.monotonic() - started


def _one_thread_each() -> None:
    """Workers share the cores, so the libraries inside each get one thread."""
    import torch

    torch.set_num_threads(1)


def _run_on_ray(function: Callable[[I], R], items: Iterable[I], engine: Engine) -> Iterator[Success[I, R] | Failure[I]]:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise InputError(
            "engine kind `ray` needs Ray",
            where="configs/analysis.yaml",
            fix="Install it: pip install 'curate[ray]'",
        ) from None
    if not ray.is_initialized():
        ray.init(
            address=engine.address,
            num_cpus=None if engine.address else worker_count(engine),
            include_dashboard=False,
            log_to_driver=False,
        )
    task = ray.remote(num_cpus=1, max_retries=1)(_timed)
    queue = iter(items)
    limit = 2 * int(ray.cluster_resources().get("CPU", 1))
    pending: dict[Any, tuple[I, float]] = {}
    while True:
        for item in itertools.islice(queue, limit - len(pending)):
            pending[task.remote(function, item)] = (item, time.monotonic())
        if not pending:
            return
        done, _ = ray.wait(list(pending), num_returns=1, timeout=1)
        for reference in done:
            item, started = pending.pop(reference)
            try:
                value, seconds = ray.get(reference)
                yield Success(item, value, seconds)
            except ray.exceptions.RayTaskError as error:
                yield Failure(item, describe(error.cause), time.monotonic() - started)
            except ray.exceptions.RayError as error:
                yield Failure(item, describe(error), time.monotonic() - started)
        for reference, (item, started) in list(pending.items()):
            # An item may have waited behind another: twice as many are under way as there are cores.
            if time.monotonic() - started > 2 * engine.timeout_s:
                ray.cancel(reference, force=True)
                del pending[reference]
                yield Failure(item, f"took longer than {engine.timeout_s:g} s", engine.timeout_s)
