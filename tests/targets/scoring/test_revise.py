"""What a change of a spec does: keys, versions, and clips gained and lost, against git."""

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curate.errors import InputError
from curate.targets.scoring.revise import revised
from curate.workspace import Workspace
from tests.dedupe.rows import Clip, write_clips
from tests.targets.conftest import DIRECTION, frames_like, write_capability


def git(workspace: Workspace, *arguments: str) -> None:
    subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@t", *arguments], cwd=workspace.root, check=True)


@pytest.fixture
def committed(empty: Workspace) -> list[Clip]:
    """Twenty clips, of which the first has similarity 0.9, the next 0.85 ...; `jump` from 0.5 on is committed."""
    made = [Clip(f"v{at:02d}", frames_like([0.9 - 0.05 * at] * 3, at)) for at in range(17)]
    write_clips(empty, [*made, Clip("like", np.tile(DIRECTION, (2, 1)))])
    write_capability(empty, "jump", match=matching(level=0.52))
    write_capability(empty, "fall", match=matching(level=0.52))
    git(empty, "init", "--quiet")
    git(empty, "add", "configs")
    git(empty, "commit", "--quiet", "-m", "first")
    return made


def matching(**changes: Any) -> dict[str, Any]:
    return {"like": [Clip("like", DIRECTION[np.newaxis]).clip_id], **changes}


def test_nothing_changed_nothing_to_say(empty: Workspace, committed: list[Clip]) -> None:
    assert revised(empty) == [] and revised(empty, "jump") == []
    path = empty.configs / "capabilities" / "jump.yaml"
    path.write_text(f"# a comment\n{path.read_text()}")
    assert revised(empty) == [], "a comment changes no version"


def test_keys_versions_and_matches_of_a_change(empty: Workspace, committed: list[Clip]) -> None:
    before = empty.capability("jump").version
    write_capability(empty, "jump", match=matching(level=0.72, where="motion < 1"), target={"clips": 4, "floors": {}})
    [found] = revised(empty)
    assert (found.name, found.before, found.after) == ("jump", before, empty.capability("jump").version)
    assert found.changes == [
        {"key": "match.where", "before": None, "after": "motion < 1"},
        {"key": "match.level", "before": 0.52, "after": 0.72},
    ]
    assert (found.matches_before, found.matches_after) == (9, 5)
    assert found.gained is not None and found.gained.is_empty()
    assert found.lost is not None
    assert found.lost["clip_id"].to_list() == [clip.clip_id for clip in committed[4:8]]
    assert "scores" not in empty.catalog.versions()


def test_a_field_is_told_by_its_name(empty: Workspace, committed: list[Clip]) -> None:
    fields = [{"name": "fast", "type": "boolean"}, {"name": "color", "type": "string", "enum": ["red", "green"]}]
    write_capability(empty, "jump", match=matching(level=0.52), segment={"description": "jump", "fields": fields})
    [found] = revised(empty, "jump")
    assert [change["key"] for change in found.changes] == ["segment.fields.color.enum"]


def test_against_another_revision(empty: Workspace, committed: list[Clip]) -> None:
    write_capability(empty, "jump", match=matching(level=0.32))
    git(empty, "commit", "--quiet", "-a", "-m", "second")
    assert revised(empty, "jump") == []
    [found] = revised(empty, "jump", "HEAD~1")
    assert found.gained is not None and len(found.gained) == 4 and found.gained["similarity"].is_sorted(descending=True)


def test_a_new_capability_and_one_that_is_gone(empty: Workspace, committed: list[Clip]) -> None:
    write_capability(empty, "hop", match=matching(level=0.72))
    (empty.configs / "capabilities" / "fall.yaml").unlink()
    fall, hop = revised(empty)
    assert (fall.name, fall.after, fall.matches_before, fall.gained) == ("fall", None, 9, None)
    assert (hop.name, hop.before, hop.matches_after, hop.changes) == ("hop", None, 5, [])


def test_a_spec_that_this_release_cannot_read_is_said(empty: Workspace, committed: list[Clip]) -> None:
    path = empty.configs / "capabilities" / "jump.yaml"
    good = path.read_text()
    path.write_text(f"{good}\nformer_key: 1\n")
    git(empty, "commit", "--quiet", "-a", "-m", "an older release")
    path.write_text(good)
    [found] = revised(empty)
    assert found.changes == [] and "unknown key 'former_key'" in found.note


def test_a_workspace_below_the_repository_is_found(empty: Workspace, committed: list[Clip], tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    outer.mkdir()
    (empty.root).rename(outer / "inner")
    inner = Workspace(outer / "inner")
    subprocess.run(["rm", "-rf", ".git"], cwd=inner.root, check=True)
    git(Workspace(outer), "init", "--quiet")
    git(Workspace(outer), "add", "inner/configs")
    git(Workspace(outer), "commit", "--quiet", "-m", "first")
    write_capability(inner, "jump", match=matching(level=0.72))
    assert [found.name for found in revised(inner)] == ["jump"]


def test_mistakes_are_one_line(empty: Workspace, committed: list[Clip]) -> None:
    with pytest.raises(InputError, match="no revision 'v9'.*Give a commit, a branch or a tag"):
        revised(empty, "jump", "v9")
    with pytest.raises(InputError, match="no capability 'fly'"):
        revised(empty, "fly")


def test_without_git_or_a_commit_it_says_so(empty: Workspace) -> None:
    write_capability(empty, "jump", match={"text": ["a jump"]})
    with pytest.raises(InputError, match="not in a git repository"):
        revised(empty)
    git(empty, "init", "--quiet")
    with pytest.raises(InputError, match="no revision 'HEAD'.*Commit configs/ first"):
        revised(empty)
