"""The page of duplicates: pairs side by side, the least sure of each kind first, so that a person can judge them."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from curate import views
from curate.dedupe.keepers import STRENGTH
from curate.report.render import encoded, render, write_page
from curate.workspace import Workspace

_SHOWN = ("clip_id", "path", "start_s", "end_s", "width", "height", "times_s", "jpegs", "kept")


def write_links(workspace: Workspace, path: Path, *, limit: int = 50) -> Path:
    """Writes the page to `path` and returns it. Footage is not copied.

    Args:
        limit: most pairs of each kind.
    """
    catalog = workspace.catalog
    clips = views.clips(catalog).select("clip_id", "path", "start_s", "end_s", "width", "height").collect()
    edges = catalog.read("duplicates").join(clips, on="clip_id", how="semi")
    edges = edges.join(clips.rename({"clip_id": "other_id"}), on="other_id", how="semi")
    edges = edges.sort("score", "clip_id", "other_id")
    weakest = {kind: edges.filter(pl.col("kind") == kind) for kind in reversed(STRENGTH)}
    shown = pl.concat([rows.head(limit) for rows in weakest.values()])
    ids = pl.concat([shown["clip_id"], shown["other_id"]]).unique().alias("clip_id").to_frame()
    kept = views.kept_clips(catalog).select("clip_id", kept=pl.lit(True)).collect()
    pictures = catalog.scan("thumbnails").select("clip_id", "times_s", "jpegs").join(ids.lazy(), on="clip_id").collect()
    known = ids.join(clips, on="clip_id").join(pictures, on="clip_id", how="left").join(kept, on="clip_id", how="left")
    by_id = {row["clip_id"]: _clip(row) for row in known.select(_SHOWN).iter_rows(named=True)}
    html = render(
        "links.html",
        name=workspace.root.name,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        kinds=[
            {
                "kind": kind,
                "count": len(rows),
                "pairs": [_pair(row, by_id) for row in rows.head(limit).iter_rows(named=True)],
            }
            for kind, rows in weakest.items()
        ],
    )
    return write_page(path, html)


def _clip(row: dict[str, Any]) -> dict[str, Any]:
    strip = zip(row["times_s"] or [], map(encoded, row["jpegs"] or []), strict=True)
    return {**row, "file": Path(row["path"]).name, "strip": [{"time_s": at, "jpeg": jpeg} for at, jpeg in strip]}


def _pair(edge: dict[str, Any], clips: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Both clips of an edge, each with what it has in common with the other; whole clips where nothing is aligned."""
    sides = []
    for end, start_s, end_s in (("clip_id", "start_s", "end_s"), ("other_id", "other_start_s", "other_end_s")):
        clip = clips[edge[end]]
        span_s = (clip["start_s"], clip["end_s"]) if edge[start_s] is None else (edge[start_s], edge[end_s])
        sides.append({**clip, "common_start_s": span_s[0], "common_end_s": span_s[1]})
    return {**edge, "sides": sides}
