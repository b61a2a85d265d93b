"""What report and status say of review work."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from curate.report.page import write_report
from curate.report.review import in_doubt, review_work
from curate.report.status import next_step, status
from curate.review.agreement import update
from curate.workspace import Workspace
from tests.dedupe.conftest import bare_workspace
from tests.report.conftest import watch
from tests.report.rows import MARKUP, write_world
from tests.review.made import label

NAME = "skill_00"
ANA, BEN = "ana@example.org", f"ben {MARKUP}"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Ten clips that two annotators labelled, differing on two; two of them a reviewer had settled, and ben was asked
    those again among the others."""
    workspace = bare_workspace(tmp_path_factory.mktemp("review") / "morning")
    clips = [clip.clip_id for clip in write_world(workspace, Path("/nowhere/film.mp4"))[:10]]
    told: dict[str, Any] = {
        "capability": NAME, "version": workspace.capability(NAME).version, "lead_time_s": 30.0, "minute": 60 * 24 * 99,
    }  # fmt: skip
    red, late = (0.2, 1.0, {"color": "red"}), (0.3, 1.0, {"color": "red"})
    labels = [label(clip, ANA, [red] if at < 6 else None, **told) for at, clip in enumerate(clips)]
    labels += [label(clip, BEN, [late] if at < 4 else None, **told) for at, clip in enumerate(clips)]
    labels += [label(clip, "rea", [red], purpose="review", **told | {"minute": 60 * 24 * 99 + 1}) for clip in clips[:2]]
    labels += [
        label(clip, BEN, [late] if at else None, purpose="gold", **told | {"minute": 60 * 24 * 99 + 2})
        for at, clip in enumerate(clips[:2])
    ]
    workspace.catalog.write("labels", labels, run_id="t")
    update(workspace.catalog, {NAME: workspace.capability(NAME)}, run_id="t")
    return workspace


def test_agreement_doubt_and_answers_on_known_clips_are_told(world: Workspace) -> None:
    told = review_work(world.catalog, {name: world.capability(name) for name in world.capabilities()})
    [row] = told["capabilities"]
    assert (row["capability"], row["doubt"]) == (NAME, 2)
    assert row["clips"] >= 8
    assert row["boundary_s"]["value"] == pytest.approx(0.05)
    assert 0 < row["f1"]["low"] < row["f1"]["value"] < 1
    people = {each["annotator"]: each for each in told["annotators"]}
    assert people[ANA]["minutes"] == pytest.approx(5)
    assert (people[BEN]["gold_clips"], people[BEN]["gold_verdict"]) == (2, 0.5)


def test_clips_in_doubt_are_the_next_step(world: Workspace) -> None:
    assert in_doubt(world.catalog) == {NAME: 2}
    found = status(world)
    assert found.in_doubt == 2
    assert found.next_step.startswith("2 clips are in doubt: `curate label adjudicate`")
    assert "2 clips wait for a reviewer" in found.as_text()
    assert next_step(0, 3, 40, [], [], [], in_doubt=1).startswith("one clip is in doubt")
    assert "decision" in next_step(1, 3, 40, [], [], [], in_doubt=1)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_report_shows_it_and_runs_no_name(world: Workspace, browser: Browser, width: int, scheme: Any) -> None:
    seen = watch(browser, write_report(world), viewport={"width": width, "height": 900}, color_scheme=scheme)
    review = seen.page.locator("#review")
    assert review.locator("tbody tr").count() == 1 + 4
    text = review.inner_text()
    assert all(words in text for words in ("Skill 0", ANA, BEN, "0.05 s"))
    assert seen.fine()


def test_a_workspace_without_review_says_how_it_begins(tmp_path: Path, browser: Browser) -> None:
    workspace = bare_workspace(tmp_path / "morning")
    seen = watch(browser, write_report(workspace))
    assert "quality.overlap" in seen.page.locator("#review").inner_text()
    assert seen.fine()
