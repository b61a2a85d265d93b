"""Label Studio's own environment: installed once for a machine, with a migrated database to copy from.

Label Studio and this project ask for different major versions of the same libraries, so it lives in a virtual
environment of its own and we only speak HTTP to it. Its first start migrates SQLite for about 45 seconds; the
template pays that once, and every new workspace starts from a copy in about 5.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from curate.errors import CurateError
from curate.progress import Progress, silent

VERSION = "1.23.2"

_KEPT_VARIABLES = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "SSRF_PROTECTION_ENABLED")
"""What Label Studio may see of our environment: it takes bare HOST, PORT, DEBUG, USERNAME and PASSWORD for its own.
And what opens a bucket of clips: the variables whose names begin with AWS_."""

_OFFLINE = {
    "COLLECT_ANALYTICS": "false",
    "LATEST_VERSION_CHECK": "false",
    "SENTRY_DSN": "",
    "FRONTEND_SENTRY_DSN": "",
    "CONVERTER_DOWNLOAD_RESOURCES": "false",
    "DO_NOT_TRACK": "1",
}


def home() -> Path:
    """Where Label Studio is installed: $CURATE_LABEL_STUDIO_HOME, or a directory of the user's cache."""
    chosen = os.environ.get("CURATE_LABEL_STUDIO_HOME")
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "curate" / f"label-studio-{VERSION}"


def prepare(progress: Progress = silent) -> Path:
    """Installs Label Studio and makes the template, where that has not been done; returns the directory.

    A virtual environment cannot be moved into place, so a marker file says that it is complete; what an interrupted
    install left behind is replaced.

    Raises:
        CurateError: the install or the migration failed.
    """
    directory = home()
    directory.mkdir(parents=True, exist_ok=True)
    with FileLock(directory / "prepare.lock"):
        progress("Label Studio set-up steps", 0, 2)
        _once(directory / "installed", _install)
        progress("Label Studio set-up steps", 1, 2)
        _once(directory / "migrated", _migrate)
        progress("Label Studio set-up steps", 2, 2)
    return directory


def executable() -> Path:
    """The `label-studio` command."""
    return home() / "venv" / "bin" / "label-studio"


def environment(data: Path) -> dict[str, str]:
    """The variables that a Label Studio over the directory `data` starts with: offline, and blind to ours."""
    kept = {name: value for name, value in os.environ.items() if name in _KEPT_VARIABLES or name.startswith("AWS_")}
    return {**kept, **_OFFLINE, "LABEL_STUDIO_BASE_DATA_DIR": str(data), "PYTHONUNBUFFERED": "1"}


def copy_template(target: Path) -> None:
    """Copies the migrated, empty data directory to `target`, without the key that signs its sessions."""
    shutil.copytree(home() / "template", target, ignore=shutil.ignore_patterns(".env"))


def _once(marker: Path, work: Callable[[Path], None]) -> None:
    if marker.exists():
        return
    work(marker.parent)
    marker.write_text(f"{VERSION}\n")


def _install(directory: Path) -> None:
    venv = directory / "venv"
    shutil.rmtree(venv, ignore_errors=True)
    _run([sys.executable, "-m", "venv", str(venv)], dict(os.environ))
    pip = [str(venv / "bin" / "pip"), "--disable-pip-version-check", "install", "--quiet"]
    _run([*pip, f"label-studio=={VERSION}"], dict(os.environ))


def _migrate(directory: Path) -> None:
    template = directory / "template"
    shutil.rmtree(template, ignore_errors=True)
    template.mkdir()
    _run([str(executable()), "version"], environment(template))


def _run(command: list[str], variables: dict[str, str]) -> None:
    try:
        done = subprocess.run(command, env=variables, capture_output=True, text=True)
    except OSError as error:
        raise CurateError(f"could not run {command[0]}: {error.strerror}", fix=_REMEDY) from None
    if done.returncode:
        line = "".join((done.stderr or done.stdout).strip().splitlines()[-1:])
        raise CurateError(f"setting up Label Studio {VERSION} failed: {line}", where=command[0], fix=_REMEDY)


_REMEDY = (
    "It needs the package index once; set CURATE_LABEL_STUDIO_HOME to a directory where `curate label install` has "
    "run, or LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY to use a server that is running"
)
