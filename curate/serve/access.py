"""Who may ask, and how much may come: the token, the Host header, and bodies that are bounded in bytes and time.

A server on loopback needs no token, but a web page that is open on the same machine can reach it too. So the Host
header must be this machine's (a name that was made to resolve to it does not do), and bodies must have a content type
that no page may send without asking first, which is never granted.
"""

import asyncio
import hmac
import ipaddress
import os
import re
from collections.abc import AsyncIterator

from starlette.requests import Request

from curate.errors import InputError
from curate.serve.answers import StatusError
from curate.serve.assets import TooLargeError

TOKEN = "CURATE_SERVE_TOKEN"
_SHORTEST = 16
_LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^:\[\]]*))(?::\d+)?", re.IGNORECASE)


def read_token(host: str) -> str | None:
    """The token that requests must carry, from the environment; None where there need be none.

    Raises:
        InputError: it is too short, or the server would listen to other machines without one.
    """
    token = os.environ.get(TOKEN)
    if token is None and not is_loopback(host):
        raise InputError(
            f"${TOKEN} is not set, and other machines can reach this address",
            where=host,
            fix="Set it (`openssl rand -hex 32`), or listen at 127.0.0.1",
        )
    if token is not None and (len(token) < _SHORTEST or not token.isascii() or not token.isprintable()):
        raise InputError(f"${TOKEN} is no token", fix=f"Set it to {_SHORTEST} or more letters (`openssl rand -hex 32`)")
    return token


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address that is listened at."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check(request: Request, token: str | None) -> None:
    """Refuses a request that does not carry the token or, where there is none, does not name this machine.

    Raises:
        StatusError: 401 or 403.
    """
    if token is not None:
        given = request.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode("latin-1", "replace"), f"Bearer {token}".encode()):
            raise StatusError(401, "the token is wrong or missing", where="Authorization", fix="Send `Bearer TOKEN`")
        return
    found = _HOST.fullmatch(request.headers.get("Host", ""))
    if not found or (found[1] or found[2]).lower() not in _LOCAL_NAMES:
        raise StatusError(
            403, "this server answers to this machine alone", where="Host", fix=f"Set ${TOKEN} to open it"
        )


def check_type(request: Request, *allowed: str) -> None:
    """Refuses a body of another content type; `video/*` allows all of video/.

    Raises:
        StatusError: 415.
    """
    given = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if not any(given == kind or (kind.endswith("/*") and given.startswith(kind[:-1])) for kind in allowed):
        what = f"content type {given[:60]!r}"
        raise StatusError(415, what, where="Content-Type", fix=f"Send {' or '.join(allowed)}")


def length_of(request: Request) -> int | None:
    """How many bytes the client says that it will send."""
    given = request.headers.get("Content-Length", "")
    return int(given) if given.isdecimal() and len(given) < 19 else None


async def body_of(request: Request, *, most_bytes: int, within_s: float) -> bytes:
    """The whole body.

    Raises:
        TooLargeError; StatusError: 408, where it does not come in time.
    """
    too_large = TooLargeError(f"more than {most_bytes:,} bytes", where="body", fix="Send a smaller request")
    if (length_of(request) or 0) > most_bytes:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(within_s):
            async for block in request.stream():
                body += block
                if len(body) > most_bytes:
                    raise too_large
    except TimeoutError:
        raise _late(within_s) from None
    return bytes(body)


async def blocks_of(request: Request, *, silence_s: float) -> AsyncIterator[bytes]:
    """The body as it comes.

    Raises:
        StatusError: 408, where nothing comes for `silence_s`.
    """
    stream = aiter(request.stream())
    while True:
        try:
            async with asyncio.timeout(silence_s):
                block = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise _late(silence_s) from None
        if block:
            yield block


def _late(seconds: float) -> StatusError:
    return StatusError(408, f"the body did not come within {seconds:g} s", where="body", fix="Send it again")
