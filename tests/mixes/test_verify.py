"""A leak that is planted is found."""

import json
from pathlib import Path

import polars as pl
import pytest

from curate.errors import CurateError
from curate.mixes import draft as drafting
from curate.mixes.build import build
from curate.mixes.publish import publish
from curate.mixes.split import plan_splits
from curate.mixes.verify import leaks, verify
from curate.workspace import Workspace
from tests.mixes.rows import add_videos, bind_videos, clip_id


def made(video: str, group: str, split: str) -> dict[str, str]:
    return {"clip_id": f"{video}-{split}", "video_id": video, "group_id": group, "split": split}


def plant(workspace: Workspace, name: str, *clips: tuple[str, str, str] | dict[str, str]) -> None:
    """Publishes a version whose lock holds these clips, or one for each (video, group, split)."""
    packed = workspace.state / "tmp" / "packed"
    packed.mkdir(parents=True)
    rows = [clip if isinstance(clip, dict) else made(*clip) for clip in clips]
    (packed / "lock.json").write_text(json.dumps({"clips": rows}))
    publish(workspace, name, packed, content=str(rows), rows={}, who="ana", why="test")


def test_versions_that_keep_to_their_sides_are_clean(workspace: Workspace) -> None:
    assert verify(workspace) == []
    plant(workspace, "base", ("a", "a", "train"), ("b", "b", "test"))
    plant(workspace, "base", ("a", "a", "train"), ("b", "b", "test"), ("c", "b", "test"))
    assert verify(workspace) == []


def test_a_video_on_two_sides_of_one_version_is_found(workspace: Workspace) -> None:
    plant(workspace, "base", ("a", "a", "train"), ("a", "a", "test"))
    assert "video a is in test of base v1 and in train of base v1" in map(str, verify(workspace))


def test_a_group_on_two_sides_is_found(workspace: Workspace) -> None:
    plant(workspace, "base", ("a", "g", "train"), ("b", "g", "validation"))
    assert [str(leak) for leak in verify(workspace)] == ["group g is in train of base v1 and in validation of base v1"]


def test_a_video_that_changes_sides_between_versions_or_mixes_is_found(workspace: Workspace) -> None:
    plant(workspace, "base", ("a", "a", "test"))
    plant(workspace, "other", ("a", "a", "train"))
    assert [str(leak) for leak in verify(workspace)] == ["video a is in test of base v1 and in train of other v1"]
    assert verify(workspace, "base") == verify(workspace)
    plant(workspace, "third", ("z", "z", "test"))
    assert verify(workspace, "third") == []


def test_a_group_that_footage_joined_later_is_found(workspace: Workspace, tmp_path: Path) -> None:
    add_videos(workspace, ["a", "b"], tmp_path / "none.mp4")
    plant(workspace, "base", ("a", "a", "train"), ("b", "b", "test"))
    assert verify(workspace) == []
    bind_videos(workspace.catalog, clip_id("a", 0), clip_id("b", 1))
    (leak,) = verify(workspace)
    assert (leak.kind, leak.item) == ("group as known now", "a")


def test_a_group_that_measured_and_trains_later_is_found(workspace: Workspace) -> None:
    plant(workspace, "base", ("a", "g", "test"))
    plant(workspace, "base", ("b", "g", "train"))
    plant(workspace, "base", ("z", "z", "train"))
    assert [str(leak) for leak in verify(workspace)] == ["group g is in test of base v1 and in train of base v2"]


def test_a_group_that_trained_and_measures_since_its_videos_joined_is_no_leak(workspace: Workspace) -> None:
    plant(workspace, "base", ("a", "a", "train"), ("b", "b", "test"))
    plant(workspace, "base", ("b", "a", "test"))
    assert verify(workspace) == []


def test_a_newest_version_that_trains_on_what_any_version_measured_with_is_found(
    workspace: Workspace, tmp_path: Path
) -> None:
    add_videos(workspace, ["a", "b"], tmp_path / "none.mp4")
    plant(workspace, "old", ("a", "a", "test"))
    plant(workspace, "old", ("z", "z", "test"))
    plant(workspace, "base", ("b", "b", "train"))
    assert verify(workspace) == []
    bind_videos(workspace.catalog, clip_id("a", 0), clip_id("b", 1))
    assert [str(leak) for leak in verify(workspace)] == [
        "group as known now a is in test of old v1 and in train of base v1"
    ]


def test_a_million_rows_of_history_are_looked_through() -> None:
    videos = pl.Series("video_id", [f"{at:08x}" for at in range(100_000)])
    split = pl.Series("split", ["train", "train", "test", "validation"] * 25_000)
    version = pl.DataFrame({"video_id": videos, "group_id": videos, "split": split}).with_columns(mix=pl.lit("base"))
    rows = pl.concat(
        [version.with_columns(revision=pl.lit(f"v{at}"), date=pl.lit(f"2026-01-{at:02}"), newest=pl.lit(at == 10))
         for at in range(1, 11)]
    )  # fmt: skip
    now = version.select("video_id", "group_id")
    moved = pl.col("video_id").eq(videos[2]) & pl.col("newest")
    wrong = rows.with_columns(split=pl.when(moved).then(pl.lit("train")).otherwise("split"))
    assert {leak.item for leak in leaks(wrong, now)} == {videos[2]}


def test_a_build_that_would_leak_is_refused_and_publishes_nothing(
    labelled: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Splits by video alone, blind to duplicates, are what verification must stop."""
    videos = labelled.catalog.read("videos")["video_id"].to_list()
    for other in videos[1:]:
        bind_videos(labelled.catalog, clip_id(videos[0], 1), clip_id(other, 1))

    def blind(groups, *arguments, **options):  # type: ignore[no-untyped-def]
        return plan_splits(groups.with_columns(group_id="video_id"), *arguments, **options)

    monkeypatch.setattr(drafting, "plan_splits", blind)
    with pytest.raises(CurateError, match=r"would leak: group as known now .* Nothing was published"):
        build(labelled, "base", who="ana", why="test")
    assert not (labelled.root / "data.dvc").exists()
    assert labelled.catalog.read("splits").is_empty()
