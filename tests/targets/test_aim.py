"""Collecting for a capability: the likeliest footage first, copies aside, and nothing lost."""

import shutil
from pathlib import Path

import polars as pl
import pytest

from curate import engine
from curate.analyze import collect as collect_module
from curate.analyze.collect import collect
from curate.errors import InputError
from curate.sample.world import render_world
from curate.search.question import direction
from curate.targets.aim import aim, aim_summary
from curate.vectors import unpack
from curate.workspace import Workspace
from tests.analyze.conftest import configure
from tests.conftest import World

FOR = "bounce"


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six originals, and copies under other names of one of them."""
    directory = tmp_path_factory.mktemp("aim")
    truth = render_world(directory, 6, seed=5)
    for entry in truth["videos"]:
        if entry["kind"] != "original":
            (directory / entry["file"]).unlink()
    return directory


@pytest.fixture
def aimed(workspace: Workspace, footage: Path) -> Workspace:
    shutil.copytree(footage, workspace.root / "footage")
    configure(workspace, engine={"workers": 1})
    return workspace


def outcomes(workspace: Workspace) -> dict[str, dict]:
    rows = workspace.catalog.scan("outcomes").filter(pl.col("stage") == "collect").collect()
    return {row["item"]: row for row in rows.iter_rows(named=True)}


def test_the_engine_gets_the_files_in_the_order_of_their_best_keyframe(
    aimed: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[list[str]] = []

    def run(function: object, items: object, spec: object, **options: object) -> object:
        items = list(items)  # type: ignore[call-overload]
        given.append([item.video_id for item in items])
        return engine_run(function, items, spec, **options)  # type: ignore[arg-type]

    engine_run = engine.run
    monkeypatch.setattr(collect_module.engine, "run", run)
    summary = collect(aimed, order=aim(aimed, FOR))
    assert (summary.inputs, summary.ok, summary.filtered) == (6, 6, 0)
    match, embedding = aimed.capability(FOR).match, aimed.analysis().embedding
    nothing = aimed.catalog.read("embeddings").clear()
    asked = direction(embedding, nothing.lazy(), text=match.text, not_text=match.not_text)
    looks = aimed.catalog.read("triage").iter_rows(named=True)
    best = {row["video_id"]: (unpack(row["vectors"], len(row["times_s"])) @ asked).max() for row in looks}
    assert given[-1] == sorted(best, key=lambda video_id: -best[video_id])
    assert given[-1] != sorted(given[-1])


def test_beyond_the_budget_files_wait_with_their_rank_and_a_later_collect_takes_them(aimed: Workspace) -> None:
    summary = collect(aimed, order=aim(aimed, FOR, budget_hours=0.01))
    rows = outcomes(aimed)
    waiting = {item: row for item, row in rows.items() if row["outcome"] == "filtered"}
    assert summary.ok + summary.filtered == summary.inputs == 6 and waiting and summary.ok >= 1
    for row in waiting.values():
        assert row["reason"].startswith("not reached: rank ") and "of 6 for bounce, budget 0.01 h" in row["reason"]
        assert row["value"] is not None
    spent_h = summary.video_s / 3600
    longest_h = aimed.catalog.read("triage")["duration_s"].max() / 3600  # type: ignore[operator]
    assert 0.01 <= spent_h < 0.01 + longest_h
    found = aim_summary(aimed, FOR, summary.run_id)
    assert (found.triaged, found.copies, found.not_reached) == (6, 0, len(waiting))
    assert found.analysed_hours == pytest.approx(spent_h) and found.likely_clips is None
    later = collect(aimed)
    assert (later.ok, later.filtered) == (6, 0)
    assert aimed.catalog.read("clips")["video_id"].n_unique() == 6


def test_going_on_for_the_same_capability_looks_at_nothing_twice(aimed: Workspace) -> None:
    collect(aimed, order=aim(aimed, FOR, budget_hours=0.01))
    before = aimed.catalog.history("triage").collect().height
    second = collect(aimed, order=aim(aimed, FOR, budget_hours=0.01))
    assert second.new_clips > 0
    assert aimed.catalog.history("triage").collect().height == before == 6


def test_a_copy_of_what_is_collected_or_ranks_higher_is_set_aside_with_its_name(aimed: Workspace) -> None:
    import av

    footage = aimed.root / "footage"
    whole = max(footage.glob("*.mp4"), key=lambda path: path.stat().st_size)
    for name in ("again.mkv", "once_more.mov"):
        with av.open(str(whole)) as source, av.open(str(footage / name), "w") as target:
            stream = target.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(source.streams.video[0]):
                if packet.dts is not None:
                    packet.stream = stream
                    target.mux(packet)
    group = {f"sample_world/{name}" for name in (whole.name, "again.mkv", "once_more.mov")}
    summary = collect(aimed, order=aim(aimed, FOR))
    rows = outcomes(aimed)
    aside = {item for item in group if rows[item]["outcome"] == "filtered"}
    kept = (group - aside).pop()
    assert len(aside) == summary.filtered == 2
    assert all(rows[item]["reason"] == f"near copy of {kept}" and rows[item]["value"] > 0.95 for item in aside)
    assert aim_summary(aimed, FOR, summary.run_id).copies == 2
    second = collect(aimed, order=aim(aimed, FOR))
    assert {item for item in group if outcomes(aimed)[item]["outcome"] == "filtered"} == aside
    assert second.new_clips == 0
    assert collect(aimed).ok == 8


def test_a_file_with_clips_under_earlier_parameters_keeps_them_when_it_is_not_reached(aimed: Workspace) -> None:
    collect(aimed)
    configure(aimed, clips={"max_s": 4.0})
    summary = collect(aimed, order=aim(aimed, FOR, budget_hours=0.001))
    assert (summary.ok, summary.filtered) == (6, 0)
    assert summary.video_s < 60


def test_a_file_without_a_keyframe_that_decodes_still_has_its_outcome(aimed: Workspace) -> None:
    (aimed.root / "footage" / "noise.mp4").write_bytes(bytes(range(256)) * 40)
    summary = collect(aimed, order=aim(aimed, FOR))
    assert (summary.ok, summary.failed) == (6, 1)


def test_what_cannot_be_aimed_at_is_said_before_anything_is_decoded(aimed: Workspace) -> None:
    with pytest.raises(InputError, match="no capability 'nothing'"):
        aim(aimed, "nothing")
    with pytest.raises(InputError, match="a budget of 0 hours"):
        aim(aimed, FOR, 0)


def test_likely_clips_are_counted_only_where_labels_gave_probabilities(sample_world: World) -> None:
    assert aim_summary(sample_world.workspace, FOR, "no run").likely_clips is None
