"""The page of duplicates: pairs side by side, the least sure of each kind first, so that a person can judge them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from curate import views
from curate.dedupe.keepers import STRENGTH
from curate.report.pictures import Pictures, read_pictures
from curate.report.render import render, write_page
from curate.workspace import Workspace

_CLIP = ("clip_id", "path", "source", "start_s", "end_s", "width", "height")


def write_links(workspace: Workspace, path: Path, *, limit: int = 50) -> Path:
    """Writes the page to `path` and returns it. Footage is not copied.

    Args:
        limit: most pairs of each kind.
    """
    kinds = least_sure(workspace, limit)
    pictures = read_pictures(workspace.catalog, clips_of(kinds))
    html = render(
        "links.html",
        name=workspace.root.name,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        kinds=with_pictures(kinds, pictures),
    )
    return write_page(path, html)


def least_sure(workspace: Workspace, limit: int) -> list[dict[str, Any]]:
    """Pairs of current clips that show the same: one dict for each kind of edge, the least sure kind first.

    Keys: kind, count (all pairs), pairs (the `limit` of the lowest score: the columns of `duplicates`, and `sides`, the
    two clips with what each has in common with the other).
    """
    catalog = workspace.catalog
    clips = views.clips(catalog).select(_CLIP).collect()
    edges = catalog.read("duplicates").join(clips, on="clip_id", how="semi")
    edges = edges.join(clips.rename({"clip_id": "other_id"}), on="other_id", how="semi")
    edges = edges.sort("score", "clip_id", "other_id")
    by_kind = {kind: edges.filter(pl.col("kind") == kind) for kind in reversed(STRENGTH)}
    shown = pl.concat([rows.head(limit) for rows in by_kind.values()])
    ids = pl.concat([shown["clip_id"], shown["other_id"]]).unique().alias("clip_id").to_frame()
    kept = views.kept_clips(catalog).select("clip_id", kept=pl.lit(True)).collect()
    known = ids.join(clips, on="clip_id").join(kept, on="clip_id", how="left")
    by_id = {row["clip_id"]: {**row, "file": Path(row["path"]).name} for row in known.iter_rows(named=True)}
    return [
        {
            "kind": kind,
            "count": len(rows),
            "pairs": [_pair(row, by_id) for row in rows.head(limit).iter_rows(named=True)],
        }
        for kind, rows in by_kind.items()
    ]


def clips_of(kinds: Sequence[dict[str, Any]]) -> set[str]:
    """The ids of the clips in `least_sure`'s pairs."""
    return {side["clip_id"] for each in kinds for pair in each["pairs"] for side in pair["sides"]}


def with_pictures(kinds: Sequence[dict[str, Any]], pictures: Pictures) -> list[dict[str, Any]]:
    """`least_sure`'s pairs, each side with a `strip` of its pictures."""
    return [
        {**each, "pairs": [
            {**pair, "sides": [{**side, "strip": pictures.strip(side["clip_id"])} for side in pair["sides"]]}
            for pair in each["pairs"]
        ]}
        for each in kinds
    ]  # fmt: skip


def _pair(edge: dict[str, Any], clips: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Both clips of an edge, each with what it has in common with the other; whole clips where nothing is aligned."""
    sides = []
    for end, start_s, end_s in (("clip_id", "start_s", "end_s"), ("other_id", "other_start_s", "other_end_s")):
        clip = clips[edge[end]]
        span_s = (clip["start_s"], clip["end_s"]) if edge[start_s] is None else (edge[start_s], edge[end_s])
        sides.append({**clip, "common_start_s": span_s[0], "common_end_s": span_s[1]})
    return {**edge, "sides": sides}
