"""Choosing results that differ: as good as possible, and as unlike each other.

Greedy maximal marginal relevance. Each next result is the candidate with the greatest relevance minus its likeness to
the nearest result chosen, both scaled to 0 to 1 over the candidates, for cosines of texts and of clips lie in different
ranges. On top of that, three rules without a weight: a clip that a duplicate link joins to a result is out; so is one
that looks the SAME as a result although nobody linked them; and a video gives another result only when every video
among the candidates has given as many.
"""

from collections.abc import Collection, Sequence

import numpy as np

from curate.vectors import unit

SAME = 0.98
"""Cosine of mean frame vectors from which two clips are shown once."""


def diverse(
    relevance: np.ndarray,
    vectors: np.ndarray,
    videos: Sequence[str],
    links: Collection[tuple[int, int]],
    count: int,
) -> np.ndarray:
    """The candidates to show, int64 [at most count], in the order chosen; the most relevant first.

    Args:
        relevance: float [n], the greater the better.
        vectors: float32 [n, dim], what each looks like.
        videos: the video of each.
        links: pairs of candidates that a duplicate link joins.
        count: most results; fewer are given where the rest are copies of them.
    """
    vectors = unit(vectors)
    span = np.ptp(relevance) if len(relevance) else 0.0
    gain = (relevance - relevance.min()) / span if span > 0 else np.zeros(len(relevance))
    _, video = np.unique(np.array(videos), return_inverse=True)
    shown_of_video = np.zeros(video.max(initial=-1) + 1, np.int64)
    linked: dict[int, list[int]] = {}
    for first, second in links:
        linked.setdefault(first, []).append(second)
        linked.setdefault(second, []).append(first)
    likeness = np.full(len(relevance), -1.0)
    allowed = np.ones(len(relevance), bool)
    chosen: list[int] = []
    while allowed.any() and len(chosen) < count:
        shown = shown_of_video[video]
        now = allowed & (shown == shown[allowed].min())
        value = np.where(now, gain - (likeness - (low := likeness[allowed].min())) / max(1 - low, 1e-6), -np.inf)
        best = int(value.argmax())
        chosen.append(best)
        shown_of_video[video[best]] += 1
        likeness = np.maximum(likeness, vectors @ vectors[best])
        allowed[best] = False
        allowed[linked.get(best, [])] = False
        allowed &= likeness < SAME
    return np.array(chosen, np.int64)
