"""The page of duplicates in a real browser: pairs side by side, the least sure first."""

from pathlib import Path

import cv2
import numpy as np
from playwright.sync_api import Browser

from curate.report.links import write_links
from curate.workspace import Workspace
from tests.dedupe.conftest import workspace
from tests.dedupe.rows import Clip, write_clips

__all__ = ["workspace"]

MARKUP = "<img src=x onerror=document.title='broken'>"


def write_pairs(workspace: Workspace, count: int) -> None:
    """Clips a0 to aN, each with a copy b0 to bN that is less sure the higher its number; b0 is dropped."""
    frames = np.eye(2, 8, dtype=np.float32)
    firsts = [Clip(f"a{at}", frames, path=f"/nowhere/{MARKUP}{at}.mp4") for at in range(count)]
    seconds = [Clip(f"b{at}", frames) for at in range(count)]
    write_clips(workspace, [*firsts, *seconds])
    picture = cv2.imencode(".jpg", np.full((90, 160, 3), 128, np.uint8))[1].tobytes()
    strips = [{"clip_id": clip.clip_id, "times_s": [0.5, 1.5], "jpegs": [picture] * 2} for clip in firsts]
    workspace.catalog.write("thumbnails", strips, run_id="test")
    edges = [
        {
            "clip_id": one.clip_id, "other_id": other.clip_id, "kind": "copy", "score": 0.99 - at / 100, "start_s": 0.5,
            "end_s": 2.0, "other_start_s": 0.0, "other_end_s": 1.2, "speed": 0.8, "mirrored": at == 0,
        }
        for at, (one, other) in enumerate(zip(firsts, seconds, strict=True))
    ]  # fmt: skip
    workspace.catalog.write("duplicates", edges, run_id="test")
    keeper = {"clip_id": seconds[0].clip_id, "keeper_id": firsts[0].clip_id, "kind": "copy", "score": 0.99}
    workspace.catalog.write("keepers", [keeper], run_id="test")


def test_pairs_are_shown_side_by_side_the_least_sure_first(
    workspace: Workspace, browser: Browser, tmp_path: Path
) -> None:
    write_pairs(workspace, 3)
    page = browser.new_page()
    page.goto(write_links(workspace, tmp_path / "links.html").as_uri())
    assert "broken" not in page.title()
    assert page.locator("h2").all_inner_texts() == ["semantic: 0 pairs", "copy: 3 pairs", "exact: 0 pairs"]
    pairs = page.locator(".pair")
    assert [text.split()[0] for text in pairs.locator("> p").all_inner_texts()] == ["0.970", "0.980", "0.990"]
    last = pairs.last.inner_text()
    assert "mirrored" in last and "0.80 times the speed" in last and "0.5 to 2.0 s" in last and MARKUP in last
    assert last.index("stays") < last.index("dropped")
    assert pairs.first.locator("img").count() == 2
    assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")


def test_many_pairs_are_cut_and_counted(workspace: Workspace, browser: Browser, tmp_path: Path) -> None:
    write_pairs(workspace, 5)
    page = browser.new_page(viewport={"width": 400, "height": 800})
    page.goto(write_links(workspace, tmp_path / "links.html", limit=2).as_uri())
    assert page.locator("h2").nth(1).inner_text() == "copy: 5 pairs, 2 of them here"
    assert page.locator(".pair").count() == 2
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing is cut off on a phone"


def test_a_workspace_without_duplicates_has_a_page_too(workspace: Workspace, tmp_path: Path) -> None:
    assert write_links(workspace, tmp_path / "deep" / "links.html").read_text().count("None.") == 3
