"""What annotators watch is cut once, and its times are kept."""

from fractions import Fraction
from pathlib import Path

import polars as pl
import pytest

from curate.media.probe import probe
from curate.progress import silent
from curate.workspace import Workspace, create_workspace
from labeling.frames import even_timeline
from labeling.proxies import SETTINGS, Proxy, Span, cut_proxies, directory, task_timelines, timelines
from tests.media.conftest import Maker, make_video

__all__ = ["make_video"]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return create_workspace(tmp_path / "workspace")


def cut(workspace: Workspace, *spans: Span) -> list[Proxy]:
    made = list(cut_proxies(workspace, list(spans), silent))
    assert all(isinstance(outcome, Proxy) for outcome in made)
    return [outcome for outcome in made if isinstance(outcome, Proxy)]


def span(source: Path, clip_id: str = "ab12", start_s: float = 0.31) -> Span:
    return Span(clip_id, str(source), start_s, start_s + 0.5)


def test_a_clip_is_cut_once(workspace: Workspace, make_video: Maker) -> None:
    one = span(make_video())
    [first] = cut(workspace, one)
    file = directory(workspace) / first.name
    written, version = file.stat().st_mtime_ns, workspace.catalog.versions()["proxies"]
    assert cut(workspace, one) == [first]
    assert (file.stat().st_mtime_ns, workspace.catalog.versions()["proxies"]) == (written, version)


def test_its_rows_say_when_its_frames_are_in_the_source(workspace: Workspace, make_video: Maker) -> None:
    [made] = cut(workspace, span(make_video()))
    [row] = workspace.catalog.read("proxies").to_dicts()
    assert (row["clip_id"], row["settings"], row["fps"], row["frames"]) == ("ab12", SETTINGS, "30", 16)
    assert row["edges_s"] == pytest.approx([0.31, *(number / 30 for number in range(10, 25)), 0.81])
    assert timelines(workspace.catalog, ["ab12", "cd34"]) == {"ab12": made.timeline}


@pytest.mark.parametrize("lost", ["file", "row"])
def test_what_a_deleted_cache_or_a_kill_left_out_is_made_again_the_same(
    workspace: Workspace, make_video: Maker, lost: str
) -> None:
    source = make_video()
    [made] = cut(workspace, span(source))
    file = directory(workspace) / made.name
    content = file.read_bytes()
    if lost == "file":
        file.unlink()
    else:
        for part in Path(workspace.catalog.root, "proxies").rglob("*"):
            if part.is_file():
                part.unlink()
    assert cut(workspace, span(source)) == [made]
    assert file.read_bytes() == content
    assert timelines(workspace.catalog, ["ab12"]) == {"ab12": made.timeline}


def test_a_kill_in_the_middle_keeps_what_was_noted(
    workspace: Workspace, make_video: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labeling.proxies._KEPT_PROXIES", 2)
    source = make_video()
    work = cut_proxies(workspace, [span(source, f"ab{number}") for number in range(10, 16)], silent)
    handed_on = [next(work) for _ in range(2)]
    work.close()
    known = timelines(workspace.catalog, [f"ab{number}" for number in range(10, 16)])
    assert {outcome.clip_id for outcome in handed_on if isinstance(outcome, Proxy)} <= set(known)


def test_a_small_video_is_enlarged_and_a_large_one_is_not_shown_larger(workspace: Workspace, make_video: Maker) -> None:
    small, large = make_video(size=(160, 90)), make_video(size=(1280, 720))
    made = cut(workspace, span(small, "ab1"), span(large, "ab2"))
    assert sorted(probe(directory(workspace) / one.name).height for one in made) == [360, 480]


def test_a_task_of_a_proxy_that_nothing_is_known_of_has_an_even_timeline(
    workspace: Workspace, make_video: Maker
) -> None:
    [made] = cut(workspace, span(make_video()))
    known = {"clip_id": "ab12", "proxy": SETTINGS, "fps_fraction": "30", "frames": 16, "start_s": 0.31}
    older = {**known, "frames": 15}
    del older["proxy"]
    lost = {**known, "clip_id": "cd34"}
    assert task_timelines(workspace.catalog, [known, older, lost]) == [
        made.timeline,
        even_timeline(Fraction(30), 15, 0.31),
        even_timeline(Fraction(30), 16, 0.31),
    ]


def test_a_clip_that_cannot_be_cut_fails_and_the_others_do_not(workspace: Workspace, make_video: Maker) -> None:
    good, bad = span(make_video(), "ab1"), Span("ab2", str(workspace.root / "gone.mp4"), 0, 1)
    outcomes = list(cut_proxies(workspace, [bad, good], silent))
    assert {getattr(outcome, "clip_id", None) for outcome in outcomes} == {"ab1", None}
    assert workspace.catalog.scan("proxies").select(pl.col("clip_id")).collect()["clip_id"].to_list() == ["ab1"]
