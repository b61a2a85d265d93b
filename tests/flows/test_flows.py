"""Flows run without a Prefect server, and keep what they record inside the workspace."""

import os
import sqlite3
import subprocess
import sys

import pytest

from curate.errors import InputError
from curate.sample.world import render_world
from curate.workspace import Workspace
from flows import run_flow

pytestmark = pytest.mark.server


def test_collect_runs_as_a_recorded_flow_with_its_state_in_the_workspace(workspace: Workspace) -> None:
    render_world(workspace.root / "footage", 2, seed=3)
    settings = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT")}
    command = [sys.executable, "-c", "from curate.cli import main; main()", "flow", "collect"]
    done = subprocess.run(command, cwd=workspace.root, capture_output=True, text=True, env=settings)
    assert done.returncode == 0, done.stderr
    database = sqlite3.connect(workspace.state / "prefect" / "prefect.db")
    assert database.execute("select name, state_type from flow_run").fetchone()[1] == "COMPLETED"
    tasks = {row[0].rsplit("-", 1)[0] for row in database.execute("select name from task_run")}
    assert tasks == {"analyze", "deduplicate", "measure_signals", "score_capabilities"}
    assert workspace.catalog.read("clips").height > 0


def test_an_unknown_flow_lists_the_known_ones(workspace: Workspace) -> None:
    with pytest.raises(InputError, match="collect, label, build, train"):
        run_flow(workspace, "nightly")
