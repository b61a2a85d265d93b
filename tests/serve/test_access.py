"""Who may ask, and how much they may send."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from starlette.requests import Request

from curate.errors import InputError
from curate.serve.access import blocks_of, body_of, check, check_type, read_token
from curate.serve.answers import StatusError
from curate.serve.assets import TooLargeError

TOKEN = "t" * 32


def request(*blocks: bytes, hangs: bool = False, **headers: str) -> Request:
    """A request with these headers (`_` for `-`), whose body comes in blocks and may then end in silence."""
    waiting = list(blocks)

    async def receive() -> dict[str, Any]:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting) or hangs}
        if hangs:
            await asyncio.sleep(60)
        return {"type": "http.request", "body": b"", "more_body": False}

    sent = [(name.replace("_", "-").lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "path": "/", "headers": sent}, receive)


def status(call: Callable[[], object]) -> int:
    try:
        call()
    except StatusError as error:
        return error.status
    return 200


@pytest.mark.parametrize("given", ["", TOKEN, "Bearer", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer \xe9"])
def test_a_token_is_asked_for_and_compared_whole(given: str) -> None:
    assert status(lambda: check(request(Authorization=given, Host="localhost"), TOKEN)) == 401
    assert status(lambda: check(request(Host="localhost"), TOKEN)) == 401
    assert status(lambda: check(request(Authorization=f"Bearer {TOKEN}", Host="any.example"), TOKEN)) == 200


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", 200),
        ("LOCALHOST:8091", 200),
        ("127.0.0.1:8091", 200),
        ("[::1]:8091", 200),
        ("evil.example", 403),
        ("evil.example:8091", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example:80", 403),
        ("localhost@evil.example", 403),
        ("", 403),
    ],
)
def test_without_a_token_only_this_machines_own_names_are_answered(host: str, expected: int) -> None:
    assert status(lambda: check(request(Host=host), None)) == expected


def test_a_token_is_needed_where_others_can_reach_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CURATE_SERVE_TOKEN", raising=False)
    for host in ("127.0.0.1", "127.1.2.3", "::1", "localhost"):
        assert read_token(host) is None
    for host in ("0.0.0.0", "::", "192.168.1.2", "example.org", ""):
        with pytest.raises(InputError, match="CURATE_SERVE_TOKEN is not set"):
            read_token(host)
    for token in ("short", "é" * 20, "a b\n" * 8, ""):
        monkeypatch.setenv("CURATE_SERVE_TOKEN", token)
        with pytest.raises(InputError, match="CURATE_SERVE_TOKEN is no token") as raised:
            read_token("127.0.0.1")
        assert not token or token not in str(raised.value)
    monkeypatch.setenv("CURATE_SERVE_TOKEN", TOKEN)
    assert read_token("0.0.0.0") == read_token("127.0.0.1") == TOKEN


def test_a_page_cannot_send_what_is_taken_without_asking_first() -> None:
    for simple in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        for allowed in (("application/json",), ("application/octet-stream", "video/*")):
            assert status(lambda: check_type(request(Content_Type=simple), *allowed)) == 415  # noqa: B023
    assert (
        status(lambda: check_type(request(Content_Type="application/json; charset=utf-8"), "application/json")) == 200
    )
    assert status(lambda: check_type(request(Content_Type="video/mp4"), "video/*")) == 200
    assert status(lambda: check_type(request(Content_Type="videos/mp4"), "video/*")) == 415


def body(of: Request, within_s: float = 60) -> bytes:
    return asyncio.run(body_of(of, most_bytes=10, within_s=within_s))


def test_a_body_is_taken_up_to_its_limit_whatever_it_says_of_itself() -> None:
    assert body(request(b"12345", b"67890")) == b"1234567890"
    for large in (
        request(b"12345", b"678901"),
        request(b"1", Content_Length="11"),
        request(b"1" * 11, Content_Length="1"),
    ):
        with pytest.raises(TooLargeError):
            body(large)
    for odd in ("-1", "many", "9" * 30):
        assert body(request(b"1", Content_Length=odd)) == b"1"


def test_a_client_that_goes_silent_is_given_up() -> None:
    async def drain(of: AsyncIterator[bytes]) -> list[bytes]:
        return [block async for block in of]

    late: list[Awaitable[object]] = [
        body_of(request(b"1", hangs=True), most_bytes=10, within_s=0.05),
        drain(blocks_of(request(b"1", b"2", hangs=True), silence_s=0.05)),
    ]
    for call in late:
        with pytest.raises(StatusError) as raised:
            asyncio.run(call)  # type: ignore[arg-type]
        assert raised.value.status == 408
    assert asyncio.run(drain(blocks_of(request(b"1", b"", b"2"), silence_s=60))) == [b"1", b"2"]
