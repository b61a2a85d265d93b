"""A plan says what a build would publish, and writes nothing; a release publishes what was proposed."""

from dataclasses import asdict

import pytest

from curate.errors import CurateError, InputError
from curate.mixes.build import build, propose_release
from curate.mixes.load import versions
from curate.mixes.plan import plan
from curate.mixes.release import release
from curate.workspace import Workspace
from tests.mixes.rows import add_label, clip_id, write_mix


def test_a_plan_is_what_a_build_then_publishes(labelled: Workspace) -> None:
    before = labelled.catalog.versions()
    found = plan(labelled, "base")
    assert labelled.catalog.versions() == before and not labelled.data.exists() and versions(labelled, "base") == []
    assert (found.newest, found.is_new, found.clips_removed) == (None, True, 0)
    published = build(labelled, "base", who="ana", why="first")
    assert published.lock["content"] == found.lock["content"]
    assert found.clips_added == len(published.lock["clips"])

    again = plan(labelled, "base")
    assert (again.is_new, again.newest, again.next) == (False, "v1", "nothing to build")


def test_a_plan_counts_what_changes_against_the_newest_version(labelled: Workspace) -> None:
    build(labelled, "base", who="ana", why="first")
    clips = plan(labelled, "base").lock["clips"]
    in_train = next(clip for clip in clips if clip["split"] == "train" and clip["roles"] != ["replay"])
    add_label(
        labelled, in_train["clip_id"], in_train["roles"][0], segments=[{"start_s": 0.1, "end_s": 1.0, "fields": "{}"}]
    )
    found = plan(labelled, "base")
    assert (found.is_new, found.clips_added, found.clips_removed, found.clips_relabelled) == (True, 0, 0, 1)
    assert "1 have other labels" in found.against_newest


def test_amounts_are_in_the_unit_of_the_budget(labelled: Workspace) -> None:
    found = plan(labelled, "base")
    assert (found.unit, found.budget, found.amount("requested", "bounce")) == ("clips", 24, 6)
    write_mix(labelled, budget={"hours": 0.01})
    found = plan(labelled, "base")
    assert (found.unit, found.amount("requested", "bounce")) == ("h", pytest.approx(0.0025))


def test_a_release_publishes_what_was_proposed(labelled: Workspace) -> None:
    proposed = propose_release(labelled, "base", who="ana", why="candidate")
    assert proposed is not None
    done = release(labelled, "base", who="lee", why="evaluated well")
    assert (done.revision, done.lock["content"]) == ("v1", proposed.plan["content"])
    with pytest.raises(InputError, match="no release of mix 'base' waits.*--propose"):
        release(labelled, "base", who="lee", why="again")


def test_a_release_whose_clips_changed_since_is_refused_and_publishes_nothing(labelled: Workspace) -> None:
    propose_release(labelled, "base", who="ana", why="candidate")
    add_label(labelled, clip_id("video03", 0), "bounce")
    with pytest.raises(CurateError, match="other clips than those that were approved.*Propose it again"):
        release(labelled, "base", who="lee", why="evaluated well")
    assert versions(labelled, "base") == []


def test_a_plan_is_json_ready(labelled: Workspace) -> None:
    assert asdict(plan(labelled, "base"))["lock"]["splits"]["train"]["rows"] > 0
