"""Which split every video belongs to, for ever.

A split is assigned to a leakage group (source video joined with duplicate links) and never changes: rows of the
`splits` table and everything ever published win. New groups are assigned when they first carry a label, in the manner
of Sechidis et al., "On the Stratification of Multi-Label Data" (2011): the capability with the fewest groups left goes
first, and each of its groups goes where that capability lacks most. So that a rare capability can be both learnt and
measured, one with at least three groups gets one in train and one in test before the shares count.

Groups without labels lean to a split by a hash, and are settled only when a mix uses them.

When later data joins groups of different splits, the joined group is evaluation (test before validation before train),
and its videos that were settled elsewhere are withheld: they were trained on, so they cannot measure, and their twins
measure, so they cannot train.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

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
    members: defaultdict[str, list[str]] = defaultdict(list)
    for video_id, group_id in groups.select("video_id", "group_id").sort("video_id").iter_rows():
        members[group_id].append(video_id)
    before: dict[str, str] = {}
    for video_id, split in settled.select("video_id", "split").iter_rows():
        before[video_id] = max(split, before.get(video_id, split), key=SPLITS.index)
    carried = _carried(groups, labelled)

    assigned: dict[str, str] = {}
    for group_id, videos in members.items():
        known = [before[video_id] for video_id in videos if video_id in before]
        if known:
            assigned[group_id] = max(known, key=SPLITS.index)
    _assign(assigned, carried, {group_id: _draw(seed, videos[0]) for group_id, videos in members.items()}, shares)

    rows, conflicts = [], []
    for group_id, videos in sorted(members.items()):
        binding = group_id in assigned
        split = assigned.get(group_id) or _leaning(_draw(seed, videos[0]), shares)
        withheld = tuple(video_id for video_id in videos if before.get(video_id, split) != split)
        if withheld:
            conflicts.append(Conflict(group_id, split, withheld))
        for video_id in videos:
            own = WITHHELD if video_id in withheld else split
            rows.append((video_id, group_id, own, video_id in before, binding))
    schema = {"video_id": pl.String, "group_id": pl.String, "split": pl.String, "settled": pl.Boolean,
              "binding": pl.Boolean}  # fmt: skip
    return SplitPlan(pl.DataFrame(rows, schema=schema, orient="row").sort("video_id"), tuple(conflicts))


def rows_to_settle(plan: SplitPlan, used_videos: Iterable[str]) -> pl.DataFrame:
    """The rows that the `splits` table lacks: groups with labels, and groups that a mix uses."""
    used = plan.videos.filter(pl.col("video_id").is_in(list(used_videos)))["group_id"].unique()
    return plan.videos.filter(
        ~pl.col("settled"), pl.col("binding") | pl.col("group_id").is_in(used.implode()), pl.col("split") != WITHHELD
    ).select("video_id", "group_id", "split")


def _carried(groups: pl.DataFrame, labelled: pl.DataFrame) -> dict[str, dict[str, int]]:
    """For each group with labels, its labelled clips by capability they are labelled present for ("" for none)."""
    counts = (
        labelled.join(groups.select("video_id", "group_id"), on="video_id")
        .with_columns(name=pl.when(pl.col("verdict") == "present").then("capability").otherwise(pl.lit("")))
        .group_by("group_id", "name")
        .len()
        .sort("group_id", "name")
    )
    found: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for group_id, name, count in counts.iter_rows():
        found[group_id][name] = count
    return dict(found)


def _assign(
    assigned: dict[str, str], carried: dict[str, dict[str, int]], draw: dict[str, float], shares: Splits
) -> None:
    """Adds every group of `carried` that is not in `assigned` yet."""
    open_splits = [split for split in SPLITS if getattr(shares, split) > 0]
    held: defaultdict[tuple[str, str], int] = defaultdict(int)  # clips, by split and capability
    present_in: defaultdict[tuple[str, str], int] = defaultdict(int)  # groups, by split and capability
    total: defaultdict[str, int] = defaultdict(int)
    groups_of: defaultdict[str, set[str]] = defaultdict(set)
    for group_id, names in carried.items():
        for name, count in names.items():
            total[name] += count
            groups_of[name].add(group_id)

    def settle(group_id: str, split: str) -> None:
        assigned[group_id] = split
        for name, count in carried[group_id].items():
            held[split, name] += count
            present_in[split, name] += 1

    def need(split: str, name: str) -> float:
        return float(getattr(shares, split)) * total[name] - held[split, name]

    for group_id in carried:
        if group_id in assigned:
            settle(group_id, assigned[group_id])
    waiting = {group_id for group_id in carried if group_id not in assigned}
    while waiting:
        left = {name: len(groups_of[name] & waiting) for name in total if groups_of[name] & waiting}
        # Absent labels ("") stratify last, when no positive group is left to place.
        name = min(left, key=lambda name: (name == "", left[name], name))
        mine = groups_of[name] & waiting
        group_id = min(mine, key=lambda group_id: (-carried[group_id][name], draw[group_id], group_id))
        lacking = [
            split
            for split in _FLOOR_ORDER
            if name and split in open_splits and not present_in[split, name] and len(groups_of[name]) >= _FLOOR_GROUPS
        ]
        others = [other for other in carried[group_id] if other != name]
        choices = lacking[:1] or open_splits
        split = max(
            choices,
            key=lambda split: (need(split, name), sum(need(split, other) for other in others), getattr(shares, split)),
        )
        settle(group_id, split)
        waiting.discard(group_id)


def _draw(seed: int, video_id: str) -> float:
    """A number in [0, 1) that only the seed and the group's first video decide."""
    return int(hashlib.sha256(f"split {seed} {video_id}".encode()).hexdigest()[:13], 16) / 16**13


def _leaning(draw: float, shares: Splits) -> str:
    if draw < shares.train:
        return "train"
    return "validation" if draw < shares.train + shares.validation else "test"
