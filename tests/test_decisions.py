"""Decisions: proposed, taken by a person with a reason, carried out as approved; every step stays on record."""

from pathlib import Path

import pytest

from curate.catalog import Catalog, local_catalog
from curate.decisions import Decision, decide, decisions, find, finish, propose
from curate.errors import InputError


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return local_catalog(tmp_path / "catalog")


def proposal(catalog: Catalog, clips: int = 3, **changes: object) -> Decision:
    said = {"evidence": {"gap_clips": 12}, "cost": {"clips": clips}, "who": "nightly", "why": "a gap", **changes}
    return propose(catalog, "label-order", "bounce", plan={"clips": list(range(clips))}, **said)  # type: ignore[arg-type]


def test_a_proposal_waits_until_a_person_approves_it_and_history_has_both(catalog: Catalog) -> None:
    proposed = proposal(catalog)
    assert [each.decision_id for each in decisions(catalog, status=["proposed"])] == [proposed.decision_id]
    taken = decide(catalog, proposed.decision_id[:5], "approved", who="ana", why="worth it")
    assert (taken.status, taken.plan, taken.cost) == ("approved", {"clips": [0, 1, 2]}, {"clips": 3})
    done = finish(catalog, taken, {"pushed": 3})
    assert (done.status, done.who, done.evidence) == ("done", "ana", {"gap_clips": 12, "result": {"pushed": 3}})
    steps = catalog.history("decisions").select("status", "who", "why").collect().rows()
    assert steps == [
        ("proposed", "nightly", "a gap"), ("approved", "ana", "worth it"), ("done", "ana", "worth it"),
    ]  # fmt: skip


def test_the_same_plan_is_the_same_decision_while_it_is_open(catalog: Catalog) -> None:
    first = proposal(catalog)
    assert proposal(catalog).decision_id == first.decision_id
    assert proposal(catalog, clips=4).decision_id != first.decision_id
    ordered = proposal(catalog, status="approved", who="ana")
    assert (ordered.decision_id, ordered.status, ordered.who) == (first.decision_id, "approved", "ana")
    assert proposal(catalog).status == "approved"


def test_a_plan_that_was_rejected_or_done_can_be_proposed_anew(catalog: Catalog) -> None:
    first = proposal(catalog)
    decide(catalog, first.decision_id, "rejected", who="ana", why="not now")
    second = proposal(catalog, status="approved")
    assert second.decision_id != first.decision_id
    finish(catalog, second, {})
    assert proposal(catalog, once=True).decision_id == second.decision_id
    assert proposal(catalog).decision_id not in (first.decision_id, second.decision_id)


def test_a_decision_needs_a_reason_and_is_taken_once(catalog: Catalog) -> None:
    waiting = proposal(catalog)
    with pytest.raises(InputError, match="without a reason"):
        decide(catalog, waiting.decision_id, "approved", who="ana", why=" ")
    decide(catalog, waiting.decision_id, "rejected", who="ana", why="too dear")
    assert decide(catalog, waiting.decision_id, "rejected", who="eve", why="again").who == "ana"
    with pytest.raises(InputError, match="rejected already, by ana: too dear"):
        decide(catalog, waiting.decision_id, "approved", who="eve", why="no")


def test_an_id_that_names_none_or_several_is_refused(catalog: Catalog) -> None:
    with pytest.raises(InputError, match="no decision 'zzz'"):
        find(catalog, "zzz")
    made = [proposal(catalog, clips=count).decision_id for count in range(1, 40)]
    shared = next(one[0] for one in made if sum(other[0] == one[0] for other in made) > 1)
    with pytest.raises(InputError, match="Give more of it"):
        find(catalog, shared)
    with pytest.raises(InputError):
        find(catalog, "")
