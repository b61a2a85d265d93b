"""The report in a real browser: what it says, its filters, its keys, and that nothing that footage brought runs."""

import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from curate.decisions import APPROVED, decide
from curate.report.page import write_report
from curate.workspace import Workspace
from tests.conftest import World
from tests.dedupe.conftest import bare_workspace
from tests.report.conftest import watch
from tests.report.rows import MARKUP, propose_two, told, write_world
from tests.targets.conftest import write_labels


@pytest.fixture(scope="module")
def film(small_world: tuple[Path, dict[str, Any]]) -> Path:
    """An original that is not turned."""
    directory, truth = small_world
    shown = next(v for v in truth["videos"] if v["kind"] == "original" and not v["rotation_deg"])
    return directory / str(shown["file"])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, film: Path) -> Workspace:
    workspace = bare_workspace(tmp_path_factory.mktemp("report") / "morning")
    write_world(workspace, film)
    propose_two(workspace)
    return workspace


@pytest.fixture(scope="module")
def report(world: Workspace) -> Path:
    return write_report(world)


def shown(page: Page, selector: str) -> int:
    return page.locator(f"{selector}:visible").count()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_it_shows_everything_and_runs_nothing_that_footage_brought(
    report: Path, browser: Browser, width: int, scheme: Any
) -> None:
    seen = watch(browser, report, viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = seen.page
    assert page.title() == "morning: where we stand"
    said = page.locator("h1").inner_text()
    assert said == "2 decisions wait for you, 3 of 3 capabilities are short of labels, 1 is below its floor"
    assert sorted(page.locator(".capability h3").all_inner_texts()) == ["Skill 0", f"Skill 1 {MARKUP}", "Skill 2"]
    assert page.locator(".matrix tbody tr").count() == 3
    assert page.locator("#skill_00, #cap-skill_00 .panel svg").count() == 4
    assert page.get_by_text(f"cannot be read: {MARKUP}").count() == 1
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", background)[:3])) > 380) == (scheme == "light")
    assert seen.fine()
    page.close()


def test_a_decision_says_what_it_costs_and_the_command_that_approves_it(
    report: Path, browser: Browser, world: Workspace
) -> None:
    seen = watch(browser, report)
    first = seen.page.locator(".decision").first
    text = first.inner_text()
    assert "Collect footage: Skill 0" in text and "1.5 h" in text and MARKUP in text and "and 2 more" in text
    command = first.locator("code").first.inner_text()
    seen.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    first.get_by_role("button", name="Copy the command that approves it").click()
    first.get_by_text("Copied").wait_for()
    assert seen.page.evaluate("navigator.clipboard.readText()") == command
    _, name, decision_id, flag, _ = command.split()
    assert (name, flag) == ("approve", "--why")
    assert decision_id in {row["decision_id"] for row in world.catalog.read("decisions").to_dicts()}
    assert "2 decisions wait" in seen.page.locator("#today > .next").inner_text()
    seen.page.close()


def test_filters_narrow_the_page_and_stay_in_its_address(report: Path, browser: Browser) -> None:
    seen = watch(browser, report)
    page = seen.page
    page.get_by_label("Owner").select_option("ben")
    assert (shown(page, ".capability"), shown(page, ".matrix tbody tr")) == (1, 1)
    assert page.locator("#found").inner_text() == "1 of 3 capabilities"
    assert page.url.endswith("#owner=ben")
    page.get_by_role("button", name="Clear").click()
    page.wait_for_function("!location.hash")
    assert shown(page, ".capability") == 3
    page.get_by_label("Capability", exact=True).select_option("skill_02")
    assert shown(page, ".capability") == 1
    dim = page.locator("#map circle.dim").count()
    assert 0 < dim < 24
    assert shown(page, ".decision") == 0
    page.get_by_label("Source", exact=True).select_option("phone")
    assert 0 < page.locator("#map circle.dim").count() != dim
    assert page.locator('.card:visible[data-source="archive"]').count() == 0
    assert page.locator('.card:visible[data-source="phone"]').count() > 0
    page.reload()
    assert (shown(page, ".capability"), page.get_by_label("Source", exact=True).input_value()) == (1, "phone")
    page.goto(report.as_uri() + "#text=nothing%20like%20this")
    assert page.get_by_text("Nothing fits these filters").is_visible()
    assert shown(page, ".capability") == 0
    page.goto(report.as_uri() + "#text=film_23")
    page.goto(report.as_uri() + "#text=empty.mp4")
    assert shown(page, "#losses tbody tr") == 1
    page.get_by_label("Find").fill("")
    page.get_by_label("short only").check()
    assert page.url.endswith("#gap=1")
    assert seen.fine()
    page.close()


def test_a_text_finds_the_clip_and_the_capability_it_may_show(report: Path, browser: Browser) -> None:
    seen = watch(browser, report)
    card = seen.page.locator(".card").first
    name = card.locator("figcaption").get_attribute("title")
    assert name is not None
    seen.page.get_by_label("Find").fill(name.removeprefix("clip ").upper())
    assert shown(seen.page, ".card") >= 1
    assert {each.get_attribute("title") for each in seen.page.locator(".card:visible figcaption").all()} == {name}
    seen.page.close()


def test_the_keyboard_alone_reaches_and_plays_a_clip(report: Path, browser: Browser) -> None:
    seen = watch(browser, report)
    page = seen.page
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.name") == "text"
    page.keyboard.type("skill 2")
    page.keyboard.press("Escape")
    assert page.evaluate("[document.activeElement.tagName, document.querySelector('[name=text]').value]") == [
        "BODY",
        "",
    ]
    visited = []
    for _ in range(6):
        page.keyboard.press("j")
        visited.append(page.evaluate("document.activeElement.id || document.activeElement.className"))
    assert visited == ["today", "decision", "decision", "changes", "matrix", "slices"]
    page.keyboard.press("k")
    assert page.evaluate("document.activeElement.id") == "matrix"
    outline = page.evaluate("getComputedStyle(document.querySelector('#matrix > h2')).outlineStyle")
    assert outline == "solid", "what is focused is seen"
    buttons = page.locator("#cap-skill_00 .play")
    assert buttons.count() >= 2
    buttons.first.focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.classList.contains('play')")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelector('video')?.currentTime >= 0.5")
    page.keyboard.press("Escape")
    assert page.locator("video").count() == 0
    assert page.evaluate("document.activeElement === document.querySelector('#cap-skill_00 .play')")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.tagName") != "BODY"
    assert seen.fine()
    page.close()


def test_a_click_plays_the_best_span_and_one_clip_at_a_time(report: Path, browser: Browser) -> None:
    seen = watch(browser, report)
    buttons = seen.page.locator(".capability .play")
    buttons.nth(0).click()
    seen.page.wait_for_function("() => (v => v && v.paused && v.currentTime > 1)(document.querySelector('video'))")
    assert seen.page.evaluate("document.querySelector('video').currentTime") == pytest.approx(1.5, abs=0.3)
    buttons.nth(0).click()
    assert seen.page.locator("video").count() == 1
    assert seen.fine()
    seen.page.close()


def test_the_map_is_read_by_pointer_and_by_keys(report: Path, browser: Browser) -> None:
    seen = watch(browser, report)
    page = seen.page
    chart, readout = page.locator("#map svg"), page.locator("#readout")
    assert chart.locator("circle[data-at]").count() == 24
    chart.scroll_into_view_if_needed()
    chart.locator("circle[data-at]").nth(5).hover()
    assert readout.locator(".tile-shot").is_visible()
    chart.focus()
    page.keyboard.press("Escape")
    assert "Point at a clip" in readout.inner_text()
    visited = set()
    for key in ["ArrowRight"] * 3 + ["ArrowLeft"] * 6 + ["ArrowUp", "ArrowDown"] * 2:
        page.keyboard.press(key)
        visited.add(readout.locator(".select").inner_text())
    assert len(visited) > 4
    for key in ["ArrowRight"] * 12 + ["ArrowUp"] * 6 + ["ArrowLeft"] * 12:
        if readout.locator(".play").count():
            break
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelector('#readout video')?.currentTime >= 0")
    page.keyboard.press("Escape")
    assert page.locator("video").count() == 0
    colours = (
        "() => new Set([...document.querySelectorAll('#map circle[data-at]')].map(c => getComputedStyle(c).fill)).size"
    )
    page.get_by_label("Colour by").select_option("source")
    assert page.evaluate(colours) == 2
    assert page.locator(".groups li").all_inner_texts() == ["archive", "phone"]
    page.get_by_label("Colour by").select_option("label")
    assert page.locator(".groups li").all_inner_texts() == ["labelled, shows none", "Skill 0", "not labelled"]
    assert seen.fine()
    page.close()


def test_it_prints_light_without_controls_one_capability_to_a_page(
    report: Path, browser: Browser, tmp_path: Path
) -> None:
    seen = watch(browser, report, color_scheme="dark")
    page = seen.page
    page.emulate_media(media="print", color_scheme="dark")
    assert page.locator(".controls, .contents, .copy").locator("visible=true").count() == 0
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(27, 30, 29)"
    breaks = page.locator(".capability").evaluate_all("all => all.map(each => getComputedStyle(each).breakBefore)")
    assert breaks == ["auto", "page", "page"], "the first is below its heading"
    printed = page.pdf(path=str(tmp_path / "report.pdf"), format="A4", print_background=True)
    pages = len(re.findall(rb"/Type\s*/Page\b", printed))
    assert 6 <= pages <= 14
    page.close()


def test_what_changed_is_said_from_the_second_report_on(tmp_path: Path, film: Path, browser: Browser) -> None:
    workspace = bare_workspace(tmp_path / "morning")
    clips = write_world(workspace, film)
    waiting = propose_two(workspace)
    first = write_report(workspace)
    assert "This is the first report" in first.read_text()
    decide(workspace.catalog, waiting[0], APPROVED, who="lead", why="worth the hour")
    write_labels(workspace, "skill_00", {clip.clip_id: "present" for clip in clips[:6]})
    for _ in range(2):
        seen = watch(browser, write_report(workspace))
        changed = seen.page.locator("#changes").inner_text()
        assert "new labels" in changed and "\n6\n" in changed
        assert "Collection approved: Skill 0, by lead: worth the hour" in changed
        row = seen.page.locator("#changes tbody tr").inner_text()
        assert row.startswith("Skill 0") and "4 →" in row
        assert seen.fine()
        seen.page.close()
    at = told(workspace)["at"]
    assert datetime.fromisoformat(told(workspace)["previous"]["at"]) < datetime.fromisoformat(at)
    write_labels(workspace, "skill_01", {clips[0].clip_id: "present"})
    write_report(workspace)
    assert told(workspace)["previous"]["at"] == at


def test_an_empty_workspace_has_a_page_too(tmp_path: Path, browser: Browser) -> None:
    workspace = bare_workspace(tmp_path / "new")
    for path in (workspace.configs / "capabilities").glob("*.yaml"):
        path.unlink()
    for name in ("first", "second"):
        seen = watch(browser, write_report(workspace), viewport={"width": 390, "height": 800})
        text = seen.page.locator("body").inner_text()
        assert "No capability is configured yet" in text and "curate collect" in text, name
        assert seen.fine()
        seen.page.close()


def test_clips_without_a_label_or_a_score_and_one_capability(tmp_path: Path, browser: Browser) -> None:
    workspace = bare_workspace(tmp_path / "one")
    seen = watch(browser, write_report(workspace))
    assert "Not evaluated yet." in seen.page.locator(".capability").first.inner_text()
    assert seen.fine()
    seen.page.close()


def test_fifty_capabilities_stay_usable(tmp_path: Path, film: Path, browser: Browser) -> None:
    workspace = bare_workspace(tmp_path / "many")
    write_world(workspace, film, capabilities=50, clips=40)
    path = write_report(workspace)
    assert path.stat().st_size < 5e6
    seen = watch(browser, path, viewport={"width": 1280, "height": 900})
    assert shown(seen.page, ".capability") == 50
    seen.page.get_by_label("Find").fill("skill_49")
    assert shown(seen.page, ".capability") == 1
    assert seen.fine()
    seen.page.close()


@pytest.mark.parametrize("width", [390, 1280])
def test_the_sample_world_has_its_best_candidates_and_its_failures(
    sample_world: World, browser: Browser, width: int
) -> None:
    path = write_report(sample_world.workspace)
    assert path.stat().st_size < 5e6
    seen = watch(browser, path, viewport={"width": width, "height": 900})
    for spec in sample_world.workspace.capabilities().values():
        assert seen.page.get_by_role("heading", name=spec.title).is_visible()
    assert seen.page.locator(".card .play").count() >= len(sample_world.workspace.capabilities())
    rows = sample_world.workspace.catalog.read("outcomes")
    failed = rows.filter(rows["outcome"] == "failed")["item"].to_list()
    text = seen.page.locator("#losses").inner_text()
    assert len(failed) == 4
    assert all(item in text for item in failed), "each has a cause of its own"
    assert seen.fine()
    seen.page.close()
