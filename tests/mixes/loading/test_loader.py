"""Batches hold what the rows say, in an order that nothing but rows, seed and epoch decides."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch

from curate.errors import CurateError, DecodeError, InputError
from curate.mixes.loading.decode import Sampling, decode_clip
from curate.mixes.loading.loader import Batch, MixLoader, torch_loader
from tests.mixes.loading.conftest import CLIPS

ROWS = CLIPS + 5


@pytest.fixture
def open_loader(version: Path) -> Iterator[Any]:
    opened = []

    def make(mix: Any = version, **asked: Any) -> MixLoader:
        opened.append(torch_loader(mix, **{"batch_size": 4, "fps": 5, "size": 32, "workers": 0, **asked}))
        return opened[-1]

    yield make
    for loader in opened:
        loader.close()


def keys(batches: Any) -> list[tuple[str, int]]:
    return [(row["clip_id"], row["repeat"]) for batch in batches for row in batch.rows]


def same(one: Batch, other: Batch) -> bool:
    names = ("frames", "times_s", "mask", "on", "known")
    return one.rows == other.rows and all(torch.equal(getattr(one, name), getattr(other, name)) for name in names)


def test_a_batch_holds_frames_times_and_targets_of_its_rows(open_loader: Any, contents: dict[str, bytes]) -> None:
    loader = open_loader()
    assert loader.capabilities == ("bounce", "spin")
    seen = []
    for batch in loader:
        count, length = batch.mask.shape
        assert batch.frames.dtype == torch.uint8 and batch.frames.shape == (count, length, 3, 32, 32)
        assert batch.times_s.dtype == torch.float64 and batch.on.dtype == torch.float32
        assert batch.on.shape == batch.known.shape == (count, length, 2)
        assert not batch.frames[~batch.mask].any() and batch.mask.any(dim=0).all()
        assert not batch.on[~batch.known].any() and not batch.known[~batch.mask].any()
        for at, row in enumerate(batch.rows):
            frames, times_s = decode_clip(contents[row["clip_id"]], Sampling((32, 32), fps=5), row["duration_s"])
            shown = int(batch.mask[at].sum())
            assert np.array_equal(batch.frames[at, :shown], frames) and np.array_equal(
                batch.times_s[at, :shown], times_s
            )
            bounce, spin = batch.on[at, :shown].T.tolist()
            known, spin_known = batch.known[at, :shown].T.tolist()
            kind = int(row["clip_id"], 16) % 3
            assert bounce == [float(kind == 0 and 0.2 <= time_s < 0.6) for time_s in times_s]
            assert known == [kind < 2] * shown
            assert spin == [1.0] + [0.0] * (shown - 1) and spin_known == [True] + [False] * (shown - 1)
            assert row["labels"][0]["segments"] == [] or "red" in row["labels"][0]["segments"][0]["fields"]
        seen += keys([batch])
    assert len(seen) == len(set(seen)) == ROWS


def test_workers_give_what_this_process_gives(open_loader: Any) -> None:
    for one, other in zip(open_loader(workers=0), open_loader(workers=2), strict=True):
        assert same(one, other)


def test_a_fixed_number_of_frames_is_the_length_of_every_batch(open_loader: Any) -> None:
    for batch in open_loader(fps=None, frames=40, size=(16, 24)):
        assert batch.frames.shape[1:] == (40, 3, 16, 24)
        frames = [min(25 + int(row["clip_id"], 16), 40) for row in batch.rows]
        assert batch.mask.sum(dim=1).tolist() == frames


def test_each_epoch_has_its_order_and_seeds_differ(open_loader: Any) -> None:
    loader = open_loader(fps=1, size=8)
    first, second = keys(loader), keys(loader)
    assert loader.epoch == 2
    assert first != second and sorted(first) == sorted(second)
    loader.set_epoch(0)
    assert keys(loader) == first
    assert keys(open_loader(fps=1, size=8, seed=1)) != first
    assert keys(open_loader(fps=1, size=8, shuffle=False)) == sorted(first)


def test_training_goes_on_in_mid_epoch_with_other_ranks_exactly(open_loader: Any) -> None:
    small = {"fps": 1, "size": 8}
    whole = keys(open_loader(**small))
    ranks = [open_loader(**small, rank=rank, world_size=2, batch_size=3) for rank in range(2)]
    seen = []
    for number, batches in enumerate(zip(*ranks, strict=True)):
        seen += keys(batches)
        if number == 1:
            break
    states = [loader.state_dict() for loader in ranks]
    assert states[0] == states[1] and states[0]["consumed"] == 12
    assert seen == whole[:12]
    resumed = [open_loader(**small, rank=rank, world_size=3, batch_size=2) for rank in range(3)]
    for loader in resumed:
        loader.load_state_dict(states[0])
        loader.set_epoch(0)
    assert len(resumed[0]) == 3
    for batches in zip(*resumed, strict=True):
        seen += keys(batches)
    assert seen == whole


def test_an_iteration_that_was_left_is_taken_up_again(open_loader: Any) -> None:
    whole = keys(open_loader(fps=1, size=8))
    loader = open_loader(fps=1, size=8, workers=2)
    seen = []
    for at, batch in enumerate(loader):
        seen += keys([batch])
        if at == 2:
            break
    assert seen + keys(loader) == whole
    assert sorted(keys(loader)) == sorted(whole)


def test_every_rank_takes_as_many_steps_as_the_others(open_loader: Any) -> None:
    for asked in ({}, {"drop_last": True}):
        ranks = [open_loader(fps=1, size=8, rank=rank, world_size=5, **asked) for rank in range(5)]
        batches = [list(loader) for loader in ranks]
        assert {len(each) for each in batches} == {1 if asked else 2}
        assert len(set(keys(chain.from_iterable(batches)))) == (20 if asked else ROWS)
    lonely = [open_loader(split="test", batch_size=8, rank=rank, world_size=9) for rank in range(9)]
    assert sorted(len(batch.rows) for loader in lonely for batch in loader) == [0] * 5 + [1] * 4


def test_a_state_of_other_rows_or_another_seed_is_refused(open_loader: Any) -> None:
    state = open_loader().state_dict()
    for other in (open_loader(seed=1), open_loader(split="test"), open_loader(shuffle=False)):
        with pytest.raises(InputError, match="state is of another loader"):
            other.load_state_dict(state)


def test_rows_of_plain_datasets_load_with_their_selection(open_loader: Any, version: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(version)
    dataset = datasets.load_dataset("parquet", data_files={"train": "train-*.parquet"}, cache_dir=version / "cache")
    assert keys(open_loader(dataset, shuffle=False)) == keys(open_loader(shuffle=False))
    some = dataset["train"].filter(lambda row: row["repeat"] == 1)
    assert [repeat for _, repeat in keys(open_loader(some))] == [1] * 5


@pytest.fixture
def spoilt(version: Path, tmp_path: Path) -> tuple[Path, str]:
    """A version of which one clip is damaged, and which."""
    directory = Path(shutil.copytree(version, tmp_path / "spoilt"))
    loader = torch_loader(directory, split="test", batch_size=1, workers=0)
    row = loader._rows.take(np.array([2]))[0]
    place = row["media"]
    with (directory / place["pack"]).open("r+b") as pack:
        pack.seek(place["offset"])
        pack.write(bytes(place["size"]))
    return directory, row["clip_id"]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_clip_that_does_not_decode_is_named_or_skipped(
    open_loader: Any, spoilt: tuple[Path, str], workers: int
) -> None:
    directory, clip = spoilt
    loader = open_loader(directory, split="test", workers=workers)
    with pytest.raises(DecodeError, match=f"^clip {clip} in .*media/test-.*zip: "):
        list(loader)
    loader = open_loader(directory, split="test", workers=workers, on_error="skip", fps=None, frames=3)
    (batch,) = loader
    assert set(loader.skipped) == {clip}
    at = [row["clip_id"] for row in batch.rows].index(clip)
    assert batch.mask.sum(dim=1).tolist() == [3 * (row != at) for row in range(len(batch.rows))]
    assert not batch.known[at].any() and not batch.frames[at].any()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_pack_that_is_gone_or_short_is_named(open_loader: Any, version: Path, tmp_path: Path, workers: int) -> None:
    directory = Path(shutil.copytree(version, tmp_path / "short"))
    (pack,) = directory.glob("media/test-*.zip")
    os.truncate(pack, pack.stat().st_size // 4)
    with pytest.raises(CurateError, match=r"media/test-\w+.zip: ends after \d+ bytes"):
        list(open_loader(directory, split="test", workers=workers))
    pack.unlink()
    with pytest.raises(CurateError, match=r"media/test-\w+.zip: cannot be read: No such file"):
        list(open_loader(directory, split="test", workers=workers))


def test_a_worker_that_dies_is_an_error_and_no_hang(open_loader: Any) -> None:
    loader = open_loader(workers=2, batch_size=2)
    batches = iter(loader)
    next(batches)
    for worker in loader._pool._workers:
        os.kill(worker._process.pid, signal.SIGKILL)
    with pytest.raises(CurateError, match="ended by signal 9"):
        list(batches)


def test_workers_end_with_the_trainer_however_it_ends(version: Path) -> None:
    script = (
        "import os, sys, pathlib; from curate.mixes.loading.loader import torch_loader\n"
        "loader = torch_loader(pathlib.Path(sys.argv[1]), batch_size=2, size=8, workers=2)\n"
        "next(iter(loader)); print(*[w._process.pid for w in loader._pool._workers], flush=True)\n"
        "os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(version)], stdout=subprocess.PIPE, text=True)
    pids = [int(pid) for pid in done.stdout.split()]
    assert len(pids) == 2
    for pid in pids:
        for _ in range(200):
            if not Path(f"/proc/{pid}").exists() or "zombie" in Path(f"/proc/{pid}/status").read_text():
                break
            time.sleep(0.05)
        else:
            pytest.fail(f"worker {pid} outlives the trainer")


@pytest.mark.parametrize(
    "asked",
    [
        {"batch_size": 0},
        {"rank": 2, "world_size": 2},
        {"workers": -1},
        {"split": "dev"},
        {"fps": None},
        {"rev": "v1"},
        {"on_error": "ignore"},
    ],
)
def test_arguments_that_make_no_sense_are_refused(open_loader: Any, asked: dict) -> None:
    with pytest.raises(InputError):
        open_loader(**asked)


def test_columns_are_those_asked_for_and_one_without_labels_is_warned_of(open_loader: Any) -> None:
    with pytest.warns(UserWarning, match="no label of 'leap' in this split: there are bounce, spin"):
        loader = open_loader(capabilities=["spin", "leap", "bounce"], split="test")
    for one, other in zip(loader, open_loader(split="test"), strict=True):
        assert torch.equal(one.on[..., [2, 0]], other.on) and torch.equal(one.known[..., [2, 0]], other.known)
        assert not one.known[..., 1].any()


def test_ranks_are_those_of_the_environment(open_loader: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    own = keys(open_loader(fps=1, size=8))
    other = keys(open_loader(fps=1, size=8, rank=0))
    assert len(own) == len(other) == ROWS // 2 and not set(own) & set(other)


def test_dvc_is_not_needed_for_what_is_here(version: Path) -> None:
    script = (
        "import sys, pathlib; sys.modules['dvc'] = None\n"
        "from curate.mixes.loading.loader import torch_loader\n"
        "list(torch_loader(pathlib.Path(sys.argv[1]), split='test', batch_size=2, workers=1))"
    )
    subprocess.run([sys.executable, "-c", script, str(version)], check=True)
