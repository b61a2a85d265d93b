"""`curate gaps`: what a lead reads, and all of it as JSON."""

import json

import pytest
from typer.testing import CliRunner

from curate.cli import app
from curate.workspace import Workspace
from tests.dedupe.rows import Clip
from tests.targets.conftest import clips, empty, write_capability, write_labels, write_scores

__all__ = ["clips", "empty"]


@pytest.fixture
def audited(empty: Workspace, clips: list[Clip]) -> Workspace:
    """Ten of twelve clips drawn at random and labelled, three of them present and red; `fall` has nothing."""
    write_capability(empty, "fall", weight=0.5)
    write_capability(
        empty, "jump", slices={"by": ["color"], "where": {"lively": "motion > 0.95"}},
        target={"clips": 4, "floors": {"color=blue": 2}},
    )  # fmt: skip
    write_scores(empty, "jump", {clip.clip_id: 0.5 for clip in clips}, calibration="rank")
    told = {clip.clip_id: "present" if at < 3 else "absent" for at, clip in enumerate(clips[:10])}
    write_labels(empty, "jump", told, fields='{"color": "red"}')
    orders = [{"capability": "jump", "clip_id": clip_id, "reason": "audit"} for clip_id in told]
    empty.catalog.write("orders", orders, run_id="test")
    return empty


def said(workspace: Workspace, *arguments: str) -> str:
    done = CliRunner().invoke(app, ["--workspace", str(workspace.root), "gaps", *arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_line_for_each_capability_and_for_slices_below_their_floor(audited: Workspace) -> None:
    lines = [" ".join(line.split()) for line in said(audited).splitlines()]
    assert any(line.startswith("jump 3 of 4 1 0.00 0 (0 to 2) 0 0 - -, floor 0.50 - 0.25") for line in lines), lines
    assert any(line.startswith("fall 0 of 4 4 0.01 unknown 0 0 - -, floor 0.50 - 0.50") for line in lines), lines
    assert any(line.startswith("jump color=blue 0 of 2 2 0 (0 to ") for line in lines), lines
    assert not any("lively" in line or "color=red" in line for line in lines)


def test_one_capability_with_all_of_its_slices(audited: Workspace) -> None:
    found = said(audited, "jump")
    for words in ("color=blue", "color=red", "lively", "3 with it", "7 without", "0 (0 to 2)"):
        assert words in found
    assert "fall" not in found


def test_json_holds_every_column_of_both_tables(audited: Workspace) -> None:
    found = json.loads(said(audited, "--json"))
    assert {row["capability"] for row in found["capabilities"]} == {"fall", "jump"}
    jump = next(row for row in found["capabilities"] if row["capability"] == "jump")
    assert (jump["candidates_high"], jump["filled"], jump["metric"]) == (2.0, 0.75, "f1@0.5")
    assert {(row["slice"], row["value"]) for row in found["slices"]} == {
        ("color", "blue"), ("color", "red"), ("lively", ""),
    }  # fmt: skip


def test_an_unknown_capability_is_said_in_one_line(audited: Workspace) -> None:
    done = CliRunner().invoke(app, ["--workspace", str(audited.root), "gaps", "swim"])
    assert done.exit_code != 0
