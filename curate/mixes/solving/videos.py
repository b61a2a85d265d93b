"""The limit per video over kinds of clips, without a variable for any video.

With at most `limit` distinct clips of a video, the totals x of the kinds that can be had are a polymatroid: those with
x(S) <= f(S) for every set S of kinds, where f(S) is the sum over videos of min(limit, clips of S in the video)
(Edmonds, "Submodular functions, matroids, and certain polyhedra", 1970: each video's box, cut at its limit, is one, and
the sum of polymatroids is the polymatroid of the sums). So a program over kinds with these cuts has the optimum of the
program over kinds and videos. There are too many to write down; the one that a solution breaks most is a minimum cut of
the network kinds -> videos, and whole totals within all cuts are its maximum flow.
"""

import numpy as np
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

_UNITS = 2**30


def most(in_video: csr_array, limit: int, kinds: np.ndarray) -> float:
    """f(S): distinct clips of `kinds` (a mask) that the limit allows."""
    held = in_video[np.flatnonzero(kinds)].sum(axis=0)
    return float(np.minimum(held, limit).sum())


def most_of_each(in_video: csr_array, limit: int) -> np.ndarray:
    """f of each kind alone."""
    held = in_video.copy()
    held.data = np.minimum(held.data, limit)
    return np.asarray(held.sum(axis=1)).ravel()


def broken(in_video: csr_array, limit: int, totals: np.ndarray) -> tuple[np.ndarray, float] | None:
    """The set of kinds (a mask) whose totals exceed what the limit allows most, and by how many; None where none do."""
    taken = np.flatnonzero(totals > 0)
    if not len(taken):
        return None
    sub = in_video[taken]
    crowded = np.asarray(sub.sum(axis=0)).ravel() > limit
    roomy = np.asarray(sub[:, np.flatnonzero(~crowded)].sum(axis=1)).ravel()
    sub = sub[:, np.flatnonzero(crowded)].tocoo()
    units = max(int(_UNITS / (totals.sum() + 1)), 1)
    want = np.floor(totals[taken] * units)
    kinds, videos = len(taken), int(crowded.sum())
    sink = 1 + kinds + videos
    free = np.flatnonzero(roomy)
    graph = _network(
        sink + 1,
        (np.zeros(kinds, np.int64), 1 + np.arange(kinds), want),
        (1 + sub.row, 1 + kinds + sub.col, np.minimum(sub.data, limit) * units),
        (1 + free, np.full(len(free), sink), np.minimum(roomy[free] * units, want[free])),
        (1 + kinds + np.arange(videos), np.full(videos, sink), np.full(videos, float(limit * units))),
    )
    found = maximum_flow(graph, 0, sink)
    excess = (want.sum() - found.flow_value) / units
    if excess <= 1e-6 * max(totals.sum(), 1.0):
        return None
    left = csr_array(graph - found.flow)
    left.data = np.maximum(left.data, 0)
    left.eliminate_zeros()
    reached = breadth_first_order(left, 0, return_predecessors=False)
    mask = np.zeros(in_video.shape[0], dtype=bool)
    mask[taken[reached[(reached > 0) & (reached <= kinds)] - 1]] = True
    return mask, excess


def rerouted(
    free: csr_array, used: csr_array, room: np.ndarray, lacking: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """More clips of the kinds that lack some, also by taking other clips of other kinds elsewhere: augmenting paths.

    Args:
        free: [kinds, videos], clips not used. used: those in use. room: of each video under the limit.
        lacking: clips that each kind lacks.

    Returns:
        kinds, videos, change: where to take more clips (above 0) or give some back (below 0).
    """
    kinds, videos = free.shape
    sink = 1 + kinds + videos
    out, back = free.tocoo(), used.tocoo()
    graph = _network(
        sink + 1,
        (np.zeros(kinds, np.int64), 1 + np.arange(kinds), lacking),
        (1 + out.row, 1 + kinds + out.col, out.data),
        (1 + kinds + back.col, 1 + back.row, back.data),
        (1 + kinds + np.arange(videos), np.full(videos, sink), room),
    )
    flow = maximum_flow(graph, 0, sink).flow.tocoo()
    change = (flow.row >= 1) & (flow.row <= kinds) & (flow.col > kinds) & (flow.col < sink) & (flow.data != 0)
    return flow.row[change] - 1, flow.col[change] - 1 - kinds, flow.data[change]


def _network(nodes: int, *edges: tuple[np.ndarray, np.ndarray, np.ndarray]) -> csr_array:
    start, end, capacity = (np.concatenate(part) for part in zip(*edges, strict=True))
    some = capacity > 0
    whole = capacity[some].astype(np.int32)
    return csr_array(coo_array((whole, (start[some], end[some])), shape=(nodes, nodes)))
