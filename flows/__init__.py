"""Prefect flows: thin shells that schedule, retry and record what the library does. They hold no algorithm."""

import inspect
from importlib import import_module
from typing import Any

from curate.errors import InputError
from curate.workspace import Workspace
from flows.settings import configure

FLOWS = ("collect", "label", "build", "train", "proceed")


def run_flow(workspace: Workspace, name: str, settings: dict[str, Any] | None = None) -> Any:
    """Runs one flow over a workspace in this process and returns its result.

    Args:
        name: one of `FLOWS`.
        settings: the flow's parameters; text is converted to their types.

    Raises:
        InputError: no such flow, or it has no such parameter.
    """
    if name not in FLOWS:
        raise InputError(f"no flow {name!r}", fix=f"Flows: {', '.join(FLOWS)}")
    configure(workspace.root)
    flow = getattr(import_module(f"flows.{name}"), f"{name}_flow")
    known = [parameter for parameter in inspect.signature(flow.fn).parameters if parameter != "workspace"]
    for setting in settings or {}:
        if setting not in known:
            raise InputError(f"flow {name} has no parameter {setting!r}", fix=f"Parameters: {', '.join(known)}")
    return flow(workspace=str(workspace.root), **(settings or {}))
