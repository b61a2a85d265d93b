"""A real Label Studio over one small workspace, shared by all tests here; each test has a capability of its own."""

import copy
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from curate import views
from curate.catalog import TABLES
from curate.decisions import Decision
from curate.identity import file_id, span_id
from curate.media.probe import probe
from curate.sample.world import render_world
from curate.targets.choosing.order import order_labels
from curate.workspace import Workspace
from labeling.accounts import sign_up
from labeling.client import Server
from labeling.server import down, up

CLIP_S = 4.0
CLIPS_EACH = 3
PASSWORD = "of-somebody-else"
SERVER_VARIABLES = {"SSRF_PROTECTION_ENABLED": "false", "AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "tests"}
"""What the server may: send webhooks to this machine, and read from a bucket on it."""
COLOR = {"name": "color", "type": "string", "enum": ["red", "green", "blue"], "required": True}


@dataclass(frozen=True)
class Desk:
    """A workspace with clips of six videos (29.97, variable rate, late start, rotated ...) and its Label Studio."""

    workspace: Workspace
    truth: dict[str, Any]
    server: Server
    owners: dict[str, str] = field(default_factory=dict)
    """Of the capabilities, the file whose tests use each: they would see each other's tasks."""

    def capability(self, name: str, **changes: Any) -> str:
        """Adds a capability, or changes one of this file's tests, and returns its id."""
        file = os.environ["PYTEST_CURRENT_TEST"].partition("::")[0]
        assert self.owners.setdefault(name, file) == file, f"{name} is a capability of {self.owners[name]}"
        write_capability(self.workspace, name, **changes)
        return name

    def clips(self, count: int | None = None) -> pl.DataFrame:
        """Clips in the form that `choose` gives them."""
        clips = views.clips(self.workspace.catalog).select("clip_id").collect().head(count or 1000)
        return clips.with_columns(probability=pl.lit(0.5), reason=pl.lit("likely"))

    def order(self, name: str, clips: pl.DataFrame, status: str = "approved") -> Decision:
        """An order of labels for these clips."""
        return order_labels(self.workspace, name, clips, who="tester", why="a test", status=status)

    def guess(self, name: str, start_s: float = 1, end_s: float = 2) -> None:
        """Scores the first clip: the capability is seen best from its second `start_s` to its second `end_s`."""
        clip = views.clips(self.workspace.catalog).collect().row(0, named=True)
        score = {
            "clip_id": clip["clip_id"],
            "capability": name,
            "spec_version": self.workspace.capability(name).version,
            "model_id": "clip-a",
            "probability": 0.75,
            "best_start_s": clip["start_s"] + start_s,
            "best_end_s": clip["start_s"] + end_s,
        }
        self.workspace.catalog.write("scores", [score], run_id="test")

    def truth_of(self, name: str, action: str | None = None) -> dict[str, Any]:
        """The world's truth with `action` (every action where None) called `name`, as if it were that capability."""
        truth = copy.deepcopy(self.truth)
        for video in truth["videos"]:
            for segment in video["segments"]:
                if action in (None, segment["action"]):
                    segment["action"] = name
        return truth

    def labels(self, name: str) -> pl.DataFrame:
        """Every version of the capability's labels, oldest first."""
        return self.workspace.catalog.history("labels").filter(pl.col("capability") == name).collect()


def write_capability(workspace: Workspace, name: str, **changes: Any) -> None:
    content = {
        "id": name,
        "title": f"Something {name}s",
        "owner": "tests",
        "why": "a test needs it",
        "definition": "It is seen.",
        "segment": {"description": "One time.", "fields": [COLOR], "min_duration": 0.1, "max_duration": 20},
        "match": {"text": ["a thing"]},
        "target": {"clips": 10},
    }
    directory = workspace.configs / "capabilities"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{name}.yaml").write_text(yaml.safe_dump({**content, **changes}))


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory, fresh: Path) -> Iterator[Desk]:
    workspace = Workspace(shutil.copytree(fresh, tmp_path_factory.mktemp("labeling") / "workspace"))
    truth = render_world(workspace.root / "footage", 6, seed=2)
    _collect(workspace, truth)
    state = workspace.state / "label-studio"
    with pytest.MonkeyPatch.context() as patched:
        for name, value in SERVER_VARIABLES.items():
            patched.setenv(name, value)
        server = up(state)
    try:
        yield Desk(workspace, truth, server)
    finally:
        down(state)


@pytest.fixture(scope="session")
def second(desk: Desk) -> Server:
    """The server as another annotator: second@example.org."""
    return sign_up(desk.server, "second@example.org", PASSWORD)


@pytest.fixture(scope="session")
def third(desk: Desk) -> Server:
    """The server as a third annotator: third@example.org."""
    return sign_up(desk.server, "third@example.org", PASSWORD)


def _collect(workspace: Workspace, truth: dict[str, Any]) -> None:
    """Writes what collecting would: files, videos, outcomes, and clips of a few seconds from end to end."""
    files, videos, clips, outcomes = [], [], [], []
    for entry in truth["videos"]:
        if entry["kind"] != "original":
            continue
        path = workspace.root / "footage" / entry["file"]
        video_id, info = file_id(path), asdict(probe(path))
        known = {name: value for name, value in info.items() if name in TABLES["videos"].columns}
        where = {"source": "sample_world", "path": str(path), "video_id": video_id, "licence": "CC0-1.0"}
        files.append(where)
        videos.append({**where, **known})
        item = {"stage": "collect", "item": f"sample_world/{entry['file']}", "video_id": video_id, "outcome": "ok"}
        outcomes.append(item)
        for start_s in (0.7 + CLIP_S * index for index in range(CLIPS_EACH)):
            end_s = start_s + CLIP_S
            clip_id = span_id(video_id, start_s, end_s)
            clips.append({"clip_id": clip_id, "video_id": video_id, "start_s": start_s, "end_s": end_s})
    for table, rows in (("files", files), ("videos", videos), ("clips", clips), ("outcomes", outcomes)):
        workspace.catalog.write(table, rows, run_id="test", work_key="test")
