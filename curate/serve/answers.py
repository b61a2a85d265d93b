"""How the server says things: JSON, an error always as `{"error": {"what", "where", "fix"}}` with a fitting status."""

import json
import sqlite3
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from curate.errors import CurateError, InputError
from curate.serve.assets import NoRoomError, TooLargeError
from curate.serve.jobs import Job, KeyReusedError, QueueFullError
from curate.serve.videos import RefusedError
from curate.sources.request import shown


class StatusError(CurateError):
    """What is answered with a status of its own."""

    def __init__(self, status: int, what: str, *, where: object = None, fix: str | None = None) -> None:
        super().__init__(what, where=where, fix=fix)
        self.status = status


_STATUSES: tuple[tuple[type[Exception], int], ...] = (
    (RefusedError, 403),
    (KeyReusedError, 409),
    (TooLargeError, 413),
    (QueueFullError, 429),
    (NoRoomError, 507),
    (InputError, 400),
)


def as_json(content: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return _response(json.dumps(content), status, headers)


def as_error(error: Exception, headers: Mapping[str, str] | None = None) -> Response:
    """The answer that says what went wrong. Of what is no error of ours it says the kind alone."""
    if isinstance(error, StatusError):
        status = error.status
    else:
        status = next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)
    if isinstance(error, CurateError):
        what, where, fix = error.what, error.where, error.fix
    elif isinstance(error, sqlite3.Error | OSError):
        status, what, where, fix = 503, "the server cannot write to its disk", None, "Ask again later"
    else:
        what, where, fix = f"unexpected {type(error).__name__}", None, "The server's log says more"
    if status == 401:
        headers = {"WWW-Authenticate": "Bearer", **(headers or {})}
    said = {"what": what, "where": None if where is None else str(where), "fix": fix}
    return as_json({"error": said}, status, headers)


def as_job(job: Job, position: int | None, status: int = 200) -> Response:
    """A job with its result; the result is JSON text already and is not parsed again."""
    facts = json.dumps(job_facts(job) | {"position": position})
    return _response(f'{facts[:-1]}, "result": {job.result or "null"}}}', status, {"Location": f"/v1/jobs/{job.id}"})


def job_facts(job: Job) -> dict[str, Any]:
    """What is said of a job besides its result. The query of a URL may hold a signature, and is left out."""
    ((kind, name),) = job.request["video"].items()
    return {
        "id": job.id,
        "status": job.state,
        "video": {kind: shown(name) if kind == "url" else name},
        "model": job.model,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "attempts": job.attempts,
        "error": None if job.error is None else {"what": job.error, "where": None, "fix": None},
    }


def _response(text: str, status: int, headers: Mapping[str, str] | None) -> Response:
    return Response(f"{text}\n", status, {"Cache-Control": "no-store", **(headers or {})}, "application/json")
