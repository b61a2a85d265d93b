"""One worker process: it runs a function on one item after the other, and no item can take more with it than itself.

Each worker has a pipe of its own and no lock is shared, so that a worker may be killed at any moment, in the middle
of an answer too, and the others notice nothing. What bounds an item:

- its time, by the parent, which kills the worker (`Limits.timeout_s`);
- the time between two calls of `heartbeat`, by a timer whose signal ends the process even inside C code that never
  comes back (`Limits.frame_timeout_s`);
- its memory: the parent looks at the worker's own pages ten times a second and kills it above `Limits.memory_mb` more
  than it held before its first item; RLIMIT_DATA at one and a half times that refuses what is asked for in one go.

A worker ends with its parent, however that ends: the kernel sends it a signal when the parent's pipe closes.
"""

import errno
import fcntl
import multiprocessing
import os
import pickle
import re
import resource
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

from curate.errors import CurateError, RunError

KILLED = "the worker was killed from outside, twice"
"""Says nothing of the item: something else on the machine ended its process, or the system was out of memory."""

_RESERVE = 1.5
_CANNOT_ALLOCATE = re.compile(r"can't allocate memory|not enough memory|Cannot allocate memory|std::bad_alloc")

_frame_timeout_s = 0.0


@dataclass(frozen=True)
class Limits:
    """What one item may take: seconds, seconds between heartbeats, megabytes beyond what the worker began with."""

    timeout_s: float
    frame_timeout_s: float
    memory_mb: float


@dataclass(frozen=True)
class Ready:
    """The worker can take an item; `memory_bytes` are its own before the first."""

    memory_bytes: int


@dataclass(frozen=True)
class Done:
    value: Any
    seconds: float


@dataclass(frozen=True)
class Failed:
    """`stops_run` where the reason is the run's and not the item's; `killed` where nothing is known of the item."""

    reason: str
    seconds: float
    stops_run: bool = False
    killed: bool = False


Answer = Ready | Done | Failed


def heartbeat() -> None:
    """Says that the item at hand goes on. In a worker it re-arms the timer of `Limits.frame_timeout_s`; else nothing.

    A function that never calls it is bound by the time for the whole item alone.
    """
    if _frame_timeout_s:
        signal.setitimer(signal.ITIMER_REAL, _frame_timeout_s)


class Worker:
    """The parent's side of one process. Starts it; it answers `Ready` when it can take items."""

    def __init__(self, work: bytes, limits: Limits, context: ForkServerContext) -> None:
        self._limits, self._base_bytes = limits, 0
        self._started, self._reason, self.is_busy, self.is_ready = time.monotonic(), "", False, False
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, work, limits), daemon=True)
        self._process.start()
        theirs.close()

    @property
    def pid(self) -> int:
        return self._process.pid or 0

    def give(self, item: bytes) -> None:
        """Hands over a pickled item. Its time starts now."""
        self.is_busy, self._started = True, time.monotonic()
        try:
            self.connection.send_bytes(item)
        except OSError:
            return  # it has died, and `answer` says of what

    def answer(self) -> Answer:
        """What the worker says now that its connection can be read; how it died, where that is why."""
        try:
            said: Answer = pickle.loads(self.connection.recv_bytes())
        except (EOFError, OSError):
            return self._death()
        if isinstance(said, Ready):
            self._base_bytes, self.is_ready = said.memory_bytes, True
        else:
            self.is_busy = False
        return said

    def enforce(self) -> None:
        """Kills the worker where its item is over a limit that its own process does not watch."""
        if not self.is_busy or self._reason:
            return
        if time.monotonic() - self._started > self._limits.timeout_s:
            self._reason = f"took longer than {self._limits.timeout_s:g} s"
        elif memory_bytes(self.pid) - self._base_bytes > self._limits.memory_mb * 1e6:
            self._reason = _over_memory(self._limits)
        if self._reason:
            self._process.kill()

    def stop(self, reason: str) -> None:
        """Kills the worker in the middle of its item, whose answer is then `reason`."""
        if self.is_busy and not self._reason:
            self._reason = reason
            self._process.kill()

    def is_spent(self) -> bool:
        """Whether it should take no further item: it is being killed, or still holds much of what the last one took."""
        return bool(self._reason) or memory_bytes(self.pid) - self._base_bytes > self._limits.memory_mb * 1e6 / 2

    def end(self) -> None:
        """Ends the process at once."""
        self._process.kill()
        self._process.join()
        self.connection.close()

    def _death(self) -> Failed:
        self._process.join()
        self.connection.close()
        code, seconds = self._process.exitcode, time.monotonic() - self._started
        if self._reason:
            return Failed(self._reason, seconds)
        if code == -signal.SIGALRM:
            return Failed(f"gave no frame for {self._limits.frame_timeout_s:g} s", seconds)
        if code == -signal.SIGKILL:
            return Failed(KILLED, seconds, killed=True)
        if code is not None and code < 0:
            return Failed(f"the worker crashed ({signal.Signals(-code).name})", seconds)
        return Failed(f"worker died with exit code {code}", seconds)


def memory_bytes(pid: int | str = "self") -> int:
    """Resident pages of a process that are its own: not code, and not what it shares as memory."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return _kilobytes(status, "RssAnon") * 1024


def describe(error: BaseException) -> str:
    """One line for an outcome: the message of our own errors, the type and first line of any other's."""
    if isinstance(error, CurateError):
        return error.what
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _serve(connection: Connection, work: bytes, limits: Limits) -> None:
    """The worker's side: answers each item until the pipe closes."""
    global _frame_timeout_s
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes, and the parent ends this one
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        function, prepare = pickle.loads(work)
        _one_thread()
        if prepare is not None:
            prepare()
    except Exception as error:
        connection.send_bytes(pickle.dumps(Failed(str(error) or describe(error), 0.0, stops_run=True)))
        return
    _bound_memory(limits)
    connection.send_bytes(pickle.dumps(Ready(memory_bytes())))
    while True:
        try:
            content = connection.recv_bytes()
        except EOFError:
            return
        _frame_timeout_s = limits.frame_timeout_s
        said = _attempt(function, content, limits)
        _frame_timeout_s = 0.0
        signal.setitimer(signal.ITIMER_REAL, 0)
        connection.send_bytes(said)


def _attempt(function: Callable[[Any], Any], content: bytes, limits: Limits) -> bytes:
    started = time.monotonic()
    try:
        value = function(pickle.loads(content))
        return pickle.dumps(Done(value, time.monotonic() - started), pickle.HIGHEST_PROTOCOL)
    except RunError as error:
        said = Failed(str(error), time.monotonic() - started, stops_run=True)
    except Exception as error:
        reason = _over_memory(limits) if _is_memory(error) else describe(error)
        said = Failed(reason, time.monotonic() - started)
    return pickle.dumps(said)


def _is_memory(error: BaseException | None) -> bool:
    """Whether this error, or what it was raised from, says that no memory was given."""
    while error is not None:
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
            return True
        if isinstance(error, RuntimeError) and _CANNOT_ALLOCATE.search(str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False


def _over_memory(limits: Limits) -> str:
    return f"took more than {limits.memory_mb:g} MB of memory"


def _bound_memory(limits: Limits) -> None:
    try:
        held_bytes = _kilobytes(Path("/proc/self/status").read_text(), "VmData") * 1024
    except OSError:
        return
    most = int(held_bytes + _RESERVE * limits.memory_mb * 1e6)
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _kilobytes(status: str, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", status, re.MULTILINE)
    return int(found.group(1)) if found else 0


def end_with_parent() -> None:
    """Has the kernel end this process when its parent's end of the start-up pipe closes.

    A thread that waits for it would not run while C code holds the interpreter, and the parent-death signal of Linux
    would name the fork server, which lives as long as its children.
    """
    parent = multiprocessing.parent_process()
    if parent is None or sys.platform != "linux":
        return
    sentinel = parent.sentinel
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    fcntl.fcntl(sentinel, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(sentinel, fcntl.F_SETFL, fcntl.fcntl(sentinel, fcntl.F_GETFL) | os.O_ASYNC)
    if not parent.is_alive():
        os._exit(1)


def _one_thread() -> None:
    """Workers share the cores, so the libraries inside each get one thread."""
    import cv2
    import torch

    cv2.setNumThreads(1)
    torch.set_num_threads(1)
