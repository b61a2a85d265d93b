"""Collect: new footage to clips, duplicates out, capabilities scored."""

from dataclasses import asdict
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from curate.analyze.collect import collect
from curate.dedupe.duplicates import find_duplicates
from curate.targets.score import score
from curate.workspace import open_workspace
from flows.settings import progress


@task(cache_policy=NO_CACHE, retries=1, retry_delay_seconds=5)
def analyze(workspace: str, sources: list[str] | None, retry_failed: bool) -> dict[str, Any]:
    summary = collect(open_workspace(workspace), sources, retry_failed=retry_failed, progress=progress.get())
    return asdict(summary)


@task(cache_policy=NO_CACHE, retries=1, retry_delay_seconds=5)
def deduplicate(workspace: str) -> dict[str, Any]:
    return asdict(find_duplicates(open_workspace(workspace), progress=progress.get()))


@task(cache_policy=NO_CACHE, retries=1, retry_delay_seconds=5)
def score_capabilities(workspace: str) -> dict[str, Any]:
    return asdict(score(open_workspace(workspace), progress=progress.get()))


@flow(name="collect")
def collect_flow(
    workspace: str, sources: list[str] | None = None, retry_failed: bool = False
) -> dict[str, dict[str, Any]]:
    """Brings `sources` (all where None) up to date and returns each stage's summary."""
    return {
        "collect": analyze(workspace, sources, retry_failed),
        "dedupe": deduplicate(workspace),
        "score": score_capabilities(workspace),
    }
