"""Servers as users start them: `curate serve` in a process of its own, over small real videos."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import pytest
import yaml

from curate.workspace import Workspace, create_workspace
from tests.processes import children, wait_until

DEFINITIONS: dict[str, dict[str, Any]] = {
    "red": {
        "id": "red",
        "description": "a red square",
        "text": ["a red square"],
        "not_text": ["a green circle"],
        "fields": [{"name": "color", "type": "string", "enum": ["red", "green"]}],
    },
    "green": {
        "id": "green",
        "description": "a green circle",
        "text": ["a green circle"],
        "not_text": ["a red square"],
    },
}


@dataclass(frozen=True)
class Server:
    """A running `curate serve`."""

    process: subprocess.Popen[str]
    address: str
    workspace: Workspace

    def client(self) -> httpx.Client:
        """Takes as many connections as there are threads that use it."""
        return httpx.Client(base_url=self.address, timeout=120, limits=httpx.Limits(max_connections=64))

    def workers(self) -> list[int]:
        """Processes that do jobs: forked by a server of their own, which the server has started."""
        return [worker for child in children(self.process.pid) for worker in children(child)]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def serving(workspace: Workspace, *arguments: str) -> Iterator[Server]:
    with starting(workspace, *arguments) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.search(r"http://\S+:(\d+)", line)
        assert found, line
        yield Server(process, f"http://127.0.0.1:{found[1]}", workspace)


@contextmanager
def starting(workspace: Workspace, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The process, whatever becomes of it."""
    plain = {name: value for name, value in os.environ.items() if name != "CURATE_SERVE_TOKEN"}
    process = subprocess.Popen(
        [
            *(str(Path(sys.executable).parent / "curate"), "--workspace", str(workspace.root)),
            *("serve", "--port", "0", "--model", "zero-shot", *arguments),
        ],
        env=plain | {"OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory: a.mp4 and b.mp4 of two seconds, long.mp4 of five minutes: squares and circles of a color in turn."""
    directory = tmp_path_factory.mktemp("videos")
    write_video(directory / "a.mp4", ["red", "green"])
    write_video(directory / "b.mp4", ["green", "red"])
    write_video(directory / "long.mp4", ["red", "green"] * 150)
    write_video(directory / "whole.mkv", ["red", "green"])
    whole = (directory / "whole.mkv").read_bytes()
    (directory / "cut.mp4").write_bytes(whole[: len(whole) * 2 // 3])
    (directory / "broken.mp4").write_bytes(b"not a video" * 100)
    return directory


def write_video(path: Path, seconds: Sequence[str]) -> None:
    y, x = np.mgrid[:96, :128]
    pictures = {name: np.full((96, 128, 3), 90, np.uint8) for name in ("red", "green")}
    pictures["red"][28:68, 44:84] = (220, 40, 40)
    pictures["green"][(y - 48) ** 2 + (x - 64) ** 2 < 500] = (40, 200, 40)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(10), options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for name in seconds:
            for _ in range(10):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pictures[name], format="rgb24")))
        container.mux(stream.encode(None))


@pytest.fixture
def make_workspace(tmp_path: Path) -> Callable[..., Workspace]:
    """A workspace of the sample world whose configs/serve.yaml says what is given."""

    def make(**limits: Any) -> Workspace:
        workspace = create_workspace(tmp_path / "workspace", sample=True)
        (workspace.configs / "serve.yaml").write_text(yaml.safe_dump(limits))
        return workspace

    return make


def request(video: str, *names: str) -> dict[str, Any]:
    return {"video": {"path": video}, "segment_definitions": [DEFINITIONS[name] for name in names or ("red",)]}


def ended(client: httpx.Client, job_id: str) -> dict[str, Any]:
    """The job when it is done or failed."""
    while True:
        job: dict[str, Any] = client.get(f"/v1/jobs/{job_id}", params={"wait": "30"}).json()
        if job["status"] in ("done", "failed"):
            return job


def stop(server: Server) -> int:
    """Ends it as a service manager does; its exit status."""
    server.process.send_signal(signal.SIGTERM)
    return server.process.wait()


def is_running_jobs(client: httpx.Client, count: int = 1) -> bool:
    return bool(client.get("/health").json()["jobs"]["running"] >= count)


def wait_for_workers(server: Server, count: int = 1) -> None:
    with server.client() as client:
        wait_until(lambda: client.get("/health").json()["workers"]["ready"] >= count)
