"""Prefect, quiet and offline: state inside the workspace, no telemetry, no banner, no server needed.

Prefect reads its settings when it is imported, so `configure` must run before that.
"""

import os
from contextvars import ContextVar
from pathlib import Path

from curate.progress import Progress, silent

progress: ContextVar[Progress] = ContextVar("progress", default=silent)
"""Who hears how far a flow's tasks have come; parameters of a flow must be JSON, a callback is not."""


def configure(workspace: Path) -> None:
    """Points Prefect at the workspace. Settings the user made in the environment win, telemetry is always off."""
    home = workspace / ".curate" / "prefect"
    home.mkdir(parents=True, exist_ok=True)
    defaults = {
        "PREFECT_HOME": str(home),
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "PREFECT_LOGGING_TO_API_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    os.environ.update(PREFECT_SERVER_ANALYTICS_ENABLED="false", DO_NOT_TRACK="1")
