"""Processes that build, pull and load mixes, to be killed: at a moment, or before a given change to a file."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from curate.mixes.files import open_files
from curate.mixes.load import clip_bytes, load_mix, versions
from curate.mixes.versions import resolve
from curate.workspace import Workspace
from tests.conftest import REPOSITORY

_CHILDREN = """
import json, os, resource, signal, sys
from pathlib import Path
import dvc.api, dvc.commands.init, dvc_s3, s3fs
from curate.mixes import build, load
from curate.workspace import Workspace

CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.truncate", "os.chmod", "subprocess.Popen"}

def stop_before(change):
    seen = 0
    def hook(event, arguments):
        nonlocal seen
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if event in CHANGES or writes:
            seen += 1
            if seen == change:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)
    return lambda: seen

def work(asked):
    if asked["room"]:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (asked["room"], asked["room"]))
    seen, root = stop_before(asked["stop"]), Path(asked["root"])
    if asked["call"] == "build":
        build.build(Workspace(root), "base", who="ana", why="a round")
    else:
        load.pull(Workspace(root), "base", asked["call"])
        load.load_mix("base", asked["call"], workspace=root)
    print("changes", seen(), flush=True)

for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        os.setsid()
        status = 1
        try:
            work(json.loads(line))
            status = 0
        except Exception as error:
            print("failed", type(error).__name__, " ".join(str(error).split()), flush=True)
        finally:
            os._exit(status)
    print("pid", pid, flush=True)
    sys.stdin.readline()  # until then it is not waited for, so that its number stands for it and nothing else
    print("status", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


class Children:
    """A process that has imported everything, and forks those that work."""

    def __init__(self) -> None:
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-c", _CHILDREN], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def start(self, root: Path, call: str = "build", stop: int = 0, room: int = 0) -> int:
        """Begins to build, or to pull a revision.

        Args:
            stop: it is killed before this change to a file, if any.
            room: no file can be written beyond so many bytes, as on a full disk, if any.
        """
        self._write(json.dumps({"root": str(root), "call": call, "stop": stop, "room": room}))
        return int(self._read("pid")["pid"])

    def wait(self) -> dict[str, str]:
        """status: of the one started last; changes: to files, if it ended; failed: why, if it did."""
        self._write("wait")
        return self._read("status")

    def run(self, root: Path, call: str = "build", stop: int = 0, room: int = 0) -> dict[str, str]:
        self.start(root, call, stop, room)
        return self.wait()

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def _read(self, last: str) -> dict[str, str]:
        assert self._process.stdout is not None
        said: dict[str, str] = {}
        while last not in said:
            key, _, value = self._process.stdout.readline().strip().partition(" ")
            assert key, "the process that forks has ended"
            said[key] = value
        return said


@contextmanager
def children() -> Iterator[Children]:
    there = Children()
    try:
        yield there
    finally:
        there.close()


def kill_group(pid: int) -> None:
    """Kills a child with all that it has started, as when a machine stops."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:  # it has not become a group yet
        os.kill(pid, signal.SIGKILL)


def what_is_published(workspace: Workspace) -> dict[str, Any]:
    """All that a consumer sees of each version, each file's bytes checked against its hash; and what the remote has."""
    found: dict[str, Any] = {}
    for version in versions(workspace, "base"):
        files = open_files(workspace, "base", resolve(workspace, "base", version.revision))
        for path, md5 in files.hashes.items():
            content = files.read(path)
            assert hashlib.md5(content).hexdigest() == md5, path
            assert (
                files.remote is not None
                and hashlib.md5(files.remote.system.cat_file(files.remote.path(md5))).hexdigest() == md5
            )
        lock = json.loads(files.read("lock.json"))
        found[version.revision] = {
            "content": lock["content"],
            "counted": (version.content, version.train, version.validation, version.test),
            "files": {path: md5 for path, md5 in files.hashes.items() if path != "lock.json"},
            "lock": {key: value for key, value in lock.items() if key != "catalog"},
        }
    return found


def rows_of(root: Path, revision: str) -> list[dict[str, Any]]:
    """The rows of a version with a hash of each clip's bytes."""
    loaded = load_mix("base", revision, workspace=root)
    rows = []
    for split in sorted(loaded):
        for row in loaded[split]:
            rows.append({**row, "video": hashlib.md5(clip_bytes(row)).hexdigest(), "split": split})
    return rows
