"""Status and trace: the facts on one screen, and the reason behind each clip."""

import polars as pl
import pytest

from curate.decisions import LABEL_ORDER, propose
from curate.errors import InputError
from curate.report.status import next_step, status
from curate.report.trace import trace
from curate.workspace import Workspace
from tests.conftest import World


def test_status_accounts_for_every_file_and_names_the_next_step(sample_world: World) -> None:
    found = status(sample_world.workspace)
    assert sum(found.files.values()) == len(sample_world.truth["videos"])
    assert 0 < found.kept < found.clips
    assert "curate label push" in found.next_step
    text = found.as_text()
    assert all(name in text for name in sample_world.workspace.capabilities())
    assert text.count("\n") < 30, "one screen"


def test_status_of_an_empty_workspace_says_how_to_begin(workspace: Workspace) -> None:
    assert "curate collect" in status(workspace).next_step


def test_waiting_decisions_come_before_all_else(workspace: Workspace) -> None:
    for at in range(2):
        propose(
            workspace.catalog,
            LABEL_ORDER,
            f"skill_{at}",
            plan={"clips": at},
            evidence={},
            cost={},
            who="ana",
            why="gap",
        )
    found = status(workspace)
    assert (found.waiting, found.next_step) == (2, "2 decisions wait: `curate decisions`")


@pytest.mark.parametrize(
    ("candidates", "matches", "command"),
    [(12.0, 0, "label push"), (0.2, 9, "collect --for"), (None, 9, "label push"), (None, 0, "collect --for")],
)
def test_a_gap_is_filled_by_labels_where_footage_shows_it_and_else_by_footage(
    candidates: float | None, matches: int, command: str
) -> None:
    gap = {"capability": "jump", "gap_clips": 5, "candidates": candidates, "matches": matches}
    met = {**gap, "capability": "fall", "gap_clips": 0}
    assert f"`curate {command} jump`" in next_step(0, 3, 40, [{"name": "base"}], [{}], [met, gap])


def test_a_dropped_clip_traces_to_the_clip_that_stands_for_it(sample_world: World) -> None:
    catalog = sample_world.workspace.catalog
    dropped, keeper = catalog.scan("keepers").select("clip_id", "keeper_id").collect().row(0)
    found = trace(sample_world.workspace, dropped)
    assert found["keepers"]["keeper_id"].item() == keeper
    assert keeper in {*found["duplicates"]["clip_id"], *found["duplicates"]["other_id"]}
    reason = found["outcomes"].filter(pl.col("stage") == "dedupe")["reason"].item()
    assert keeper in reason


def test_a_failed_file_traces_to_its_reason(sample_world: World) -> None:
    broken = next(video["file"] for video in sample_world.truth["videos"] if video["expected"] == "failed")
    assert trace(sample_world.workspace, broken)["outcomes"]["outcome"].item() == "failed"


def test_an_unknown_name_is_refused(workspace: Workspace) -> None:
    with pytest.raises(InputError, match="nothing is known of 'nobody'"):
        trace(workspace, "nobody")
