"""The page of a search: one file that needs nothing else, with pictures, times, and the footage where it is local."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from curate.report.pictures import playable
from curate.report.render import best_picture, encoded, render, write_page
from curate.workspace import Workspace


@dataclass(frozen=True)
class Question:
    """What was asked, as `curate.search.search.search_clips` takes it; shown at the top of the page."""

    text: Sequence[str] = ()
    not_text: Sequence[str] = ()
    like: Sequence[str] = ()
    where: str | None = None
    diverse: bool = False


def write_results(workspace: Workspace, found: pl.DataFrame, path: Path, question: Question = Question()) -> Path:
    """Writes the page of `found`, an answer of `search_clips`, in its order, to `path`, and returns it.

    A page of 200 results of the sample world takes 5 MB. Footage is not copied: it plays where its file still is.

    Raises:
        InputError: it cannot be written there.
    """
    thumbnails = workspace.catalog.scan("thumbnails").select("clip_id", "times_s", "jpegs")
    pictures = thumbnails.filter(pl.col("clip_id").is_in(found["clip_id"].implode())).collect()
    rows = found.join(pictures, on="clip_id", how="left", maintain_order="left").iter_rows(named=True)
    html = render(
        "results.html",
        name=workspace.root.name,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        question=question,
        results=[_result(row) for row in rows],
    )
    return write_page(path, html)


def _result(row: dict[str, Any]) -> dict[str, Any]:
    row["times_s"], row["jpegs"] = row["times_s"] or [], row["jpegs"] or []
    best = best_picture(row)
    strip = [
        {"time_s": time_s, "jpeg": jpeg}
        for time_s, jpeg in zip(row["times_s"], map(encoded, row["jpegs"]), strict=True)
        if jpeg != best
    ]
    uri = playable(row["path"], row["best_start_s"], row["best_end_s"])
    return {**row, "jpeg": best, "strip": strip, "file": Path(row["path"]).name, "uri": uri}
