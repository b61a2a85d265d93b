"""What people approved is carried out, from the command line too, and nothing else is."""

import subprocess
import sys

import pytest

from curate.decisions import Decision, decide, decisions, find, propose
from curate.errors import InputError
from curate.mixes.build import propose_release
from curate.mixes.load import versions
from curate.workspace import Workspace
from flows import run_flow
from tests.conftest import Curate

pytestmark = pytest.mark.server


def release(workspace: Workspace, mix: str) -> Decision:
    plan = {"mix": mix, "content": "of another day"}
    return propose(workspace.catalog, "release", mix, plan=plan, evidence={}, cost={}, who="nightly", why="new labels")


def approve(workspace: Workspace, decision: Decision) -> None:
    decide(workspace.catalog, decision.decision_id, "approved", who="ana", why="looks right")


def test_what_was_approved_is_carried_out_and_what_fails_stays_approved(labelled: Workspace) -> None:
    publish = propose_release(labelled, "base", who="nightly", why="new labels")
    assert publish is not None
    lost, waiting = release(labelled, "gone"), release(labelled, "base")
    approve(labelled, publish)
    approve(labelled, lost)

    done = {row["decision_id"]: row for row in run_flow(labelled, "proceed")}
    assert set(done) == {publish.decision_id, lost.decision_id}
    assert done[publish.decision_id]["result"]["revision"] == "v1"
    assert "no mix 'gone'" in done[lost.decision_id]["problem"]
    standing = {each.decision_id: each.status for each in decisions(labelled.catalog)}
    assert standing == {publish.decision_id: "done", lost.decision_id: "approved", waiting.decision_id: "proposed"}
    with pytest.raises(InputError, match="is proposed, not approved"):
        run_flow(labelled, "proceed", {"decision_ids": [waiting.decision_id]})


def test_a_lead_decides_from_the_command_line(
    labelled: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    curate = Curate(labelled, monkeypatch, capsys)
    proposed, _, problem = curate("mix", "build", "base", "--propose", "--who", "nightly", "--why", "new labels")
    assert proposed == 0, problem
    [wanted] = decisions(labelled.catalog)
    unwanted = release(labelled, "other")
    _, listed, _ = curate("decisions")
    assert wanted.decision_id in listed
    assert "nightly: new labels" in listed
    assert "footage_h" in listed

    refused, _, problem = curate("approve", wanted.decision_id[:8], "--why", " ")
    assert (refused, "Say it with --why" in problem) == (2, True)
    assert curate("approve", wanted.decision_id[:8], "--why", "looks right")[0] == 0
    assert curate("reject", unwanted.decision_id, "--why", "no such mix")[0] == 0
    proceed = [sys.executable, "-c", "from curate.cli import main; main()", "proceed"]
    carried = subprocess.run(proceed, cwd=labelled.root, capture_output=True, text=True)
    assert (carried.returncode, carried.stdout.split(":")[-1].strip()) == (0, "done"), carried.stderr
    assert [version.revision for version in versions(labelled, "base")] == ["v1"]
    assert find(labelled.catalog, unwanted.decision_id).status == "rejected"
    assert "nothing is approved" in curate("proceed")[1]
    assert "no decision waits" in curate("decisions")[1]
