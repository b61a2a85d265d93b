"""Proceed: carries out what a person approved, so that approving is instant and the work can wait for the night."""

from dataclasses import asdict
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from curate.decisions import APPROVED, COLLECTION, LABEL_ORDER, RELEASE, Decision, decisions, find
from curate.errors import CurateError, InputError
from curate.mixes.build import build
from curate.targets.choosing.shortfall import order_as_asked
from curate.targets.collection.campaign import collect_for
from curate.workspace import Workspace, open_workspace
from flows.settings import progress
from labeling.push import push
from labeling.server import connect


def _collect(workspace: Workspace, decision: Decision) -> Any:
    return collect_for(
        workspace, decision.subject, decision=decision, who=decision.who, why=decision.why, progress=progress.get()
    )


def _order(workspace: Workspace, decision: Decision) -> Any:
    return push(workspace, decision, connect(workspace.state / "label-studio"), progress=progress.get())


def _release(workspace: Workspace, decision: Decision) -> Any:
    published = build(
        workspace, decision.subject, who=decision.who, why=decision.why, decision=decision, progress=progress.get()
    )
    order_as_asked(workspace, published.lock, who=decision.who)
    return published


_WAYS = {COLLECTION: _collect, LABEL_ORDER: _order, RELEASE: _release}


@task(cache_policy=NO_CACHE)
def carry_out(workspace: str, decision_id: str) -> dict[str, Any]:
    here = open_workspace(workspace)
    decision = find(here.catalog, decision_id)
    return asdict(_WAYS[decision.kind](here, decision))


@flow(name="proceed")
def proceed_flow(workspace: str, decision_ids: list[str] | None = None) -> list[dict[str, Any]]:
    """Carries out `decision_ids`, or all that are approved and not done, oldest first.

    Returns:
        For each decision_id, kind, subject, `result`, and `problem`: why it failed, "" where it did not. One that
        failed stays approved, and stops no other.
    """
    catalog = open_workspace(workspace).catalog
    asked = [find(catalog, each) for each in decision_ids or ()]
    for each in asked:
        if each.status != APPROVED:
            raise InputError(f"it is {each.status}, not approved", where=each.decision_id)
    done = []
    for each in asked if decision_ids else decisions(catalog, status=[APPROVED]):
        row: dict[str, Any] = {"decision_id": each.decision_id, "kind": each.kind, "subject": each.subject}
        try:
            done.append({**row, "result": carry_out(workspace, each.decision_id), "problem": ""})
        except CurateError as error:
            done.append({**row, "result": None, "problem": str(error)})
    return done
