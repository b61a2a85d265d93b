"""What a mix can be made of: the clips and labels that the catalog holds now."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from curate import views
from curate.catalog import Catalog
from curate.dedupe.groups import components
from curate.specs import Capability


@dataclass(frozen=True)
class Supply:
    """clips: current clips with their video, duplicate_group and embedding, without those someone called bad.
    labels: the labels in force on them, of configured capabilities, without contested ones; and whether each is
    `reviewed`: settled by a review, or by annotators who agree.
    contested: by capability, the clips whose label waits for a reviewer; without another label the clip is left out."""

    clips: pl.DataFrame
    labels: pl.DataFrame
    embedding_model: str
    contested: Mapping[str, int]


def gather(catalog: Catalog, capabilities: Mapping[str, Capability]) -> Supply:
    """Kept clips and labelled ones: a label outlives the discovery that its clip has a better twin."""
    agreed = (
        catalog.scan("agreements")
        .filter(pl.col("annotators").list.len() >= 2, ~pl.col("contested"))
        .select("capability", "clip_id", agreed=pl.lit(value=True))
    )
    every_label = (
        views.labels(catalog)
        .filter(pl.col("capability").is_in(list(capabilities)))
        .join(agreed, on=["capability", "clip_id"], how="left")
        .with_columns(reviewed=(pl.col("purpose") == "review") | pl.col("agreed").fill_null(value=False))
        .drop("agreed")
        .collect()
    )
    bad = every_label.filter(pl.col("verdict") == "bad_clip").select("clip_id")
    labels = every_label.filter(~pl.col("contested"))
    contested = every_label.filter("contested").join(bad, on="clip_id", how="anti")
    unsettled = contested.join(labels, on="clip_id", how="anti").select("clip_id")
    embeddings = views.current_embeddings(catalog).select("clip_id", "model_id", "vector").collect()
    every = views.clips(catalog).collect()
    kept = views.kept_clips(catalog).select("clip_id").collect()["clip_id"]
    clips = (
        every.with_columns(duplicate_group=_duplicate_groups(catalog, every["clip_id"]))
        .filter(pl.col("clip_id").is_in(kept.implode()) | pl.col("clip_id").is_in(labels["clip_id"].implode()))
        .join(pl.concat([bad, unsettled]), on="clip_id", how="anti")
        .join(embeddings, on="clip_id", how="left")
        .sort("clip_id")
    )
    models = sorted(set(embeddings["model_id"]))
    return Supply(
        clips,
        labels.join(clips.select("clip_id"), on="clip_id", how="semi").sort("clip_id", "capability"),
        models[0] if models else "",
        dict(
            contested.join(every, on="clip_id", how="semi").group_by("capability").len().sort("capability").iter_rows()
        ),
    )


def with_frames(catalog: Catalog, clips: pl.DataFrame) -> pl.DataFrame:
    """Clips with frame_times_s, in source seconds, and frame_vectors, packed: of those chosen, as all would be many."""
    frames = views.current_embeddings(catalog).select("clip_id", "frame_times_s", "frame_vectors")
    return clips.lazy().join(frames, on="clip_id", how="left", maintain_order="left").collect()


def _duplicate_groups(catalog: Catalog, clip_ids: pl.Series) -> pl.Series:
    """For each clip, the first clip of those that stand for one another."""
    ids = clip_ids.sort()
    known = pl.col("clip_id").is_in(ids.implode()) & pl.col("keeper_id").is_in(ids.implode())
    links = catalog.scan("keepers").filter(known).select("clip_id", "keeper_id").collect()
    group = components(len(ids), ids.search_sorted(links["clip_id"]), ids.search_sorted(links["keeper_id"]))
    first = pl.DataFrame({"clip_id": ids, "group": group}).select(
        "clip_id", duplicate_group=pl.col("clip_id").first().over("group")
    )
    return clip_ids.to_frame("clip_id").join(first, on="clip_id", maintain_order="left")["duplicate_group"]
