"""A leak that is planted is found."""

import json
from pathlib import Path

import pytest

from curate.errors import CurateError
from curate.mixes import draft as drafting
from curate.mixes.build import build
from curate.mixes.publish import publish
from curate.mixes.split import plan_splits
from curate.mixes.verify import verify
from curate.workspace import Workspace
from tests.mixes.rows import add_videos, bind_videos, clip_id


def plant(workspace: Workspace, name: str, *clips: tuple[str, str, str]) -> None:
    """Publishes a version whose lock holds (video, group, split)."""
    packed = workspace.state / "tmp" / "packed"
    packed.mkdir(parents=True)
    rows = [
        {"clip_id": f"{video}-{split}", "video_id": video, "group_id": group, "split": split}
        for video, group, split in clips
    ]
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
