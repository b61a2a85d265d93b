"""Collect: new footage to clips, duplicates out, costly signals where they are needed, capabilities scored."""

from dataclasses import asdict
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from curate.analyze.collect import collect
from curate.analyze.measure import check_conditions, measure
from curate.dedupe.duplicates import find_duplicates
from curate.targets.collection.campaign import collect_for
from curate.targets.scoring.score import score
from curate.workspace import open_workspace
from flows.settings import progress


@task(cache_policy=NO_CACHE, retries=1, retry_delay_seconds=5)
def analyze(workspace: str, sources: list[str] | None, retry_failed: bool) -> dict[str, Any]:
    here = open_workspace(workspace)
    check_conditions(here)
    return asdict(collect(here, sources, retry_failed=retry_failed, progress=progress.get()))


@task(cache_policy=NO_CACHE, retries=1, retry_delay_seconds=5)
def search(
    workspace: str, capability: str, budget_hours: float | None, sources: list[str] | None, who: str, why: str
) -> dict[str, Any]:
    done = collect_for(
        open_workspace(workspace),
        capability,
        budget_hours=budget_hours,
        sources=sources,
        who=who,
        why=why,
        progress=progress.get(),
    )
    return asdict(done)


@task(cache_policy=NO_CACHE, retries=1, retry_delay_seconds=5)
def deduplicate(workspace: str) -> dict[str, Any]:
    return asdict(find_duplicates(open_workspace(workspace), progress=progress.get()))


@task(cache_policy=NO_CACHE, retries=1, retry_delay_seconds=5)
def measure_signals(workspace: str) -> dict[str, Any]:
    return asdict(measure(open_workspace(workspace), progress=progress.get()))


@task(cache_policy=NO_CACHE, retries=1, retry_delay_seconds=5)
def score_capabilities(workspace: str) -> dict[str, Any]:
    return asdict(score(open_workspace(workspace), progress=progress.get()))


@flow(name="collect")
def collect_flow(
    workspace: str,
    sources: list[str] | None = None,
    for_capability: str | None = None,
    budget_hours: float | None = None,
    retry_failed: bool = False,
    who: str = "flow collect",
    why: str = "scheduled",
) -> dict[str, dict[str, Any]]:
    """Brings `sources` (all where None) up to date and returns each stage's summary.

    With `for_capability`, only what that lacks is sought, and at most `budget_hours` of footage are analysed; tried
    again after a failure, the campaign goes on where it was.
    """
    if for_capability:
        found = search(workspace, for_capability, budget_hours, sources, who, why)
        done = {"campaign": found, "collect": found["collect"]}
    else:
        done = {"collect": analyze(workspace, sources, retry_failed)}
    return {
        **done,
        "dedupe": deduplicate(workspace),
        "measure": measure_signals(workspace),
        "score": score_capabilities(workspace),
    }
