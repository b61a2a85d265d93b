"""The kinds of clips in a mix: clips that are worth the same to it are counted, not told apart.

Two clips are of one kind where they can serve the same shares in the same way (as positive or negative, in the same
slices that have a minimum) and count against the same limits; the limit per video is not among these, `videos` sees to
it. The program's size is the number of kinds. Where there are more than MOST_KINDS, kinds are merged, and the merged
kind has the mean of its clips: what is left out then is only which of its clips have more than the mean, and
`curate.mixes.solving.program` parts those again by what the prices say they are worth.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from curate.mixes.solving import videos
from curate.mixes.solving.chance import mixed
from curate.mixes.solving.problem import Problem

MOST_KINDS = 20_000
_FINE, _COARSE = 1.1, 2.0
"""Ratio of the durations in one merged kind."""


@dataclass(frozen=True)
class Kinds:
    """Kinds, and the pairs of a kind and a share (and side, and reason) that its clips can serve.

    Attributes:
        of: of each clip its kind; -1 for a clip that serves no share.
        exact: whether the clips of a kind are worth the same.
        count: clips of each kind.
        source, licence: of each kind, where a limit counts them.
        pair_kind, pair_role, pair_positive, pair_why: of each pair.
        pair_count: clips that can serve it. pair_size: their mean size.
        pair_of: of each offer its pair.
        slices: sparse [slices, pairs], the fraction of a pair's clips that are in each slice.
        in_video: sparse [kinds, videos], clips; only where a limit counts them.
        crowding: of each kind the clips that the limit per video allows of it alone.
    """

    of: np.ndarray
    exact: bool
    count: np.ndarray
    source: np.ndarray
    licence: np.ndarray
    pair_kind: np.ndarray
    pair_role: np.ndarray
    pair_positive: np.ndarray
    pair_why: np.ndarray
    pair_count: np.ndarray
    pair_size: np.ndarray
    pair_of: np.ndarray
    slices: csr_array
    in_video: csr_array | None
    crowding: np.ndarray


def kinds_of(problem: Problem) -> Kinds:
    """The finest kinds of which there are no more than MOST_KINDS."""
    serving = np.zeros(len(problem.size), dtype=bool)
    serving[problem.offer_clip] = True
    offers = _offer_numbers(problem, slices=True)
    exact = _keys(problem, serving, _by_clip(problem, offers), problem.size.view(np.uint64))
    if len(np.unique(exact)) <= MOST_KINDS:
        return counted(problem, serving, exact, exact=True)
    by_role = _by_clip(problem, _offer_numbers(problem, slices=False))
    merged = _keys(problem, serving, by_role, _durations(problem, _FINE))
    if len(np.unique(merged)) > MOST_KINDS:
        merged = _keys(problem, serving, _scarcest(problem), _durations(problem, _COARSE))
    return counted(problem, serving, merged, exact=False)


def parted(problem: Problem, kinds: Kinds, worth: np.ndarray) -> Kinds:
    """Kinds of which each is parted by the share its clips are worth most to, and by whether they are worth more, as
    much, or less than what they cost.

    Args:
        worth: of each offer, at the program's prices; not above 0 where it does not pay.
    """
    best = np.full(len(kinds.of), -np.inf)
    np.maximum.at(best, problem.offer_clip, worth)
    is_best = worth >= best[problem.offer_clip] - 1e-9
    share = np.zeros(len(kinds.of), dtype=np.uint64)
    np.add.at(share, problem.offer_clip[is_best], mixed(problem.offer_role[is_best].astype(np.uint64)))
    step = np.digitize(best, [-1.0, -1e-3, 1e-3, 1.0, 10.0, 100.0]).astype(np.uint64)
    serving = kinds.of >= 0
    key = mixed(mixed(kinds.of[serving].astype(np.uint64)) ^ mixed(share[serving] + step[serving]))
    return counted(problem, serving, key, exact=False)


def counted(problem: Problem, serving: np.ndarray, key: np.ndarray, *, exact: bool) -> Kinds:
    """Kinds by a key of each serving clip."""
    found, first, of_serving = np.unique(key, return_index=True, return_inverse=True)
    of = np.full(len(serving), -1, dtype=np.int64)
    of[serving] = of_serving
    clips = np.flatnonzero(serving)
    head = clips[first]
    side = (problem.offer_role * 2 + problem.offer_positive) * 32 + problem.offer_why
    sides = 64 * max(len(problem.roles), 1)
    pairs, pair_of, pair_count = np.unique(
        of[problem.offer_clip] * sides + side, return_inverse=True, return_counts=True
    )
    side_of = pairs % sides
    sizes = np.bincount(pair_of, weights=problem.size[problem.offer_clip], minlength=len(pairs))
    members = csr_array(
        (np.ones(len(problem.slice_offer)), (problem.slice_of, pair_of[problem.slice_offer])),
        shape=(len(problem.slices), len(pairs)),
    )
    in_video, count = None, np.bincount(of_serving, minlength=len(found)).astype(np.float64)
    crowding = count
    if problem.mix.limits.per_video is not None:
        in_video = csr_array(
            (np.ones(len(clips)), (of_serving, problem.video[clips])),
            shape=(len(found), int(problem.video.max(initial=0)) + 1),
        )
        in_video.sum_duplicates()
        crowding = videos.most_of_each(in_video, problem.mix.limits.per_video)
    return Kinds(
        of=of,
        exact=exact,
        count=count,
        source=problem.source[head],
        licence=problem.licence[head],
        pair_kind=pairs // sides,
        pair_role=side_of // 64,
        pair_positive=side_of // 32 % 2 == 1,
        pair_why=side_of % 32,
        pair_count=pair_count.astype(np.float64),
        pair_size=sizes / np.maximum(pair_count, 1),
        pair_of=pair_of,
        slices=csr_array(members.multiply(1 / np.maximum(pair_count, 1)[None, :])),
        in_video=in_video,
        crowding=crowding,
    )


def _offer_numbers(problem: Problem, *, slices: bool) -> np.ndarray:
    """A number for what each offer is: share, side, why it may not be used, and the slices it is in."""
    found = mixed(((problem.offer_role * 2 + problem.offer_positive) * 32 + problem.offer_why).astype(np.uint64))
    if slices:
        of_slices = np.zeros(len(found), dtype=np.uint64)
        np.add.at(of_slices, problem.slice_offer, mixed(problem.slice_of.astype(np.uint64)))
        found = mixed(found ^ of_slices)
    return found


def _by_clip(problem: Problem, offers: np.ndarray) -> np.ndarray:
    found = np.zeros(len(problem.size), dtype=np.uint64)
    np.add.at(found, problem.offer_clip, offers)
    return found


def _scarcest(problem: Problem) -> np.ndarray:
    """Of each clip the share that has the least supply for what it asks, and whether it can serve others too."""
    free = problem.offer_why == 0
    supply = np.bincount(problem.offer_role[free], minlength=len(problem.roles))
    rank = np.empty(len(problem.roles), dtype=np.int64)
    rank[np.argsort(supply / problem.demand, kind="stable")] = np.arange(len(problem.roles))
    side = (rank[problem.offer_role] * 2 + ~problem.offer_positive) * 32 + problem.offer_why
    first = np.full(len(problem.size), np.iinfo(np.int64).max)
    np.minimum.at(first, problem.offer_clip, np.where(free, side, side + 64 * len(rank)))
    several = np.bincount(problem.offer_clip, minlength=len(problem.size)) > 1
    return (first * 2 + several).astype(np.uint64)


def _durations(problem: Problem, ratio: float) -> np.ndarray:
    return np.round(np.log(np.maximum(problem.size, 1e-9)) / np.log(ratio)).astype(np.int64).view(np.uint64)


def _keys(problem: Problem, serving: np.ndarray, offers: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """A number for the kind of each serving clip; that two kinds share one is as likely as two equal 64-bit draws."""
    limits = problem.mix.limits
    found = mixed(offers[serving]) ^ mixed(problem.why[serving].astype(np.uint64) + np.uint64(7))
    if problem.unit == "h":
        found = mixed(found) ^ sizes[serving]
    if limits.per_source is not None:
        found = mixed(found) ^ problem.source[serving].astype(np.uint64)
    if limits.per_licence:
        found = mixed(found) ^ problem.licence[serving].astype(np.uint64)
    return mixed(found)
