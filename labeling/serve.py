"""Serves clips to annotators' browsers, and pulls their labels when Label Studio says that there are new ones.

    GET, HEAD /clips/NAME?until=...&signature=...    a clip, whole or in ranges; 403 where the link is not ours or old
    POST      /webhook?capability=ID                 a hint to pull, with the secret in its header; 401 without
    GET       /health                                ok

A hint is answered at once and pulled for by a thread of its own, once no other has come for a moment: Label Studio
waits a second for the answer and sends a hint for every annotation. Because it may lose hints, everything is pulled
now and then as well.
"""

import logging
import os
import re
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from curate.errors import CurateError, InputError
from curate.listening import listening, log_to_stderr
from curate.workspace import Workspace
from labeling import webhook
from labeling.client import session
from labeling.media import MEDIA_SECRET, NOT_HERE, is_signed, media_secret
from labeling.projects import find_projects
from labeling.proxies import directory
from labeling.pull import pull
from labeling.server import connect

log = logging.getLogger("curate.serve")

QUIET_S = 2.0
"""A pull begins when no hint has come for so long."""
_LONGEST_WAIT_S = 15.0
"""However many hints come, the first of them waits no longer than this."""
_NAME = re.compile(r"\w+/\w{2}/\w+\.mp4", re.ASCII)

Pull = Callable[[list[str] | None], str | None]
"""Pulls these capabilities (all where None) and says in a line what came, None where nothing did."""


class Puller:
    """A thread that pulls when told to, and every `every_s` seconds. What goes wrong is a line in the log.

    Args:
        pull: what it does.
        every_s: all capabilities are pulled so often, for the first time at once.
        quiet_s: see `QUIET_S`.
    """

    def __init__(self, pull: Pull, *, every_s: float, quiet_s: float = QUIET_S) -> None:
        self._pull, self._every_s, self._quiet_s = pull, every_s, quiet_s
        self._changed = threading.Condition()
        self._hinted: set[str] = set()
        self._first_hint_s = self._last_hint_s = 0.0
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="pull", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def hint(self, capability: str) -> None:
        """Says that there is something to pull; returns at once."""
        with self._changed:
            self._last_hint_s = time.monotonic()
            if not self._hinted:
                self._first_hint_s = self._last_hint_s
            self._hinted.add(capability)
            self._changed.notify()

    def stop(self, timeout_s: float = 10.0) -> None:
        """Ends the thread, after the pull it is in. A pull that is cut off loses nothing: the next one goes on."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        all_due_s = time.monotonic()
        while (wanted := self._wait(all_due_s)) is not None:
            if not wanted:
                all_due_s = time.monotonic() + self._every_s
            self._attempt(sorted(wanted) or None)

    def _wait(self, all_due_s: float) -> set[str] | None:
        """The capabilities to pull now, none of them for all; None when there is to be an end."""
        with self._changed:
            while not self._stopped:
                now_s = time.monotonic()
                hints_due_s = min(self._last_hint_s + self._quiet_s, self._first_hint_s + _LONGEST_WAIT_S)
                due_s = min(all_due_s, hints_due_s) if self._hinted else all_due_s
                if due_s <= now_s:
                    wanted = set() if all_due_s <= now_s else self._hinted
                    self._hinted = set()
                    return wanted
                self._changed.wait(due_s - now_s)
        return None

    def _attempt(self, capabilities: list[str] | None) -> None:
        try:
            line = self._pull(capabilities)
        except CurateError as error:
            log.error("%s", error)
        except Exception as error:
            log.error("the pull failed: %s: %s", type(error).__name__, " ".join(str(error).split()))
        else:
            if line:
                log.info("%s", line)


def serve(workspace: Workspace, *, host: str, port: int, pulls: bool, every_s: float, address: str | None) -> None:
    """Serves until it is told to end.

    Clips are served where $CURATE_MEDIA_SECRET is set, hints taken where $CURATE_WEBHOOK_SECRET is.

    Args:
        host: the address of this machine to listen at, and `port`.
        pulls: whether to pull, and ask for hints.
        every_s: pull everything so often, hints or not.
        address: where Label Studio reaches this server; `media` of configs/labeling.yaml where None.

    Raises:
        InputError: no secret is set, or one that is too short; the port is busy.
    """
    secret = media_secret() if os.environ.get(MEDIA_SECRET) else None
    if webhook.is_wanted():
        webhook.webhook_secret()
    elif secret is None:
        raise InputError(
            f"neither ${MEDIA_SECRET} nor ${webhook.WEBHOOK_SECRET} is set: there is nothing to serve",
            fix="Set one to serve clips, the other to be told of new labels, or both (`openssl rand -hex 32`)",
        )
    configured = workspace.labeling().media
    here = address or (configured if urlsplit(configured).scheme.startswith("http") else f"http://{host}:{port}")
    puller = Puller(pulling(workspace, here.rstrip("/")), every_s=every_s)
    log_to_stderr(log)
    with listening(host, port) as listener:
        log.info("%s at http://%s:%d", "clips and hints" if secret else "hints", host, port)
        config = uvicorn.Config(
            app(directory(workspace), secret, puller if pulls else None), log_level="warning", access_log=False
        )
        uvicorn.Server(config).run(sockets=[listener])


def pulling(workspace: Workspace, address: str) -> Pull:
    """Pulls what is hinted at, so that it arrives within seconds; calibrating by it waits for the next regular pull.

    The regular pull asks projects that are new to send hints to `address`.
    """
    uncalibrated = True  # by an earlier server that ended in between, for all we know

    def work(capabilities: list[str] | None) -> str | None:
        nonlocal uncalibrated
        server = connect(workspace.state / "label-studio")
        if capabilities is None and webhook.is_wanted():
            with session(server) as client:
                for project in find_projects(client, kind=None):
                    webhook.register(client, project.number, project.capability, address)
        pulled = pull(workspace, capabilities, server=server)
        came = bool(pulled.new or pulled.deleted)
        uncalibrated |= came
        if capabilities is None and uncalibrated:
            from curate.targets.scoring.score import score  # seconds of imports, for which no clip shall wait

            score(workspace)
            uncalibrated = False
        return f"{', '.join(capabilities or ['all'])}: {pulled.new} new, {pulled.deleted} deleted" if came else None

    return work


def app(files: Path, secret: str | None, puller: Puller | None) -> Starlette:
    """The server of the proxies below `files`.

    Args:
        files: `labeling.proxies.directory`.
        secret: what links are signed with (`labeling.media.media_secret`); None where clips are not served.
        puller: what hints go to, and which lives as long as the server; None where there is no pulling.
    """

    async def clip(request: Request) -> Response:
        name, query = request.path_params["name"], request.query_params
        if not secret or not is_signed(secret, name, query.get("until", ""), query.get("signature", "")):
            return _line(403, "this link is not good, or no longer: push again to renew it")
        path = files / name
        if not _NAME.fullmatch(name) or not path.is_file():
            return _line(404, NOT_HERE)
        headers = {"Cache-Control": "private, max-age=86400", "X-Content-Type-Options": "nosniff"}
        return FileResponse(path, media_type="video/mp4", headers=headers)

    async def hint(request: Request) -> Response:
        if not webhook.is_authentic(request.headers.get(webhook.HEADER)):
            return _line(401, "the secret is wrong or missing")
        capability = request.query_params.get("capability")
        if not capability:
            return _line(400, "say which: /webhook?capability=ID")
        if puller is None:
            return _line(503, "this server does not pull")
        puller.hint(capability)
        return Response(status_code=202)

    async def health(request: Request) -> Response:
        return _line(200, "ok")

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        if puller:
            puller.start()
        yield
        if puller:
            puller.stop()

    # Links carry their own permission and no cookies, so any page may show a clip that it has a link to.
    cors = Middleware(
        CORSMiddleware,
        allow_origins=["*"],
        allow_methods=["GET", "HEAD"],
        allow_headers=["Range"],
        expose_headers=["Accept-Ranges", "Content-Length", "Content-Range"],
    )
    routes = [
        Route("/clips/{name:path}", clip, methods=["GET", "HEAD"]),
        Route("/webhook", hint, methods=["POST"]),
        Route("/health", health),
    ]
    return Starlette(routes=routes, middleware=[cors], lifespan=lifespan)


def _line(status: int, text: str) -> Response:
    return PlainTextResponse(f"{text}\n", status_code=status)
