"""A first look at a video: keyframes only, few, spread over it, and taken once."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.analyze.triage import look_at, spread, triage
from curate.analyze.video import analyze_video
from curate.errors import DecodeError
from curate.progress import silent
from curate.sources.files import find_files, identify
from curate.workspace import Workspace
from tests.analyze.conftest import World, configure
from tests.analyze.test_collect import MakeWorkspace


@given(st.integers(0, 500), st.integers(1, 40))
def test_what_is_kept_is_even_and_neither_too_many_nor_too_few(count: int, most: int) -> None:
    kept = spread(range(count), most)
    assert len(kept) <= most and len(kept) >= min(count, (most + 1) // 2)
    assert kept[:1] == list(range(min(count, 1)))
    assert len(set(np.diff(kept))) <= 1


def pending(workspace: Workspace) -> list:
    return identify(workspace.catalog, find_files(workspace, workspace.sources().values()), "test", silent)


def test_a_look_shows_what_the_analysis_shows(world: World, make_workspace: MakeWorkspace) -> None:
    directory, truth = world
    workspace = make_workspace(world=directory)
    entry = next(e for e in truth["videos"] if e["kind"] == "original" and len(e["shots"]) > 2)
    file = next(file for file in pending(workspace) if file.path.endswith(entry["file"]))
    look = look_at(file.path, workspace.analysis())
    assert look.duration_s == pytest.approx(entry["duration_s"], abs=0.05)
    assert look.times_s[0] == 0 and (np.diff(look.times_s) > 0).all()
    assert np.linalg.norm(look.vectors, axis=1) == pytest.approx(1, abs=1e-3)
    made = analyze_video(file.path, workspace.analysis())
    first = np.frombuffer(made.clips[0].frame_vectors, np.float16).reshape(-1, look.vectors.shape[1])[0]
    assert made.clips[0].frame_times_s[0] == 0
    assert float(first @ look.vectors[0]) > 0.999


def test_a_look_is_taken_once_and_again_where_its_parameters_change(
    world: World, make_workspace: MakeWorkspace
) -> None:
    workspace = make_workspace(world=world[0])
    files = [file for file in pending(workspace) if "footage" in Path(file.path).name][:2]
    ran: list[tuple[str, int, int]] = []

    def look() -> dict:
        ran.clear()
        return triage(workspace.catalog, files, workspace.analysis(), "test", lambda *bar: ran.append(bar))

    first = look()
    assert len(first) == len(ran) == 2
    again = look()
    assert not ran
    for video_id, one in first.items():
        assert (again[video_id].times_s == one.times_s).all()
        assert np.abs(again[video_id].vectors - one.vectors).max() < 1e-3
    configure(workspace, triage={"keyframes": 1})
    assert [len(one.times_s) for one in look().values()] == [1, 1] and len(ran) == 2


def test_a_file_that_cannot_be_looked_at_is_left_out(world: World, make_workspace: MakeWorkspace) -> None:
    workspace = make_workspace(world=world[0])
    broken = next(file for file in pending(workspace) if "audio_only" in file.path)
    assert triage(workspace.catalog, [broken], workspace.analysis(), "test") == {}
    with pytest.raises(DecodeError):
        look_at(broken.path, workspace.analysis())
