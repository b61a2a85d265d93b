"""The lock: what a version of a mix holds and why, complete enough to prove it later.

It says nothing of when or where it was made. Its `content` is a hash of all that a consumer would see differ; versions
of catalog and tools, and how many labels were left out as contested, stand beside it and make no new version.
"""

from collections import Counter
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import polars as pl

from curate.identity import work_key
from curate.mixes.pack import relative_segments
from curate.mixes.solving.solve import Solution
from curate.mixes.split import SPLITS, SplitPlan
from curate.mixes.supply import Supply, labels_by_clip
from curate.specs import Capability, Mix

_FORMAT = 1
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
    labels = labels_by_clip(supply, chosen)
    carried = {label["capability"] for found in labels.values() for label in found}
    specs = {
        name: {"version": capabilities[name].version, "spec": capabilities[name].model_dump(mode="json")}
        for name in sorted(carried | set(mix.capabilities))
    }
    columns = ("clip_id", "video_id", "group_id", "source", "licence", "start_s", "end_s", "split", "repeat", "roles")
    clips = [
        {**{column: row[column] for column in columns}, "labels": work_key(labels.get(row["clip_id"], []))}
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
        "licences": sorted(set(rows["licence"])),
        "sources": dict(sorted(Counter(rows["source"]).items())),
    }


def _counts(mix: Mix, chosen: pl.DataFrame, labels: Mapping[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """For each capability and split: clips labelled present and absent, and segments within the clips."""
    found = {
        name: {split: {"present": 0, "absent": 0, "segments": 0} for split in SPLITS}
        for name in sorted(mix.capabilities)
    }
    for row in chosen.iter_rows(named=True):
        for label in labels.get(row["clip_id"], []):
            if label["capability"] in found and label["verdict"] in ("present", "absent"):
                counts = found[label["capability"]][row["split"]]
                counts[label["verdict"]] += 1
                counts["segments"] += len(relative_segments(label["segments"], row["start_s"], row["end_s"]))
    return found
