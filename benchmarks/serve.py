"""Fifty clients ask `curate serve` at once, the server is killed in the middle, and each accepted job is answered once.

Each client sends its requests one after the other, under idempotency keys, and looks at a job until it has ended;
while the server is away it tries again, as a client should. The figure is the share of keys that have one job with one
answer, the same when it is looked at again at the end. Beside it, from a run without a kill: how long an answer to
`POST /v1/analyze` takes, after which the job is on disk, and one to `GET /v1/jobs/ID`, while workers use all cores; and
the memory of the server and its largest worker, before and after. Videos last two seconds, so that jobs are many. The
clients run on the same cores, and their time is in the figures.
"""

import asyncio
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np

from benchmarks import claim
from curate.workspace import Workspace, create_workspace

CLIENTS = 50
_AGAIN_S = 1.0
_VIDEO = "video.mp4"
_DEFINITION = {"id": "red", "description": "a red square", "not_text": ["a picture of nothing"]}


@dataclass
class Seen:
    """What clients saw: seconds of each kind of request; by key the job, and its answer as it was first seen."""

    posts_s: list[float] = field(default_factory=list)
    looks_s: list[float] = field(default_factory=list)
    jobs: dict[str, str] = field(default_factory=dict)
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)


class Server:
    """`curate serve` in a process of its own. A start after the first takes the same port."""

    def __init__(self, directory: Path) -> None:
        self._directory, self._port = directory, 0
        self._workspace: Workspace = create_workspace(directory / "workspace", sample=True)
        self.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        command = [str(Path(sys.executable).parent / "curate"), "--workspace", str(self._workspace.root), "serve"]
        options = ["--port", str(self._port), "--root", str(self._directory), "--model", "zero-shot"]
        self._process = subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True)
        assert self._process.stderr is not None
        said = self._process.stderr.readline()
        found = re.search(r"http://\S+:(\d+)", said)
        if found is None:
            raise RuntimeError(said)
        self._port = int(found[1])

    def end(self, how: signal.Signals) -> None:
        self._process.send_signal(how)
        self._process.wait()

    def memory_mb(self) -> tuple[float, float]:
        """The server's own pages, and those of its largest worker."""
        pids = [worker for child in _children(self._process.pid) for worker in _children(child)]
        return _own_mb(self._process.pid), max(map(_own_mb, pids), default=0.0)


def measure(quick: bool) -> claim.Result:
    each = 1 if quick else 10
    with tempfile.TemporaryDirectory() as name:
        _write_video(Path(name) / _VIDEO)
        server = Server(Path(name))
        try:
            warm, calm, killed = Seen(), Seen(), Seen()
            asyncio.run(_ask(server.address, "warm", 1, warm))
            before = server.memory_mb()
            started_s = time.perf_counter()
            asyncio.run(_ask(server.address, "calm", each, calm))
            took_s = time.perf_counter() - started_s
            after = server.memory_mb()
            asyncio.run(_ask_and_kill(server, each, killed))
            share = _answered_once(server.address, [warm, calm, killed])
        finally:
            server.end(signal.SIGTERM)
    rows = [
        {
            "clients": CLIENTS,
            "jobs": len(calm.jobs),
            "jobs_per_s": len(calm.jobs) / took_s,
            **_percentiles_ms("post", calm.posts_s),
            **_percentiles_ms("status", calm.looks_s),
            "server_mb": list(before[:1] + after[:1]),
            "worker_mb": list(before[1:] + after[1:]),
        }
    ]
    return claim.Result(share, "of jobs answered once", 1.0, at_most=False, rows=rows)


async def _ask(address: str, prefix: str, each: int, seen: Seen) -> None:
    """All clients at once, `each` requests one after the other."""
    async with httpx.AsyncClient(base_url=address, limits=httpx.Limits(max_connections=CLIENTS), timeout=600) as http:

        async def client(number: int) -> None:
            for turn in range(each):
                await _one(http, f"{prefix} {number} {turn}", seen)

        await asyncio.gather(*(client(number) for number in range(CLIENTS)))


async def _ask_and_kill(server: Server, each: int, seen: Seen) -> None:
    """The same, and the server is killed and started again once a third of the answers are there."""
    asking = asyncio.create_task(_ask(server.address, "killed", each, seen))
    while len(seen.answers) < CLIENTS * each / 3:
        await asyncio.sleep(0.01)
    server.end(signal.SIGKILL)
    await asyncio.to_thread(server.start)
    await asking


async def _one(http: httpx.AsyncClient, key: str, seen: Seen) -> None:
    asked = {"video": {"path": _VIDEO}, "segment_definitions": [_DEFINITION]}
    headers = {"Idempotency-Key": key}
    while key not in seen.jobs:
        if job := await _timed(http, seen.posts_s, "POST", "/v1/analyze", json=asked, headers=headers):
            seen.jobs[key] = job["id"]
    while key not in seen.answers:
        job = await _timed(http, seen.looks_s, "GET", f"/v1/jobs/{seen.jobs[key]}")
        if job and job["status"] in ("done", "failed"):
            seen.answers[key] = job
        else:
            await asyncio.sleep(_AGAIN_S)


async def _timed(
    http: httpx.AsyncClient, seconds: list[float], method: str, path: str, **options: Any
) -> dict[str, Any] | None:
    """The answer; None where there is nobody to give one."""
    started_s = time.perf_counter()
    try:
        reply = await http.request(method, path, **options)
    except httpx.TransportError:
        await asyncio.sleep(_AGAIN_S)
        return None
    seconds.append(time.perf_counter() - started_s)
    found: dict[str, Any] = reply.raise_for_status().json()
    return found


def _answered_once(address: str, seen: list[Seen]) -> float:
    """The share of keys whose job is done and says what it said; 0 where there are jobs that nobody asked for."""
    with httpx.Client(base_url=address, timeout=600) as http:
        counts = http.get("/health").json()["jobs"]
        right = [
            http.get(f"/v1/jobs/{one.jobs[key]}").json() == answer and answer["status"] == "done"
            for one in seen
            for key, answer in one.answers.items()
        ]
    return sum(right) / len(right) if sum(counts.values()) == len(right) else 0.0


def _percentiles_ms(name: str, seconds: list[float]) -> dict[str, float]:
    return {f"{name}_p{at}_ms": 1000 * float(np.percentile(seconds, at)) for at in (50, 95)}


def _children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for children in found for child in children.read_text().split()]


def _own_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"RssAnon:\s+(\d+) kB", status)
    return int(found[1]) / 1000 if found else 0.0


def _write_video(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(25), options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        for number in range(50):
            image = np.full((180, 320, 3), 90, np.uint8)
            if number < 25:
                image[50:130, 120:200] = (220, 40, 40)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))


if __name__ == "__main__":
    claim.main("serve", measure)
