"""Build: a new version of a mix, verified and published."""

from dataclasses import asdict
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from curate.mixes.build import build
from curate.targets.choosing.shortfall import order_as_asked
from curate.workspace import open_workspace
from flows.settings import progress


@task(cache_policy=NO_CACHE)
def build_mix(workspace: str, mix: str, who: str, why: str) -> dict[str, Any]:
    here = open_workspace(workspace)
    published = build(here, mix, who=who, why=why, progress=progress.get())
    order_as_asked(here, published.lock, who=who)
    return asdict(published)


@flow(name="build")
def build_flow(workspace: str, mix: str, who: str, why: str) -> dict[str, Any]:
    """Solves, splits, packs, verifies and publishes `mix`; a mix that has not changed is not published again.

    Where the mix says so, labels that it is short of are proposed as orders."""
    return build_mix(workspace, mix, who, why)
