"""Speaking to Label Studio: one client for each task, and every way it can fail as one clear line."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import httpx
from label_studio_sdk.client import LabelStudio
from label_studio_sdk.core.api_error import ApiError

from curate.errors import CurateError, InputError

_TIMEOUT_S = 300.0
"""An import is one synchronous request; a time-out on our side may still be a commit on theirs."""


@dataclass(frozen=True)
class Server:
    """A Label Studio to speak to. `pid` is its process where we started it, None for a server of somebody else."""

    url: str
    token: str = field(repr=False)
    pid: int | None = None


@contextmanager
def session(server: Server) -> Iterator[LabelStudio]:
    """A client that never retries: a repeated POST would make every task twice.

    Raises:
        InputError: the server refuses the token.
        CurateError: the server does not answer, or answers with an error.
    """
    here = urlsplit(server.url).hostname in ("127.0.0.1", "localhost", "::1")
    with httpx.Client(verify=authorities(), timeout=_TIMEOUT_S, follow_redirects=True, trust_env=not here) as transport:
        try:
            yield LabelStudio(base_url=server.url, api_key=server.token, httpx_client=transport, max_retries=0)
        except ApiError as error:
            raise _refusal(server, error.status_code, error.body) from None
        except httpx.HTTPStatusError as error:
            raise _refusal(server, error.response.status_code, error.response.text) from None
        except httpx.TransportError as error:
            raise CurateError(
                f"Label Studio does not answer ({type(error).__name__})",
                where=server.url,
                fix="Start it with `curate label up`, or check LABEL_STUDIO_URL",
            ) from None


@cache
def authorities() -> ssl.SSLContext:
    """Who may vouch for a server; read once, since that takes longer than most requests to a server on this machine."""
    return httpx.create_ssl_context()


def _refusal(server: Server, status: int | None, body: Any) -> CurateError:
    if status in (401, 403):
        fix = "Check LABEL_STUDIO_API_KEY, or start a server of this workspace with `curate label up`"
        return InputError("Label Studio refused the token", where=server.url, fix=fix)
    if status == httpx.codes.NOT_FOUND:
        fix = "Run the command again; push opens a new project where one is missing"
        return CurateError(
            "Label Studio has it no more: somebody deleted a project or a task", where=server.url, fix=fix
        )
    return CurateError(f"Label Studio answered {status}: {_detail(body)}", where=server.url)


def _detail(body: Any) -> str:
    """The server's own words on one line."""
    if isinstance(body, dict):
        body = body.get("validation_errors") or body.get("detail") or body
    text = " ".join(str(body).split())
    return "a page that says nothing more" if text.startswith("<") else text[:300]
