"""`kill -9` at any moment, of workers or of the driver: the next run ends in the tables of an undisturbed one."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from curate.analyze import rows
from curate.analyze.collect import collect
from curate.catalog import Catalog
from curate.workspace import Workspace
from tests.analyze.test_collect import keep_only, settled
from tests.conftest import REPOSITORY
from tests.processes import children, is_running, wait_until

MakeWorkspace = Callable[..., Workspace]

KILLS, AT_MOST_RUNS = 10, 30
"""Of drivers, and of workers; some of the moments come when there is nothing left to kill."""

DRIVERS = """
import multiprocessing, os, sys
from multiprocessing.forkserver import _forkserver
from pathlib import Path
from curate.analyze import collect as module, rows
from curate.workspace import Workspace

if __name__ == "__main__":
    rows._BATCH_VIDEOS = 1
    multiprocessing.get_context("forkserver").set_forkserver_preload(["torch", "curate.analyze.collect"])
    _forkserver.ensure_running()
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            _forkserver.ensure_running = lambda: None  # one for all drivers: to import takes longer than to collect
            status = 1
            try:
                module.collect(Workspace(Path(line.strip())))
                status = 0
            finally:
                os._exit(status)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


class Drivers:
    """A process that has imported everything, and forks drivers that collect."""

    def __init__(self, directory: Path) -> None:
        script = directory / "drivers.py"
        script.write_text(DRIVERS)
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        self.process = subprocess.Popen(
            [sys.executable, str(script)], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def start(self, workspace: Workspace) -> int:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{workspace.root}\n")
        self.process.stdin.flush()
        return self._read()

    def wait(self) -> int:
        """The exit status of the driver that was started last."""
        return self._read()

    def workers(self) -> list[int]:
        """Processes that the fork server has forked for the driver at work."""
        return [worker for server in children(self.process.pid) for worker in children(server)]

    def _read(self) -> int:
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())


@pytest.fixture
def drivers(tmp_path: Path) -> Iterator[Drivers]:
    there = Drivers(tmp_path)
    yield there
    assert there.process.stdin is not None
    there.process.stdin.close()
    there.process.wait()


def undisturbed(drivers: Drivers, make_workspace: MakeWorkspace, footage: Path) -> tuple[float, dict[str, list[str]]]:
    """(seconds, tables) of a whole run; the second, since the first also waits for imports."""
    drivers.start(make_workspace("first", world=footage))
    assert drivers.wait() == 0
    workspace, began = make_workspace("whole", world=footage), time.monotonic()
    drivers.start(workspace)
    assert drivers.wait() == 0
    return time.monotonic() - began, settled(workspace)


def test_stopped_before_any_of_its_commits_and_run_again_is_as_undisturbed(
    footage: Path, make_workspace: MakeWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopped(BaseException):
        """As abrupt as a kill: nothing that ends the run writes either."""

    write, left = Catalog.write, 10**9

    def write_until_stopped(*arguments: Any, **named: Any) -> int:
        nonlocal left
        left -= 1
        if left < 0:
            raise Stopped
        return write(*arguments, **named)

    keep_only(footage, "footage_0001", "broken_empty")
    monkeypatch.setattr(Catalog, "write", write_until_stopped)
    monkeypatch.setattr(rows, "_BATCH_S", float("inf"))  # a slow run would commit once more than a fast one
    whole = make_workspace("whole", world=footage)
    collect(whole)
    expected, commits = settled(whole), 10**9 - left
    for index in range(commits):
        workspace, left = make_workspace(f"stopped{index}", world=footage), index
        with pytest.raises(Stopped):
            collect(workspace)
        left = 10**9
        collect(workspace)
        assert settled(workspace) == expected


@pytest.mark.parametrize("whom", ["driver", "worker"])
def test_killed_at_random_moments_and_run_again_is_as_undisturbed(
    whom: str, footage: Path, make_workspace: MakeWorkspace, drivers: Drivers
) -> None:
    keep_only(footage, "footage_0001", "footage_0002", "broken_empty")
    length_s, expected = undisturbed(drivers, make_workspace, footage)
    rng, killed = random.Random(whom), 0
    for index in range(AT_MOST_RUNS):
        workspace = make_workspace(f"killed{index}", world=footage)
        for _ in range(3):
            driver = drivers.start(workspace)
            if whom == "worker":
                wait_until(lambda pid=driver: bool(drivers.workers()) or not is_running(pid))  # type: ignore[misc]
            time.sleep(rng.uniform(0, length_s if whom == "driver" else length_s / 2))
            workers = drivers.workers()
            victims = workers[:1] if whom == "worker" else [driver] * is_running(driver)
            for victim in victims:
                os.kill(victim, signal.SIGKILL)
            status = drivers.wait()
            assert status == 0 or (whom == "driver" and status == -signal.SIGKILL)
            killed += len(victims)
            wait_until(lambda left=workers: not any(is_running(worker) for worker in left))  # type: ignore[misc]
            if status == 0:
                break
        collect(workspace)
        assert settled(workspace) == expected
        if killed >= KILLS:
            break
    assert killed >= KILLS / 2
