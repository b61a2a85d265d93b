"""Why is this clip in, or out, and where did it go? Everything known of one clip, video, file, source or licence, or of
one row of a mix: from the source file to labels, reviews and decisions, to the versions of mixes that hold it.
"""

import re

import polars as pl

from curate.catalog import Catalog
from curate.errors import InputError
from curate.mixes.versions import published_names
from curate.workspace import Workspace

_HIDDEN = ("run_id", "work_key", "vector", "frame_vectors", "frame_times_s")
_ROW = re.compile(r"(?P<mix>[a-z0-9][a-z0-9_-]*)@(?P<revision>[^#@]+)#(?P<clip>[0-9a-f]+)")


def trace(workspace: Workspace, item: str) -> dict[str, pl.DataFrame]:
    """The rows about `item`, table by table, from where it came from to where it went.

    Args:
        item: a clip id, a video id, the end of a file's path, a source, a licence, or MIX@REVISION#CLIP.

    Returns:
        By table, those that have rows. `mixes` lists the versions that hold it, oldest first; of a source or licence
        clips and videos are counted, not listed.

    Raises:
        InputError: nothing is known by that name, or that version does not hold the clip.
    """
    row = _ROW.fullmatch(item)
    published = _published(workspace)
    if row:
        held = published.filter(mix=row["mix"], revision=row["revision"], clip_id=row["clip"])
        if held.is_empty():
            raise InputError(
                f"{row['mix']} {row['revision']} holds no clip {row['clip']}",
                fix="Give MIX@REVISION#CLIP; `curate mix list` shows versions, `curate trace CLIP` those that hold it",
            )
        shown = held.select("mix", "revision", "split", "repeat", "roles", "group_id", "source", "licence")
        return {"row": shown, **_of_item(workspace, row["clip"], published)}
    whole = _of_whole(workspace, item, published)
    return whole or _of_item(workspace, item, published)


def _published(workspace: Workspace) -> pl.DataFrame:
    """The clips of all versions; none where nothing is published, without the two seconds that DVC takes to load."""
    if not published_names(workspace):
        return pl.DataFrame(
            schema=dict.fromkeys(("mix", "revision", "date", "clip_id", "video_id", "source", "licence"), pl.String)
        )
    from curate.mixes.verify import history

    return history(workspace)


def _of_item(workspace: Workspace, item: str, published: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Of a clip, a video, or a file."""
    catalog = workspace.catalog
    files = catalog.scan("files").filter((pl.col("video_id") == item) | pl.col("path").str.ends_with(item)).collect()
    clip = catalog.scan("clips").filter(pl.col("clip_id") == item).collect()
    in_mixes = published.filter((pl.col("clip_id") == item) | (pl.col("video_id") == item))
    videos = [*files["video_id"].to_list(), *clip["video_id"].to_list(), *in_mixes["video_id"].unique().to_list()]
    is_clip = not clip.is_empty() or item in published["clip_id"]
    names = [item] if is_clip else [item, *videos]
    about_video, about_clip = pl.col("video_id").is_in(videos), pl.col("clip_id") == item
    if is_clip:
        files = catalog.scan("files").filter(about_video).collect()
    asked = {
        "files": files.lazy(),
        "videos": catalog.scan("videos").filter(about_video),
        "clips": clip.lazy() if is_clip else catalog.scan("clips").filter(about_video),
        "outcomes": catalog.scan("outcomes").filter(
            pl.col("item").is_in(names) | (pl.lit(value=False) if is_clip else about_video)
        ),
        "measures": catalog.scan("measures").filter(about_clip).drop("found"),
        "duplicates": catalog.scan("duplicates").filter(about_clip | (pl.col("other_id") == item)),
        "keepers": catalog.scan("keepers").filter(about_clip | (pl.col("keeper_id") == item)),
        "scores": catalog.scan("scores").filter(about_clip),
        "orders": catalog.scan("orders").filter(about_clip),
        "labels": catalog.scan("labels").filter(about_clip).sort("updated_at"),
        "agreements": catalog.scan("agreements").filter(about_clip),
        "reviews": catalog.scan("reviews").filter(about_clip),
        "withdrawals": catalog.scan("withdrawals").filter(pl.col("item").is_in(names) | about_video),
        "groups": catalog.scan("groups").filter(about_video),
        "splits": catalog.scan("splits").filter(about_video),
    }
    rows = {name: frame.collect() for name, frame in asked.items()}
    of = pl.col("clip_id") == item if is_clip else pl.col("video_id").is_in(videos)
    rows["mixes"] = _versions(workspace, published.filter(of))
    rows["decisions"] = _decisions(catalog, rows)
    found = {name: frame.drop(_HIDDEN, strict=False) for name, frame in rows.items() if frame.height}
    if not found:
        raise InputError(
            f"nothing is known of {item!r}",
            fix="Give a clip id, a video id, the end of a file's path, a source, a licence, or MIX@REVISION#CLIP",
        )
    return found


def _of_whole(workspace: Workspace, item: str, published: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Of a source or a licence: what came of its files, and which mixes hold it; nothing where it is neither."""
    catalog = workspace.catalog
    for kind in ("source", "licence"):
        files = catalog.scan("files").filter(pl.col(kind) == item).collect()
        videos = files["video_id"].drop_nulls().unique()
        in_mixes = published.filter((pl.col(kind) == item) | pl.col("video_id").is_in(videos.implode()))
        if files.is_empty() and in_mixes.is_empty():
            continue
        about = pl.col("video_id").is_in(videos.implode())
        outcomes = catalog.scan("outcomes").filter(about, pl.col("stage") == "collect")
        clips = catalog.scan("clips").filter(about).select("clip_id", "video_id")
        made = clips.select(clips=pl.len(), videos=pl.col("video_id").n_unique()).filter(pl.col("clips") > 0)
        labels = catalog.scan("labels").join(clips, on="clip_id", how="semi")
        withdrawals = catalog.scan("withdrawals").filter(pl.col("item") == item)
        rows = {
            "files": files.group_by("source", "licence").agg(
                files=pl.len(), videos=pl.col("video_id").n_unique(), size_bytes=pl.col("size_bytes").sum()
            ).sort("source", "licence"),
            "outcomes": outcomes.group_by("outcome", "reason").len().sort("outcome", "reason").collect(),
            "clips": made.collect(),
            "labels": labels.group_by("capability", "verdict").len().sort("capability", "verdict").collect(),
            "splits": catalog.scan("splits").filter(about).group_by("split").len().sort("split").collect(),
            "withdrawals": withdrawals.collect(),
            "mixes": _versions(workspace, in_mixes),
        }  # fmt: skip
        rows["decisions"] = _decisions(catalog, rows)
        return {name: frame.drop(_HIDDEN, strict=False) for name, frame in rows.items() if frame.height}
    return {}


def _versions(workspace: Workspace, rows: pl.DataFrame) -> pl.DataFrame:
    """The versions that hold some clips, oldest first: how many in each split, and whether the version is retired."""
    if rows.is_empty():
        return pl.DataFrame()
    from curate.mixes.retire import retired

    gone = [f"{mix} {revision}" for mix, revision in retired(workspace)]
    counts = rows.group_by("mix", "revision", "date", "split").agg(
        clips=pl.len(), rows=pl.col("repeat").sum(), videos=pl.col("video_id").n_unique()
    )
    known = counts.with_columns(retired=pl.format("{} {}", "mix", "revision").is_in(gone))
    return known.sort("date", "mix", pl.col("revision").str.len_chars(), "revision", "split")


def _decisions(catalog: Catalog, rows: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """The decisions that led to what was found: orders, collections, withdrawals, and releases of what holds it."""
    ids = {
        decision_id
        for name in ("orders", "withdrawals")
        if not (frame := rows.get(name, pl.DataFrame())).is_empty()
        for decision_id in frame["decision_id"].drop_nulls()
    }
    for frame in rows.values():
        if "run_id" in frame.columns:
            ids |= {run_id.removeprefix("collect-") for run_id in frame["run_id"].drop_nulls()}
    tags = set()
    if not rows["mixes"].is_empty():
        tags = {f"mix/{mix}/{revision}" for mix, revision in rows["mixes"].select("mix", "revision").iter_rows()}
    tag = pl.col("evidence").str.json_path_match("$.result.tag")
    led = pl.col("decision_id").is_in(list(ids)) | tag.is_in(list(tags)).fill_null(value=False)
    found = catalog.scan("decisions").filter(led).sort("written_at").collect()
    return found.select("decision_id", "kind", "subject", "status", "who", "why", "written_at")
