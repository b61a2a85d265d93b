"""Leakage groups: what a chain of links joins."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.dedupe.groups import components, leakage_groups
from curate.workspace import Workspace
from tests.dedupe.rows import Clip, write_clips


def clip(video_id: str) -> Clip:
    return Clip(video_id, np.float32([[1, 0]]))


def test_a_chain_of_links_is_one_group_named_by_its_smallest_video(workspace: Workspace) -> None:
    a, b, c, d = (clip(name) for name in "abcd")
    write_clips(workspace, [d, c, b, a])
    links = [(c, a, True), (d, c, False)]
    rows = [
        {"clip_id": x.clip_id, "other_id": y.clip_id, "kind": "near", "score": 0.9, "keeper": keeper}
        for x, y, keeper in links
    ]
    workspace.catalog.write("duplicates", rows, run_id="test")
    assert leakage_groups(workspace.catalog).rows() == [("a", "a"), ("b", "b"), ("c", "a"), ("d", "a")]


def test_links_of_videos_that_are_gone_join_nothing(workspace: Workspace) -> None:
    write_clips(workspace, [clip("a"), clip("b")])
    gone = {"clip_id": clip("a").clip_id, "other_id": "unknown", "kind": "near", "score": 0.9, "keeper": True}
    workspace.catalog.write("duplicates", [gone], run_id="test")
    assert leakage_groups(workspace.catalog).rows() == [("a", "a"), ("b", "b")]


def test_no_videos_no_groups(workspace: Workspace) -> None:
    assert leakage_groups(workspace.catalog).rows() == []


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 12), st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=12))
def test_linked_nodes_are_in_one_component_and_components_are_no_larger(
    count: int, links: list[tuple[int, int]]
) -> None:
    links = [(a % count, b % count) for a, b in links]
    found = components(count, np.array([a for a, _ in links], dtype=int), np.array([b for _, b in links], dtype=int))
    assert all(found[a] == found[b] for a, b in links)
    assert len(set(found.tolist())) >= count - len({frozenset(link) for link in links if link[0] != link[1]})
