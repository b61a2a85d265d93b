"""The standing indexes: up to date with the current clips, at the cost of what changed."""

import shutil
from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl
import pytest

from curate.errors import CurateError, InputError
from curate.standing import indexes as module
from curate.standing.frames import Frames
from curate.standing.indexes import MEANS, MOMENTS, Kind, Standing, standing
from curate.vectors import unit
from curate.workspace import Workspace
from tests.dedupe.rows import Clip, write_clips

DIM = 8


def clip(name: str, seed: int = 0, frames: int = 4) -> Clip:
    return Clip(
        name, unit(np.random.default_rng([*name.encode(), seed]).standard_normal((frames, DIM)).astype(np.float32))
    )


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many items each update loaded."""
    counts: list[int] = []
    original = module._load

    def counted(*arguments: Any) -> Iterator[Any]:
        for batch in original(*arguments):
            counts.append(len(batch.keys))
            yield batch

    monkeypatch.setattr(module, "_load", counted)
    return counts


def held(found: Standing) -> set[str]:
    return set(found.items["clip_id"])


@pytest.mark.parametrize("kind", [MEANS, MOMENTS], ids=lambda kind: kind.name)
def test_only_new_clips_are_read(workspace: Workspace, read: list[int], kind: Kind) -> None:
    first, second = [clip("a"), clip("b"), clip("c")], [clip("d")]
    write_clips(workspace, first)
    found = standing(workspace, kind)
    assert held(found) == {each.clip_id for each in first}
    assert (found.dim, found.model_id, found.note, read) == (DIM, "test", "", [3])
    assert standing(workspace, kind).changes is None
    write_clips(workspace, second)
    found = standing(workspace, kind)
    assert read == [3, 1]
    assert held(found) == {each.clip_id for each in [*first, *second]}
    assert found.changes is not None
    assert found.changes.added.tolist() == [f"{second[0].clip_id}/w1".encode()]


def test_a_clip_analysed_anew_is_replaced(workspace: Workspace) -> None:
    write_clips(workspace, [clip("a"), clip("b")])
    standing(workspace, MEANS)
    again = clip("a", seed=1)
    write_clips(workspace, [again], work_key="w2")
    found = standing(workspace, MEANS)
    assert held(found) == {again.clip_id, clip("b").clip_id}
    vectors, _ = found.index.vectors(found.numbers([again.clip_id]))
    assert vectors[0] == pytest.approx(unit(again.frames.mean(axis=0)), abs=2e-3)


def test_a_clip_whose_video_is_analysed_otherwise_goes(workspace: Workspace) -> None:
    write_clips(workspace, [clip("a"), clip("b")])
    standing(workspace, MOMENTS)
    shorter = Clip("a", clip("a").frames, end_s=1.5)
    write_clips(workspace, [shorter], work_key="w2")
    assert held(standing(workspace, MOMENTS)) == {shorter.clip_id, clip("b").clip_id}


def test_blobs_are_the_frames(workspace: Workspace) -> None:
    write_clips(workspace, [clip("a", frames=3), clip("b", frames=5)])
    found = standing(workspace, MOMENTS)
    numbers = found.numbers([clip("b").clip_id, "not there"])
    frames = Frames.of_blobs([found.index.blob(int(numbers[0]))], DIM)
    assert frames.vectors == pytest.approx(clip("b", frames=5).frames, abs=1e-3)
    assert frames.times_s.tolist() == [0, 0.5, 1, 1.5, 2]
    assert found.clip_ids(numbers).to_list() == [clip("b").clip_id]


def test_what_a_kind_holds_is_the_callers_affair(workspace: Workspace) -> None:
    def hold(rows: pl.DataFrame) -> tuple[np.ndarray, np.ndarray, list[bytes]]:
        count = len(rows)
        return np.eye(3, dtype=np.float32)[:1].repeat(2 * count, 0), np.repeat(np.arange(count), 2), [b"x"] * count

    write_clips(workspace, [clip("a"), clip("b")])
    found = standing(workspace, Kind("own", "clips", ("motion",), hold, model="mine", dim=3))
    vectors, owner = found.index.vectors(found.index.numbers)
    assert (vectors.shape, owner.tolist()) == ((4, 3), [0, 0, 1, 1])
    assert found.index.blob(int(found.index.numbers[0])) == b"x"


def test_an_index_that_is_deleted_is_made_again(workspace: Workspace, read: list[int]) -> None:
    write_clips(workspace, [clip("a")])
    standing(workspace, MEANS)
    shutil.rmtree(workspace.state / "index")
    assert held(standing(workspace, MEANS)) == {clip("a").clip_id}
    assert read == [1, 1]


def test_a_catalog_made_again_is_another_although_its_versions_are_the_same(workspace: Workspace) -> None:
    write_clips(workspace, [clip("a")])
    standing(workspace, MEANS)
    shutil.rmtree(workspace.state / "catalog")
    write_clips(workspace, [clip("b")])
    assert held(standing(workspace, MEANS)) == {clip("b").clip_id}


def test_rows_written_twice_are_one_item(workspace: Workspace) -> None:
    write_clips(workspace, [clip("a"), clip("a")])
    write_clips(workspace, [clip("a")])
    assert held(standing(workspace, MEANS)) == {clip("a").clip_id}


def test_another_process_at_work_leaves_the_former_index(workspace: Workspace) -> None:
    write_clips(workspace, [clip("a")])
    with workspace.lock("index-clips"), pytest.raises(CurateError, match="index-clips"):
        standing(workspace, MEANS, former_ok=True)
    standing(workspace, MEANS)
    write_clips(workspace, [clip("b")])
    with workspace.lock("index-clips"):
        found = standing(workspace, MEANS, former_ok=True)
        assert held(found) == {clip("a").clip_id}
        assert "newest clips are not in it" in found.note
        with pytest.raises(CurateError, match="index-clips"):
            standing(workspace, MEANS)
    assert len(held(standing(workspace, MEANS))) == 2


def test_two_models_at_once_cannot_be_compared(workspace: Workspace) -> None:
    write_clips(workspace, [clip("a")], model_id="one")
    write_clips(workspace, [clip("b")], model_id="two")
    with pytest.raises(InputError, match="2 models: one, two"):
        standing(workspace, MEANS)
    write_clips(workspace, [clip("a")], model_id="two", work_key="w2")
    assert standing(workspace, MEANS).model_id == "two"


def test_no_clips_yet(workspace: Workspace) -> None:
    found = standing(workspace, MOMENTS)
    assert held(found) == set()
    write_clips(workspace, [clip("a")])
    assert held(standing(workspace, MOMENTS)) == {clip("a").clip_id}
