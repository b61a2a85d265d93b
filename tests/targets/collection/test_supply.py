"""What counts towards a target, and that a slice below its floor is searched for once the target is met."""

from typing import Any

import polars as pl

from curate.slices import Slice
from curate.targets.collection.supply import floors_of, supply, worth
from curate.workspace import Workspace
from tests.dedupe.rows import Clip
from tests.targets.conftest import write_capability, write_labels, write_scores

SLICED: dict[str, Any] = {
    "slices": {"by": ["color", "source"], "where": {"lively": "motion > 0.75"}},
    "target": {"clips": 4, "floors": {"lively": 3, "source=archive": 1, "color=red": 9}},
}


def floors(workspace: Workspace) -> list[Slice]:
    found = floors_of(workspace.capability("jump"), sources=["sample_world", "archive"], licences=[])
    assert [(each.said, each.floor) for each in found] == [("source=archive", 1), ("lively", 3)]
    return found


def values(workspace: Workspace, clips: list[Clip]) -> dict[int, list[float]]:
    """By place in `clips`: what a clip counts, and what of it is wanted."""
    place = {clip.clip_id: at for at, clip in enumerate(clips)}
    found = worth(workspace.catalog, workspace.capability("jump"), floors(workspace))
    return {place[clip_id]: rest for clip_id, *rest in found.select("clip_id", "value", "wanted").iter_rows()}


def test_until_the_target_is_met_every_clip_that_may_show_it_is_wanted(empty: Workspace, clips: list[Clip]) -> None:
    write_capability(empty, "jump", **SLICED)
    write_scores(empty, "jump", {clips[at].clip_id: 0.5 for at in (0, 1, 8)})
    write_labels(empty, "jump", {clips[0].clip_id: "present", clips[1].clip_id: "absent"})
    assert values(empty, clips) == {0: [1.0, 1.0], 1: [0.0, 0.0], 8: [0.5, 0.5]}
    spec = empty.capability("jump")
    now = supply(spec, worth(empty.catalog, spec, floors(empty)), floors(empty))
    assert (now.missing, now.short) == (4 - 1 - 0.5, {"source=archive": 0.5, "lively": 2.5})


def test_once_the_target_is_met_only_clips_of_short_slices_are(empty: Workspace, clips: list[Clip]) -> None:
    write_capability(empty, "jump", **SLICED)
    write_scores(empty, "jump", {clips[at].clip_id: 1.0 for at in (0, 1, 2, 6, 9)})
    assert values(empty, clips) == {at: [1.0, float(at == 9)] for at in (0, 1, 2, 6, 9)}, "9 alone is lively"
    spec = empty.capability("jump")
    now = supply(spec, worth(empty.catalog, spec, floors(empty)), floors(empty))
    assert (now.missing, now.short) == (2.0, {"lively": 2.0})


def test_floors_of_what_only_a_label_tells_are_not_searched_for(empty: Workspace, clips: list[Clip]) -> None:
    write_capability(empty, "jump", slices={"by": ["color"]}, target={"clips": 1, "per_slice": 5})
    write_scores(empty, "jump", {clips[0].clip_id: 1.0})
    spec = empty.capability("jump")
    assert floors_of(spec, sources=["archive"], licences=["CC0-1.0"]) == []
    found = worth(empty.catalog, spec)
    assert found.filter(pl.col("wanted") == 1)["clip_id"].to_list() == [clips[0].clip_id]
    assert supply(spec, found).missing == 0
