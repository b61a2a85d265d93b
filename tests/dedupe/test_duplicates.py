"""Duplicates in real files: what is linked, who is dropped, and what later runs do."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from curate import views
from curate.analyze.collect import collect
from curate.catalog import Catalog
from curate.dedupe import duplicates
from curate.dedupe.candidates import FRAMES
from curate.dedupe.duplicates import DedupeSummary, find_duplicates
from curate.dedupe.groups import leakage_groups
from curate.errors import CurateError
from curate.sample.against_truth import copy_agreement, truth_by_video
from curate.specs.analysis import Engine
from curate.standing.indexes import standing
from curate.workspace import Workspace
from tests.dedupe.conftest import TRANSFORMS, bare_workspace
from tests.dedupe.rows import Clip, write_clips

Footage = tuple[Path, list[dict[str, Any]]]
COLLECTED = ("files", "videos", "clips", "embeddings", "fingerprints", "outcomes")


@dataclass(frozen=True)
class Deduplicated:
    """A workspace after its first run. Tests read it and change nothing."""

    workspace: Workspace
    truth: dict[str, Any]
    summary: DedupeSummary

    @property
    def catalog(self) -> Catalog:
        return self.workspace.catalog


@pytest.fixture(scope="module")
def deduplicated(footage: Footage, tmp_path_factory: pytest.TempPathFactory) -> Deduplicated:
    workspace = bare_workspace(tmp_path_factory.mktemp("dedupe") / "workspace")
    (workspace.root / "footage").symlink_to(footage[0])
    collect(workspace)
    return Deduplicated(workspace, {"videos": footage[1]}, find_duplicates(workspace))


def again(deduplicated: Deduplicated, directory: Path) -> Workspace:
    """A workspace with nothing collected yet, and the same configs."""
    return bare_workspace(directory / "again")


def add(workspace: Workspace, deduplicated: Deduplicated, videos: list[str]) -> None:
    """Writes what `collect` wrote for some videos, as another of its runs would."""
    for table in COLLECTED:
        rows = deduplicated.catalog.read(table).filter(pl.col("video_id").is_in(videos)) if table not in (
            "embeddings", "fingerprints"
        ) else deduplicated.catalog.scan(table).join(
            deduplicated.catalog.scan("clips").filter(pl.col("video_id").is_in(videos)), on="clip_id", how="semi"
        ).collect()  # fmt: skip
        rows = rows.filter(pl.col("stage") != "dedupe") if table == "outcomes" else rows
        workspace.catalog.write(table, rows.drop("run_id", "written_at"), run_id="test")


def state(catalog: Catalog) -> dict[str, list[tuple]]:
    """What dedupe leaves: edges, keepers, groups, outcomes."""
    edges = catalog.scan("duplicates").drop("run_id", "written_at").sort("clip_id", "other_id")
    keepers = catalog.scan("keepers").filter(pl.col("keeper_id").is_not_null()).drop("run_id", "written_at", "work_key")
    outcomes = catalog.scan("outcomes").filter(pl.col("stage") == "dedupe").drop("run_id", "written_at", "seconds")
    return {
        "edges": edges.collect().rows(),
        "keepers": keepers.sort("clip_id").collect().rows(),
        "groups": leakage_groups(catalog).rows(),
        "outcomes": outcomes.sort("item").collect().rows(),
    }


def test_copies_are_linked_and_nothing_else_is_called_a_copy(deduplicated: Deduplicated) -> None:
    found = copy_agreement(deduplicated.catalog, deduplicated.truth, TRANSFORMS)
    assert found.found + found.missed >= 20
    assert found.recall >= 0.95
    assert found.wrong == 0
    summary = deduplicated.summary
    assert summary.new == summary.clips and summary.recall == 1.0 and not summary.failed and not summary.capped


def test_a_remux_is_exact_and_other_copies_are_aligned(deduplicated: Deduplicated) -> None:
    videos = truth_by_video(deduplicated.catalog, deduplicated.truth)
    of_clip = dict(deduplicated.catalog.read("clips").select("clip_id", "video_id").iter_rows())
    kinds: dict[str, set[str]] = {}
    for row in deduplicated.catalog.read("duplicates").iter_rows(named=True):
        transforms = [videos[of_clip[row[end]]]["transform"] for end in ("clip_id", "other_id")]
        if None in transforms and transforms != [None, None]:
            transform = next(name for name in transforms if name)
            kinds.setdefault(transform, set()).add(row["kind"])
            assert row["kind"] != "copy" or row["mirrored"] == (transform == "mirror")
    assert kinds["remux"] == {"exact"}
    assert kinds["reencode"] == kinds["mirror"] == kinds["trim"] == {"copy"}


def test_the_aligned_range_of_a_trimmed_copy_is_where_the_original_shows_it(deduplicated: Deduplicated) -> None:
    catalog = deduplicated.catalog
    videos = truth_by_video(catalog, deduplicated.truth)
    of_clip = dict(catalog.read("clips").select("clip_id", "video_id").iter_rows())
    checked = 0
    for row in catalog.read("duplicates").filter(pl.col("kind") != "semantic").iter_rows(named=True):
        one, other = (videos[of_clip[row[end]]] for end in ("clip_id", "other_id"))
        if (one["transform"], other["transform"]) == ("trim", None):
            copy_s, original_s, copy = row["start_s"], row["other_start_s"], one
        elif (one["transform"], other["transform"]) == (None, "trim"):
            copy_s, original_s, copy = row["other_start_s"], row["start_s"], other
        else:
            continue
        assert original_s == pytest.approx(copy_s + copy["time_map"]["offset_s"], abs=0.15)
        checked += 1
    assert checked >= 2


def test_each_clip_has_an_outcome_and_a_dropped_one_names_a_kept_one(deduplicated: Deduplicated) -> None:
    catalog = deduplicated.catalog
    outcomes = catalog.scan("outcomes").filter(pl.col("stage") == "dedupe").collect()
    assert set(outcomes["item"]) == set(views.clips(catalog).collect()["clip_id"])
    kept = set(views.kept_clips(catalog).collect()["clip_id"])
    assert len(kept) == deduplicated.summary.kept < deduplicated.summary.clips == len(outcomes)
    for item, outcome, reason in outcomes.select("item", "outcome", "reason").iter_rows():
        assert (outcome == "ok") == (item in kept)
        assert outcome == "ok" or reason.split(" of ")[1] in kept


def test_a_copy_and_its_original_are_one_leakage_group(deduplicated: Deduplicated) -> None:
    groups = dict(leakage_groups(deduplicated.catalog).iter_rows())
    by_original: dict[str, set[str]] = {}
    for video_id, entry in truth_by_video(deduplicated.catalog, deduplicated.truth).items():
        by_original.setdefault(entry["of"] or entry["file"], set()).add(groups[video_id])
    assert all(len(found) == 1 for found in by_original.values())
    assert len(set.union(*by_original.values())) == len(by_original)


def test_running_again_with_nothing_changed_writes_nothing(deduplicated: Deduplicated) -> None:
    before, first = deduplicated.catalog.versions(), deduplicated.summary
    second = find_duplicates(deduplicated.workspace)
    assert second.unchanged and not first.unchanged and second.new == second.compared == 0
    assert deduplicated.catalog.versions() == before
    for count in ("clips", "kept", "exact", "copy", "semantic", "largest_group"):
        assert getattr(second, count) == getattr(first, count)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_catalog_grown_in_random_batches_ends_as_one_that_came_at_once(
    deduplicated: Deduplicated, tmp_path: Path, seed: int
) -> None:
    grown, rng = again(deduplicated, tmp_path), np.random.default_rng(seed)
    videos = rng.permutation(deduplicated.catalog.read("videos")["video_id"].to_numpy()).tolist()
    for batch in np.array_split(videos, 20):
        if len(batch):
            add(grown, deduplicated, batch.tolist())
        summary = find_duplicates(grown)
        assert summary.unchanged == (not len(batch))
    assert state(grown.catalog) == state(deduplicated.catalog)


def test_a_run_stopped_before_any_of_its_commits_is_finished_by_the_next(
    deduplicated: Deduplicated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, commit = deduplicated.truth["videos"][0]["file"], Catalog._commit
    by_video = truth_by_video(deduplicated.catalog, deduplicated.truth)
    videos = [video_id for video_id, entry in by_video.items() if first in (entry["file"], entry["of"])]
    whole = again(deduplicated, tmp_path / "whole")
    add(whole, deduplicated, videos)
    assert find_duplicates(whole).kept < views.clips(whole.catalog).collect().height
    for stop_at in range(4):
        workspace, commits = again(deduplicated, tmp_path / str(stop_at)), 0
        add(workspace, deduplicated, videos)

        def stopping(*args: Any) -> None:
            nonlocal commits
            commits += 1
            if commits > stop_at:  # noqa: B023
                raise KeyboardInterrupt
            commit(*args)

        monkeypatch.setattr(Catalog, "_commit", stopping)
        with pytest.raises(KeyboardInterrupt):
            find_duplicates(workspace)
        monkeypatch.setattr(Catalog, "_commit", commit)
        find_duplicates(workspace)
        assert state(workspace.catalog) == state(whole.catalog)


def test_on_ray_and_in_processes_the_edges_are_the_same(
    deduplicated: Deduplicated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("curate.dedupe.compare._PAIRS_AT_ONCE", 16)
    for kind in ("local", "ray"):
        workspace = again(deduplicated, tmp_path / kind)
        config = workspace.configs / "analysis.yaml"
        config.write_text(config.read_text().replace("engine: {kind: local}", f"engine: {{kind: {kind}, workers: 2}}"))
        assert workspace.analysis().engine == Engine(kind=kind, workers=2)
        add(workspace, deduplicated, deduplicated.catalog.read("videos")["video_id"].to_list())
        find_duplicates(workspace)
        assert state(workspace.catalog) == state(deduplicated.catalog)


def test_a_better_copy_that_arrives_later_takes_over_unless_a_label_holds_its_place(
    deduplicated: Deduplicated, tmp_path: Path
) -> None:
    edge = deduplicated.catalog.scan("duplicates").filter(pl.col("kind") == "exact").collect().row(0, named=True)
    clips = deduplicated.catalog.read("clips").filter(pl.col("clip_id").is_in([edge["clip_id"], edge["other_id"]]))
    first, second = clips["video_id"].to_list()
    workspace = again(deduplicated, tmp_path)
    add(workspace, deduplicated, [first])
    find_duplicates(workspace)
    add(workspace, deduplicated, [second])
    better = workspace.catalog.read("videos").filter(pl.col("video_id") == second)
    better = better.with_columns(width=pl.lit(3840, pl.Int32)).drop("run_id", "written_at")
    workspace.catalog.write("videos", better, run_id="test")
    find_duplicates(workspace)
    of_second = set(clips.filter(pl.col("video_id") == second)["clip_id"])
    of_first = set(clips.filter(pl.col("video_id") == first)["clip_id"])
    kept = set(views.kept_clips(workspace.catalog).collect()["clip_id"])
    assert of_second <= kept and not of_first & kept
    label = {"label_id": "l", "clip_id": next(iter(of_first)), "capability": "c", "verdict": "present"}
    workspace.catalog.write("labels", [label], run_id="test")
    assert not find_duplicates(workspace).unchanged
    kept = set(views.kept_clips(workspace.catalog).collect()["clip_id"])
    assert of_first <= kept and not of_second & kept


def test_kinds_that_are_not_dropped_are_linked_all_the_same(deduplicated: Deduplicated, tmp_path: Path) -> None:
    workspace = again(deduplicated, tmp_path)
    config = workspace.configs / "analysis.yaml"
    config.write_text(config.read_text().replace("duplicates: {", "duplicates: {drop: [exact], "))
    add(workspace, deduplicated, deduplicated.catalog.read("videos")["video_id"].to_list())
    summary = find_duplicates(workspace)
    assert (summary.copy, summary.exact) == (deduplicated.summary.copy, deduplicated.summary.exact)
    assert summary.kept > deduplicated.summary.kept
    assert state(workspace.catalog)["groups"] == state(deduplicated.catalog)["groups"]


def test_a_clip_with_many_neighbours_is_compared_with_the_nearest_and_counted(
    deduplicated: Deduplicated, tmp_path: Path
) -> None:
    workspace = again(deduplicated, tmp_path)
    config = workspace.configs / "analysis.yaml"
    config.write_text(config.read_text().replace("duplicates: {", "duplicates: {neighbours: 1, "))
    add(workspace, deduplicated, deduplicated.catalog.read("videos")["video_id"].to_list())
    summary = find_duplicates(workspace)
    assert 0 < summary.capped <= summary.clips
    assert summary.compared < deduplicated.summary.compared
    assert summary.exact == deduplicated.summary.exact


def test_an_index_below_the_recall_asked_for_fails_the_run_and_nothing_is_written(
    deduplicated: Deduplicated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = again(deduplicated, tmp_path)
    add(workspace, deduplicated, deduplicated.catalog.read("videos")["video_id"].to_list())
    monkeypatch.setattr("curate.index.Index.recall", lambda *_, **__: 0.9)
    with pytest.raises(CurateError, match=r"0\.900 of the neighbours"):
        find_duplicates(workspace)
    assert workspace.catalog.read("duplicates").is_empty()
    monkeypatch.undo()
    assert find_duplicates(workspace).recall == 1.0


def test_a_lost_index_is_built_again(deduplicated: Deduplicated, tmp_path: Path) -> None:
    workspace = again(deduplicated, tmp_path)
    videos = deduplicated.catalog.read("videos")["video_id"].to_list()
    add(workspace, deduplicated, videos[:5])
    find_duplicates(workspace)
    manifest = next((workspace.state / "index" / "frames").glob("manifest*"))
    manifest.write_bytes(manifest.read_bytes()[: manifest.stat().st_size // 2])
    add(workspace, deduplicated, videos[5:])
    find_duplicates(workspace)
    assert state(workspace.catalog) == state(deduplicated.catalog)
    assert len(standing(workspace, FRAMES).index.keys) == deduplicated.summary.clips


def test_a_clip_without_a_fingerprint_is_failed_kept_and_tried_again(workspace: Workspace) -> None:
    clips = [Clip("a", np.float32([[1, 0]])), Clip("b", np.float32([[0, 1]]))]
    write_clips(workspace, clips)
    summary = find_duplicates(workspace)
    assert summary.failed == 2 == summary.kept
    outcomes = workspace.catalog.scan("outcomes").filter(pl.col("stage") == "dedupe").collect()
    assert set(outcomes["outcome"]) == {"failed"} and "curate collect" in outcomes["reason"][0]
    assert find_duplicates(workspace).new == 2


def test_a_workspace_without_clips_has_no_duplicates(workspace: Workspace) -> None:
    summary = find_duplicates(workspace)
    assert (summary.clips, summary.kept, summary.compared) == (0, 0, 0)


def test_two_runs_at_once_are_refused(workspace: Workspace) -> None:
    with workspace.lock("dedupe"), pytest.raises(CurateError, match="dedupe"):
        find_duplicates(workspace)


def test_the_version_of_the_stage_is_part_of_the_work(
    deduplicated: Deduplicated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = again(deduplicated, tmp_path)
    add(workspace, deduplicated, deduplicated.catalog.read("videos")["video_id"].to_list()[:4])
    first = find_duplicates(workspace)
    monkeypatch.setattr(duplicates, "VERSION", duplicates.VERSION + 1)
    second = find_duplicates(workspace)
    assert second.new == first.clips and (second.kept, second.copy) == (first.kept, first.copy)
