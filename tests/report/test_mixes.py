"""What the report says of a published mix: asked, possible, become; and of one whose lock is not here."""

import shutil
from pathlib import Path

from playwright.sync_api import Browser

from curate.mixes.build import build
from curate.report.page import write_report
from curate.workspace import Workspace
from tests.mixes.conftest import cuts, footage, labelled, template
from tests.report.conftest import watch

__all__ = ["cuts", "footage", "labelled", "template"]


def test_a_mix_is_shown_as_asked_possible_and_become_and_its_publication_as_a_change(
    labelled: Workspace, browser: Browser
) -> None:
    write_report(labelled)
    made = build(labelled, "base", who="ana", why="first round")
    seen = watch(browser, write_report(labelled), viewport={"width": 390, "height": 800})
    assert "Mix base v1 published" in seen.page.locator("#changes").inner_text()
    rows = seen.page.locator("#mixes tbody tr")
    assert rows.count() == len(made.lock["requested"]) == 4
    for role, share in made.lock["realised"].items():
        text = rows.filter(has_text=role).inner_text()
        assert f"{100 * share:.1f}%" in text
    assert rows.locator("svg").count() == 4
    assert (seen.page.locator("#mixes details li").count() > 0) == bool(made.lock["shortfalls"])
    assert seen.fine()
    seen.page.close()


def test_a_mix_whose_lock_is_not_here_costs_the_report_nothing_else(labelled: Workspace, browser: Browser) -> None:
    build(labelled, "base", who="ana", why="first round")
    for directory in (labelled.root / ".dvc" / "cache", labelled.state / "cache" / "locks", labelled.data):
        shutil.rmtree(directory, ignore_errors=True)
    assert not Path(labelled.data / "base").exists()
    seen = watch(browser, write_report(labelled))
    assert "dvc push" in seen.page.locator("#mixes").inner_text()
    assert seen.page.locator(".capability").count() > 0
    assert seen.fine()
    seen.page.close()
