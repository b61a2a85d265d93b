"""Collect: new footage to clips, duplicates out, costly signals where they are needed, capabilities scored."""

from dataclasses import asdict
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from curate.analyze.collect import collect
from curate.analyze.measure import check_conditions, measure
from curate.dedupe.duplicates import find_duplicates
from curate.targets.aim import aim, aim_summary
from curate.targets.score import score
from curate.workspace import open_workspace
from flows.settings import progress


@task(cache_policy=NO_CACHE, retries=1, retry_delay_seconds=5)
def analyze(
    workspace: str, sources: list[str] | None, capability: str | None, budget_hours: float | None, retry_failed: bool
) -> dict[str, Any]:
    here = open_workspace(workspace)
    check_conditions(here)
    order = aim(here, capability, budget_hours) if capability else None
    return asdict(collect(here, sources, order=order, retry_failed=retry_failed, progress=progress.get()))


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
) -> dict[str, dict[str, Any]]:
    """Brings `sources` (all where None) up to date and returns each stage's summary.

    With `for_capability`, what looks most like it comes first, and at most `budget_hours` of footage are analysed.
    """
    done = {
        "collect": analyze(workspace, sources, for_capability, budget_hours, retry_failed),
        "dedupe": deduplicate(workspace),
        "measure": measure_signals(workspace),
        "score": score_capabilities(workspace),
    }
    if for_capability:
        found = aim_summary(open_workspace(workspace), for_capability, done["collect"]["run_id"])
        done["aim"] = asdict(found)
    return done
