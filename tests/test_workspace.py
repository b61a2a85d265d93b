"""A workspace: made once, found from anywhere inside, never overwritten."""

import subprocess
from pathlib import Path

import pytest

from curate.errors import CurateError, InputError
from curate.workspace import Workspace, create_workspace, open_workspace


def test_a_new_workspace_is_under_git_and_dvc_without_telemetry(workspace: Workspace) -> None:
    assert (workspace.root / ".git").is_dir()
    assert "analytics = false" in (workspace.root / ".dvc" / "config").read_text()
    assert subprocess.run(["git", "check-ignore", "-q", ".curate/x"], cwd=workspace.root).returncode == 0


def test_it_is_found_from_a_directory_inside(workspace: Workspace) -> None:
    assert open_workspace(workspace.configs / "sources").root == workspace.root


def test_outside_one_the_error_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="curate init"):
        open_workspace(tmp_path)


def test_making_it_again_keeps_what_the_user_wrote(workspace: Workspace) -> None:
    (workspace.configs / "analysis.yaml").write_text("clips: {max_s: 7}\n")
    create_workspace(workspace.root, sample=True)
    assert workspace.analysis().clips.max_s == 7


def test_two_runs_of_one_stage_cannot_collide(workspace: Workspace) -> None:
    with workspace.lock("collect"), pytest.raises(CurateError, match="another `collect` is running"):
        workspace.lock("collect").__enter__()
    with workspace.lock("collect"):
        pass


def test_a_name_that_does_not_exist_lists_those_that_do(workspace: Workspace) -> None:
    with pytest.raises(InputError, match="Known: .*bounce"):
        workspace.capability("bounze")
