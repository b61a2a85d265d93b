"""Label: fetch what annotators have done, then order labels where a capability still has a gap."""

from dataclasses import asdict
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from curate.decisions import APPROVED, find
from curate.targets.choosing.choose import choose
from curate.targets.choosing.divide import parts
from curate.targets.choosing.order import order_labels
from curate.targets.scoring.score import score
from curate.workspace import open_workspace
from flows.settings import progress
from labeling.pull import pull
from labeling.push import push
from labeling.server import connect


@task(cache_policy=NO_CACHE, retries=2, retry_delay_seconds=10)
def pull_labels(workspace: str) -> dict[str, Any]:
    here = open_workspace(workspace)
    return asdict(pull(here, None, server=connect(here.state / "label-studio"), progress=progress.get()))


@task(cache_policy=NO_CACHE)
def recalibrate(workspace: str) -> dict[str, Any]:
    return asdict(score(open_workspace(workspace), progress=progress.get()))


@task(cache_policy=NO_CACHE)
def order(workspace: str, capability: str, budget: int, who: str, why: str) -> str | None:
    """The id of the order; None where there is no clip left to label."""
    here = open_workspace(workspace)
    clips = choose(here, capability, budget)
    if clips.is_empty():
        return None
    return order_labels(here, capability, clips, who=who, why=why, status=APPROVED).decision_id


@task(cache_policy=NO_CACHE, retries=2, retry_delay_seconds=10)
def send(workspace: str, decision_id: str) -> dict[str, Any]:
    here = open_workspace(workspace)
    server = connect(here.state / "label-studio")
    return asdict(push(here, find(here.catalog, decision_id), server, progress=progress.get()))


@flow(name="label")
def label_flow(
    workspace: str,
    who: str,
    why: str,
    capabilities: list[str] | None = None,
    budget: int = 40,
    total: int | None = None,
) -> dict[str, Any]:
    """Pulls, recalibrates scores, and pushes `budget` clips for each capability (those with a gap where None); or
    `total` clips, divided over their gaps by urgency."""
    pulled = pull_labels(workspace)
    if pulled["new"] or pulled["deleted"]:
        recalibrate(workspace)
    shares = parts(open_workspace(workspace), capabilities, each=budget, total=total)
    orders = [order(workspace, name, count, who, why) for name, count in shares.items()]
    pushed = [send(workspace, decision_id) for decision_id in orders if decision_id]
    return {"pulled": pulled, "pushed": pushed}
