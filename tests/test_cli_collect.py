"""`curate collect --for`: searches, proposes, and refuses in one line what makes no sense."""

import pytest

from curate.decisions import decisions
from curate.sample.world import render_world
from curate.workspace import Workspace
from tests.conftest import Curate
from tests.test_cli import run


@pytest.mark.parametrize(
    ("said", "line"),
    [
        (["--budget", "3"], "--budget without --for"),
        (["--propose"], "--propose without --for"),
        (["--for", "bounce", "--retry-failed"], "--retry-failed with --for"),
        (["--for", "bounce", "--budget", "0"], "a budget of 0 hours"),
        (["--for", "nothing"], "no capability 'nothing'"),
        (["elsewhere", "--for", "bounce"], "no source 'elsewhere'"),
    ],
)
def test_what_makes_no_sense_is_one_line(workspace: Workspace, curate: Curate, said: list[str], line: str) -> None:
    (workspace.root / "footage").mkdir()
    status, printed, told = curate("collect", *said)
    assert (status, printed) == (2, "")
    assert line in told and told.count("\n") == 1


def test_it_proposes_and_then_collects_within_the_budget(workspace: Workspace) -> None:
    render_world(workspace.root / "footage", 4, seed=3)
    proposed = run("collect", "--for", "bounce", "--budget", "0.005", "--propose", cwd=workspace.root)
    assert proposed.returncode == 0, proposed.stderr
    [waiting] = decisions(workspace.catalog)
    assert (waiting.status, waiting.why) == ("proposed", "24 of 24 clips are missing")
    assert f"curate approve {waiting.decision_id}" in proposed.stdout
    done = run("collect", "--for", "bounce", "--budget", "0.005", cwd=workspace.root)
    assert done.returncode in (0, 3), done.stderr
    assert done.stdout.startswith("Collected for bounce: the budget of 0.005 h is spent")
    [taken] = decisions(workspace.catalog)
    assert (taken.decision_id, taken.status) == (waiting.decision_id, "done"), "ordering what was proposed approves it"
