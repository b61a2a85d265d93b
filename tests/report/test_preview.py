"""The page of `curate capability check` in a real browser, over real footage and with names that would be markup."""

import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from playwright.sync_api import Browser

from curate import views
from curate.report.preview import write_preview
from curate.targets.scoring.preview import Preview, preview
from curate.workspace import Workspace
from tests.conftest import World
from tests.report.conftest import watch
from tests.targets.conftest import write_capability, write_labels

MARKUP = "<script>document.title='broken'</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def draft(sample_world: World, tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Preview]:
    """A draft over a copy of the sample world's catalog, with labels enough to calibrate it."""
    workspace = Workspace(tmp_path_factory.mktemp("preview") / "copy")
    shutil.copytree(sample_world.workspace.configs, workspace.configs)
    shutil.copytree(sample_world.workspace.state / "catalog", workspace.state / "catalog")
    match = {"text": ["an object bouncing"], "not_text": [MARKUP], "where": f"motion >= 0 and path != '{MARKUP[:8]}'"}
    write_capability(workspace, "draft", match=match, title=MARKUP)
    return workspace, preview(workspace, "draft", limit=4)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_it_shows_what_matches_and_runs_nothing_that_a_spec_brought(
    draft: tuple[Workspace, Preview], browser: Browser, tmp_path: Path, width: int, scheme: Any
) -> None:
    workspace, found = draft
    path = write_preview(workspace, found, tmp_path / "pages" / "draft.html")
    seen = watch(browser, path, viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = seen.page
    assert page.get_by_role("heading", level=1).inner_text() == MARKUP
    tiles = page.locator(".tile b").all_inner_texts()
    assert tiles[:4] == [str(count) for count in (found.clips, found.eligible, found.matches, found.kept)]
    for place in ("best", "borderline", "worst"):
        assert page.get_by_role("list", name=f"{place} clips").locator("> li").count() == 4
    assert page.get_by_role("img", name="Histogram of similarity").locator("g").count() == len(found.histogram)
    assert page.get_by_text(f"level {found.level:.3f}").count() == 1
    assert page.get_by_role("cell", name="motion >= 0", exact=True).is_visible()
    assert seen.fine()
    page.close()


def test_a_clip_plays_by_keyboard(draft: tuple[Workspace, Preview], browser: Browser, tmp_path: Path) -> None:
    workspace, found = draft
    page = watch(browser, write_preview(workspace, found, tmp_path / "draft.html")).page
    page.locator("button.play").first.focus()
    page.keyboard.press("Enter")
    page.locator("video").wait_for()
    assert found.shown["clip_id"][0] in page.locator("ol.found li").first.inner_text()
    page.close()


def test_calibrated_clips_show_their_probability_and_the_reliability(
    draft: tuple[Workspace, Preview], browser: Browser, tmp_path: Path
) -> None:
    workspace, _ = draft
    copy = Workspace(tmp_path / "copy")
    shutil.copytree(workspace.root, copy.root)
    clips = views.clips(copy.catalog).select("clip_id").collect()["clip_id"]
    ranked = preview(copy, "draft", limit=len(clips)).shown["clip_id"].to_list()
    write_labels(copy, "draft", dict.fromkeys(ranked[:20], "present") | dict.fromkeys(ranked[-20:], "absent"))
    seen = watch(browser, write_preview(copy, preview(copy, "draft", limit=4), tmp_path / "draft.html"))
    assert seen.page.get_by_role("heading", name="How far the probabilities can be trusted").is_visible()
    assert seen.page.get_by_text("No label was drawn at random").is_visible()
    assert seen.page.locator(".found .head span").first.inner_text().endswith("%")
    assert seen.page.locator(".verdict").first.inner_text() == "present"
    assert seen.fine()
    seen.page.close()


def test_no_clip_and_no_picture(draft: tuple[Workspace, Preview], browser: Browser, tmp_path: Path) -> None:
    workspace, _ = draft
    nothing = {"text": ["an object bouncing"], "where": "height < 0"}
    write_capability(workspace, "nothing", match=nothing)
    seen = watch(browser, write_preview(workspace, preview(workspace, "nothing"), tmp_path / "nothing.html"))
    assert seen.page.get_by_text("No clip fulfils the conditions.").is_visible()
    assert seen.fine()
    seen.page.close()
    bare = Workspace(tmp_path / "bare")
    shutil.copytree(workspace.root, bare.root)
    shutil.rmtree(bare.state / "catalog" / "thumbnails")
    gone = preview(bare, "draft", limit=2)
    seen = watch(browser, write_preview(bare, gone, tmp_path / "bare.html"))
    assert seen.page.get_by_text("no picture kept").count() == len(gone.shown)
    assert isinstance(gone.shown, pl.DataFrame) and seen.fine()
    seen.page.close()
