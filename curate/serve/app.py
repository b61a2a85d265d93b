"""The routes of `curate serve`.

    POST   /v1/analyze        202 and a job, once it is on disk; `Idempotency-Key` makes it safe to send again
    POST   /v1/assets         201 and an asset_id for the bytes of the body
    GET    /v1/jobs           jobs without results, newest first: ?status=, ?limit=, ?before=ID
    GET    /v1/jobs/ID        a job; ?wait=SECONDS holds the answer back until it is done or failed
    DELETE /v1/jobs/ID        204; a job that waits or runs is given up, and any is forgotten
    GET    /health            200 while jobs can be run; /health/ready once a worker has its model
    GET    /metrics           for Prometheus

What a request may ask is checked before it is accepted. Files are opened and URLs fetched by workers alone.
"""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from curate import __version__
from curate.errors import CurateError, InputError
from curate.model import ZERO_SHOT
from curate.model.request import Request as Asked
from curate.model.request import named_model, read_request
from curate.serve import access
from curate.serve.answers import StatusError, as_error, as_job, as_json, job_facts
from curate.serve.assets import Assets
from curate.serve.jobs import STATES, Job, Jobs, QueueFullError
from curate.serve.metrics import CONTENT_TYPE, Metrics
from curate.serve.videos import Permitted, permitted_file, permitted_url
from curate.serve.work import Runner
from curate.specs.serve import Serve

log = logging.getLogger("curate.serve")

Handler = Callable[[Request], Awaitable[Response]]
_LONGEST_KEY = 200
_MOST_LISTED = 1000
_RECENT = 20


@dataclass(frozen=True)
class Parts:
    """What the routes work with. `model` is the one of requests that name none; the newest where None."""

    jobs: Jobs
    assets: Assets
    may: Permitted
    models: Path
    model: str | None
    limits: Serve
    token: str | None


class Service:
    """The routes over the parts. Its `runner` is given before the first request."""

    runner: Runner

    def __init__(self, parts: Parts) -> None:
        self._parts, self._stopping = parts, False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._recent_s: deque[float] = deque(maxlen=_RECENT)
        self.metrics = Metrics(parts.jobs.counts, lambda: self.runner.workers)

    def app(self) -> Starlette:
        def route(path: str, handler: Handler, method: str = "GET", *, open_to_all: bool = False) -> Route:
            return Route(path, self._answering(path, handler, open_to_all=open_to_all), methods=[method])

        routes = [
            route("/v1/analyze", self._analyze, "POST"),
            route("/v1/assets", self._upload, "POST"),
            route("/v1/jobs", self._list),
            route("/v1/jobs/{id}", self._job),
            route("/v1/jobs/{id}", self._remove, "DELETE"),
            route("/health", self._health, open_to_all=True),
            route("/health/ready", self._ready, open_to_all=True),
            route("/metrics", self._metrics),
        ]
        return Starlette(routes=routes, lifespan=self._lifespan, exception_handlers={HTTPException: _no_route})

    def changed(self, job_id: str) -> None:
        """Has those look again who wait for the job. From any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._look_again, [job_id])

    def ended(self, outcome: str, seconds: float, video_s: float) -> None:
        """Counts a job. From any thread."""
        self._recent_s.append(seconds)
        self.metrics.job(outcome, seconds, video_s)

    def close(self) -> None:
        """Accepts nothing more, and answers those who wait. From a signal handler too."""
        self._stopping = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._look_again, list(self._waiting))

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        self._loop = asyncio.get_running_loop()
        self.runner.start()
        yield
        self._stopping = True
        await run_in_threadpool(self.runner.stop, self._parts.limits.stop_s)

    def _answering(self, path: str, handler: Handler, *, open_to_all: bool) -> Handler:
        """The handler behind the gate, its errors as answers, counted."""

        async def answer(request: Request) -> Response:
            started_s = time.monotonic()
            try:
                if not open_to_all:
                    access.check(request, self._parts.token)
                response = await handler(request)
            except ClientDisconnect:
                response = Response(status_code=499)
            except QueueFullError as error:
                response = as_error(error, {"Retry-After": str(self._retry_after_s())})
            except Exception as error:
                response = as_error(error)
                if not isinstance(error, CurateError):
                    log.exception("%s %s failed", request.method, path)
            self.metrics.request(request.method, path, response.status_code, time.monotonic() - started_s)
            return response

        return answer

    async def _analyze(self, request: Request) -> Response:
        self._refuse_while_stopping()
        access.check_type(request, "application/json")
        limits = self._parts.limits
        key = _idempotency_key(request)
        body = await access.body_of(request, most_bytes=limits.body_bytes, within_s=limits.silence_s)
        asked = read_request(body, most_definitions=limits.definitions, most_values=limits.field_values)
        return await run_in_threadpool(self._accepted, asked, key)

    def _accepted(self, asked: Asked, key: str | None) -> Response:
        job, is_new = self._accept(asked, key)
        position = self._position(job)
        if is_new:
            self.runner.wake()
        return as_job(job, position, 202)

    def _accept(self, asked: Asked, key: str | None) -> tuple[Job, bool]:
        """The job of a request. One that has come before is not looked at again: its video may be gone by now."""
        parts = self._parts
        if key and (before := parts.jobs.of_key(key, asked.digest)):
            return before, False
        video, asset = asked.video, None
        if asked.kind == "path":
            video = str(permitted_file(asked.video, parts.may))
        elif asked.kind == "url":
            permitted_url(asked.video, parts.may)
        else:
            parts.assets.path(asset := asked.video)
        directory = named_model(parts.models, asked.model or parts.model)
        content = {
            "video": {asked.kind: video},
            "segment_definitions": asked.definitions,
            "min_segment_duration": asked.min_s,
            "max_segment_duration": asked.max_s,
        }
        model = ZERO_SHOT if directory is None else directory.name
        return parts.jobs.add(content, model=model, asset=asset, key=key, digest=asked.digest)

    async def _upload(self, request: Request) -> Response:
        self._refuse_while_stopping()
        access.check_type(request, "application/octet-stream", "video/*")
        blocks = access.blocks_of(request, silence_s=self._parts.limits.silence_s)
        asset = await self._parts.assets.receive(blocks, access.length_of(request))
        self.metrics.uploaded(asset.size_bytes)
        return as_json({"asset_id": asset.id, "size_bytes": asset.size_bytes}, 201)

    async def _list(self, request: Request) -> Response:
        status = request.query_params.get("status")
        if status is not None and status not in STATES:
            raise InputError(f"status is {status[:60]!r}", where="status", fix=f"Allowed: {', '.join(STATES)}")
        limit = _query_number(request, "limit", 100, _MOST_LISTED)
        before = request.query_params.get("before")

        def listed() -> list[Job]:
            number = None if before is None else self._found(before).number
            return self._parts.jobs.newest(state=status, before=number, limit=int(limit))

        return as_json({"jobs": [job_facts(job) for job in await run_in_threadpool(listed)]})

    async def _job(self, request: Request) -> Response:
        wait_s = _query_number(request, "wait", 0.0, self._parts.limits.wait_s)
        job_id = request.path_params["id"]
        until_s = time.monotonic() + wait_s
        with self._watched(job_id) as changed:
            while True:
                changed.clear()
                job, position = await run_in_threadpool(self._standing, job_id)
                left_s = until_s - time.monotonic()
                if job.state in ("done", "failed") or left_s <= 0 or self._stopping:
                    return as_job(job, position)
                try:
                    async with asyncio.timeout(left_s):
                        await changed.wait()
                except TimeoutError:
                    continue

    async def _remove(self, request: Request) -> Response:
        def remove(job_id: str) -> None:
            state = self._parts.jobs.remove(job_id)
            if state is None:
                raise _no_job(job_id)
            if state == "running":
                self.runner.cancel(job_id)

        await run_in_threadpool(remove, request.path_params["id"])
        self._look_again([request.path_params["id"]])
        return Response(status_code=204)

    async def _health(self, request: Request) -> Response:
        facts = await self._facts()
        return as_json(facts, 503 if self.runner.failure else 200)

    async def _ready(self, request: Request) -> Response:
        facts = await self._facts()
        return as_json(facts, 200 if facts["ready"] else 503)

    async def _metrics(self, request: Request) -> Response:
        return Response(await run_in_threadpool(self.metrics.text), media_type=CONTENT_TYPE)

    async def _facts(self) -> dict[str, Any]:
        counts = await run_in_threadpool(self._parts.jobs.counts)
        workers, failure = self.runner.workers, self.runner.failure
        status = "failed" if failure else "stopping" if self._stopping else "ok" if workers else "starting"
        return {
            "status": status,
            "ready": status == "ok",
            "version": __version__,
            "workers": {"ready": workers, "wanted": self._parts.limits.workers},
            "jobs": counts,
        }

    def _refuse_while_stopping(self) -> None:
        if self._stopping:
            raise StatusError(503, "the server is stopping", fix="Ask again when it is back")

    def _found(self, job_id: str) -> Job:
        job = self._parts.jobs.get(job_id)
        if job is None:
            raise _no_job(job_id)
        return job

    def _standing(self, job_id: str) -> tuple[Job, int | None]:
        job = self._found(job_id)
        return job, self._position(job)

    def _position(self, job: Job) -> int | None:
        return self._parts.jobs.waiting_before(job) + 1 if job.state == "queued" else None

    def _retry_after_s(self) -> int:
        """When a place may be free, as jobs went of late."""
        if not self._recent_s:
            return 5
        mean_s = sum(self._recent_s) / len(self._recent_s)
        return min(max(math.ceil(mean_s / self._parts.limits.workers), 1), 60)

    @contextmanager
    def _watched(self, job_id: str) -> Iterator[asyncio.Event]:
        event = asyncio.Event()
        self._waiting.setdefault(job_id, set()).add(event)
        try:
            yield event
        finally:
            self._waiting[job_id].discard(event)
            if not self._waiting[job_id]:
                del self._waiting[job_id]

    def _look_again(self, job_ids: list[str]) -> None:
        for job_id in job_ids:
            for event in self._waiting.get(job_id, ()):
                event.set()


def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and (not key or len(key) > _LONGEST_KEY or not key.isprintable()):
        fix = f"Send 1 to {_LONGEST_KEY} printable characters"
        raise InputError("the idempotency key cannot be used", where="Idempotency-Key", fix=fix)
    return key


def _query_number(request: Request, name: str, default: float, most: float) -> float:
    """A number of the query, at most `most`: more is cut to it."""
    text = request.query_params.get(name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not value >= 0:
        raise InputError(f"{name} is {text[:60]!r}: expected a number, 0 or more", where=name)
    return min(value, most)


def _no_job(job_id: str) -> StatusError:
    return StatusError(404, f"no job {job_id[:60]!r}, or no longer", fix="GET /v1/jobs lists them")


async def _no_route(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    what = "no such method here" if status == 405 else "no such address"
    headers = getattr(error, "headers", None)
    return as_error(StatusError(status, what, where=request.url.path, fix="docs/serve.md lists the routes"), headers)
