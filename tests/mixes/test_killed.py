"""`kill -9` at any moment of a publication or a pull: versions stay whole, and the next run ends as undisturbed."""

import random
import shutil
import signal
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from curate.decisions import DONE, RELEASE, decisions
from curate.errors import CurateError
from curate.mixes.build import build
from curate.mixes.load import versions
from curate.mixes.versions import git
from curate.workspace import Workspace
from tests.mixes.killing import Children, children, kill_group, rows_of, what_is_published
from tests.mixes.rows import add_label, clip_id, write_mix
from tests.mixes.test_publish import dvc, release

KILLS = 6
KILLED = str(-signal.SIGKILL)


@pytest.fixture(scope="module")
def forks() -> Iterator[Children]:
    with children() as there:
        yield there


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Path:
    """A directory with a workspace and its remote: v1 is published, and labels have changed since."""
    place = tmp_path_factory.mktemp("released")
    workspace = Workspace(shutil.copytree(template, place / "workspace"))
    dvc(workspace.root, "remote", "add", "--default", "store", "../remote")
    build(workspace, "base", who="ana", why="first")
    git(workspace.root, "add", "configs", ".dvc/config")
    git(workspace.root, "commit", "--quiet", "-m", "configs and remote")
    write_mix(workspace, budget={"clips": 12})
    add_label(workspace, clip_id("video07", 1), "bounce", "present", [{"start_s": 2.1, "end_s": 2.9, "fields": "{}"}])
    return place


@pytest.fixture(scope="module")
def undisturbed(released: Path, tmp_path_factory: pytest.TempPathFactory, forks: Children) -> dict[str, Any]:
    """What is published after a second version; how many changes to files that takes, and how long."""
    place = shutil.copytree(released, tmp_path_factory.mktemp("undisturbed") / "whole")
    began = time.monotonic()
    said = forks.run(place / "workspace")
    length_s = time.monotonic() - began
    assert said["status"] == "0", said
    published = what_is_published(Workspace(place / "workspace"))
    assert list(published) == ["v1", "v2"]
    rows = {revision: rows_of(place / "workspace", revision) for revision in published}
    return {"published": published, "changes": int(said["changes"]), "length_s": length_s, "rows": rows}


def assert_whole(place: Path, undisturbed: dict[str, Any]) -> None:
    """Whatever was killed: what is listed is published, and is what it is without a kill."""
    found = what_is_published(Workspace(place / "workspace"))
    assert found.keys() in ({"v1"}, {"v1", "v2"})
    assert found == {revision: undisturbed["published"][revision] for revision in found}


def assert_finished(place: Path, forks: Children, undisturbed: dict[str, Any]) -> None:
    said = forks.run(place / "workspace")
    assert said["status"] == "0", said
    workspace = Workspace(place / "workspace")
    assert what_is_published(workspace) == undisturbed["published"]
    assert git(workspace.root, "status", "--porcelain", "--", "data.dvc") == ""
    assert not list((workspace.state / "tmp").glob("mix/*"))
    assert [tag.split("/")[-1] for tag in git(workspace.root, "tag").split()] == ["v1", "v2"]
    done = [each for each in decisions(workspace.catalog, kind=RELEASE, subject="base") if each.status == DONE]
    assert [each.evidence["result"]["revision"] for each in done] == ["v1", "v2"]
    assert workspace.catalog.scan("splits").collect().select(pl.col("video_id").n_unique()).item() > 0


def test_killed_before_changes_to_files_the_next_build_publishes_the_same(
    released: Path, undisturbed: dict[str, Any], forks: Children, tmp_path: Path
) -> None:
    rng, changes = random.Random(0), undisturbed["changes"]
    bounds = [round(index * changes / KILLS) for index in range(KILLS + 1)]
    for index, (low, high) in enumerate(pairwise(bounds)):
        place = shutil.copytree(released, tmp_path / f"{index}")
        assert forks.run(place / "workspace", stop=rng.randint(low + 1, high))["status"] == KILLED
        assert_whole(place, undisturbed)
        assert_finished(place, forks, undisturbed)


def test_killed_at_random_moments_again_and_again_it_ends_as_undisturbed(
    released: Path, undisturbed: dict[str, Any], forks: Children, tmp_path: Path
) -> None:
    rng = random.Random(1)
    for index in range(KILLS // 3):
        place = shutil.copytree(released, tmp_path / f"{index}")
        for _ in range(2):
            pid = forks.start(place / "workspace")
            time.sleep(rng.uniform(0, undisturbed["length_s"]))
            kill_group(pid)
            forks.wait()
            assert_whole(place, undisturbed)
        assert_finished(place, forks, undisturbed)


def test_a_killed_pull_goes_on_and_loads_the_same_rows(
    released: Path, undisturbed: dict[str, Any], forks: Children, tmp_path: Path
) -> None:
    source = shutil.copytree(released, tmp_path / "released")
    assert forks.run(source / "workspace")["status"] == "0"

    def clone(name: str) -> Path:
        (tmp_path / name).mkdir()
        (tmp_path / name / "remote").symlink_to(source / "remote")
        git(tmp_path, "clone", "--quiet", str(source / "workspace"), str(tmp_path / name / "clone"))
        return tmp_path / name / "clone"

    said = forks.run(clone("whole"), "v1")
    assert said["status"] == "0", said
    rng = random.Random(2)
    for index in range(KILLS // 2):
        here = clone(f"{index}")
        for _ in range(2):
            assert forks.run(here, "v1", rng.randint(1, int(said["changes"])))["status"] in (KILLED, "0")
        assert forks.run(here, "v1")["status"] == "0"
        assert rows_of(here, "v1") == undisturbed["rows"]["v1"]
        assert [version.revision for version in versions(Workspace(here), "base")] == ["v1", "v2"]


def test_locks_that_a_killed_git_of_ours_left_are_removed_and_no_others(workspace: Workspace) -> None:
    assert release(workspace, "base", "one") == "v1"
    shutil.rmtree(workspace.state / "tmp")
    lock = workspace.root / ".git" / "index.lock"
    lock.touch()
    with pytest.raises(CurateError, match=r"index\.lock"):
        release(workspace, "base", "two")
    assert lock.exists(), "someone else's git may be at work"
    lock.unlink()
    shutil.rmtree(workspace.state / "tmp")

    (workspace.state / "publishing").touch()
    lock.touch()
    ours = workspace.root / ".git" / "refs" / "tags" / "mix" / "base" / "v2.lock"
    ours.touch()
    assert release(workspace, "base", "two") == "v2"
    assert not lock.exists() and not ours.exists() and not (workspace.state / "publishing").exists()
