"""What changed between two versions of a mix, clip by clip with the reason, and in shares, labels, configs and bytes.

What changed is said by the two locks alone. Why a clip came or went is said by the catalog, as it was when each version
was made: labels, reviews, duplicates and withdrawals are never overwritten there. In a clone without a catalog the
reasons are what the locks can tell, and a clip that they cannot explain was simply chosen instead, or not any more.
"""

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from curate.errors import CurateError
from curate.identity import work_key
from curate.mixes.files import open_files
from curate.mixes.load import load_mix
from curate.mixes.reasons import Change, Reasons, Side, changed_fields, words
from curate.mixes.split import SPLITS
from curate.workspace import Workspace

_UNLABELLED = work_key([])
_SHOWN = 40
_KINDS = ("requested", "feasible", "realised")


@dataclass(frozen=True)
class ShareChange:
    """Requested, feasible and realised fraction of the budget, before and after; None where there is no such share."""

    share: str
    requested: tuple[float | None, float | None]
    feasible: tuple[float | None, float | None]
    realised: tuple[float | None, float | None]

    @property
    def differs(self) -> bool:
        return any(before != after for before, after in (self.requested, self.feasible, self.realised))


@dataclass(frozen=True)
class ConfigChange:
    """A field of the mix, or of a capability, before and after."""

    config: str
    field: str
    before: Any
    after: Any


@dataclass(frozen=True)
class Diff:
    """From `old` to `new`. Clips are sorted by split and id.

    Attributes:
        name, old, new: the mix and its two revisions.
        clips_in: clips that only the newer version holds.
        clips_out: clips that only the older one holds.
        repeats: clips of both that occur more or less often.
        labels: clips of both whose labels differ.
        shares: of both, in their order.
        splits: for each split its facts (rows, clips, videos, hours) before and after.
        configs: what changed in the mix and its capabilities.
        bytes_added: of files that the older version does not have; None where one cannot be had.
    """

    name: str
    old: str
    new: str
    clips_in: tuple[Change, ...]
    clips_out: tuple[Change, ...]
    repeats: tuple[Change, ...]
    labels: tuple[Change, ...]
    shares: tuple[ShareChange, ...]
    splits: dict[str, dict[str, tuple[float, float]]]
    configs: tuple[ConfigChange, ...]
    bytes_added: int | None

    def text(self) -> str:
        """For a person to read: how many by reason, then the first clips of each kind."""
        return "\n".join(_lines(self))


def diff(workspace: Workspace, name: str, old: str, new: str | None = None) -> Diff:
    """What changed from one version of a mix to another.

    Args:
        old, new: v1, v2 ... or any git revision; `new` is the newest version where not given.

    Raises:
        InputError: no such mix or revision.
        CurateError: a lock is neither in the cache nor on a remote.
    """
    before, after = Side.of(workspace, name, old), Side.of(workspace, name, new)
    reasons = Reasons(workspace, before, after)
    both = sorted(before.clips.keys() & after.clips.keys(), key=after.place)
    relabelled = [clip_id for clip_id in both if before.clips[clip_id]["labels"] != after.clips[clip_id]["labels"]]
    return Diff(
        name,
        before.revision,
        after.revision,
        tuple(
            reasons.came(after.clips[each])
            for each in sorted(after.clips.keys() - before.clips.keys(), key=after.place)
        ),
        tuple(
            reasons.went(before.clips[each])
            for each in sorted(before.clips.keys() - after.clips.keys(), key=before.place)
        ),
        tuple(
            Change(each, after.clips[each]["split"], "repeats", f"{times[0]} -> {times[1]}")
            for each in both
            if (times := (before.clips[each]["repeat"], after.clips[each]["repeat"])) and times[0] != times[1]
        ),
        tuple(_relabelled(workspace, before, after, relabelled)),
        tuple(_shares(before.lock, after.lock)),
        _splits(before.lock, after.lock),
        tuple(_configs(before.lock, after.lock)),
        _bytes_added(workspace, before, after),
    )


def _relabelled(workspace: Workspace, old: Side, new: Side, clip_ids: list[str]) -> Iterator[Change]:
    """What changed in labels, capability by capability, as far as the rows of both versions can be had."""
    labels = [_labels_of(workspace, side, clip_ids) for side in (old, new)]
    for clip_id in clip_ids:
        split = new.clips[clip_id]["split"]
        before, after = (found.get(clip_id) for found in labels)
        digests = old.clips[clip_id]["labels"], new.clips[clip_id]["labels"]
        reason = (
            "labelled" if digests[0] == _UNLABELLED else "label removed" if digests[1] == _UNLABELLED else "relabelled"
        )
        parts = []
        if before is not None and after is not None:
            for name in sorted(before.keys() | after.keys()):
                was, now = before.get(name), after.get(name)
                if was != now:
                    parts.append(f"{name}: {_label_words(was)} -> {_label_words(now)}")
        yield Change(clip_id, split, reason, "; ".join(parts))


def _labels_of(workspace: Workspace, side: Side, clip_ids: list[str]) -> dict[str, dict[str, Any]]:
    if not clip_ids:
        return {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it holds withdrawn clips is no news here
            splits = load_mix(side.name, side.commit, media=False, vectors=False, workspace=workspace.root)
    except CurateError:  # retired, or out of reach: that they differ is known all the same
        return {}
    wanted = set(clip_ids)
    found = {}
    for split in splits.values():
        for row in split.select_columns(["clip_id", "labels"]):
            if row["clip_id"] in wanted:
                found[row["clip_id"]] = {label["capability"]: label for label in row["labels"]}
    return found


def _label_words(label: Mapping[str, Any] | None) -> str:
    if label is None:
        return "none"
    segments = f", {len(label['segments'])} segments" if label["segments"] else ""
    return f"{label['verdict']}{segments} by {label['annotator']}, spec {label['spec_version'][:8]}"


def _shares(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[ShareChange]:
    for share in dict.fromkeys([*old["requested"], *new["requested"]]):
        yield ShareChange(share, *((old[kind].get(share), new[kind].get(share)) for kind in _KINDS))


def _splits(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, dict[str, tuple[float, float]]]:
    return {
        split: {
            fact: (old["splits"][split][fact], new["splits"][split][fact])
            for fact in ("rows", "clips", "videos", "hours")
        }
        for split in SPLITS
    }


def _configs(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[ConfigChange]:
    for change in changed_fields(old["mix"], new["mix"]):
        yield ConfigChange("mix", *change)
    for name in sorted(old["capabilities"].keys() | new["capabilities"].keys()):
        specs = [side["capabilities"].get(name, {}).get("spec") for side in (old, new)]
        for change in changed_fields(specs[0], specs[1]):
            yield ConfigChange(name, *change)


def _bytes_added(workspace: Workspace, old: Side, new: Side) -> int | None:
    try:
        before, after = (open_files(workspace, side.name, side.commit) for side in (old, new))
        known = set(before.hashes.values())
        return sum(size for path, size in after.sizes.items() if after.hashes[path] not in known)
    except CurateError:
        return None


def _lines(found: Diff) -> Iterator[str]:
    yield f"mix {found.name}, {found.old} -> {found.new}"
    if found.bytes_added is not None:
        yield f"{found.bytes_added:,} bytes that {found.old} does not hold"
    for split, facts in found.splits.items():
        yield f"{split}: " + ", ".join(f"{fact} {before:g} -> {after:g}" for fact, (before, after) in facts.items())
    yield from _clip_lines(found)
    changed = [share for share in found.shares if share.differs]
    if changed:
        yield "\nshares: requested, feasible, realised"
    for share in changed:
        values = (
            f"{_percent(before)} -> {_percent(after)}"
            for before, after in (share.requested, share.feasible, share.realised)
        )
        yield f"  {share.share:<24} " + "   ".join(f"{value:<18}" for value in values).rstrip()
    if found.configs:
        yield "\nconfigs"
    for config in found.configs:
        yield f"  {config.config}: {config.field}: {words(config.before)} -> {words(config.after)}"


def _clip_lines(found: Diff) -> Iterator[str]:
    for title, changes in (
        ("clips in", found.clips_in),
        ("clips out", found.clips_out),
        ("other repeats", found.repeats),
        ("other labels", found.labels),
    ):
        if not changes:
            continue
        reasons = Counter(change.reason for change in changes)
        words = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items(), key=lambda x: (-x[1], x[0])))
        yield f"\n{len(changes)} {title}: {words}"
        for change in changes[:_SHOWN]:
            yield f"  {change.clip_id}  {change.split:<10}  {': '.join(filter(None, (change.reason, change.detail)))}"
        if len(changes) > _SHOWN:
            yield f"  and {len(changes) - _SHOWN} more"


def _percent(value: float | None) -> str:
    return "none" if value is None else f"{value:.1%}"
