"""Who stands for whom: invariants over any set of clips and edges."""

import itertools

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.dedupe.keepers import COVERED, by_quality, select_keepers

THRESHOLD = 0.9
EDGE = {
    "clip_id": pl.String, "other_id": pl.String, "kind": pl.String, "score": pl.Float64, "share": pl.Float64,
    "other_share": pl.Float64,
}  # fmt: skip


@st.composite
def clips_and_edges(draw: st.DrawFn) -> tuple[list[str], list[tuple]]:
    """Points on a circle, an edge wherever the cosine reaches the threshold, kinds and shares at random."""
    angles = draw(st.lists(st.floats(0, 2 * np.pi), min_size=1, max_size=14))
    ids = draw(st.permutations([f"c{at:02d}" for at in range(len(angles))]))
    shares, kinds = st.floats(0.5, 1), st.sampled_from(["exact", "copy", "semantic"])
    edges = [
        (ids[i], ids[j], draw(kinds), cosine, draw(shares), draw(shares))
        for i in range(len(ids))
        for j in range(i)
        if (cosine := float(np.cos(angles[i] - angles[j]))) >= THRESHOLD
    ]
    return list(ids), draw(st.permutations(edges))


def select(order: list[str], edges: list[tuple]) -> dict[str, tuple[str, str, float]]:
    found = select_keepers(pl.Series(order, dtype=pl.String), pl.DataFrame(edges, schema=EDGE, orient="row"))
    return {clip: (keeper, kind, score) for clip, keeper, kind, score in found.iter_rows()}


def both_ways(edges: list[tuple]) -> dict[tuple[str, str], tuple[str, float, float]]:
    """By (clip, other): kind, score, and how much of the clip the other shows."""
    there = {(a, b): (kind, score, share) for a, b, kind, score, share, _ in edges}
    return there | {(b, a): (kind, score, share) for a, b, kind, score, _, share in edges}


@settings(max_examples=100, deadline=None)
@given(clips_and_edges())
def test_a_dropped_clip_is_within_the_threshold_of_a_kept_better_clip_that_covers_it(
    case: tuple[list[str], list[tuple]],
) -> None:
    order, edges = case
    dropped, known = select(order, edges), both_ways(edges)
    for clip_id, (keeper, kind, score) in dropped.items():
        assert keeper not in dropped
        assert known[clip_id, keeper][:2] == (kind, score)
        assert known[clip_id, keeper][2] >= COVERED
        assert score >= THRESHOLD
        assert order.index(keeper) < order.index(clip_id)


@settings(max_examples=100, deadline=None)
@given(clips_and_edges())
def test_no_two_kept_clips_could_stand_for_each_other(case: tuple[list[str], list[tuple]]) -> None:
    order, edges = case
    dropped = select(order, edges)
    for (clip_id, other_id), (_, _, share) in both_ways(edges).items():
        if not {clip_id, other_id} & set(dropped) and order.index(clip_id) > order.index(other_id):
            assert share < COVERED


@settings(max_examples=100, deadline=None)
@given(clips_and_edges())
def test_what_one_keeper_stands_for_is_of_bounded_diameter(case: tuple[list[str], list[tuple]]) -> None:
    order, edges = case
    dropped = select(order, edges)
    widest = 2 * np.arccos(THRESHOLD)
    edge_angle = {pair: np.arccos(min(score, 1.0)) for pair, (_, score, _) in both_ways(edges).items()}
    for (a, (keeper, *_)), (b, (other_keeper, *_)) in itertools.combinations(dropped.items(), 2):
        if keeper == other_keeper:
            assert edge_angle[a, keeper] + edge_angle[b, keeper] <= widest + 1e-6


@settings(max_examples=100, deadline=None)
@given(clips_and_edges(), st.randoms())
def test_the_order_of_edges_and_their_direction_do_not_matter(case: tuple[list[str], list[tuple]], random) -> None:
    order, edges = case
    turned = [(b, a, kind, score, other_share, share) for a, b, kind, score, share, other_share in edges]
    random.shuffle(turned)
    assert select(order, edges) == select(order, turned)


@settings(max_examples=100, deadline=None)
@given(clips_and_edges(), st.integers(0, 13))
def test_an_added_clip_replaces_a_keeper_only_by_one_that_is_better_and_shows_it(
    case: tuple[list[str], list[tuple]], at: int
) -> None:
    order, edges = case
    added = order[at % len(order)]
    before = select([c for c in order if c != added], [e for e in edges if added not in e[:2]])
    after, known = select(order, edges), both_ways(edges)
    for clip_id in set(after) - set(before) - {added}:
        keeper = after[clip_id][0]
        assert order.index(keeper) < order.index(clip_id)
        assert known[clip_id, keeper][2] >= COVERED
    if added in after:
        assert {c: k for c, k in after.items() if c != added} == before


def test_an_arc_of_similar_clips_keeps_every_clip_that_nothing_kept_resembles() -> None:
    angles = np.linspace(0, np.pi / 2, 19)
    ids = [f"c{at:02d}" for at in range(19)]
    edges = [
        (ids[i], ids[j], "copy", float(np.cos(angles[i] - angles[j])), 1.0, 1.0)
        for i in range(19)
        for j in range(i)
        if np.cos(angles[i] - angles[j]) >= 0.96
    ]
    dropped = select(ids, edges)
    assert 19 - len(dropped) == 5
    assert min(score for _, _, score in dropped.values()) >= 0.96


def test_the_surest_edge_names_the_keeper() -> None:
    edges = [
        ("a", "z", "semantic", 0.99, 1.0, 1.0),
        ("b", "z", "copy", 0.91, 1.0, 1.0),
        ("z", "c", "copy", 0.95, 1.0, 1.0),
        ("d", "z", "exact", 1.0, 1.0, 0.5),
    ]
    assert select(["a", "b", "c", "d", "z"], edges) == {"z": ("c", "copy", 0.95)}


def test_better_is_labelled_then_licensed_then_larger_denser_sharper_longer_then_the_smaller_id() -> None:
    columns = ["clip_id", "labelled", "licence", "width", "height", "bitrate_bps", "sharpness", "duration_s"]
    rows = [
        ("q", True, None, 16, 9, 1, 0.1, 1.0),
        ("r", False, "CC0-1.0", 16, 9, 1, 0.1, 1.0),
        ("z", False, None, 640, 360, 1, 0.1, 1.0),
        ("y", False, None, 320, 180, 9, 0.1, 1.0),
        ("x", False, None, 320, 180, 5, 0.9, 1.0),
        ("w", False, None, 320, 180, 5, 0.5, 9.0),
        ("v", False, None, 320, 180, 5, 0.5, 3.0),
        ("u", False, None, 320, 180, 5, None, 9.0),
        ("a", False, None, 160, 90, 1, 0.5, 1.0),
        ("b", False, None, 160, 90, 1, 0.5, 1.0),
    ]
    for arrangement in (rows, rows[::-1]):
        frame = pl.DataFrame(arrangement, schema=columns, orient="row")
        assert by_quality(frame).to_list() == ["q", "r", "z", "y", "x", "w", "v", "u", "a", "b"]
