"""A Label Studio for one workspace: SQLite, offline, on this machine only, and alive after the command ends.

state_dir holds everything of it: data/ (its database), account.json (log-in and token, mode 0600), server.json
(process and port), server.log. The media it may serve are those below `media_root`.
"""

import json
import os
import secrets
import shutil
import signal
import socket
import time
from pathlib import Path
from typing import Any

import httpx
from filelock import FileLock

from curate.errors import CurateError, InputError
from curate.progress import Progress, silent
from labeling.client import Server, authorities, session
from labeling.install import copy_template, environment, executable
from labeling.install import prepare as prepare

HOST = "127.0.0.1"
DEFAULT_PORT = 8080
_PORTS_TRIED = 100
_START_S = 240.0
_READY = "ready"
"""Marks data that a server has come up on; without it they are an interrupted first start's, and made again."""
_STOP_S = 20.0
KEYMAP = {"media:playpause": {"key": "space,ctrl+alt+space", "description": "Play or pause the video"}}
"""The key that annotators press most; Label Studio's own takes three fingers."""


def up(state_dir: Path, *, port: int = DEFAULT_PORT, progress: Progress = silent) -> Server:
    """Starts the workspace's Label Studio, or finds it running.

    The first start installs what is missing (see `prepare`); later ones take about 5 seconds.

    Args:
        state_dir: where the server keeps its data, account and log.
        port: a busy default port gives way to the next free one; a busy port of another number is an error.

    Raises:
        InputError: `port` is busy.
        CurateError: the server did not start; the message names its log.
    """
    state_dir = state_dir.resolve()
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with FileLock(state_dir / "up.lock"):
        running = find(state_dir)
        if running:
            _await(running, state_dir, progress)
            return running
        prepare(progress)
        try:
            return _start(state_dir, _free_port(port), progress)
        except _PortTakenError:
            return _start(state_dir, _free_port(port), progress)


def down(state_dir: Path) -> bool:
    """Stops the workspace's Label Studio and waits for its end; False where none was running."""
    server = find(state_dir)
    if server and server.pid:
        _stop(server.pid, server.url)
    (state_dir / "server.json").unlink(missing_ok=True)
    return server is not None


def find(state_dir: Path) -> Server | None:
    """The workspace's Label Studio, where its process is alive."""
    record, account = _read(state_dir / "server.json"), _read(state_dir / "account.json")
    if not record or not account:
        return None
    url = _url(record["port"])
    return Server(url, account["token"], record["pid"]) if _is_alive(record["pid"], url) else None


def connect(state_dir: Path) -> Server:
    """The server to label with: $LABEL_STUDIO_URL with $LABEL_STUDIO_API_KEY, or the workspace's own.

    Raises:
        InputError: there is neither.
    """
    url, token = os.environ.get("LABEL_STUDIO_URL"), os.environ.get("LABEL_STUDIO_API_KEY")
    if url and token:
        return Server(url.rstrip("/"), token)
    if url or token:
        given, missing = ("URL", "API_KEY") if url else ("API_KEY", "URL")
        raise InputError(
            f"LABEL_STUDIO_{given} is set, but LABEL_STUDIO_{missing} is not",
            fix="Set both to use a server of yours, or neither to use the workspace's own",
        )
    found = find(state_dir)
    if not found:
        fix = "Start one with `curate label up`, or set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY"
        raise InputError("no Label Studio is running for this workspace", where=state_dir, fix=fix)
    return found


def media_root(state_dir: Path) -> Path:
    """The directory whose subdirectories the server may serve: the cache beside `state_dir`."""
    return state_dir.resolve().parent / "cache"


class _PortTakenError(CurateError):
    """Somebody took the port between our look and Label Studio's."""


def _start(state_dir: Path, port: int, progress: Progress) -> Server:
    data, first = state_dir / "data", not (state_dir / _READY).exists()
    if first:
        shutil.rmtree(data, ignore_errors=True)
        copy_template(data)
        _write_private(state_dir / "account.json", _new_account())
    account = _read(state_dir / "account.json")
    if not account:
        fix = f"Restore it, or remove {state_dir} to begin with an empty Label Studio"
        raise InputError("the account of this Label Studio is missing", where=state_dir / "account.json", fix=fix)
    root = media_root(state_dir)
    root.mkdir(parents=True, exist_ok=True)
    pid = _spawn(port, state_dir / "server.log", _variables(data, root, account if first else None))
    _write_private(state_dir / "server.json", {"pid": pid, "port": port})
    server = Server(_url(port), account["token"], pid)
    try:
        _await(server, state_dir, progress)
    except BaseException:
        down(state_dir)
        raise
    return server


def _variables(data: Path, root: Path, new_account: dict[str, str] | None) -> dict[str, str]:
    """The server's environment. An account goes in only to be made: the environment keeps it off the command line."""
    variables = {
        **environment(data),
        "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true",
        "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(root),
        "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK": "true",
        "LABEL_STUDIO_EDITOR_KEYMAP": json.dumps(KEYMAP),
        "fflag_feat_utc_210_prediction_validation_15082025": "true",
    }
    if new_account:
        variables |= {
            "LABEL_STUDIO_USERNAME": new_account["email"],
            "LABEL_STUDIO_PASSWORD": new_account["password"],
            "LABEL_STUDIO_USER_TOKEN": new_account["token"],
        }
    return variables


def _spawn(port: int, log: Path, variables: dict[str, str]) -> int:
    """Starts the server in a session of its own, so that neither Ctrl-C nor the end of this process reaches it."""
    command = [str(executable()), "start", "--no-browser", "--internal-host", HOST, "--port", str(port)]
    command.append("--enable-legacy-api-token")
    write = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    files = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), write, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    return os.posix_spawn(command[0], command, variables, file_actions=files, setsid=True)


def _await(server: Server, state_dir: Path, progress: Progress) -> None:
    """Returns when `server` answers on its own port and knows its token, and notes that its data are complete.

    Label Studio takes the next port where its own is busy, so the log's word on the port is checked before the token
    is shown to whoever listens there.
    """
    began, log = time.monotonic(), state_dir / "server.log"
    progress("Label Studio starts", 0, 1)
    while True:
        waited_s = time.monotonic() - began
        started = [line for line in _lines(log) if line.startswith("Starting development server at ")]
        if started and not started[0].rstrip("/").endswith(server.url):
            raise _PortTakenError(
                f"the port was taken while Label Studio started: {server.url}",
                fix="Run `curate label down`, then `curate label up`",
            )
        if started and _is_healthy(server.url):
            with session(server) as client:
                client.users.whoami()
            (state_dir / _READY).touch()
            progress("Label Studio starts", 1, 1)
            return
        if not _is_alive(server.pid, server.url) and waited_s > 1:
            last = "".join(_lines(log)[-1:])
            raise CurateError(f"Label Studio ended while starting: {last}", where=log, fix="The log says why")
        if waited_s > _START_S:
            raise CurateError(f"Label Studio was not up after {_START_S:.0f} s", where=log, fix="The log says why")
        time.sleep(0.1)


def _is_healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", verify=authorities(), timeout=5, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def _is_alive(pid: int | None, url: str) -> bool:
    """Whether the process is still our server, not another one that was given its number since."""
    if not pid:
        return False
    try:
        os.kill(pid, 0)
        command = Path(f"/proc/{pid}/cmdline")
        if not command.parent.parent.joinpath("self").exists():
            return True
        words = command.read_bytes().decode(errors="replace").split("\0")
    except (OSError, ProcessLookupError):
        return False
    return any(word.endswith("label-studio") for word in words) and url.rsplit(":", 1)[1] in words


def _stop(pid: int, url: str) -> None:
    for force in (signal.SIGTERM, signal.SIGKILL):
        if not _is_alive(pid, url):
            break
        os.kill(pid, force)
        began = time.monotonic()
        while _is_alive(pid, url) and time.monotonic() - began < _STOP_S:
            time.sleep(0.05)
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return


def _free_port(port: int) -> int:
    candidates = range(port, port + _PORTS_TRIED) if port == DEFAULT_PORT else [port]
    for candidate in candidates:
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((HOST, candidate))
            except OSError:
                continue
            return candidate
    raise InputError(f"port {port} is busy", where=HOST, fix="Name another with --port, or none to take a free one")


def _url(port: int) -> str:
    return f"http://{HOST}:{port}"


def _new_account() -> dict[str, str]:
    return {"email": "curate@localhost", "password": secrets.token_urlsafe(12), "token": secrets.token_hex(20)}


def _write_private(path: Path, content: dict[str, Any]) -> None:
    """Writes a file that only its owner can read, whole or not at all."""
    temporary = path.with_suffix(".tmp")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(content, file, indent=1)
    temporary.replace(path)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return content


def _lines(log: Path) -> list[str]:
    return log.read_text(errors="replace").splitlines() if log.exists() else []
