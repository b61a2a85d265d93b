"""Leakage groups: what a chain of links joins, whatever order the links came in."""

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.dedupe.groups import components, join_groups, leakage_groups
from curate.workspace import Workspace
from tests.dedupe.rows import Clip, write_clips

Links = list[tuple[str, str]]
NOBODY = pl.DataFrame(schema={"video_id": pl.String, "group_id": pl.String})


def clip(video_id: str) -> Clip:
    return Clip(video_id, np.float32([[1, 0]]))


def frame(links: Links) -> pl.DataFrame:
    return pl.DataFrame(links, schema={"video_id": pl.String, "other_video": pl.String}, orient="row")


def folded(batches: list[Links]) -> dict[str, str]:
    """The groups after each batch of links has been folded in, in turn."""
    known: dict[str, str] = {}
    for links in batches:
        rows = pl.DataFrame(list(known.items()), schema=NOBODY.schema, orient="row")
        known |= dict(join_groups(rows, frame(links)).iter_rows())
    return known


def test_videos_without_a_link_are_groups_of_their_own(workspace: Workspace) -> None:
    write_clips(workspace, [clip(name) for name in "dcba"])
    workspace.catalog.write("groups", join_groups(NOBODY, frame([("c", "a"), ("d", "c")])), run_id="test")
    assert leakage_groups(workspace.catalog).rows() == [("a", "a"), ("b", "b"), ("c", "a"), ("d", "a")]


def test_no_videos_no_groups(workspace: Workspace) -> None:
    assert leakage_groups(workspace.catalog).rows() == []


def test_a_link_between_two_groups_renames_the_members_of_one_and_no_others() -> None:
    known = pl.DataFrame([("b", "a"), ("d", "c"), ("f", "e")], schema=NOBODY.schema, orient="row")
    assert join_groups(known, frame([("b", "d")])).rows() == [("c", "a"), ("d", "a")]
    assert join_groups(known, frame([("b", "a"), ("f", "e")])).is_empty()


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.lists(st.tuples(st.sampled_from("abcdefghij"), st.sampled_from("abcdefghij")), max_size=4), max_size=6)
)
def test_folding_in_batch_by_batch_joins_what_all_links_at_once_join(batches: list[Links]) -> None:
    every = [link for links in batches for link in links]
    assert folded(batches) == folded([every])
    names = sorted({name for link in every for name in link})
    at = {name: number for number, name in enumerate(names)}
    parts = components(len(names), np.array([at[a] for a, _ in every], int), np.array([at[b] for _, b in every], int))
    smallest = {part: names[int(np.flatnonzero(parts == part)[0])] for part in set(parts.tolist())}
    assert {name: folded(batches).get(name, name) for name in names} == {
        name: smallest[part] for name, part in zip(names, parts.tolist(), strict=True)
    }


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 12), st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=12))
def test_linked_nodes_are_in_one_component_and_components_are_no_larger(
    count: int, links: list[tuple[int, int]]
) -> None:
    links = [(a % count, b % count) for a, b in links]
    found = components(count, np.array([a for a, _ in links], dtype=int), np.array([b for _, b in links], dtype=int))
    assert all(found[a] == found[b] for a, b in links)
    assert len(set(found.tolist())) >= count - len({frozenset(link) for link in links if link[0] != link[1]})
