"""The workspace's own Label Studio: started, found, stopped, and what it may see."""

import json
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from curate.errors import CurateError, InputError
from labeling import install, server
from labeling.server import Server, connect, down, find, up


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / ".curate" / "label-studio"
    yield directory
    down(directory)


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def whoami(found: Server) -> str:
    reply = httpx.get(f"{found.url}/api/current-user/whoami", headers={"Authorization": f"Token {found.token}"})
    email: str = reply.raise_for_status().json()["email"]
    return email


@pytest.mark.server
def test_it_keeps_its_account_over_a_restart_and_shows_its_token_to_nobody(
    state: Path, busy_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "DEFAULT_PORT", busy_port)
    first = up(state, port=busy_port)
    assert first.url != f"http://127.0.0.1:{busy_port}"
    assert whoami(first) == "curate@localhost"
    assert up(state) == find(state) == first
    assert down(state)
    assert find(state) is None
    assert not down(state)

    again = up(state, port=busy_port)
    assert (again.token, whoami(again)) == (first.token, "curate@localhost")
    for name in ("account.json", "server.json", "server.log"):
        assert stat.S_IMODE((state / name).stat().st_mode) == 0o600
    assert first.token not in repr(first)
    assert first.token not in (state / "server.log").read_text()
    arguments = Path(f"/proc/{again.pid}/cmdline").read_text()
    account = json.loads((state / "account.json").read_text())
    assert account["token"] not in arguments
    assert account["password"] not in arguments


def test_a_busy_port_that_was_named_is_an_error(state: Path, busy_port: int) -> None:
    with pytest.raises(InputError, match=f"port {busy_port} is busy"):
        up(state, port=busy_port)


def test_a_process_that_took_the_number_of_a_dead_server_is_not_it(state: Path) -> None:
    state.mkdir(parents=True)
    (state / "account.json").write_text(json.dumps({"token": "t"}))
    (state / "server.json").write_text(json.dumps({"pid": 1, "port": 8080}))
    assert find(state) is None
    assert not down(state)


def test_it_starts_blind_to_our_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("HOST", "PORT", "DEBUG", "USERNAME", "PASSWORD", "HTTPS_PROXY", "LABEL_STUDIO_API_KEY"):
        monkeypatch.setenv(name, "from outside")
    seen = install.environment(tmp_path)
    assert "from outside" not in seen.values()
    assert (seen["COLLECT_ANALYTICS"], seen["LATEST_VERSION_CHECK"], seen["SENTRY_DSN"]) == ("false", "false", "")


def test_connect_takes_the_environment_first(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LABEL_STUDIO_URL", raising=False)
    monkeypatch.delenv("LABEL_STUDIO_API_KEY", raising=False)
    with pytest.raises(InputError, match="curate label up"):
        connect(state)
    monkeypatch.setenv("LABEL_STUDIO_URL", "https://labels.example.org/")
    with pytest.raises(InputError, match="LABEL_STUDIO_API_KEY is not"):
        connect(state)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "key")
    assert connect(state) == Server("https://labels.example.org", "key", None)


def test_an_install_that_fails_says_what_to_do_and_is_begun_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CURATE_LABEL_STUDIO_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(install.sys, "executable", str(tmp_path / "no-python"))
    for _ in range(2):
        with pytest.raises(CurateError, match="CURATE_LABEL_STUDIO_HOME"):
            install.prepare()
        assert not (tmp_path / "home" / "installed").exists()


def test_set_up_that_is_done_is_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CURATE_LABEL_STUDIO_HOME", str(tmp_path))
    monkeypatch.setattr(install.sys, "executable", str(tmp_path / "no-python"))
    for marker in ("installed", "migrated"):
        (tmp_path / marker).touch()
    assert install.prepare() == tmp_path
