"""The lock: what a version of a mix holds and why, complete enough to prove it later.

It says nothing of when or where it was made. Its `content` is a hash of all that a consumer would see differ; versions
of catalog and tools, how many labels were left out as contested, and the packs that media and vectors lie in, stand
beside it and make no new version.
"""

import json
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import polars as pl

from curate.identity import work_key
from curate.mixes.rows import carried_labels, labels_by_clip
from curate.mixes.solving.solve import Solution
from curate.mixes.split import SPLITS, SplitPlan
from curate.mixes.supply import Supply
from curate.specs import Capability, Mix

_FORMAT = 2
_TOOLS = ("av", "curate", "datasets", "dvc", "polars", "pyarrow", "scipy")


def make_lock(
    mix: Mix,
    capabilities: Mapping[str, Capability],
    supply: Supply,
    plan: SplitPlan,
    solution: Solution,
    chosen: pl.DataFrame,
    catalog_versions: Mapping[str, int],
) -> dict[str, Any]:
    """What the version holds and why. `content` is a hash of all that a consumer would see differ."""
    labels = carried_labels(supply.labels, chosen)
    keys = {clip_id: work_key(found) for clip_id, found in labels_by_clip(labels).iter_rows()}
    carried = set(labels["capability"])
    specs = {
        name: {"version": capabilities[name].version, "spec": capabilities[name].model_dump(mode="json")}
        for name in sorted(carried | set(mix.capabilities))
    }
    nothing = work_key([])
    columns = ("clip_id", "video_id", "group_id", "source", "licence", "start_s", "end_s", "split", "repeat", "roles")
    clips = [
        {**{column: row[column] for column in columns}, "labels": keys.get(row["clip_id"], nothing)}
        for row in chosen.iter_rows(named=True)
    ]
    held = {
        "format": _FORMAT,
        "mix": mix.model_dump(mode="json"),
        "mix_version": mix.version,
        **solution.record(),
        "splits": {split: _facts(chosen.filter(pl.col("split") == split)) for split in SPLITS},
        "counts": _counts(mix, chosen, labels),
        "conflicts": [str(conflict) for conflict in plan.conflicts],
        "capabilities": specs,
        "embedding_model": supply.embedding_model,
        "clips": clips,
    }
    tools = {name: metadata.version(name) for name in _TOOLS}
    contested = {name: count for name, count in supply.contested.items() if name in mix.capabilities}
    beside = {"contested": contested, "catalog": dict(catalog_versions), "tools": tools}
    return {"content": work_key(held), **held, **beside}


def _facts(rows: pl.DataFrame) -> dict[str, Any]:
    seconds = float((rows["duration_s"] * rows["repeat"]).sum())
    return {
        "rows": int(rows["repeat"].sum()),
        "clips": rows.height,
        "videos": rows["video_id"].n_unique(),
        "groups": rows["group_id"].n_unique(),
        "hours": round(seconds / 3600, 4),
        "licences": dict(rows["licence"].value_counts().sort("licence").iter_rows()),
        "sources": dict(rows["source"].value_counts().sort("source").iter_rows()),
    }


def _counts(mix: Mix, chosen: pl.DataFrame, labels: pl.DataFrame) -> dict[str, Any]:
    """For each capability and split: clips labelled present and absent, and segments within the clips."""
    found = {
        name: {split: {"present": 0, "absent": 0, "segments": 0} for split in SPLITS}
        for name in sorted(mix.capabilities)
    }
    counted = (
        labels.filter(pl.col("capability").is_in(list(found)), pl.col("verdict").is_in(["present", "absent"]))
        .join(chosen.select("clip_id", "split"), on="clip_id")
        .group_by("capability", "split", "verdict")
        .agg(clips=pl.len(), segments=pl.col("segments").list.len().sum())
    )
    for name, split, verdict, clips, segments in counted.iter_rows():
        found[name][split][verdict] += clips
        found[name][split]["segments"] += segments
    return found


def lock_text(lock: Mapping[str, Any]) -> str:
    """A lock as it is published: JSON, a line for each clip and each pack, so that versions can be compared by line."""
    parts = []
    for key, value in lock.items():
        if key in ("clips", "packs"):
            lines = ",\n  ".join(json.dumps(each) for each in value)
            parts.append(f" {json.dumps(key)}: [\n  {lines}\n ]")
        else:
            parts.append(f" {json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"
