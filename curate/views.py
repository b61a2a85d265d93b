"""What the catalog's tables say now: the questions that more than one stage asks of them."""

import polars as pl

from curate.catalog import Catalog

MEASURED: dict[str, dict[str, str]] = {
    "speech": {"speech_share": "share"},
    "text": {"text_share": "share", "on_screen_text": "text"},
    "transcript": {"transcript": "text"},
}
"""The costly signals, cheapest first: the columns of `clips` that each gives, and where `measures` keeps them."""


def clips(catalog: Catalog) -> pl.LazyFrame:
    """Clips of the latest analysis of each video, with the video's metadata.

    A clip made under parameters that have changed since stays in the table, but is not shown here, and neither is one
    that was withdrawn.

    Columns: those of `clips`, `duration_s`, of its video `source`, `path`, `licence`, `width`, `height`, `fps`,
    `has_audio`, `bitrate_bps`, `video_duration_s`, and the costly signals of `MEASURED`, null where not measured.
    """
    current = (
        catalog.scan("outcomes")
        .filter(pl.col("stage") == "collect", pl.col("outcome") == "ok")
        .select("video_id", "work_key")
        .unique()
    )
    videos = catalog.scan("videos").select(
        "video_id", "source", "path", "licence", "width", "height", "fps", "has_audio", "bitrate_bps",
        video_duration_s="duration_s",
    )  # fmt: skip
    found = (
        catalog.scan("clips")
        .join(current, on=["video_id", "work_key"], how="semi")
        .with_columns(duration_s=pl.col("end_s") - pl.col("start_s"))
        .join(videos, on="video_id")
    )
    return (
        found.join(withdrawn_among(catalog, found), on="clip_id", how="anti")
        .join(measured(catalog), on="clip_id", how="left")
        .sort("video_id", "start_s")
    )


def withdrawals(catalog: Catalog) -> pl.LazyFrame:
    """The rows of `withdrawals` that are in force."""
    return catalog.scan("withdrawals").filter("in_force")


def withdrawn_among(catalog: Catalog, clips: pl.LazyFrame) -> pl.LazyFrame:
    """clip_id of those of some clips that are withdrawn, each once.

    Args:
        clips: clip_id, video_id, source, licence, start_s, end_s.
    """
    held = withdrawals(catalog).select("kind", "item", "video_id", "start_s", "end_s").collect()
    if held.is_empty():
        return clips.select("clip_id").clear()
    column = {"source": "source", "licence": "licence", "video": "video_id"}
    named = [
        pl.col(name).is_in(held.filter(pl.col("kind") == kind)["item"].implode()).fill_null(value=False)
        for kind, name in column.items()
    ]
    spans = held.lazy().filter(pl.col("kind") == "clip").select("video_id", from_s="start_s", until_s="end_s")
    within = clips.join(spans, on="video_id").filter(
        pl.col("start_s") < pl.col("until_s"), pl.col("end_s") > pl.col("from_s")
    )
    return pl.concat([clips.filter(pl.any_horizontal(named)).select("clip_id"), within.select("clip_id")]).unique()


def withdrawn(catalog: Catalog) -> pl.LazyFrame:
    """clip_id of every clip that was ever made and is withdrawn."""
    videos = catalog.scan("videos").select("video_id", "source", "licence")
    return withdrawn_among(catalog, catalog.scan("clips").join(videos, on="video_id", how="left"))


def measured(catalog: Catalog) -> pl.LazyFrame:
    """clip_id and the columns of `MEASURED`: a row for each clip of which a costly signal is known."""
    rows = catalog.scan("measures").filter(pl.col("problem").is_null())
    return rows.group_by("clip_id").agg(
        pl.col(value).filter(pl.col("signal") == signal).first().alias(name)
        for signal, columns in MEASURED.items()
        for name, value in columns.items()
    )


def kept_clips(catalog: Catalog) -> pl.LazyFrame:
    """`clips` without those that another clip stands for."""
    dropped = catalog.scan("keepers").filter(pl.col("keeper_id").is_not_null()).select("clip_id")
    return clips(catalog).join(dropped, on="clip_id", how="anti")


def current_embeddings(catalog: Catalog) -> pl.LazyFrame:
    """Embeddings of the current clips, by the model of the analysis that made the clips."""
    return catalog.scan("embeddings").join(
        clips(catalog).select("clip_id", "work_key"), on=["clip_id", "work_key"], how="semi"
    )


def framed_clips(catalog: Catalog) -> pl.LazyFrame:
    """The current clips that are embedded: clip_id, video_id, start_s, end_s, frame_times_s and frame_vectors."""
    spans = clips(catalog).select("clip_id", "video_id", "start_s", "end_s")
    return spans.join(current_embeddings(catalog).select("clip_id", "frame_times_s", "frame_vectors"), on="clip_id")


def live_labels(catalog: Catalog) -> pl.LazyFrame:
    """The newest version of every annotation that is not deleted, oldest first; of the same instant, reviews last."""
    return (
        catalog.scan("labels")
        .with_columns(pl.col("purpose").fill_null("label"))
        .sort("updated_at", pl.col("purpose") == "review", maintain_order=True)
        .unique("label_id", keep="last", maintain_order=True)
        .filter(~pl.col("deleted").fill_null(value=False))
    )


def labels(catalog: Catalog) -> pl.LazyFrame:
    """The label in force for each clip and capability: the newest version of the newest annotation or review.

    An answer that was asked to measure its annotator (purpose `gold`) is never in force.

    Columns: those of `labels`, and `contested`: annotators differ on it, and no review has settled it.
    """
    contested = catalog.scan("agreements").select("capability", "clip_id", pl.col("contested").fill_null(value=False))
    return (
        live_labels(catalog)
        .filter(pl.col("purpose") != "gold")
        .unique(["clip_id", "capability"], keep="last", maintain_order=True)
        .join(contested, on=["capability", "clip_id"], how="left", maintain_order="left")
        .with_columns(pl.col("contested").fill_null(value=False))
    )


def evaluations(catalog: Catalog) -> pl.LazyFrame:
    """Evaluations of whole capabilities, and of all together; those of slices are beside them in `evaluations`."""
    return catalog.scan("evaluations").filter(pl.col("slice").is_null())


def outcome_counts(catalog: Catalog, stage: str) -> dict[str, int]:
    """How many inputs of a stage ended ok, filtered and failed."""
    counts = catalog.scan("outcomes").filter(pl.col("stage") == stage).group_by("outcome").len().collect()
    found = dict(counts.iter_rows())
    return {name: found.get(name, 0) for name in ("ok", "filtered", "failed")}
