"""The whole way at the command line: push, two annotators, agreement, a reviewer, and what is in force then."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from typer.testing import CliRunner, Result

from curate import views
from curate.analyze.collect import collect
from curate.cli import app
from curate.targets.scoring.score import score
from curate.workspace import Workspace
from labeling.accounts import sign_up
from labeling.server import connect
from labeling.simulate import Errors, annotate, review
from tests.labeling.conftest import PASSWORD

pytestmark = pytest.mark.server

CAPABILITY = "bounce"


class Line:
    """The command line of one workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def __call__(self, *arguments: str) -> str:
        done = self._run(arguments)
        assert done.exit_code == 0, done.output
        return done.stdout

    def refusal(self, *arguments: str) -> str:
        return str(self._run(arguments).exception)

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "--json"))

    def _run(self, arguments: tuple[str, ...]) -> Result:
        return CliRunner().invoke(app, ["--workspace", str(self._workspace.root), "label", *arguments])


@pytest.fixture(scope="module")
def world(
    tmp_path_factory: pytest.TempPathFactory, fresh: Path, small_world: tuple[Path, dict[str, Any]]
) -> Iterator[tuple[Workspace, dict[str, Any]]]:
    """A collected and scored workspace in which two annotators label every clip, and its truth."""
    workspace = Workspace(shutil.copytree(fresh, tmp_path_factory.mktemp("review") / "workspace"))
    footage, truth = small_world
    (workspace.root / "footage").symlink_to(footage)
    collect(workspace)
    score(workspace)
    path = workspace.configs / "capabilities" / f"{CAPABILITY}.yaml"
    spec = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**spec, "quality": {"agreement": 0.8, "overlap": 1.0}}))
    line = Line(workspace)
    line("up")
    try:
        yield workspace, truth
    finally:
        line("down")


def test_from_clips_to_reviewed_labels(world: tuple[Workspace, dict[str, Any]]) -> None:
    workspace, truth = world
    line = Line(workspace)
    server = connect(workspace.state / "label-studio")
    assert "no labels yet" in line("agreement", CAPABILITY)
    link = line("invite").strip()
    assert link.startswith(f"{server.url}/user/signup/?token=")
    second = sign_up(server, "second@example.org", PASSWORD)

    [sent] = line.json("push", CAPABILITY, "--budget", "8")
    assert sent["pushed"] == 8
    annotate(workspace, truth, server, capabilities=[CAPABILITY])
    assert line.json("pull", CAPABILITY)["new"] == 8
    assert "no clip has two annotators" in line("agreement", CAPABILITY)
    annotate(workspace, truth, second, capabilities=[CAPABILITY], errors=Errors(verdict=0.5, boundary_s=0.1, seed=4))
    assert line.json("pull", CAPABILITY)["new"] == 8

    found = line.json("agreement", CAPABILITY)
    measured = {row["measure"]: row for row in found["agreement"] if row["annotator"] is None}
    assert measured["verdict"]["clips"] == 8
    assert 0 < measured["verdict"]["value"] < 1
    assert measured["verdict"]["low"] < measured["verdict"]["value"] < measured["verdict"]["high"]
    doubted = found["contested"][CAPABILITY]
    assert 0 < doubted < 8
    text = line("agreement", CAPABILITY)
    assert f"{CAPABILITY}: annotators differ on {doubted} clips" in text
    assert "second@example.org" in text

    listed = line.json("adjudicate", CAPABILITY, "--dry-run")
    assert len(listed) == doubted
    assert listed == sorted(listed, key=lambda row: -row["severity"])
    [asked] = line.json("adjudicate", CAPABILITY)
    assert (asked["pushed"], asked["already_there"]) == (doubted, 0)
    third = sign_up(server, "third@example.org", PASSWORD)
    assert review(workspace, truth, third, capabilities=[CAPABILITY]) == doubted
    assert line.json("pull", CAPABILITY)["new"] == doubted
    assert line.json("agreement", CAPABILITY)["contested"] == {}

    labels = views.labels(workspace.catalog).filter(pl.col("capability") == CAPABILITY).collect()
    assert labels.filter(pl.col("purpose") == "review").height == doubted
    own = workspace.catalog.scan("labels").filter(pl.col("annotator") == "curate@localhost").collect()
    right = dict(own.select("clip_id", "verdict").iter_rows())
    assert {row["clip_id"]: row["verdict"] for row in labels.to_dicts()} == right


def test_a_comparison_names_what_is_missing(world: tuple[Workspace, dict[str, Any]]) -> None:
    line = Line(world[0])
    assert "Name them, or one with --result" in line.refusal("compare", CAPABILITY)
    assert "'zero-shot' is compared with itself" in line.refusal("compare", CAPABILITY, "zero-shot", "zero-shot")
    assert "no model 'other'" in line.refusal("compare", CAPABILITY, "zero-shot", "other")
    assert "no comparison '0123'" in line.refusal("compare", "--result", "0123")
