"""Why is this clip in, or out? Everything the catalog says of one clip, video or file."""

import polars as pl

from curate.errors import InputError
from curate.workspace import Workspace

_HIDDEN = ("run_id", "work_key", "vector", "frame_vectors", "frame_times_s")


def trace(workspace: Workspace, item: str) -> dict[str, pl.DataFrame]:
    """The rows about `item`, table by table.

    Args:
        item: a clip id, a video id, or the end of a file's path.

    Raises:
        InputError: the catalog knows nothing by that name.
    """
    catalog = workspace.catalog
    files = catalog.scan("files").filter((pl.col("video_id") == item) | pl.col("path").str.ends_with(item)).collect()
    clip = catalog.scan("clips").filter(pl.col("clip_id") == item).collect()
    videos = [*files["video_id"].to_list(), *clip["video_id"].to_list()]
    names = [item, *videos] if clip.is_empty() else [item]
    about_video, about_clip = pl.col("video_id").is_in(videos), pl.col("clip_id") == item
    if not clip.is_empty():
        files = catalog.scan("files").filter(about_video).collect()
    asked = {
        "files": files.lazy(),
        "videos": catalog.scan("videos").filter(about_video),
        "clips": clip.lazy() if not clip.is_empty() else catalog.scan("clips").filter(about_video),
        "outcomes": catalog.scan("outcomes").filter(
            pl.col("item").is_in(names) | (about_video if clip.is_empty() else pl.lit(False))
        ),
        "measures": catalog.scan("measures").filter(about_clip).drop("found"),
        "duplicates": catalog.scan("duplicates").filter(about_clip | (pl.col("other_id") == item)),
        "keepers": catalog.scan("keepers").filter(about_clip | (pl.col("keeper_id") == item)),
        "scores": catalog.scan("scores").filter(about_clip),
        "orders": catalog.scan("orders").filter(about_clip),
        "labels": catalog.scan("labels").filter(about_clip),
        "splits": catalog.scan("splits").filter(about_video),
    }
    found = {name: rows.drop(_HIDDEN, strict=False).collect() for name, rows in asked.items()}
    found = {name: rows for name, rows in found.items() if rows.height}
    if not found:
        raise InputError(f"nothing is known of {item!r}", fix="Give a clip id, a video id, or the end of a file's path")
    return found
