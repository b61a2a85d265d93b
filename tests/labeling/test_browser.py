"""What an annotator sees and does, in a real browser."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from curate import views
from labeling.client import session
from labeling.pull import pull
from labeling.push import push
from tests.labeling.conftest import CLIP_S, Desk

CHROMIUM = shutil.which("chromium")
ARGUMENTS = ("--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage")

pytestmark = [pytest.mark.server, pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")]


@pytest.fixture
def page(desk: Desk) -> Iterator[Page]:
    """A page of somebody who is logged in. It is an error to load anything from elsewhere."""
    account = json.loads((desk.workspace.state / "label-studio" / "account.json").read_text())
    elsewhere: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=Path(CHROMIUM or ""), args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1400, "height": 1200})
        page.set_default_timeout(45_000)
        page.on("request", lambda request: _note(request.url, desk.server.url, elsewhere))
        page.goto(desk.server.url)
        page.fill("input[name=email]", account["email"])
        page.fill("input[name=password]", account["password"])
        page.keyboard.press("Enter")
        page.wait_for_url(lambda url: "login" not in url)
        yield page
        browser.close()
    assert not elsewhere


def _note(url: str, own: str, elsewhere: list[str]) -> None:
    if not url.startswith((own, "data:", "blob:")):
        elsewhere.append(url)


def test_a_guess_is_confirmed_with_its_field_and_comes_back_as_a_label(desk: Desk, page: Page) -> None:
    name = desk.capability("browsed")
    desk.guess(name)
    sent = push(desk.workspace, desk.order(name, desk.clips(1)), desk.server)
    with session(desk.server) as client:
        [task] = list(client.tasks.list(project=sent.project_id))
    page.goto(f"{sent.url}?task={task.id}")
    page.wait_for_function("() => document.querySelector('video')?.readyState >= 2")
    assert page.evaluate("() => document.querySelector('video').duration") == pytest.approx(CLIP_S, abs=0.05)

    page.get_by_text(name, exact=True).last.click()
    for value in ("red", "present", "exhaustive"):
        page.locator(f"input[name={value}]").check()
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_text("Update", exact=True)).to_be_visible(timeout=60_000)

    assert pull(desk.workspace, [name], server=desk.server).problems == {}
    [label] = desk.labels(name).to_dicts()
    clip = views.clips(desk.workspace.catalog).collect().row(0, named=True)
    assert (label["verdict"], label["exhaustive"]) == ("present", True)
    [segment] = label["segments"]
    assert segment["start_s"] - clip["start_s"] == pytest.approx(1, abs=0.02)
    assert segment["end_s"] - clip["start_s"] == pytest.approx(2, abs=0.02)
    assert json.loads(segment["fields"]) == {"color": "red"}
