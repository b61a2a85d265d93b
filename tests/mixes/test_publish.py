"""Publishing with real git and DVC: complete or not at all, on a remote too, and never the user's other files."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from curate.errors import CurateError, InputError
from curate.mixes import publish as publishing
from curate.mixes.build import build
from curate.mixes.load import load_mix, read_lock, versions
from curate.mixes.publish import publish
from curate.mixes.versions import git
from curate.workspace import Workspace
from tests.mixes.rows import write_mix


def packed(workspace: Workspace, text: str) -> Path:
    directory = workspace.state / "tmp" / "packed"
    directory.mkdir(parents=True)
    (directory / "lock.json").write_text(json.dumps({"clips": [], "text": text}))
    return directory


def release(workspace: Workspace, name: str, text: str) -> str:
    done = publish(workspace, name, packed(workspace, text), content=text, rows={"train": 1}, who="ana", why="test")
    return done.revision


def dvc(root: Path, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=root, check=True, capture_output=True)


@pytest.mark.parametrize("step", ["_place", "_add", "commit", "push", "tag"])
def test_a_kill_after_any_step_shows_no_new_version_and_the_next_run_completes_it(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    assert release(workspace, "base", "one") == "v1"
    real = getattr(publishing, step)

    def killed(*arguments: object) -> None:
        real(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(publishing, step, killed)
        with pytest.raises(KeyboardInterrupt):
            release(workspace, "base", "two")
    complete = step == "tag"
    assert [version.revision for version in versions(workspace, "base")] == (["v1", "v2"] if complete else ["v1"])
    assert read_lock("base", "v1", workspace=workspace.root)["text"] == "one"
    shutil.rmtree(workspace.state / "tmp")
    if not complete:
        assert release(workspace, "base", "two") == "v2"
    assert read_lock("base", "v1", workspace=workspace.root)["text"] == "one"
    assert read_lock("base", "v2", workspace=workspace.root)["text"] == "two"
    assert json.loads((workspace.data / "base" / "lock.json").read_text())["text"] == "two"
    assert git(workspace.root, "status", "--porcelain", "--", "data.dvc") == ""


def test_what_else_the_user_has_in_the_index_is_not_committed(workspace: Workspace) -> None:
    (workspace.root / "mine.txt").write_text("draft")
    git(workspace.root, "add", "mine.txt", "configs")
    release(workspace, "base", "one")
    committed = git(workspace.root, "show", "--name-only", "--format=", "HEAD").split()
    assert sorted(committed) == [".dvc/.gitignore", ".dvc/config", ".dvcignore", ".gitignore", "data.dvc"]
    assert "A  mine.txt" in git(workspace.root, "status", "--porcelain")
    release(workspace, "base", "two")
    assert git(workspace.root, "show", "--name-only", "--format=", "HEAD").split() == ["data.dvc"]


def test_it_commits_where_the_user_never_told_git_who_they_are(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    for variable in ("GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL", "GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "EMAIL"):
        monkeypatch.delenv(variable, raising=False)
    release(workspace, "base", "one")
    assert git(workspace.root, "log", "-1", "--format=%an <%ae>").strip() == "curate <curate@localhost>"


def test_another_mix_that_is_not_checked_out_stays_published(workspace: Workspace) -> None:
    release(workspace, "other", "kept")
    shutil.rmtree(workspace.data)
    release(workspace, "base", "one")
    shutil.rmtree(workspace.data / "other")
    release(workspace, "base", "two")
    assert (workspace.data / "other" / "lock.json").exists()
    assert read_lock("other", "HEAD", workspace=workspace.root)["text"] == "kept"


def test_another_mix_that_was_changed_by_hand_is_not_published_silently(workspace: Workspace) -> None:
    release(workspace, "other", "kept")
    (workspace.data / "other" / "lock.json").write_text("{}")
    with pytest.raises(InputError, match=r"data/other/lock.json is not what was published. `dvc checkout"):
        release(workspace, "base", "one")
    assert versions(workspace, "base") == []


def test_a_directory_without_git_or_dvc_is_refused_with_the_remedy(workspace: Workspace) -> None:
    shutil.rmtree(workspace.root / ".dvc")
    with pytest.raises(InputError, match=r"no \.dvc here.*`curate init"):
        release(workspace, "base", "one")


def test_unknown_names_and_revisions_say_what_there_is(workspace: Workspace) -> None:
    with pytest.raises(InputError, match="no published mix 'base'.*Published: none"):
        load_mix("base", workspace=workspace.root)
    release(workspace, "other", "one")
    with pytest.raises(InputError, match="no published mix 'base'.*Published: other"):
        read_lock("base", workspace=workspace.root)
    with pytest.raises(InputError, match="no revision 'v7' of mix 'other'.*Published: v1"):
        read_lock("other", "v7", workspace=workspace.root)
    with pytest.raises(InputError, match="no mix 'base' at this revision"):
        read_lock("base", "HEAD", workspace=workspace.root)


def test_data_that_is_nowhere_is_an_error_that_says_where_it_should_be(workspace: Workspace) -> None:
    release(workspace, "base", "one")
    shutil.rmtree(workspace.root / ".dvc" / "cache")
    with pytest.raises(CurateError, match=r"cannot be read.*`dvc push` where it was built"):
        read_lock("base", workspace=workspace.root)


def test_a_fresh_clone_pulls_and_loads_any_version_from_the_remote(labelled: Workspace, tmp_path: Path) -> None:
    first = build(labelled, "base", who="ana", why="one")
    remote = tmp_path / "remote"
    dvc(labelled.root, "remote", "add", "--default", "store", str(remote))
    dvc(labelled.root, "push", "--all-tags")
    git(labelled.root, "add", "configs", ".dvc/config")
    git(labelled.root, "commit", "--quiet", "-m", "configs and remote")
    write_mix(labelled, budget={"clips": 12})
    second = build(labelled, "base", who="ana", why="two")

    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(labelled.root), str(clone))
    labelled.root.rename(tmp_path / "gone")
    for rev, rows in (("v1", first.rows), ("v2", second.rows), (None, second.rows)):
        loaded = load_mix("base", rev, workspace=clone)
        assert {split: found.num_rows for split, found in loaded.items()} == rows
    assert not (clone / "data").exists(), "loading leaves the work tree alone"
    dvc(clone, "pull")
    assert json.loads((clone / "data" / "base" / "lock.json").read_text()) == second.lock


def test_a_clone_without_configs_can_load(workspace: Workspace, tmp_path: Path) -> None:
    dvc(workspace.root, "remote", "add", "--default", "store", str(tmp_path / "remote"))
    release(workspace, "base", "one")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(workspace.root), str(clone))
    assert not (clone / "configs").exists()
    assert read_lock("base", workspace=clone)["text"] == "one"


def test_a_workspace_inside_another_repository_keeps_to_its_own(workspace: Workspace) -> None:
    outer = workspace.root.parent
    git(outer, "init", "--quiet")
    release(workspace, "base", "one")
    assert git(outer, "tag", "--list") == "" and git(outer, "log", "--all", check=False) == ""
    assert read_lock("base", workspace=workspace.root)["text"] == "one"
