"""Which split every video belongs to, for ever.

A split is assigned to a leakage group (source video joined with duplicate links) and never changes: rows of the
`splits` table and everything ever published win. New groups are assigned when they first carry a label, in the manner
of Sechidis et al., "On the Stratification of Multi-Label Data" (2011): the capability with the fewest groups left goes
first, and each of its groups goes where that capability lacks most. So that a rare capability can be both learnt and
measured, one with at least three groups gets one in train and one in test before the shares count.

Groups without labels lean to a split by a hash, and are settled only when a mix uses them.

The cost is that of sorting the groups: a million labelled clips of 100,000 groups and 20 capabilities take seconds.

When later data joins groups of different splits, the joined group is evaluation (test before validation before train),
and its videos that were settled elsewhere are withheld: they were trained on, so they cannot measure, and their twins
measure, so they cannot train.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

import numpy as np
import polars as pl

from curate.specs.mix import Splits

SPLITS = ("train", "validation", "test")
"""From weakest to strongest: a conflict goes to the later one."""
WITHHELD = "withheld"
_FLOOR_ORDER = ("train", "test")
_FLOOR_GROUPS = 3


@dataclass(frozen=True)
class Conflict:
    """A group that joined videos settled in different splits. `split` is where it went, `withheld` who pays."""

    group_id: str
    split: str
    withheld: tuple[str, ...]

    def __str__(self) -> str:
        return f"group {self.group_id} is {self.split} now; withheld from every split: {', '.join(self.withheld)}"


@dataclass(frozen=True)
class SplitPlan:
    """videos: video_id, group_id, split (train, validation, test, withheld), settled: assigned before;
    binding: settled, or carries labels. A row that is neither is a leaning, until a mix uses the group."""

    videos: pl.DataFrame
    conflicts: tuple[Conflict, ...]


def plan_splits(
    groups: pl.DataFrame, settled: pl.DataFrame, labelled: pl.DataFrame, shares: Splits, *, seed: int
) -> SplitPlan:
    """Assigns every video of `groups`.

    Args:
        groups: video_id, group_id of every video.
        settled: video_id, split: the assignments that stand. One video may have several; the strongest counts.
        labelled: video_id, capability, verdict (present or absent): one row for each labelled clip and capability.
        shares: wanted fractions of the labelled clips.
        seed: of the hash that orders groups and breaks ties.
    """
    strength = pl.col("split").replace_strict(SPLITS, range(len(SPLITS)), return_dtype=pl.Int8)
    before = settled.group_by("video_id").agg(before=strength.max())
    videos = groups.select("video_id", "group_id").join(before, on="video_id", how="left").sort("video_id")
    whole = videos.group_by("group_id").agg(first=pl.col("video_id").min(), side=pl.col("before").max())
    whole = whole.sort("group_id").with_row_index("group")
    draw = np.array([_draw(seed, video_id) for video_id in whole["first"]], dtype=np.float64)
    carried = (
        labelled.join(videos.select("video_id", "group_id"), on="video_id")
        .with_columns(name=pl.when(pl.col("verdict") == "present").then("capability").otherwise(pl.lit("")))
        .group_by("group_id", "name")
        .agg(clips=pl.len().cast(pl.Int64))
        .join(whole.select("group_id", "group"), on="group_id")
    )
    side = whole["side"].fill_null(-1).to_numpy().copy()
    _assign(side, carried.select("group", "name", "clips"), draw, shares)

    binding = pl.Series(side >= 0)
    leaning = np.searchsorted(np.cumsum([shares.train, shares.validation]), draw, side="right")
    whole = whole.with_columns(now=pl.Series(np.where(side >= 0, side, leaning).astype(np.int8)), binding=binding)
    names = pl.col("now").replace_strict(range(len(SPLITS)), SPLITS, return_dtype=pl.String)
    rows = videos.join(whole.select("group_id", "now", "binding"), on="group_id").with_columns(
        withheld=(pl.col("before") != pl.col("now")).fill_null(value=False), side=names
    )
    paying = rows.filter("withheld").sort("group_id", "video_id").group_by("group_id", "side", maintain_order=True)
    conflicts = paying.agg("video_id").iter_rows()
    plan = rows.select(
        "video_id",
        "group_id",
        split=pl.when("withheld").then(pl.lit(WITHHELD)).otherwise("side"),
        settled=pl.col("before").is_not_null(),
        binding="binding",
    )
    found = tuple(Conflict(group_id, split, tuple(withheld)) for group_id, split, withheld in conflicts)
    return SplitPlan(plan.sort("video_id"), found)


def rows_to_settle(plan: SplitPlan, used_videos: Iterable[str]) -> pl.DataFrame:
    """The rows that the `splits` table lacks: groups with labels, and groups that a mix uses."""
    used = plan.videos.filter(pl.col("video_id").is_in(list(used_videos)))["group_id"].unique()
    return plan.videos.filter(
        ~pl.col("settled"), pl.col("binding") | pl.col("group_id").is_in(used.implode()), pl.col("split") != WITHHELD
    ).select("video_id", "group_id", "split")


def _assign(side: np.ndarray, carried: pl.DataFrame, draw: np.ndarray, shares: Splits) -> None:
    """Assigns every group of `carried` that has no side yet.

    Args:
        side: int8 [groups], a position in SPLITS, or -1; changed in place.
        carried: group, name, clips: for each group with labels, its labelled clips by the capability they are labelled
            present for, "" for those labelled absent.
        draw: float64 [groups], which of two like groups comes first.
    """
    if carried.is_empty():
        return
    # Absent labels ("") sort first, and stratify last, when no positive group is left to place.
    names = carried["name"].unique().sort()
    wanted = [float(getattr(shares, split)) for split in SPLITS]
    open_splits = [at for at, share in enumerate(wanted) if share > 0]
    floor = [at for split in _FLOOR_ORDER if (at := SPLITS.index(split)) in open_splits]
    carried = carried.with_columns(
        name=pl.Series(names.search_sorted(carried["name"])), draw=pl.Series(draw[carried["group"].to_numpy()])
    ).sort("name", pl.col("clips"), "draw", "group", descending=[False, True, False, False])
    name, group, clips = (carried[column].to_numpy() for column in ("name", "group", "clips"))
    ends = np.searchsorted(name, np.arange(len(names)), side="right")
    queues = [group[start:end].tolist() for start, end in zip([0, *ends[:-1]], ends, strict=True)]
    rare = [len(queue) < _FLOOR_GROUPS or not names[at] for at, queue in enumerate(queues)]

    # What each split still needs of each capability, in clips, and whether a group there shows it.
    own = side[group]
    held, present = np.zeros((len(SPLITS), len(names))), np.zeros((len(SPLITS), len(names)), bool)
    np.add.at(held, (own[own >= 0], name[own >= 0]), clips[own >= 0])
    present[own[own >= 0], name[own >= 0]] = True
    totals = np.bincount(name, weights=clips, minlength=len(names))
    need = (np.outer(wanted, totals) - held).tolist()
    shown = present.tolist()

    waiting = own < 0
    left = np.bincount(name[waiting], minlength=len(names)).tolist()
    carries: dict[int, list[tuple[int, int]]] = {}
    order = np.lexsort((name, group))
    order = order[waiting[order]]
    for of, at, count in zip(group[order].tolist(), name[order].tolist(), clips[order].tolist(), strict=True):
        carries.setdefault(of, []).append((at, count))
    places = [0] * len(names)
    fewest = [(not names[at], count, at) for at, count in enumerate(left) if count]
    heapify(fewest)
    while fewest:
        _, count, at = heappop(fewest)
        if not count or count != left[at]:
            continue  # a later entry says how many are left
        queue = queues[at]
        while side[queue[places[at]]] >= 0:
            places[at] += 1
        of = queue[places[at]]
        lacking = [] if rare[at] else [split for split in floor if not shown[split][at]]
        others = [other for other, _ in carries[of] if other != at]
        best = max(
            lacking[:1] or open_splits,
            key=lambda split: (need[split][at], sum(need[split][other] for other in others), wanted[split]),
        )
        side[of] = best
        for other, held_clips in carries[of]:
            need[best][other] -= held_clips
            shown[best][other] = True
            left[other] -= 1
            if left[other]:
                heappush(fewest, (not names[other], left[other], other))


def _draw(seed: int, video_id: str) -> float:
    """A number in [0, 1) that only the seed and the group's first video decide."""
    return int(hashlib.sha256(f"split {seed} {video_id}".encode()).hexdigest()[:13], 16) / 16**13
