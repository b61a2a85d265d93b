"""One browser for all pages, and what it must not see."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--disable-dev-shm-usage",
]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    """The browser, whose pages are closed after each test: one that is left playing takes a core from the others."""
    yield chromium
    for context in chromium.contexts:
        context.close()


@dataclass
class Watched:
    """A page, and whatever it said on the console, threw, asked, or fetched from elsewhere than disk."""

    page: Page
    problems: list[str] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)

    def fine(self) -> bool:
        """Whether nothing went wrong, nothing came from elsewhere, no picture is broken, and nothing is cut off."""
        broken = self.page.evaluate("[...document.images].filter(image => !image.naturalWidth).length")
        over = self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert self.problems == []
        assert [url for url in self.fetched if not url.startswith(("file:", "data:"))] == []
        assert (broken, over <= 0) == (0, True)
        return True


def watch(browser: Browser, path: Path, **options: Any) -> Watched:
    """Opens a page from disk, with the browser's `options` (viewport, color_scheme ...)."""
    page = browser.new_page(**options)
    seen = Watched(page)
    page.on("console", lambda message: seen.problems.append(message.text))
    page.on("pageerror", lambda error: seen.problems.append(str(error)))
    page.on("dialog", lambda dialog: seen.problems.append(dialog.message))
    page.on("request", lambda request: seen.fetched.append(request.url))
    page.goto(path.as_uri())
    return seen
