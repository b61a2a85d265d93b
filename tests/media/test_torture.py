"""Every kind of file in the torture set has an outcome and, where the truth is known, the right pictures in time."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import polars as pl
import pytest

from curate.analyze.collect import collect
from curate.errors import DecodeError
from curate.media.decode import Branch, decode, keyframes
from curate.media.gaps import Gap
from curate.media.probe import probe
from curate.workspace import Workspace
from tests.media import torture
from tests.media.conftest import number_of

SMALL = {"small": Branch(96, 54)}
PATCH_AT = (40, 48)
BESIDE_S = 0.13
"""What spoils a picture is sometimes noticed in a later one: so long before a gap frames may be wrong."""


@pytest.fixture(scope="module", autouse=True)
def quiet() -> Iterator[None]:
    av.logging.set_level(None)
    yield
    av.logging.set_level(av.logging.ERROR)


def test_the_set_is_large() -> None:
    assert len(torture.KINDS) >= 60


@pytest.mark.parametrize("name", torture.KINDS)
def test_a_kind_of_file_is_shown_right(name: str, tmp_path: Path) -> None:
    path, truth = torture.make(name, tmp_path)
    gaps: list[Gap] = []
    if truth.failed:
        with pytest.raises(DecodeError) as caught:
            probe(path)
            list(decode(path, SMALL, gaps=gaps))
        assert "\n" not in caught.value.what
        return
    info = probe(path)
    frames = list(decode(path, SMALL, gaps=gaps))
    times_s = np.array([frame.time_s for frame in frames])
    assert truth.size is None or (info.width, info.height) == truth.size
    assert (np.diff(times_s) > 0).all() and times_s[0] == 0
    if truth.times_s:
        _assert_right_times(frames, gaps, truth)
    if truth.patch:
        patches = np.array([frame.image[PATCH_AT] for frame in frames]).astype(int)
        assert np.abs(patches - torture.PATCH).max() <= 8
    if not truth.damaged and not truth.shorter:
        assert gaps == []
        assert abs(info.frames - len(frames)) <= (name == "stray_time_flv")  # whose packet says nothing of when
        assert info.duration_s == pytest.approx(info.frames / info.fps)
    keys = [frame.time_s for frame in keyframes(path, Branch(32, 18))]
    assert keys and (truth.damaged or set(keys) <= set(times_s.tolist()))


def _assert_right_times(frames: list, gaps: list[Gap], truth: torture.Truth) -> None:
    known_s = np.array(truth.times_s)
    half_s = np.diff(known_s).min() / 2 if len(known_s) > 1 else 0.02
    if not truth.damaged and not truth.shorter:
        assert [frame.time_s for frame in frames] == pytest.approx(truth.times_s, abs=half_s)
        if truth.numbers:
            assert [number_of(frame.image) for frame in frames] == list(range(len(known_s)))
        return
    assert bool(gaps) or truth.shorter
    for frame in frames if truth.numbers else ():
        if not any(gap.start_s - BESIDE_S <= frame.time_s <= gap.end_s for gap in gaps):
            number = number_of(frame.image)
            assert number < len(known_s) and abs(known_s[number] - frame.time_s) <= half_s


def test_the_whole_set_is_collected_and_every_file_has_its_outcome(tmp_path: Path, fresh: Path) -> None:
    footage = tmp_path / "footage"
    footage.mkdir()
    expected = {}
    for name in torture.KINDS:
        (footage / name).mkdir()
        path, truth = torture.make(name, footage / name)
        if not path.is_dir():
            expected[f"torture/{path.relative_to(footage)}"] = truth
    workspace = Workspace(shutil.copytree(fresh, tmp_path / "workspace"))
    for config in (workspace.configs / "sources").glob("*.yaml"):
        config.unlink()
    (workspace.configs / "sources" / "torture.yaml").write_text(
        f"id: torture\npath: {footage}\nlicence: CC0-1.0\ninclude: ['**/*']\n"
    )
    summary = collect(workspace)
    rows = workspace.catalog.scan("outcomes").filter(pl.col("stage") == "collect").collect()
    found = {row["item"]: row for row in rows.iter_rows(named=True)}
    assert set(found) == set(expected)
    assert summary.inputs == len(expected) == summary.ok + summary.filtered + summary.failed
    for item, truth in expected.items():
        row = found[item]
        assert row["reason"] is None or "\n" not in row["reason"]
        if row["outcome"] == "filtered":
            assert row["reason"].startswith("same bytes as")
        elif truth.failed:
            assert row["outcome"] == "failed" and row["reason"], item
        else:
            assert row["outcome"] == "ok", (item, row["reason"])
            assert (row["reason"] is not None) == truth.damaged or truth.shorter, (item, row["reason"])
