"""Clips and hints over HTTP, from a real server."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from curate.errors import CurateError, InputError
from curate.workspace import create_workspace
from labeling.media import signed_query
from labeling.serve import Puller, serve
from tests.labeling.serving import SECRET, serving
from tests.processes import wait_until

HOOK = "h" * 32
NAME = "360to480p120/ab/ab12.mp4"
CONTENT = bytes(range(256)) * 40


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A directory of proxies with one clip, and a secret beside it."""
    clip = tmp_path / "cache" / "proxies" / NAME
    clip.parent.mkdir(parents=True)
    clip.write_bytes(CONTENT)
    (tmp_path / "cache" / "secret.mp4").write_bytes(b"secret")
    (tmp_path / "cache" / "proxies" / "notes.txt").write_bytes(b"notes")
    return tmp_path / "cache" / "proxies"


@pytest.fixture(autouse=True)
def hook_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CURATE_WEBHOOK_SECRET", HOOK)


@pytest.fixture
def address(files: Path) -> Iterator[str]:
    with serving(files) as address:
        yield address


def link(address: str, name: str = NAME, secret: str = SECRET, seconds: int = 100) -> str:
    return f"{address}/clips/{name}?{signed_query(secret, name, int(time.time()) + seconds)}"


def test_a_clip_comes_whole_and_may_be_shown_on_any_page(address: str) -> None:
    reply = httpx.get(link(address), headers={"Origin": "https://labels.example.org"})
    assert (reply.status_code, reply.content, reply.headers["content-type"]) == (200, CONTENT, "video/mp4")
    assert reply.headers["accept-ranges"] == "bytes"
    assert reply.headers["access-control-allow-origin"] == "*"
    assert "Content-Range" in reply.headers["access-control-expose-headers"]
    head = httpx.head(link(address))
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(CONTENT)))


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [("0-99", 0, 99), ("100-", 100, 10_239), ("-5", 10_235, 10_239), ("10000-99999", 10_000, 10_239)],
)
def test_a_range_of_a_clip(address: str, asked: str, first: int, last: int) -> None:
    reply = httpx.get(link(address), headers={"Range": f"bytes={asked}"})
    assert (reply.status_code, reply.content) == (206, CONTENT[first : last + 1])
    assert reply.headers["content-range"] == f"bytes {first}-{last}/{len(CONTENT)}"


def test_a_range_beyond_the_end_is_refused(address: str) -> None:
    assert httpx.get(link(address), headers={"Range": "bytes=10240-"}).status_code == 416


def test_a_page_may_ask_for_a_range_before_it_does(address: str) -> None:
    asks = {"Origin": "https://a.example", "Access-Control-Request-Method": "GET"}
    reply = httpx.options(link(address), headers={**asks, "Access-Control-Request-Headers": "range"})
    assert reply.status_code == 200
    assert "range" in reply.headers["access-control-allow-headers"].lower()


FORGERIES: dict[str, Callable[[str], str]] = {
    "old": lambda at: link(at, seconds=-1),
    "with another secret": lambda at: link(at, secret="t" * 32),
    "made longer": lambda at: link(at).replace("until=", "until=9"),
    "of another clip": lambda at: link(at, "360to480p120/cd/cd34.mp4").replace("cd/cd34", "ab/ab12"),
    "without a signature": lambda at: f"{at}/clips/{NAME}",
    "with an empty signature": lambda at: link(at).partition("signature=")[0] + "signature=",
    "with odd letters": lambda at: f"{at}/clips/{NAME}?until=%C2%B2&signature=%C3%A9",
    "with a huge time": lambda at: f"{at}/clips/{NAME}?until={'9' * 5000}&signature=0",
    "of nothing that is there": lambda at: f"{at}/clips/nothing.mp4",
}


@pytest.mark.parametrize("how", FORGERIES)
def test_a_link_that_is_not_good_gets_one_line(address: str, how: str) -> None:
    reply = httpx.get(FORGERIES[how](address))
    assert reply.status_code == 403
    assert reply.text == "this link is not good, or no longer: push again to renew it\n"


@pytest.mark.parametrize(
    "name", ["../secret.mp4", "a/../../secret.mp4", "/etc/passwd", "notes.txt", "360to480p120", ""]
)
@pytest.mark.parametrize("signed", [True, False])
def test_nothing_but_clips_is_served_whoever_signs(address: str, files: Path, name: str, signed: bool) -> None:
    query = f"?{signed_query(SECRET, name, int(time.time()) + 100)}" if signed else ""
    for path in (name, name.replace("..", "%2e%2e"), name.replace("/", "%2f")):
        connection = http.client.HTTPConnection(urlsplit(address).netloc)  # which sends paths as they are
        connection.request("GET", f"/clips/{path}{query}")
        reply = connection.getresponse()
        assert reply.status == (404 if signed else 403)
        assert b"secret" not in reply.read()


def test_without_a_secret_no_clip_is_served(files: Path) -> None:
    with serving(files, secret=None) as address:
        assert httpx.get(link(address)).status_code == 403


class Pulls:
    """A pull that only notes what it was asked for, and when; it fails for those named `broken`."""

    def __init__(self) -> None:
        self.asked: list[list[str] | None] = []

    def __call__(self, capabilities: list[str] | None) -> str | None:
        self.asked.append(capabilities)
        if capabilities == ["broken"]:
            raise CurateError("the server is down", fix="Start it")
        if capabilities == ["worse"]:
            raise ValueError("two\nlines")
        return None


@pytest.fixture
def hooked(files: Path) -> Iterator[tuple[str, Pulls]]:
    """A server that has pulled all once, and the pulls."""
    pulls = Pulls()
    with serving(files, Puller(pulls, every_s=3600, quiet_s=0.2)) as address:
        wait_until(lambda: pulls.asked == [None])
        pulls.asked.clear()
        yield address, pulls


def hint(address: str, capability: str, secret: str | None = HOOK) -> httpx.Response:
    headers = {"Authorization": f"Bearer {secret}"} if secret else {}
    return httpx.post(f"{address}/webhook", params={"capability": capability}, headers=headers, json={"action": "any"})


def test_hints_are_answered_at_once_and_pulled_together(hooked: tuple[str, Pulls]) -> None:
    address, pulls = hooked
    began = time.monotonic()
    answers = [hint(address, name).status_code for name in ("jump", "bounce", "jump")]
    assert answers == [202, 202, 202]
    assert not pulls.asked or time.monotonic() - began > 0.2
    wait_until(lambda: bool(pulls.asked))
    time.sleep(0.5)
    assert pulls.asked == [["bounce", "jump"]]


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer wrong", f"Bearer {HOOK[:-1]}", HOOK, "Bearer é"])
def test_a_hint_without_the_secret_does_nothing(hooked: tuple[str, Pulls], header: str | None) -> None:
    address, pulls = hooked
    headers = {"Authorization": header.encode()} if header is not None else {}
    reply = httpx.post(f"{address}/webhook?capability=jump", headers=headers)
    assert (reply.status_code, reply.text) == (401, "the secret is wrong or missing\n")
    time.sleep(0.5)
    assert pulls.asked == []


def test_a_pull_that_fails_is_one_line_and_the_server_lives_on(
    hooked: tuple[str, Pulls], caplog: pytest.LogCaptureFixture
) -> None:
    address, pulls = hooked
    for count, name in enumerate(("broken", "worse", "jump"), start=1):
        hint(address, name)
        wait_until(lambda count=count: len(pulls.asked) == count)  # type: ignore[misc]
    assert pulls.asked == [["broken"], ["worse"], ["jump"]]
    wait_until(lambda: len(caplog.messages) >= 2)
    assert caplog.messages == ["the server is down. Start it", "the pull failed: ValueError: two lines"]


def test_a_hint_that_names_nothing_and_one_to_a_server_that_does_not_pull_are_refused(
    hooked: tuple[str, Pulls], files: Path
) -> None:
    assert hint(hooked[0], "").status_code == 400
    with serving(files) as address:
        assert hint(address, "jump").status_code == 503


def test_everything_is_pulled_now_and_then_because_hints_get_lost(files: Path) -> None:
    pulls = Pulls()
    with serving(files, Puller(pulls, every_s=0.1)):
        wait_until(lambda: pulls.asked == [None, None, None])


def test_while_hints_keep_coming_the_first_is_not_put_off_for_ever(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labeling.serve._LONGEST_WAIT_S", 0.4)
    pulls = Pulls()
    puller = Puller(pulls, every_s=3600, quiet_s=0.2)
    puller.start()
    began = time.monotonic()
    while ["jump"] not in pulls.asked:
        puller.hint("jump")
        time.sleep(0.02)
        assert time.monotonic() - began < 5
    puller.stop()


def command(workspace: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(Path(sys.executable).parent / "curate"), "--workspace", str(workspace), "label", "serve", *arguments],
        env=os.environ | {"CURATE_MEDIA_SECRET": SECRET},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def test_a_link_outlives_a_restart_of_the_server(tmp_path: Path) -> None:
    workspace = create_workspace(tmp_path / "workspace")
    clip = workspace.cache("proxies") / NAME
    clip.parent.mkdir(parents=True)
    clip.write_bytes(CONTENT)
    port = free_port()
    kept = link(f"http://127.0.0.1:{port}")
    for _ in range(2):
        server = command(workspace.root, "--port", str(port), "--no-pull")
        try:
            wait_until(lambda: answers(f"http://127.0.0.1:{port}/health"))
            assert httpx.get(kept).content == CONTENT
        finally:
            server.send_signal(signal.SIGTERM)
            server.communicate(timeout=30)


def answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


def test_what_keeps_the_server_from_starting_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = create_workspace(tmp_path / "workspace")

    def start(port: int = 0) -> None:
        serve(workspace, host="127.0.0.1", port=port, pulls=False, every_s=60, address=None)

    monkeypatch.delenv("CURATE_WEBHOOK_SECRET")
    with pytest.raises(InputError, match="CURATE_MEDIA_SECRET nor .CURATE_WEBHOOK_SECRET is set.*openssl rand"):
        start()
    for name in ("CURATE_MEDIA_SECRET", "CURATE_WEBHOOK_SECRET"):
        with monkeypatch.context() as patched, pytest.raises(InputError, match=f"{name} is too short"):
            patched.setenv(name, "short")
            start()
    monkeypatch.setenv("CURATE_MEDIA_SECRET", SECRET)
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(InputError, match="cannot listen: Address already in use.*--port"),
    ):
        start(taken.getsockname()[1])
