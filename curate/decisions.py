"""Decisions: what would cost money, time or trust is proposed with its evidence and cost, and a person says yes or no.

A decision goes proposed -> approved -> done, or proposed -> rejected, and each step is a row: who, why, when. What a
person orders by a command of their own begins as approved. The same plan, proposed again while it waits, is the same
decision; `plan` says exactly what is carried out, so what was approved is what happens.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import polars as pl

from curate.catalog import Catalog
from curate.errors import InputError
from curate.identity import work_key
from curate.workspace import new_run_id

COLLECTION, LABEL_ORDER, RELEASE, WITHDRAWAL = "collection", "label-order", "release", "withdrawal"
PROPOSED, APPROVED, REJECTED, DONE = "proposed", "approved", "rejected", "done"


@dataclass(frozen=True)
class Decision:
    """A decision as it stands.

    Attributes:
        decision_id: 16 hex digits over kind, subject, plan and round.
        kind: collection, label-order, release, withdrawal.
        subject: a capability, a mix, or what is withdrawn.
        status: proposed, approved, rejected, done.
        who, why: of the newest step that a person took.
        plan: what is carried out.
        evidence: what speaks for it; once it is done, what came of it too, under "result".
        cost: quantities with their unit in the name, as decode_h or annotator_min.
        at: when the newest step was taken.
    """

    decision_id: str
    kind: str
    subject: str
    status: str
    who: str
    why: str
    plan: dict[str, Any]
    evidence: dict[str, Any]
    cost: dict[str, Any]
    at: datetime | None = None


def propose(
    catalog: Catalog,
    kind: str,
    subject: str,
    *,
    plan: Mapping[str, Any],
    evidence: Mapping[str, Any],
    cost: Mapping[str, Any],
    who: str,
    why: str,
    status: str = PROPOSED,
    once: bool = False,
    run_id: str = "",
) -> Decision:
    """Records a decision to be taken, or, with `status` approved, one that `who` took by ordering it.

    The same plan gives the same decision while that is open (proposed or approved): it is returned as it is, or
    approved where it waited and `status` says so. Once it was rejected or done, the plan is a new decision.

    Args:
        once: a plan that is done stays done: the same one again is that decision.
        run_id: of the row; a new one where not given.
    """
    past = [each for each in decisions(catalog, kind=kind, subject=subject) if each.plan == _plain(plan)]
    settled = [each for each in past if once and each.status == DONE]
    if settled:
        return settled[-1]
    still_open = [each for each in past if each.status in (PROPOSED, APPROVED)]
    if still_open and (status == PROPOSED or still_open[-1].status == status):
        return still_open[-1]
    if still_open:
        made = replace(still_open[-1], status=status, who=who, why=why)
    else:
        decision_id = work_key("decision", kind, subject, _plain(plan), len(past))
        made = Decision(decision_id, kind, subject, status, who, why, dict(plan), dict(evidence), dict(cost))
    return _write(catalog, made, run_id)


def decide(catalog: Catalog, decision_id: str, status: str, *, who: str, why: str) -> Decision:
    """Approves or rejects what is proposed. Deciding the same again changes nothing.

    Args:
        decision_id: or its beginning, where that is enough to tell.
        status: approved or rejected.

    Raises:
        InputError: no such decision, more than one, no reason given, or it is past deciding.
    """
    found = find(catalog, decision_id)
    if not why.strip():
        raise InputError("a decision without a reason", where=found.decision_id, fix="Say it with --why")
    if found.status == status:
        return found
    if found.status != PROPOSED:
        raise InputError(f"it is {found.status} already, by {found.who}: {found.why}", where=found.decision_id)
    return _write(catalog, replace(found, status=status, who=who, why=why))


def finish(catalog: Catalog, decision: Decision, result: Mapping[str, Any], *, run_id: str = "") -> Decision:
    """Records that an approved decision was carried out, and what came of it."""
    evidence = {**decision.evidence, "result": dict(result)}
    return _write(catalog, replace(decision, status=DONE, evidence=evidence), run_id)


def find(catalog: Catalog, decision_id: str) -> Decision:
    """The decision whose id is, or begins with, `decision_id`.

    Raises:
        InputError: there is none, or more than one.
    """
    rows = catalog.scan("decisions").filter(
        pl.col("decision_id").str.starts_with(decision_id), pl.lit(bool(decision_id))
    )
    found = _decisions(rows)
    if len(found) == 1:
        return found[0]
    if not found:
        raise InputError(f"no decision {decision_id!r}", fix="`curate decisions` lists them")
    which = ", ".join(each.decision_id for each in found[:5])
    raise InputError(f"{decision_id!r} begins {len(found)} decisions: {which}", fix="Give more of it")


def decisions(
    catalog: Catalog, *, kind: str | None = None, subject: str | None = None, status: Sequence[str] = ()
) -> list[Decision]:
    """Decisions as they stand, the one whose newest step is oldest first."""
    rows = catalog.scan("decisions")
    for column, wanted in (("kind", kind), ("subject", subject)):
        if wanted is not None:
            rows = rows.filter(pl.col(column) == wanted)
    if status:
        rows = rows.filter(pl.col("status").is_in(list(status)))
    return _decisions(rows)


def _decisions(rows: pl.LazyFrame) -> list[Decision]:
    return [_decision(row) for row in rows.sort("written_at", "decision_id").collect().iter_rows(named=True)]


def _decision(row: dict[str, Any]) -> Decision:
    said = {name: row[name] for name in ("decision_id", "kind", "subject", "status", "who", "why")}
    told = {name: json.loads(row[name] or "{}") for name in ("plan", "evidence", "cost")}
    return Decision(**said, **told, at=row["written_at"])


def _write(catalog: Catalog, decision: Decision, run_id: str = "") -> Decision:
    said = {name: getattr(decision, name) for name in ("decision_id", "kind", "subject", "status", "who", "why")}
    told = {name: json.dumps(getattr(decision, name), sort_keys=True) for name in ("plan", "evidence", "cost")}
    catalog.write("decisions", [said | told], run_id=run_id or new_run_id("decide"))
    return find(catalog, decision.decision_id)


def _plain(value: Mapping[str, Any]) -> Any:
    """As JSON keeps it: tuples are lists."""
    return json.loads(json.dumps(value, sort_keys=True))
