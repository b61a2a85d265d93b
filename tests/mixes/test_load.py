"""What is pulled is what is asked for, once; what a version shares with the one before is neither cut nor stored."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import polars as pl
import pytest

from curate.errors import CurateError, InputError
from curate.mixes import cuts as cutting
from curate.mixes.build import Published, build
from curate.mixes.files import MixFiles, open_files
from curate.mixes.load import FRAMES, MEDIA, ROWS, clip_bytes, fetch, load_mix, pull
from curate.mixes.packs import packs_of
from curate.mixes.versions import git, resolve
from curate.vectors import pack, unit
from curate.workspace import Workspace
from tests.mixes.rows import MODEL, add_label, add_videos, write_mix


def make(workspace: Workspace) -> Published:
    return build(workspace, "base", who="ana", why="test")


def dvc(root: Path, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=root, check=True, capture_output=True)


def files_of(workspace: Workspace, rev: str | None = None) -> MixFiles:
    return open_files(workspace, "base", resolve(workspace, "base", rev))


def relabel(workspace: Workspace, made: Published) -> str:
    """Moves a segment of a clip that stays chosen: the least that makes a version."""
    row = next(clip for clip in made.lock["clips"] if clip["split"] == "train" and clip["roles"] != ["replay"])
    add_label(
        workspace, row["clip_id"], row["roles"][0], segments=[{"start_s": 0.1, "end_s": 1.0, "fields": "{}"}]
    )  # fmt: skip
    return str(row["clip_id"])


def packs(made: Published, kind: str) -> set[str]:
    return {pack.path for pack in packs_of(made.lock) if pack.kind == kind}


def fetched(workspace: Workspace) -> set[Path]:
    return {path for path in (workspace.cache("mixes") / "files").rglob("*") if path.is_file()}


@pytest.fixture
def clone(labelled: Workspace, tmp_path: Path) -> Workspace:
    """A consumer's clone of a published mix; what it has not got comes from a directory."""
    dvc(labelled.root, "remote", "add", "--default", "store", str(tmp_path / "remote"))
    git(labelled.root, "add", "configs", ".dvc/config")
    git(labelled.root, "commit", "--quiet", "-m", "configs and remote")
    make(labelled)
    git(tmp_path, "clone", "--quiet", str(labelled.root), str(tmp_path / "clone"))
    return Workspace(tmp_path / "clone")


def test_a_pull_brings_what_was_asked_for_and_goes_on_where_it_was(clone: Workspace) -> None:
    rows = pull(clone, "base", split="train", media=False)
    assert (rows.name, rows.revision, rows.present_bytes) == ("base", "v1", 0)
    assert {path.parent.name for path in rows.directory.rglob("*.parquet")} == {rows.directory.name, FRAMES}
    assert not list(rows.directory.rglob("*.zip"))
    train = pull(clone, "base", "v1", split="train")
    assert train.present_bytes == rows.fetched_bytes and train.directory == rows.directory
    files = files_of(clone)
    assert train.fetched_bytes == sum(n for path, n in files.sizes.items() if path.startswith("media/train-"))

    before = {path: path.stat().st_ino for path in fetched(clone)}
    begun = files.fetched / "ab" / ".getting-long-ago"
    begun.parent.mkdir(exist_ok=True)
    begun.touch()
    os.utime(begun, (0, 0))
    with mock.patch.object(MixFiles, "_download", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        pull(clone, "base")
    whole = pull(clone, "base")
    assert whole.files == len(files.hashes)
    assert not begun.exists()
    assert before.items() <= {path: path.stat().st_ino for path in fetched(clone)}.items()
    assert pull(clone, "base").fetched_bytes == 0
    with pytest.raises(InputError, match="no split 'dev'. It has: test, train, validation"):
        pull(clone, "base", split="dev")


def test_loading_fetches_one_split_and_only_its_kinds(clone: Workspace) -> None:
    load_mix("base", split="test", media=False, vectors=False, workspace=clone.root)
    files = files_of(clone)
    here = {path for path in files.hashes if files.place(path).exists()}
    assert not any(path.startswith((MEDIA, FRAMES)) for path in here)
    row = load_mix("base", split="test", workspace=clone.root)[0]
    assert clip_bytes(row)[4:8] == b"ftyp"
    here = {path for path in files.hashes if files.place(path).exists()} - here
    assert {path.split("-")[0] for path in here} == {f"{MEDIA}/test", f"{FRAMES}/test"}
    assert not (clone.root / "data").exists() and not files.cache.exists()


def test_a_slice_is_read_without_the_rest_of_the_file(clone: Workspace) -> None:
    made = json.loads((files_of(clone)).read("lock.json"))
    pack = next(pack for pack in packs_of(made) if pack.kind == MEDIA)
    files = files_of(clone)
    assert files.remote is not None
    with mock.patch.object(type(files.remote.system), "cat_file", autospec=True) as cat:
        cat.side_effect = lambda system, path, start, end: Path(path).read_bytes()[start:end]
        content = files.read(pack.path, pack.offsets[0], pack.sizes[0])
    (((_, path), asked),) = cat.call_args_list
    assert content[4:8] == b"ftyp"
    assert (asked["start"], asked["end"]) == (pack.offsets[0], pack.offsets[0] + pack.sizes[0])
    assert path == files.remote.path(files.hashes[pack.path])
    assert not fetched(clone)
    assert files.sizes[pack.path] == pack.bytes
    with pytest.raises(CurateError, match=r"media/.*zip cannot be read: it ends after \d+ bytes"):
        files.read(pack.path, pack.bytes - 1, 2)
    with pytest.raises(CurateError, match="it is not in the cache, and there is no remote"):
        replace(files, remote=None).read(pack.path)


def test_a_file_that_the_remote_damaged_is_refused(clone: Workspace) -> None:
    files = files_of(clone)
    assert files.remote is not None
    path = next(path for path in files.hashes if path.startswith(MEDIA))
    damaged = Path(files.remote.path(files.hashes[path]))
    damaged.chmod(0o644)
    damaged.write_bytes(damaged.read_bytes()[:-1])
    with pytest.raises(
        CurateError, match=r"media/.*zip cannot be read: what the remote holds under its name is damaged"
    ):
        load_mix("base", workspace=clone.root)
    assert not files.place(path).exists()


def load_all(root: Path) -> dict[str, list[str]]:
    return {split: list(rows["clip_id"]) for split, rows in load_mix("base", workspace=root).items()}


def test_what_loads_at_once_agrees_and_workers_read_without_dvc(clone: Workspace) -> None:
    with ThreadPoolExecutor(3) as threads:
        first, *others = threads.map(load_all, [clone.root] * 3)
    assert all(other == first for other in others)
    assert not list(clone.cache("datasets").glob(".*")) and not list(clone.cache("mixes").rglob(".getting-*"))

    command = "import pickle, sys; files = pickle.load(sys.stdin.buffer); print(files.read('lock.json', 0, 1)); "
    command += "assert not {name.split('.')[0] for name in sys.modules} & {'dvc', 'dvc_objects', 'datasets', 'torch'}"
    sent = pickle.dumps(files_of(clone))
    done = subprocess.run([sys.executable, "-c", command], input=sent, capture_output=True, check=True)
    assert done.stdout == b"b'{'\n"


def test_a_version_keeps_its_packs_by_hard_link_and_cuts_only_new_clips(labelled: Workspace) -> None:
    first = make(labelled)
    files = {path: (first.directory / path).stat().st_ino for path in packs(first, MEDIA)}
    held = {clip["clip_id"] for clip in first.lock["clips"]}
    shutil.rmtree(labelled.cache("exact-cuts"))
    add_videos(labelled, labelled.catalog.read("videos")["video_id"], Path("/gone.mp4"))
    relabel(labelled, first)
    with mock.patch.object(cutting, "cut_exactly", side_effect=AssertionError("nothing is to be cut")):
        second = make(labelled)
    assert second.new and {clip["clip_id"] for clip in second.lock["clips"]} <= held
    kept = packs(second, MEDIA) & packs(first, MEDIA)
    assert kept and all((second.directory / path).stat().st_ino == files[path] for path in kept)


@pytest.mark.parametrize("lost", ["data", "data and cache", "a file changed by hand"])
def test_packs_come_from_wherever_they_are_still_to_be_had(labelled: Workspace, tmp_path: Path, lost: str) -> None:
    dvc(labelled.root, "remote", "add", "--default", "store", str(tmp_path / "remote"))
    first = make(labelled)
    if lost == "a file changed by hand":
        path = labelled.data / "base" / min(packs(first, MEDIA))
        path.chmod(0o644)
        path.write_bytes(b"nonsense")
    else:
        shutil.rmtree(labelled.data)
    if lost == "data and cache":
        shutil.rmtree(labelled.root / ".dvc" / "cache")
    write_mix(labelled, budget={"clips": 12})
    second = make(labelled)
    files = files_of(labelled)
    before = files_of(labelled, "v1")
    for path in packs(second, MEDIA) & packs(first, MEDIA):
        assert files.hashes[path] == before.hashes[path]
    for row in load_mix("base", split="train", workspace=labelled.root):
        assert clip_bytes(row)[4:8] == b"ftyp"


def test_clips_whose_vectors_changed_load_with_the_new_ones(labelled: Workspace) -> None:
    first = make(labelled)
    clip = relabel(labelled, first)
    start_s = next(row["start_s"] for row in first.lock["clips"] if row["clip_id"] == clip)
    fresh = unit(np.ones((2, 8), np.float32))
    labelled.catalog.write(
        "embeddings",
        [{"clip_id": clip, "model_id": MODEL, "vector": pack(fresh[0]), "frame_times_s": [start_s, start_s + 1],
          "frame_vectors": pack(fresh)}],
        run_id="t", work_key="w",
    )  # fmt: skip
    second = make(labelled)
    assert second.new
    rows = load_mix("base", split="train", workspace=labelled.root)
    (row, *_) = rows.filter(lambda row: row["clip_id"] == clip)
    assert row["frame_times_s"] == [0.0, 1.0]
    assert np.allclose(row["frame_vectors"], fresh, atol=1e-3)
    old = load_mix("base", "v1", split="train", workspace=labelled.root)
    assert len(next(row for row in old if row["clip_id"] == clip)["frame_times_s"]) == 4
    listed = pl.concat([pl.read_parquet(path) for path in (second.directory / FRAMES).glob("train-*.parquet")])
    assert listed.filter(clip_id=clip)["frame_times_s"].list.len().to_list() == [2]


def test_fetch_says_where_each_file_lies(labelled: Workspace) -> None:
    made = make(labelled)
    here = fetch(labelled, "base", kinds=[MEDIA], splits=["test"])
    assert set(here) == {path for path in packs(made, MEDIA) if path.startswith("media/test-")}
    for path, place in here.items():
        assert place.read_bytes() == (made.directory / path).read_bytes()
    assert {"README.md", "lock.json", "plots/shares.svg"} <= set(fetch(labelled, "base", kinds=[ROWS]))
