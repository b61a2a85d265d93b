"""Somebody at Label Studio in a real Chromium: what they see of a clip, and what they do with mouse and keys.

Everything waits for what it leads to, nothing for time. Frames count from 1, as Label Studio shows them.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, ViewportSize, expect, sync_playwright

from labeling.client import Server

CHROMIUM = shutil.which("chromium")
SCREEN: ViewportSize = {"width": 1400, "height": 900}
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--disable-dev-shm-usage",
)
_FRAME_PX = 16
_EMPTY_ROW = 3
"""Below what is marked here. While a label is selected, the first row is an empty one for it."""
_LOADED = """() => document.querySelector('video')?.readyState >= 2
    && document.querySelector('[data-testid="playback-button:play"]')
    && window.Htx?.annotationStore?.selected?.objects.some((part) => part.type === 'video' && part.length > 1)"""
"""The keys work once the player's buttons are there, which is a moment after its first picture."""
_IDLE = "() => new Promise((done) => requestIdleCallback(() => done()))"
_TASK = "() => String(window.Htx?.task?.id)"
_BARS = """() => [...document.querySelectorAll('.lsf-keypoints__lifespan')].map((bar) =>
    [parseFloat(bar.style.left), parseFloat(bar.style.width)])"""


@dataclass(frozen=True)
class Person:
    """Somebody who is logged in."""

    page: Page
    url: str

    def open(self, project: int, task: int) -> None:
        """Opens a task from the project's list."""
        self.page.goto(f"{self.url}/projects/{project}/data?task={task}")
        self._await_clip()

    def label_all(self, project: int) -> None:
        """Presses on to the next clip that nobody has labelled, past the instructions."""
        self.page.goto(f"{self.url}/projects/{project}/data?labeling=1")
        close = self.page.get_by_role("button", name="Close modal")
        close.click()
        expect(close).to_be_hidden()
        self._await_clip()

    def watch(self) -> float:
        """Plays the clip until it has moved on, stops it, and returns the time shown, in seconds of the clip."""
        began_s = self.time_s()
        self.page.keyboard.press("Space")
        self.page.wait_for_function("began => document.querySelector('video').currentTime > began + 0.1", arg=began_s)
        self.page.keyboard.press("Space")
        self.page.wait_for_function("() => document.querySelector('video').paused")
        return self.time_s()

    def sees(self, time_s: float, *, within_s: float) -> None:
        """Waits until the player stands at a time of the clip."""
        self.page.wait_for_function(
            "([wanted, within]) => Math.abs(document.querySelector('video').currentTime - wanted) < within",
            arg=[time_s, within_s],
        )

    def time_s(self) -> float:
        time_s: float = self.page.evaluate("() => document.querySelector('video').currentTime")
        return time_s

    def segments(self, count: int) -> list[tuple[int, int]]:
        """First and last frame of the `count` segments on the timeline, as they are drawn, in order of time."""
        expect(self.page.locator(".lsf-keypoints__lifespan")).to_have_count(count)
        bars = self.page.evaluate(_BARS)
        half = _FRAME_PX / 2
        return sorted((round((x - half) / _FRAME_PX) + 1, round((x + w - half) / _FRAME_PX) + 1) for x, w in bars)

    def draw(self, first: int, last: int, *, beside: int) -> None:
        """Marks a segment by mouse, in the empty room below the `beside` segments that are there."""
        self.page.keyboard.press("1")
        expect(self.page.locator(".lsf-label_selected")).to_be_visible()
        self._drag(first, last, row=_EMPTY_ROW)
        self.segments(beside + 1)

    def move_start(self, old: int, new: int, *, row: int = 0) -> None:
        """Drags the start of a segment from frame `old` to frame `new`."""
        self._drag(old, new, row=row)

    def select(self, first: int, last: int) -> tuple[int, int]:
        """Clicks into a segment, 3 frames behind its start, and returns the frames that the panel then shows for it."""
        wanted = self._bar(first, last)
        self.page.wait_for_function(f"([x, w]) => ({_BARS})().some((bar) => bar[0] === x && bar[1] === w)", arg=wanted)
        place = self.page.evaluate(_BARS).index(wanted)
        bar = self.page.locator(".lsf-keypoints__lifespan").nth(place)
        bar.click(position={"x": 3 * _FRAME_PX, "y": 10})
        start, end = (
            self.page.locator(f"xpath=//*[text()='{edge} frame']/following::input[1]") for edge in ("Start", "End")
        )
        expect(end).to_be_visible()
        return int(start.input_value()), int(end.input_value())

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def chosen(self, *names: str) -> None:
        """Waits until all these choices are ticked."""
        for name in names:
            expect(self.page.locator(f"input[name='{name}']")).to_be_checked()

    def submit(self) -> None:
        with self._answer() as answered:
            self.page.keyboard.press("Control+Enter")
        assert answered["response"].ok

    def submit_and_go_on(self) -> None:
        """Clicks on Submit, and waits for the next clip."""
        task = self.page.evaluate(_TASK)
        with self._answer() as answered:
            self.page.get_by_test_id("bottombar-submit-button").click()
        assert answered["response"].ok
        self.page.wait_for_function(f"task => ({_TASK})() !== task && ({_LOADED})()", arg=task)
        self.page.evaluate(_IDLE)

    def skip(self) -> None:
        with self._answer() as answered:
            self.page.get_by_role("button", name="Skip").click()
        assert answered["response"].ok

    def _await_clip(self) -> None:
        """Waits until the clip can be played, and the page has nothing else to do."""
        self.page.wait_for_function(_LOADED)
        self.page.evaluate(_IDLE)

    @contextmanager
    def _answer(self) -> Iterator[dict[str, Any]]:
        """What the server said of an annotation that was sent or changed meanwhile."""
        found: dict[str, Any] = {}
        with self.page.expect_response(
            lambda reply: "/annotations" in reply.url and reply.request.method in ("POST", "PATCH")
        ) as reply:
            yield found
        found["response"] = reply.value

    def _drag(self, old: int, new: int, *, row: int) -> None:
        box = self.page.locator(".lsf-timeline-frames__filler").bounding_box()
        assert box is not None
        left_px = box["x"] + 150 + _FRAME_PX / 2
        y = box["y"] + 24 * row + 12
        self.page.mouse.move(left_px + (old - 1) * _FRAME_PX, y)
        self.page.mouse.down()
        self.page.mouse.move(left_px + (new - 1) * _FRAME_PX, y, steps=4)
        self.page.wait_for_function(
            f"x => ({_BARS})().some((bar) => bar[0] === x || bar[0] + bar[1] === x)", arg=self._bar(new, new)[0]
        )
        self.page.mouse.up()

    @staticmethod
    def _bar(first: int, last: int) -> list[float]:
        return [(first - 1) * _FRAME_PX + _FRAME_PX / 2, (last - first) * _FRAME_PX]


@contextmanager
def logged_in(
    server: Server, email: str, password: str, screen: ViewportSize = SCREEN, *, clips: str | None = None
) -> Iterator[Person]:
    """Chromium with somebody who has typed their name and password.

    It is an error to load anything but from the server, and from `clips` where those are served elsewhere.
    """
    own = (server.url, "data:", "blob:", *([clips] if clips else []))
    elsewhere: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=Path(CHROMIUM or ""), args=_ARGUMENTS)
        page = browser.new_page(viewport=screen)
        page.set_default_timeout(45_000)
        expect.set_options(timeout=45_000)
        page.on("request", lambda request: _note(request.url, own, elsewhere))
        page.goto(server.url)
        page.fill("input[name=email]", email)
        page.fill("input[name=password]", password)
        page.keyboard.press("Enter")
        page.wait_for_url(lambda url: "login" not in url)
        yield Person(page, server.url)
        browser.close()
    assert not elsewhere


def account(state: Path) -> tuple[str, str]:
    """Name and password of the workspace's own account."""
    known = json.loads((state / "account.json").read_text())
    return known["email"], known["password"]


def _note(url: str, own: tuple[str, ...], elsewhere: list[str]) -> None:
    if not url.startswith(own):
        elsewhere.append(url)
