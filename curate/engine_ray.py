"""Items on a Ray cluster: Ray carries them to a core, where the worker process of a local run does the work.

So limits, crashes and their reasons are those of a local run, whatever Ray makes of a dead process; Ray itself retries
only what went down with a node. A Ray process keeps its worker for the next item of the same work.
"""

import atexit
import os
import pickle
from collections.abc import Iterator
from itertools import islice
from typing import Any

from curate.errors import InputError
from curate.specs.analysis import Engine
from curate.worker import Answer, Failed

_NODE_DEATHS = 3
"""How often an item is tried again because the machine it was on has gone."""


def answers_on_ray(
    work: tuple[Any, Any], items: Iterator[Any], engine: Engine, preload: str
) -> Iterator[tuple[Any, Answer]]:
    """(item, answer) of a (function, prepare) as they come; at most two items for each core are under way."""
    ray = connect(engine)
    task = ray.remote(num_cpus=1, max_retries=_NODE_DEATHS)(_attempt)
    shared = ray.put(ray.cloudpickle.dumps(work))
    most = 2 * max(int(ray.cluster_resources().get("CPU", 1)), 1)
    pending: dict[Any, Any] = {}
    try:
        while True:
            for item in islice(items, most - len(pending)):
                pending[task.remote(shared, ray.cloudpickle.dumps(item), engine, preload)] = item
            if not pending:
                return
            done, _ = ray.wait(list(pending), num_returns=1)
            for reference in done:
                item = pending.pop(reference)
                try:
                    answer = pickle.loads(ray.get(reference))
                except ray.exceptions.RayTaskError as error:
                    answer = Failed(f"on Ray: {error.cause}", 0.0, stops_run=True)
                except ray.exceptions.RayError as error:
                    answer = Failed(f"on Ray: {str(error).splitlines()[0]}", 0.0)
                yield item, answer
    finally:
        for reference in pending:
            ray.cancel(reference, force=True)


def connect(engine: Engine) -> Any:
    """The ray module, connected to the engine's cluster; a local one is started where there is none.

    Raises:
        InputError: Ray is not installed.
    """
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
        from curate.engine import worker_count

        ray.init(
            address=engine.address,
            num_cpus=None if engine.address else worker_count(engine),
            include_dashboard=False,
            log_to_driver=False,
        )
    return ray


def _attempt(work: bytes, item: bytes, engine: Engine, preload: str) -> bytes:
    """Runs in a process of Ray's: has its worker do the item, and returns the pickled answer."""
    (_, answer), *_ = _pool(work, engine, preload).answers([_Pickled(item)])
    return pickle.dumps(answer)


class _Pickled:
    """An item that is unpickled in the worker alone, which has its module."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __reduce__(self) -> tuple[Any, ...]:
        return pickle.loads, (self._content,)


_pools: dict[tuple[bytes, str], Any] = {}


def _pool(work: bytes, engine: Engine, preload: str) -> Any:
    from curate.engine import Pool

    key = (work, engine.model_dump_json())
    if key not in _pools:
        for old in list(_pools):
            _pools.pop(old).__exit__()
        _pools[key] = pool = Pool(work, engine, 1, preload).__enter__()
        atexit.register(pool.__exit__)
    return _pools[key]
