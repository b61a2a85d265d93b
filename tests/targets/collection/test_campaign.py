"""Collecting for a capability in rounds, until there is enough: nothing decoded twice, nothing lost, killed or not."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from curate import views
from curate.analyze.collect import collect
from curate.catalog import Catalog
from curate.decisions import APPROVED, COLLECTION, DONE, PROPOSED, decide, decisions, propose
from curate.errors import InputError
from curate.media.cut import cut
from curate.targets.collection import campaign as module
from curate.targets.collection.account import CampaignSummary, arms_table, as_text, proposal_text
from curate.targets.collection.campaign import collect_for, propose_collection
from curate.workspace import Workspace
from tests.analyze.conftest import configure
from tests.conftest import REPOSITORY

FOR = "bounce"
FOLDERS = ("day/one", "night")


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory, small_world: tuple[Path, dict[str, Any]]) -> Path:
    """Eight videos of 10 s in two folders: halves of four originals, each of which shows a bounce."""
    directory, (world, truth) = tmp_path_factory.mktemp("campaign"), small_world
    for folder in FOLDERS:
        (directory / folder).mkdir(parents=True)
    short = sorted((v for v in truth["videos"] if v["kind"] == "original"), key=lambda video: video["duration_s"])[:4]
    for video in short:
        middle_s = video["shots"][len(video["shots"]) // 2]["start_s"]
        for folder, span in zip(FOLDERS, ((0, middle_s), (middle_s, video["duration_s"])), strict=True):
            cut(world / video["file"], *span, directory / folder / f"{Path(video['file']).stem}.mp4")
    return directory


@pytest.fixture
def make(tmp_path: Path, fresh: Path, footage: Path) -> Callable[..., Workspace]:
    def made(name: str = "workspace", target: int = 500) -> Workspace:
        workspace = Workspace(shutil.copytree(fresh, tmp_path / name))
        shutil.copytree(footage, workspace.root / "footage")
        configure(workspace, engine={"workers": 1})
        change(workspace, target={"clips": target})
        return workspace

    return made


def change(workspace: Workspace, **sections: dict) -> None:
    path = workspace.configs / "capabilities" / f"{FOR}.yaml"
    content = yaml.safe_load(path.read_text())
    for name, section in sections.items():
        content[name] = {**content[name], **section}
    path.write_text(yaml.safe_dump(content))


def run(workspace: Workspace, capability: str = FOR, **options: Any) -> CampaignSummary:
    return collect_for(workspace, capability, who="a test", why="to see", **options)


def outcomes(workspace: Workspace) -> dict[str, dict]:
    rows = workspace.catalog.scan("outcomes").filter(pl.col("stage") == "collect").collect()
    return {row["item"]: row for row in rows.iter_rows(named=True)}


def analysed(workspace: Workspace) -> list[str]:
    """Every video that was ever decoded, once for each time."""
    return sorted(workspace.catalog.history("videos").collect()["video_id"])


def longest_h(workspace: Workspace) -> float:
    return float(workspace.catalog.read("triage")["duration_s"].max()) / 3600  # type: ignore[arg-type]


def check_account(workspace: Workspace, done: CampaignSummary) -> None:
    """Every file has an outcome, and the sums are those of the catalog."""
    rows = outcomes(workspace).values()
    assert done.collect.inputs == len(rows) == done.collect.ok + done.collect.filtered + done.collect.failed
    ours = workspace.catalog.scan("videos").filter(pl.col("run_id") == done.run_id).collect()
    assert done.analysed_files == len(ours) and done.analysed_h == pytest.approx(ours["duration_s"].sum() / 3600)
    assert done.analysed_h == pytest.approx(sum(arm.hours for arm in done.arms))
    assert done.useful_clips == pytest.approx(sum(arm.clips for arm in done.arms))
    assert done.rest.files == done.not_reached == sum(arm.left.files for arm in done.arms)
    assert done.rest.clips_low <= done.rest.clips_high


def test_it_stops_at_the_budget_says_what_waits_and_a_plain_collect_takes_that(make: Callable[..., Workspace]) -> None:
    workspace = make()
    done = run(workspace, budget_hours=0.008)
    check_account(workspace, done)
    assert done.stopped == "the budget of 0.008 h is spent" and 0.008 <= done.analysed_h < 0.008 + longest_h(workspace)
    waiting = [row for row in outcomes(workspace).values() if row["outcome"] == "filtered"]
    assert waiting and len(waiting) == done.not_reached
    for row in waiting:
        assert row["reason"].startswith("not reached: rank ") and f"left for {FOR}, the budget" in row["reason"]
        assert row["value"] > 0
    assert done.clips == workspace.catalog.read("clips").height
    assert f"analysed    {done.analysed_h:.3g} h" in as_text(done) and arms_table(done.arms).height == len(done.arms)
    (decision,) = decisions(workspace.catalog, kind=COLLECTION)
    assert decision.status == DONE and decision.evidence["result"]["stopped"] == done.stopped
    later = collect(workspace)
    assert (later.ok, later.filtered, later.failed) == (8, 0, 0)
    assert len(analysed(workspace)) == len(set(analysed(workspace))) == 8


def test_it_stops_when_nothing_is_missing_any_more(make: Callable[..., Workspace]) -> None:
    workspace = make(target=4)
    done = run(workspace)
    check_account(workspace, done)
    assert done.stopped.startswith("nothing is missing") and done.missing == 0 and done.not_reached > 0
    assert done.useful_clips >= 4 and done.hours_per_useful_clip == pytest.approx(done.analysed_h / done.useful_clips)
    before = analysed(workspace)
    again = run(workspace)
    assert again.decision_id != done.decision_id and again.rounds == again.analysed_files == 0
    assert again.stopped.startswith("nothing is missing") and analysed(workspace) == before


def test_it_stops_when_nothing_is_left_and_looks_at_nothing_twice(make: Callable[..., Workspace]) -> None:
    workspace = make()
    done = run(workspace)
    check_account(workspace, done)
    assert done.stopped == "nothing is left to analyse" and done.collect.ok == 8 and done.rounds > 1
    assert workspace.catalog.history("triage").collect().height == done.looked_files == 8
    assert {arm.arm for arm in done.arms} == {f"sample_world/{folder}" for folder in FOLDERS}


def test_what_is_not_worth_its_hours_is_left_and_that_is_said(
    make: Callable[..., Workspace], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ENOUGH_FILES", 2)
    workspace = make()
    done = run(workspace, worth_hours=1e-6)
    check_account(workspace, done)
    assert "is worth 1e-06 h" in done.stopped and done.not_reached > 0
    monkeypatch.setattr(module, "_ENOUGH_FILES", 1)
    change(workspace, match={"level": 2.0})
    hopeless = run(workspace, worth_hours=1e9)
    assert hopeless.useful_clips == 0 and hopeless.matches == 0


def test_clips_that_show_it_are_found_early(make: Callable[..., Workspace]) -> None:
    workspace = make()
    run(workspace, budget_hours=0.012)
    scores = workspace.catalog.scan("scores").filter(pl.col("capability") == FOR).collect()
    assert scores["matches"].sum() > 0


KILLED = """
import os, signal, sys
from pathlib import Path
from curate.analyze import rows
from curate.targets.collection.campaign import collect_for
from curate.workspace import Workspace

if __name__ == "__main__":
    rows._BATCH_VIDEOS = 1
    left = [int(sys.argv[2])]
    def tell(what, done, total, note=""):
        if what == sys.argv[3] and done:
            left[0] -= 1
            if not left[0]:
                os.killpg(0, signal.SIGKILL)
    collect_for(Workspace(Path(sys.argv[1])), "bounce", budget_hours=0.012, who="a test", why="to see", progress=tell)
"""


def test_killed_in_mid_round_the_same_command_ends_as_undisturbed_and_spends_nothing_twice(
    make: Callable[..., Workspace], tmp_path: Path
) -> None:
    whole = make("whole")
    expected = run(whole, budget_hours=0.012)
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    for what in ("videos", "useful clips"):
        killed = make(f"killed-{what.split()[-1]}")
        command = [sys.executable, str(script), str(killed.root), "2", what]
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        assert subprocess.run(command, env=environment, start_new_session=True).returncode == -signal.SIGKILL
        (decision,) = decisions(killed.catalog, kind=COLLECTION)
        assert decision.status == APPROVED
        done = run(killed, budget_hours=0.012)
        check_account(killed, done)
        assert done.decision_id == decision.decision_id == expected.decision_id and done.stopped == expected.stopped
        assert analysed(killed) == analysed(whole)
        assert done.analysed_h == pytest.approx(expected.analysed_h)
        assert done.useful_clips == pytest.approx(expected.useful_clips)
        assert settled(killed) == settled(whole)
        assert (collect(killed).ok, collect(killed).new_clips) == (8, 0)


def settled(workspace: Workspace) -> dict[str, list[tuple]]:
    """What files, clips, duplicates and scores have become, whenever and by which run."""
    kept = {
        "outcomes": ["stage", "item", "outcome", "reason", "value"],
        "clips": ["clip_id", "motion"],
        "keepers": ["clip_id", "keeper_id"],
        "scores": ["clip_id", "capability", "similarity", "probability", "matches"],
    }
    tables = {table: workspace.catalog.read(table).select(columns) for table, columns in kept.items()}
    digits = pl.selectors.float().cast(pl.Float64).round(6)  # sums are the same but for the order of their parts
    return {table: rows.with_columns(digits).sort(rows.columns).rows() for table, rows in tables.items()}


def test_interrupted_every_file_has_an_outcome_and_the_same_command_goes_on(make: Callable[..., Workspace]) -> None:
    workspace = make()

    def interrupt(what: str, done: int, total: int, note: str = "") -> None:
        if what == "useful clips":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(workspace, budget_hours=0.015, progress=interrupt)
    rows = outcomes(workspace)
    assert len(rows) == 8 and all("interrupted" in row["reason"] for row in rows.values() if row["outcome"] != "ok")
    (decision,) = decisions(workspace.catalog, kind=COLLECTION)
    assert decision.status == APPROVED
    done = run(workspace, budget_hours=0.015)
    check_account(workspace, done)
    assert done.decision_id == decision.decision_id and 0.015 <= done.analysed_h < 0.015 + longest_h(workspace)


def test_a_proposal_analyses_nothing_and_once_approved_is_carried_out_as_planned(
    make: Callable[..., Workspace],
) -> None:
    workspace = make()
    found = propose_collection(workspace, FOR, 0.008)
    assert workspace.catalog.read("videos").is_empty() and not outcomes(workspace)
    evidence, cost = found["evidence"], found["cost"]
    assert evidence["first"] and evidence["missing"] == 500 and evidence["clips_low"] <= evidence["clips_high"]
    assert cost["decode_h"] >= 0.008 and cost["machine_h"] is None
    made = propose(workspace.catalog, COLLECTION, FOR, **found, who="a test", why="to see")  # type: ignore[arg-type]
    assert made.status == PROPOSED and "would take" in proposal_text(made)
    with pytest.raises(InputError, match="a collection that is proposed"):
        run(workspace, decision=made)
    approved = decide(workspace.catalog, made.decision_id, APPROVED, who="a test", why="it is cheap")
    done = run(workspace, decision=approved)
    assert done.budget_h == 0.008 and done.decision_id == made.decision_id
    assert decisions(workspace.catalog, kind=COLLECTION)[0].status == DONE
    assert propose_collection(workspace, FOR, 0.008)["cost"]["machine_h"] > 0


def test_labels_count_for_what_they_say(make: Callable[..., Workspace]) -> None:
    workspace = make(target=3)
    run(workspace, budget_hours=0.004)
    clips = views.kept_clips(workspace.catalog).select("clip_id").collect()["clip_id"]
    label(workspace.catalog, list(clips), "absent")
    done = run(workspace, budget_hours=0.001)
    assert done.positives == 0 and done.missing > 0
    label(workspace.catalog, list(clips[:3]), "present")
    assert run(workspace).stopped.startswith("nothing is missing: 3 labelled")


def label(catalog: Catalog, clip_ids: list[str], verdict: str) -> None:
    row = {"capability": FOR, "spec_version": "1", "verdict": verdict, "exhaustive": True, "segments": [],
           "annotator": "a test", "updated_at": datetime.now(UTC), "deleted": False}  # fmt: skip
    rows = [{**row, "label_id": f"{clip_id}-{FOR}", "clip_id": clip_id} for clip_id in clip_ids]
    catalog.write("labels", rows, run_id="test")


def test_what_cannot_be_collected_for_is_said_before_anything_is_decoded(make: Callable[..., Workspace]) -> None:
    workspace = make()
    for arguments, said in (
        ({"capability": "nothing"}, "no capability 'nothing'"),
        ({"budget_hours": 0}, "a budget of 0 hours"),
        ({"worth_hours": -1}, "a worth of -1 hours"),
        ({"sources": ["elsewhere"]}, "no source 'elsewhere'"),
    ):
        with pytest.raises(InputError, match=said):
            run(workspace, **arguments)
    change(workspace, match={"licences": ["CC-BY-4.0"]})
    with pytest.raises(InputError, match="no source that it allows"):
        run(workspace)
    assert workspace.catalog.read("videos").is_empty() and not decisions(workspace.catalog)
