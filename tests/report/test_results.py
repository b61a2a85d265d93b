"""The page of a search in a real browser, with names that would be markup if they were not escaped."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import polars as pl
import pytest
from playwright.sync_api import Browser

from curate import views
from curate.report.results import Question, write_results
from curate.search.search import search_clips
from curate.workspace import Workspace
from tests.dedupe.conftest import footage, workspace
from tests.dedupe.rows import Clip, write_clips

__all__ = ["footage", "workspace"]

MARKUP = "<script>document.title='broken'</script><img src=x onerror=alert(1)>"


@pytest.fixture
def clips(workspace: Workspace, footage: tuple[Path, list[dict[str, Any]]]) -> list[Clip]:
    """One clip whose file is here, one whose file is gone, and one without a picture. The first has two pictures."""
    directory, entries = footage
    frames = np.eye(4, 8, dtype=np.float32)
    made = [
        Clip("here", frames, path=str(directory / entries[0]["file"]), motion=0.3),
        Clip("gone", frames, path=f"/nowhere/{MARKUP}.mp4", source=MARKUP, motion=0.2),
        Clip("bare", frames, motion=0.1),
    ]
    write_clips(workspace, made)
    dark, light = (cv2.imencode(".jpg", np.full((90, 160, 3), level, np.uint8))[1].tobytes() for level in (20, 230))
    rows = [
        {"clip_id": made[0].clip_id, "times_s": [0.2, 1.0], "jpegs": [dark, light]},
        {"clip_id": made[1].clip_id, "times_s": [0.5], "jpegs": [dark]},
    ]
    workspace.catalog.write("thumbnails", rows, run_id="test")
    return made


def found(workspace: Workspace, **changes: Any) -> pl.DataFrame:
    """What a search would give: the best second of each clip is its last, and the first clip is the best."""
    rows = views.clips(workspace.catalog).sort("motion", descending=True).collect()
    values = {"similarity": pl.col("motion"), "best_start_s": pl.lit(1.0), "best_end_s": pl.lit(2.0), **changes}
    return rows.with_columns(**values)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_it_shows_what_was_found_and_runs_nothing_that_footage_brought(
    workspace: Workspace, clips: list[Clip], browser: Browser, tmp_path: Path, width: int, scheme: Any
) -> None:
    asked = Question(text=[f"a ball {MARKUP}"], not_text=["mud"], like=["abc"], where="motion > 0 and 'a' < 'b'")
    path = write_results(workspace, found(workspace), tmp_path / "pages" / "found.html", asked)
    problems: list[str] = []
    requests: list[str] = []
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("dialog", lambda dialog: problems.append(dialog.message))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(path.as_uri())
    cards = page.locator(".results > li")
    assert cards.count() == 3
    assert [clip.clip_id in cards.nth(at).inner_text() for at, clip in enumerate(clips)] == [True] * 3
    assert "1.0 to 2.0 s" in cards.first.inner_text()
    assert "0.300" in cards.first.inner_text()
    assert MARKUP in cards.nth(1).inner_text()
    assert cards.locator("button").count() == 1
    assert cards.nth(2).get_by_text("no picture kept").is_visible()
    assert page.locator("dd").all_inner_texts() == [asked.text[0], "mud", "abc", asked.where]
    assert page.evaluate("[...document.images].filter(i => !i.naturalWidth).length") == 0
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    level = page.evaluate(
        """() => { const draw = document.createElement('canvas').getContext('2d');
        draw.drawImage(document.querySelector('.shot'), 0, 0); return draw.getImageData(5, 5, 1, 1).data[0]; }"""
    )
    assert level == pytest.approx(230, abs=5), "the picture nearest to the best second comes first"
    page.close()
    assert problems == []
    assert [url for url in requests if not url.startswith("data:")] == [path.as_uri()]


def test_a_click_plays_the_best_span(workspace: Workspace, clips: list[Clip], browser: Browser, tmp_path: Path) -> None:
    page = browser.new_page()
    page.goto(write_results(workspace, found(workspace), tmp_path / "found.html").as_uri())
    page.locator("button").click()
    page.wait_for_function("() => document.querySelector('video')?.currentTime >= 1")
    ended = "() => { const video = document.querySelector('video'); return video.paused && video.currentTime > 1.5; }"
    page.wait_for_function(ended)
    assert page.evaluate("() => document.querySelector('video').currentTime") == pytest.approx(2, abs=0.3)
    page.close()


def test_what_the_browser_cannot_play_keeps_its_picture(
    workspace: Workspace, clips: list[Clip], browser: Browser, tmp_path: Path
) -> None:
    other = tmp_path / "not a video.mp4"
    other.write_bytes(b"something else")
    page = browser.new_page()
    rows = found(workspace, path=pl.lit(str(other))).head(1)
    page.goto(write_results(workspace, rows, tmp_path / "found.html").as_uri())
    page.locator("button").click()
    page.locator("button.unplayable img").wait_for()
    assert page.locator("video").count() == 0
    page.close()


def test_many_results_and_none(workspace: Workspace, clips: list[Clip], browser: Browser, tmp_path: Path) -> None:
    page = browser.new_page()
    many = pl.concat([found(workspace).head(2)] * 100)
    page.goto(write_results(workspace, many, tmp_path / "many.html").as_uri())
    assert page.locator(".results > li").count() == 200
    assert page.get_by_role("heading", name="200 clips").is_visible()
    page.goto(write_results(workspace, many.clear(), tmp_path / "none.html").as_uri())
    assert page.get_by_text("No clip fits").is_visible()
    page.close()


def test_a_condition_alone_has_no_similarity_to_show(workspace: Workspace, clips: list[Clip], tmp_path: Path) -> None:
    rows = search_clips(workspace, where="motion > 0.25")
    html = write_results(workspace, rows, tmp_path / "found.html", Question(where="motion > 0.25")).read_text()
    assert clips[0].clip_id in html
    assert clips[1].clip_id not in html
    assert "similarity" not in html
