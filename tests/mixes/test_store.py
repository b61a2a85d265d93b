"""Remotes and disks as they are: S3 with credentials, interrupted, wrong or full; each says so in one line."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo
from werkzeug.wrappers import Response

from curate.errors import CurateError
from curate.mixes.build import build
from curate.mixes.load import open_files, pull, read_lock, versions
from curate.mixes.versions import git, resolve
from curate.workspace import Workspace
from tests.mixes.killing import children, rows_of, what_is_published
from tests.mixes.rows import write_mix
from tests.mixes.s3 import BUCKET, Store, failing_after, full, serving
from tests.mixes.test_publish import dvc, release


@pytest.fixture(scope="module")
def server() -> Iterator[Store]:
    with serving() as store:
        yield store


@pytest.fixture
def store(server: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """The server, and its credentials in the environment."""
    server.log_in(monkeypatch)
    yield server
    server.answer = lambda _: None


def use(workspace: Workspace, path: str, endpoint: str | None, *, bucket: str = f"s3://{BUCKET}") -> None:
    """Makes a path of the bucket, or one on this disk, the workspace's remote."""
    settings = {"url": f"{bucket}/{path}"} | ({"endpointurl": endpoint} if endpoint else {})
    with Repo(str(workspace.root)) as repo, repo.config.edit() as config:
        config["core"]["remote"], config["remote"]["store"] = "store", settings


def clone_of(workspace: Workspace, target: Path) -> Workspace:
    git(workspace.root, "clone", "--quiet", str(workspace.root), str(target))
    return Workspace(target)


def objects(path: Path) -> set[str]:
    """MD5s of the files in a DVC cache or remote."""
    return {file.parent.name + file.name.removesuffix(".dir") for file in path.rglob("*") if file.is_file()}


def test_a_clone_with_credentials_pulls_what_was_published_to_s3(
    labelled: Workspace, store: Store, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    dvc(labelled.root, "remote", "add", "--default", "store", f"s3://{BUCKET}/published")
    dvc(labelled.root, "remote", "modify", "store", "endpointurl", store.url)
    build(labelled, "base", who="ana", why="one")
    expected = rows_of(labelled.root, "v1")
    write_mix(labelled, budget={"clips": 12})
    build(labelled, "base", who="ana", why="two")
    clone = clone_of(labelled, tmp_path / "clone")
    labelled.root.rename(tmp_path / "gone")

    files = open_files(clone, "base", resolve(clone, "base", "v1"))
    pack = next(path for path in files.hashes if path.startswith("media/"))
    before = len(store.gets)
    assert len(files.read(pack, 100, 50)) == 50
    assert [asked for _, asked in store.gets[before:]] == ["bytes=100-149"], "a slice is one request for as much"
    assert rows_of(clone.root, "v1") == expected
    assert [version.revision for version in versions(clone, "base")] == ["v1", "v2"]
    assert pull(clone, "base", "v1").fetched_bytes == 0

    written = [path for root in (clone.root, tmp_path / "gone") for path in root.rglob("*") if path.is_file()]
    assert not any(store.secret.encode() in path.read_bytes() for path in written)
    history = git(clone.root, "log", "--patch", "--all") + git(clone.root, "for-each-ref", "--format=%(contents)")
    assert store.url in history and store.secret not in history
    said = capfd.readouterr()
    assert store.secret not in said.out + said.err


def test_an_interrupted_push_leaves_no_version_and_the_next_sends_the_rest(labelled: Workspace, store: Store) -> None:
    use(labelled, "interrupted", store.url)
    store.answer = failing_after(store, 3, full)
    first = len(store.puts)
    with pytest.raises(CurateError, match=r"remote store: the remote does not take it.*no room"):
        build(labelled, "base", who="ana", why="one")
    sent = store.puts[first:]
    assert len(sent) == 3 and versions(labelled, "base") == []
    store.answer = lambda _: None
    assert build(labelled, "base", who="ana", why="one").revision == "v1"
    assert not set(sent) & set(store.puts[first + 3 :]), "what had come is not sent again"
    assert list(what_is_published(labelled)) == ["v1"]


def test_killed_while_it_pushes_the_last_version_loads_and_the_next_build_publishes(
    labelled: Workspace, store: Store, tmp_path: Path
) -> None:
    use(labelled, "killed", store.url)
    build(labelled, "base", who="ana", why="one")
    git(labelled.root, "add", "--force", ".dvc/config")
    write_mix(labelled, budget={"clips": 12})
    expected = rows_of(labelled.root, "v1")
    with children() as forks:
        pid = forks.start(labelled.root)
        store.answer = failing_after(store, 1, lambda: os.kill(pid, signal.SIGKILL))
        assert forks.wait()["status"] == str(-signal.SIGKILL)
        store.answer = lambda _: None
        assert rows_of(clone_of(labelled, tmp_path / "clone").root, "v1") == expected
        assert [version.revision for version in versions(labelled, "base")] == ["v1"]
        assert forks.run(labelled.root)["status"] == "0"
    assert list(what_is_published(labelled)) == ["v1", "v2"]


def test_an_interrupted_pull_fetches_the_rest(labelled: Workspace, store: Store, tmp_path: Path) -> None:
    use(labelled, "pulled", store.url)
    build(labelled, "base", who="ana", why="one")
    expected = rows_of(labelled.root, "v1")
    clone = clone_of(labelled, tmp_path / "clone")
    first = len(store.gets)

    def later(environ: dict[str, Any]) -> Response | None:
        is_get = environ["REQUEST_METHOD"] == "GET" and "/files/md5/" in environ["PATH_INFO"]
        return full() if is_get and len(store.gets) - first >= 4 else None

    store.answer = later
    with pytest.raises(CurateError, match=r"cannot be read: .*no room"):
        pull(clone, "base", "v1")
    came = objects(clone.cache("mixes") / "files")
    store.answer = lambda _: None
    second = len(store.gets)
    pull(clone, "base", "v1")
    again = {key.rsplit("md5/", 1)[-1].replace("/", "") for key, _ in store.gets[second:]}
    assert came and not {name.split(".")[0] for name in came} & again, "what had come is not fetched again"
    assert rows_of(clone.root, "v1") == expected


def test_a_remote_that_cannot_be_used_is_one_line_and_nothing_is_lost(
    workspace: Workspace, store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refused(said: str) -> None:
        with pytest.raises(CurateError, match=said) as caught:
            release(workspace, "base", "two")
        assert "\n" not in str(caught.value) and "remote store" in str(caught.value)
        assert store.secret not in str(caught.value)
        shutil.rmtree(workspace.state / "tmp")
        shutil.rmtree(workspace.cache("locks"))
        assert read_lock("base", "v1", workspace=workspace.root)["text"] == "one"

    use(workspace, "mended", store.url)
    assert release(workspace, "base", "one") == "v1"
    shutil.rmtree(workspace.state / "tmp")
    clone = clone_of(workspace, tmp_path / "clone")
    for secret, said in (("not-the-secret", "403|ignature"), (None, "credentials")):
        with monkeypatch.context() as patch:
            store.log_in(patch, secret)
            if secret is None:
                patch.delenv("AWS_ACCESS_KEY_ID")
                patch.delenv("AWS_SECRET_ACCESS_KEY")
            refused(said)
            with pytest.raises(CurateError, match=rf"cannot be read: .*({said})"):
                read_lock("base", "v1", workspace=clone.root)
    (tmp_path / "file").touch()
    for path, endpoint, bucket, said in (
        ("it", store.url, "s3://nobody-has-this", "bucket does not exist"),
        ("it", "http://127.0.0.1:9", f"s3://{BUCKET}", "Could not connect"),
        ("it", None, str(tmp_path / "file"), "Not a directory"),
    ):
        use(workspace, path, endpoint, bucket=bucket)
        refused(said)
    assert [version.revision for version in versions(workspace, "base")] == ["v1"]
    use(workspace, "mended", store.url)
    assert release(workspace, "base", "two") == "v2"
    assert read_lock("base", "v2", workspace=clone_of(workspace, tmp_path / "again").root)["text"] == "two"


def test_a_full_disk_is_one_line_and_the_next_run_completes(labelled: Workspace, tmp_path: Path) -> None:
    use(labelled, "remote", None, bucket=str(tmp_path))
    with children() as forks:
        said = forks.run(labelled.root, room=20_000)
        assert said["failed"].startswith("CurateError") and "File too large" in said["failed"], said
        assert versions(labelled, "base") == []
        assert forks.run(labelled.root)["status"] == "0"
        clone = clone_of(labelled, tmp_path / "clone")
        said = forks.run(clone.root, "v1", room=20_000)
        assert said["failed"].startswith("CurateError"), said
        assert forks.run(clone.root, "v1")["status"] == "0"
    assert rows_of(clone.root, "v1") == rows_of(labelled.root, "v1")
