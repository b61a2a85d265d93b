"""Who stands for whom: invariants over any set of clips and edges."""

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.dedupe.keepers import COVERED, Edge, by_quality, select_keepers

THRESHOLD = 0.9


@st.composite
def clips_and_edges(draw: st.DrawFn) -> tuple[list[str], list[Edge]]:
    """Points on a circle, an edge wherever the cosine reaches the threshold, shares at random."""
    angles = draw(st.lists(st.floats(0, 2 * np.pi), min_size=1, max_size=14))
    ids = draw(st.permutations([f"c{at:02d}" for at in range(len(angles))]))
    shares = st.floats(0.5, 1)
    edges = []
    for i in range(len(ids)):
        for j in range(i):
            cosine = float(np.cos(angles[i] - angles[j]))
            if cosine >= THRESHOLD:
                edges.append(Edge(ids[i], ids[j], "near", cosine, draw(shares), draw(shares)))
    return list(ids), draw(st.permutations(edges))


def keeper_of(clip_id: str, edge: Edge) -> str:
    return edge.second if edge.first == clip_id else edge.first


@settings(max_examples=150, deadline=None)
@given(clips_and_edges())
def test_a_dropped_clip_is_within_the_threshold_of_a_kept_better_clip_that_covers_it(
    case: tuple[list[str], list[Edge]],
) -> None:
    order, edges = case
    dropped = select_keepers(order, edges)
    for clip_id, edge in dropped.items():
        keeper = keeper_of(clip_id, edge)
        assert clip_id in (edge.first, edge.second)
        assert keeper not in dropped
        assert edge.score >= THRESHOLD
        assert order.index(keeper) < order.index(clip_id)
        assert (edge.share_first if edge.first == clip_id else edge.share_second) >= COVERED


@settings(max_examples=150, deadline=None)
@given(clips_and_edges())
def test_no_two_kept_clips_could_stand_for_each_other(case: tuple[list[str], list[Edge]]) -> None:
    order, edges = case
    dropped = select_keepers(order, edges)
    for edge in edges:
        if edge.first not in dropped and edge.second not in dropped:
            worse_is_first = order.index(edge.first) > order.index(edge.second)
            assert (edge.share_first if worse_is_first else edge.share_second) < COVERED


@settings(max_examples=100, deadline=None)
@given(clips_and_edges(), st.randoms())
def test_the_order_of_edges_and_their_direction_do_not_matter(case: tuple[list[str], list[Edge]], random) -> None:
    order, edges = case
    turned = [Edge(e.second, e.first, e.kind, e.score, e.share_second, e.share_first) for e in edges]
    random.shuffle(turned)
    one = {c: keeper_of(c, e) for c, e in select_keepers(order, edges).items()}
    other = {c: keeper_of(c, e) for c, e in select_keepers(order, turned).items()}
    assert one == other


def test_an_arc_of_similar_clips_keeps_every_clip_that_nothing_kept_resembles() -> None:
    angles = np.linspace(0, np.pi / 2, 19)
    ids = [f"c{at:02d}" for at in range(19)]
    edges = [
        Edge(ids[i], ids[j], "near", float(np.cos(angles[i] - angles[j])))
        for i in range(19)
        for j in range(i)
        if np.cos(angles[i] - angles[j]) >= 0.96
    ]
    dropped = select_keepers(ids, edges)
    assert 19 - len(dropped) == 5
    assert min(edge.score for edge in dropped.values()) >= 0.96


def test_better_is_larger_then_denser_then_sharper_then_longer_then_the_smaller_id() -> None:
    columns = ["clip_id", "width", "height", "bitrate_bps", "sharpness", "duration_s"]
    rows = [
        ("z", 640, 360, 1, 0.1, 1.0),
        ("y", 320, 180, 9, 0.1, 1.0),
        ("x", 320, 180, 5, 0.9, 1.0),
        ("w", 320, 180, 5, 0.5, 9.0),
        ("v", 320, 180, 5, 0.5, 3.0),
        ("u", 320, 180, 5, None, 9.0),
        ("a", 160, 90, 1, 0.5, 1.0),
        ("b", 160, 90, 1, 0.5, 1.0),
    ]
    for arrangement in (rows, rows[::-1]):
        frame = pl.DataFrame(arrangement, schema=columns, orient="row")
        assert by_quality(frame) == ["z", "y", "x", "w", "v", "u", "a", "b"]
