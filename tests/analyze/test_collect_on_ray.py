"""Where the work is done changes nothing of what comes out."""

from collections.abc import Callable
from pathlib import Path

import pytest

from curate.analyze.collect import collect
from curate.workspace import Workspace
from tests.analyze.test_collect import keep_only, settled


@pytest.mark.server
def test_two_workers_on_ray_give_the_rows_of_two_here(footage: Path, make_workspace: Callable[..., Workspace]) -> None:
    ray = pytest.importorskip("ray")
    keep_only(footage, "footage_0001", "footage_0002", "footage_0003", "broken")
    here = make_workspace("here", world=footage, engine={"workers": 2})
    there = make_workspace("there", world=footage, engine={"workers": 2, "kind": "ray"})
    try:
        summaries = collect(here), collect(there)
    finally:
        ray.shutdown()
    assert settled(here) == settled(there)
    assert summaries[0].failed == summaries[1].failed > 0
    for summary in summaries:
        assert summary.bottleneck in ("decode", "embed", "write") and (summary.times_real or 0) > 0
