"""Duplicates in real files: what is linked, who is dropped, and what a second run does."""

from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from curate import views
from curate.dedupe.duplicates import DedupeSummary, find_duplicates
from curate.dedupe.groups import leakage_groups
from curate.errors import CurateError
from curate.identity import file_id
from curate.workspace import Workspace
from tests.dedupe.conftest import bare_workspace
from tests.dedupe.rows import Clip, write_clips

Footage = tuple[Path, list[dict[str, Any]]]


def clips_of(directory: Path, entry: dict[str, Any], **changes: Any) -> list[Clip]:
    """A clip between every two cuts. All have one embedding: which are the same is left to the pixels."""
    path = directory / entry["file"]
    edges = [0.0, *(b["start_s"] for b in entry["boundaries"] if b["kind"] == "cut"), entry["duration_s"]]
    same = np.tile(np.float32([1, 0]), (2, 1))
    return [
        Clip(
            file_id(path), same, start_s, end_s, str(path), entry["width"], entry["height"],
            bitrate_bps=path.stat().st_size, **changes,
        )
        for start_s, end_s in pairwise(edges)
        if end_s - start_s >= 1
    ]  # fmt: skip


def original_span(entry: dict[str, Any], clip: Clip) -> tuple[str, float, float]:
    if entry["kind"] == "original":
        return entry["file"], clip.start_s, clip.end_s
    offset_s, speed = entry["time_map"]["offset_s"], entry["time_map"]["speed"]
    return entry["of"], offset_s + speed * clip.start_s, offset_s + speed * clip.end_s


def true_pairs(entries: list[dict[str, Any]], clips: dict[str, list[Clip]]) -> dict[frozenset[str], str]:
    """Pairs of clips that share at least half of the shorter one in the original's time, and by which transform."""
    spans = [(clip, entry, *original_span(entry, clip)) for entry in entries for clip in clips[entry["file"]]]
    pairs = {}
    for at, (one, entry, of, start_s, end_s) in enumerate(spans):
        for other, other_entry, other_of, other_start_s, other_end_s in spans[:at]:
            common_s = min(end_s, other_end_s) - max(start_s, other_start_s)
            if of == other_of and common_s >= 0.5 * min(end_s - start_s, other_end_s - other_start_s):
                names = [e["transform"] for e in (entry, other_entry) if e["transform"]]
                pairs[frozenset((one.clip_id, other.clip_id))] = "+".join(sorted(names))
    return pairs


@dataclass(frozen=True)
class Deduplicated:
    """A workspace after its first run. Tests read it and change nothing."""

    workspace: Workspace
    clips: dict[str, list[Clip]]
    summary: DedupeSummary


@pytest.fixture(scope="module")
def deduplicated(footage: Footage, tmp_path_factory: pytest.TempPathFactory) -> Deduplicated:
    workspace = bare_workspace(tmp_path_factory.mktemp("dedupe") / "workspace")
    config = workspace.configs / "analysis.yaml"
    config.write_text(config.read_text().replace("near: 0.75", "near: 0.75, neighbours: 200"))
    directory, entries = footage
    clips = {entry["file"]: clips_of(directory, entry) for entry in entries}
    write_clips(workspace, [clip for of_file in clips.values() for clip in of_file])
    return Deduplicated(workspace, clips, find_duplicates(workspace))


def edges(workspace: Workspace) -> pl.DataFrame:
    return workspace.catalog.read("duplicates")


def linked(workspace: Workspace) -> set[frozenset[str]]:
    return {frozenset(pair) for pair in edges(workspace).select("clip_id", "other_id").iter_rows()}


def test_copies_are_linked_and_other_clips_of_equal_embedding_are_not(
    deduplicated: Deduplicated, footage: Footage
) -> None:
    workspace, clips, summary = deduplicated.workspace, deduplicated.clips, deduplicated.summary
    expected = true_pairs(footage[1], clips)
    found = linked(workspace)
    assert len(expected) >= 20
    assert found <= set(expected)
    assert len(found) >= 0.95 * len(expected), sorted(expected[pair] for pair in set(expected) - found)
    assert summary.edges == len(found) == summary.exact + summary.near
    assert summary.recall == 1.0

    kinds = {frozenset(row[:2]): row[2] for row in edges(workspace).select("clip_id", "other_id", "kind").iter_rows()}
    by_transform = [(expected[pair], kind) for pair, kind in kinds.items()]
    assert {kind for transform, kind in by_transform if transform in ("remux", "reencode")} == {"exact"}
    assert {kind for transform, kind in by_transform if transform in ("mirror", "trim")} == {"near"}


def test_each_clip_has_an_outcome_and_a_dropped_one_names_a_kept_one(
    deduplicated: Deduplicated,
) -> None:
    workspace, clips, summary = deduplicated.workspace, deduplicated.clips, deduplicated.summary
    ids = {clip.clip_id for of_file in clips.values() for clip in of_file}
    outcomes = workspace.catalog.scan("outcomes").filter(pl.col("stage") == "dedupe").collect()
    assert set(outcomes["item"]) == ids
    kept = set(views.kept_clips(workspace.catalog).collect()["clip_id"])
    assert len(kept) == summary.kept < summary.clips == len(ids)
    for item, outcome, reason in outcomes.select("item", "outcome", "reason").iter_rows():
        assert (outcome == "ok") == (item in kept)
        assert outcome == "ok" or reason.removeprefix("duplicate of ") in kept
    assert set(edges(workspace).filter("keeper")["other_id"]) <= kept


def test_a_copy_and_its_original_are_one_leakage_group(deduplicated: Deduplicated, footage: Footage) -> None:
    workspace, clips = deduplicated.workspace, deduplicated.clips
    groups = dict(leakage_groups(workspace.catalog).iter_rows())
    of = {entry["file"]: entry["of"] or entry["file"] for entry in footage[1]}
    by_original: dict[str, set[str]] = {}
    for file, of_file in clips.items():
        by_original.setdefault(of[file], set()).add(groups[of_file[0].video_id])
    assert all(len(found) == 1 for found in by_original.values())
    assert len(set.union(*by_original.values())) == len(by_original)


def test_running_again_with_nothing_changed_writes_nothing(deduplicated: Deduplicated) -> None:
    workspace, first = deduplicated.workspace, deduplicated.summary
    before = workspace.catalog.versions()
    second = find_duplicates(workspace)
    assert second.unchanged and not first.unchanged
    assert workspace.catalog.versions() == before
    assert (second.clips, second.kept, second.exact, second.near) == (first.clips, first.kept, first.exact, first.near)


def test_a_better_copy_that_arrives_later_takes_over(workspace: Workspace, footage: Footage) -> None:
    directory, entries = footage
    original = entries[0]
    copy = next(entry for entry in entries if entry["of"] == original["file"])
    first, second = clips_of(directory, original), clips_of(directory, copy)
    better = [replace(clip, width=1920, height=1080) for clip in second]
    other = [replace(clip, width=640, height=360) for clip in first]
    write_clips(workspace, [*first, *second])
    find_duplicates(workspace)
    assert set(edges(workspace).filter("keeper")["other_id"]) == {clip.clip_id for clip in first}
    write_clips(workspace, [*other, *better], work_key="w2")
    find_duplicates(workspace)
    assert set(views.kept_clips(workspace.catalog).collect()["clip_id"]) == {clip.clip_id for clip in better}
    assert set(edges(workspace).filter("keeper")["clip_id"]) == {clip.clip_id for clip in first}


def test_a_clip_whose_file_is_gone_is_failed_kept_and_tried_again(workspace: Workspace, footage: Footage) -> None:
    directory, entries = footage
    present = clips_of(directory, entries[0])
    absent = replace(present[0], video_id="gone", path=str(directory / "gone.mp4"))
    write_clips(workspace, [*present, absent])
    summary = find_duplicates(workspace)
    assert summary.failed == 1 and summary.kept == len(present) + 1
    row = workspace.catalog.scan("outcomes").filter(pl.col("item") == absent.clip_id).collect().row(0, named=True)
    assert row["outcome"] == "failed" and row["reason"]
    assert not find_duplicates(workspace).unchanged


def test_a_workspace_without_clips_has_no_duplicates(workspace: Workspace) -> None:
    summary = find_duplicates(workspace)
    assert (summary.clips, summary.kept, summary.edges) == (0, 0, 0)


def test_two_runs_at_once_are_refused(workspace: Workspace) -> None:
    with workspace.lock("dedupe"), pytest.raises(CurateError, match="dedupe"):
        find_duplicates(workspace)
