"""The pictures of docs/annotator.md: the real Label Studio with clips of the sample world. `make pictures`."""

import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
from PIL import Image
from playwright.sync_api import FloatRect, Locator, Page, expect

from curate import views
from curate.analyze.collect import collect
from curate.decisions import APPROVED
from curate.sample.world import render_world
from curate.targets.choosing.choose import choose
from curate.targets.choosing.order import order_labels
from curate.targets.scoring.score import score
from curate.workspace import Workspace, create_workspace
from labeling.accounts import sign_up
from labeling.adjudicate import adjudicate
from labeling.client import Server, session
from labeling.projects import REVIEW, find_projects
from labeling.pull import pull
from labeling.push import push
from labeling.server import down, up
from tests.labeling.browser import logged_in
from tests.labeling.steps import ABSENT

PICTURES = Path(__file__).parent / "pictures"
CAPABILITY = "bounce"
_VIDEOS, _CLIPS = 12, 10
_EMAIL, _PASSWORD = "ada@example.org", "ada-reviews-clips"
_QUALITY = 82

_PARTS = {
    "1": ".lsf-video",
    "2": ".lsf-timeline-frames",
    "3": ".curate-side .lsf-choices >> nth=0",
    "4": ".curate-tick",
    "5": ".curate-side h4:has-text('color')",
    "6": "button:has-text('Submit')",
}
"""What is numbered on the picture of the whole page, as the text numbers it."""
_BADGE = """([number, x, y]) => {
    const badge = document.createElement('div');
    badge.className = 'badge';
    badge.textContent = number;
    badge.style.cssText = `position: fixed; left: ${x}px; top: ${y}px; width: 30px; height: 30px; border-radius: 50%;
        background: #b1400e; color: #fff; font: 600 18px/30px sans-serif; text-align: center; z-index: 9999`;
    document.body.append(badge);
}"""


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as directory, desk(Path(directory)) as (workspace, server):
        take(workspace, server)


@contextmanager
def desk(directory: Path) -> Iterator[tuple[Workspace, Server]]:
    """A workspace of the sample world and its Label Studio."""
    workspace = create_workspace(directory / "workspace", sample=True)
    render_world(workspace.root / "footage", _VIDEOS, seed=0)
    collect(workspace)
    score(workspace)
    state = workspace.state / "label-studio"
    try:
        yield workspace, up(state)
    finally:
        down(state)


def take(workspace: Workspace, server: Server) -> None:
    """Sends clips, answers some as a person does, and takes the pictures on the way."""
    clips = early_first(workspace, choose(workspace, CAPABILITY, _CLIPS))
    sent = push(
        workspace, order_labels(workspace, CAPABILITY, clips, who="docs", why="pictures", status=APPROVED), server
    )
    sign_up(server, _EMAIL, _PASSWORD)
    with logged_in(server, _EMAIL, _PASSWORD) as person:
        page = person.page
        page.goto(sent.url)
        button = page.get_by_role("button", name="Label All Tasks")
        expect(button).to_be_visible()
        expect(page.get_by_text(f"Tasks: {_CLIPS} / {_CLIPS}")).to_be_visible()
        save(page, "start", clip={"x": 0, "y": 0, "width": 1000, "height": 300})

        person.label_all(sent.project_id)
        settings(page)
        [guess] = person.segments(1)
        person.select(*guess)
        numbered(page)
        save(page, "page", width=1100)
        page.evaluate("() => document.querySelectorAll('.badge').forEach((badge) => badge.remove())")

        person.move_start(guess[0], guess[0] + 6)
        person.select(guess[0] + 6, guess[1])
        person.press("4", "i", "9", "9")
        person.chosen("blue", "cross")
        save(page, "timeline", page.locator(".lsf-timeline"))
        save(page, "fields", page.locator(".curate-side"))
        person.press("p", "x")
        person.submit()
    say_otherwise(server, sent.project_id)
    pull(workspace, [CAPABILITY], server=server)
    adjudicate(workspace, server, CAPABILITY, limit=1)
    with session(server) as client:
        [review] = find_projects(client, REVIEW)
    with logged_in(server, _EMAIL, _PASSWORD) as person:
        person.label_all(review.number)
        save(person.page, "answers", width=1100)


def early_first(workspace: Workspace, clips: pl.DataFrame) -> pl.DataFrame:
    """Clips in the order in which their guesses begin, so that the first one's is in view."""
    scores = workspace.catalog.scan("scores").filter(pl.col("capability") == CAPABILITY)
    starts = views.clips(workspace.catalog).select("clip_id", "start_s")
    guesses = scores.join(starts, on="clip_id").select("clip_id", begins=pl.col("best_start_s") - pl.col("start_s"))
    early = pl.col("begins").clip(0.5)
    return clips.join(guesses.collect(), on="clip_id").sort(early).select(clips.columns)


def settings(page: Page) -> None:
    """Makes a step one frame, as the text advises, and takes the picture of it."""
    page.get_by_role("button", name="Settings").last.click()
    page.get_by_text("Video", exact=True).click()
    line = page.get_by_text("Video hop size")
    expect(line).to_be_visible()
    page.locator("input[type=number]:visible").last.fill("1")
    page.wait_for_function("() => document.getAnimations().every((each) => each.playState !== 'running')")
    box = line.bounding_box()
    assert box is not None
    save(page, "settings", clip={"x": box["x"] - 24, "y": box["y"] - 150, "width": 570, "height": 220})
    page.get_by_role("button", name="Close").last.click()
    expect(line).to_be_hidden()


def numbered(page: Page) -> None:
    """Puts the numbers of the text on the page."""
    for number, part in _PARTS.items():
        box = page.locator(part).first.bounding_box()
        assert box is not None, part
        page.evaluate(_BADGE, [number, max(box["x"] - 33, 2), box["y"]])


def say_otherwise(server: Server, project: int) -> None:
    """A second annotator says of the clip that was answered that it does not show it."""
    second = sign_up(server, "ben@example.org", _PASSWORD)
    with session(server) as client:
        answered = [task.id for task in client.tasks.list(project=project, fields="all") if task.annotations]
    with session(second) as client:
        client.annotations.create(answered[0], result=ABSENT, lead_time=14)


def save(page: Page, name: str, part: Locator | None = None, *, clip: FloatRect | None = None, width: int = 0) -> None:
    """Keeps a picture of a part of the page, of a rectangle of it, or of all of it, `width` pixels wide."""
    taken = part.screenshot() if part else page.screenshot(clip=clip)
    picture = Image.open(io.BytesIO(taken)).convert("RGB")
    if width:
        picture = picture.resize((width, round(picture.height * width / picture.width)), Image.Resampling.LANCZOS)
    picture.save(PICTURES / f"{name}.webp", quality=_QUALITY, method=6)


if __name__ == "__main__":
    main()
