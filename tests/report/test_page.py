"""The report in a real browser: it loads nothing from elsewhere, throws nothing, and fits the window."""

import base64
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from curate.report.page import write_report
from tests.conftest import World

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--disable-dev-shm-usage",
]


@pytest.fixture(scope="module")
def report(sample_world: World) -> Path:
    return write_report(sample_world.workspace)


@pytest.mark.parametrize("width", [390, 1280])
def test_the_report_shows_each_capability_and_its_candidates(report: Path, sample_world: World, width: int) -> None:
    problems: list[str] = []
    requests: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(report.as_uri())
        for spec in sample_world.workspace.capabilities().values():
            assert page.get_by_role("heading", name=spec.title).is_visible()
        broken = page.evaluate("[...document.images].filter(i => !i.naturalWidth).length")
        pictures = page.locator("figure img").count()
        overflow = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        browser.close()
    assert problems == []
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
    assert (broken, overflow <= 0) == (0, True)
    assert pictures >= len(sample_world.workspace.capabilities())


def test_every_failed_file_is_in_it_with_its_reason(report: Path, sample_world: World) -> None:
    html = report.read_text()
    rows = sample_world.workspace.catalog.read("outcomes")
    failed = rows.filter(rows["outcome"] == "failed")
    assert failed.height == 4
    assert sum(item in html for item in failed["item"]) >= 1
    assert base64.b64encode(b"\xff\xd8\xff").decode() in html, "thumbnails are JPEG, inside the page"
