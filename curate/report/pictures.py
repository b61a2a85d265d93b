"""The stored pictures of the clips a page shows, read once for all of its parts, and where their footage plays.

Pictures are by far the largest table, so only the rows of the clips asked for are read from it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from curate.catalog import Catalog
from curate.media.thumbnail import nearest
from curate.report.render import encoded


@dataclass(frozen=True)
class Pictures:
    """strips: seconds in the source and JPEG of the pictures of a clip, in order of time, by clip id."""

    strips: Mapping[str, list[tuple[float, bytes]]]

    def at(self, clip_id: str, time_s: float) -> bytes | None:
        """The picture taken nearest to a time; None where the clip has none."""
        strip = self.strips.get(clip_id, [])
        return nearest([at for at, _ in strip], [jpeg for _, jpeg in strip], time_s)

    def encoded(self, clip_id: str, time_s: float) -> str | None:
        """`at`, for a data URI."""
        jpeg = self.at(clip_id, time_s)
        return None if jpeg is None else encoded(jpeg)

    def strip(self, clip_id: str) -> list[dict]:
        """time_s and jpeg (for a data URI) of a clip's pictures, in order of time."""
        return [{"time_s": time_s, "jpeg": encoded(jpeg)} for time_s, jpeg in self.strips.get(clip_id, [])]


def read_pictures(catalog: Catalog, clip_ids: Iterable[str]) -> Pictures:
    """The pictures of these clips."""
    wanted = pl.Series(sorted(set(clip_ids)), dtype=pl.String)
    rows = (
        catalog.rows("thumbnails")
        .filter(pl.col("clip_id").is_in(wanted.implode()))
        .select("clip_id", "times_s", "jpegs", "written_at")
        .collect()
        .sort("written_at")
        .unique("clip_id", keep="last")
    )
    found = rows.select("clip_id", "times_s", "jpegs").iter_rows()
    return Pictures({clip: list(zip(times_s or [], jpegs or [], strict=True)) for clip, times_s, jpegs in found})


def playable(path: str, start_s: float, end_s: float) -> str | None:
    """The URI that plays a span of a video, where its file is on this machine; else None."""
    file = Path(path)
    return f"{file.as_uri()}#t={start_s:.3f},{end_s:.3f}" if file.is_absolute() and file.is_file() else None
