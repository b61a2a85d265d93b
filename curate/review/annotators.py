"""What annotators did, how long it took them, and how their answers on known clips compare with what is known.

A known clip (gold) is one that a review has settled. Annotators get it among others and cannot tell; the answer has
purpose `gold` and is never a label in force. An answer of whoever reviewed the clip measures nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from curate import views
from curate.catalog import Catalog
from curate.identity import work_key
from curate.review import statistics as st
from curate.review.answers import (
    HITS,
    PAIRS,
    SAME,
    TOTAL,
    current,
    difference,
    group_of_clips,
    meaning_of,
    meanings,
    read_labels,
)
from curate.specs import Capability

ANNOTATORS = {
    "annotator": pl.String, "capability": pl.String, "labels": pl.Int64, "gold": pl.Int64, "reviews": pl.Int64,
    "unsure": pl.Float64, "lead_time_s": pl.Float64, "minutes": pl.Float64, "gold_clips": pl.Int64,
    "gold_verdict": pl.Float64, "gold_verdict_low": pl.Float64, "gold_verdict_high": pl.Float64,
    "gold_f1": pl.Float64, "gold_f1_low": pl.Float64, "gold_f1_high": pl.Float64,
}  # fmt: skip


def annotators(catalog: Catalog, specs: Mapping[str, Capability]) -> pl.DataFrame:
    """Annotators' work and their answers on known clips.

    Returns:
        A row for each annotator and capability, and for each annotator over all capabilities (capability null), with
        the columns of `ANNOTATORS`: labels, gold answers and reviews that stand; share of the labels that are unsure;
        median lead_time_s of a label or gold answer; minutes spent, on what was deleted since too; gold_clips answered,
        share of them with the right verdict, and F1 at tIoU 0.5 of their segments, each with its 95% interval.
    """
    answers = _gold_answers(catalog, specs)
    rows = []
    for (annotator, capability), work in _work(catalog, specs).items():
        own = answers.filter(pl.col("annotator") == annotator)
        gold = own if capability is None else own.filter(pl.col("capability") == capability)
        rows.append({"annotator": annotator, "capability": capability, **work, **_measured(gold)})
    ordered = pl.DataFrame(rows, schema=ANNOTATORS).sort("annotator", "capability", nulls_last=False)
    return ordered.with_columns(pl.col(pl.Float64).fill_nan(None))


def gold_clips(catalog: Catalog, spec: Capability, count: int | None = None, seed: int = 0) -> list[str]:
    """Up to `count` clips to measure annotators with, drawn by `seed`: one that shows the capability and one that does
    not in turn, while there are both.

    Each was settled by a review, as present and marked completely or as absent, under guidelines that mean what the
    spec's do, and nobody has contested it since.
    """
    known = meanings(catalog, {spec.id: spec})
    meant = meaning_of(known, spec.id, spec.version)
    rows = (
        views.labels(catalog)
        .filter(
            pl.col("capability") == spec.id,
            pl.col("purpose") == "review",
            ~pl.col("contested"),
            (pl.col("verdict") == "absent") | ((pl.col("verdict") == "present") & pl.col("exhaustive")),
        )
        .select("clip_id", "verdict", "spec_version")
        .join(views.clips(catalog).select("clip_id"), on="clip_id", how="semi")
        .collect()
    )
    drawn = sorted(
        (work_key("gold", seed, spec.id, clip), clip, verdict)
        for clip, verdict, version in rows.iter_rows()
        if meaning_of(known, spec.id, version) == meant
    )
    kinds = [[clip for _, clip, found in drawn if found == verdict] for verdict in ("present", "absent")]
    shorter = min(len(kind) for kind in kinds)
    in_turn = [clip for pair in zip(*kinds, strict=False) for clip in pair]
    return [*in_turn, *(clip for kind in kinds for clip in kind[shorter:])][:count]


def _work(catalog: Catalog, specs: Mapping[str, Capability]) -> dict[tuple[str, str | None], dict[str, Any]]:
    """By annotator and capability, and by annotator over all: what was done, and how long it took."""
    versions = (
        catalog.scan("labels")
        .filter(pl.col("capability").is_in(list(specs)), pl.col("annotator").is_not_null())
        .sort("updated_at", maintain_order=True)
        .group_by("label_id", maintain_order=True)
        .agg(
            pl.col("annotator", "capability", "verdict").last(),
            pl.col("purpose").last().fill_null("label"),
            pl.col("deleted").last().fill_null(value=False),
            pl.col("lead_time_s").drop_nulls().last(),
        )
    )
    stands = ~pl.col("deleted")
    of_label = stands & (pl.col("purpose") == "label")
    figures = [
        of_label.sum().alias("labels"),
        (stands & (pl.col("purpose") == "gold")).sum().alias("gold"),
        (stands & (pl.col("purpose") == "review")).sum().alias("reviews"),
        (pl.col("verdict") == "unsure").filter(of_label).mean().alias("unsure"),
        pl.col("lead_time_s").filter(stands & (pl.col("purpose") != "review")).median(),
        (pl.col("lead_time_s").sum() / 60).alias("minutes"),
    ]
    each = versions.group_by("annotator", "capability").agg(figures)
    every = versions.group_by("annotator").agg(pl.lit(None, pl.String).alias("capability"), *figures)
    rows = pl.concat([each, every.select(each.collect_schema().names())]).collect()
    return {(row.pop("annotator"), row.pop("capability")): row for row in rows.to_dicts()}


def _gold_answers(catalog: Catalog, specs: Mapping[str, Capability]) -> pl.DataFrame:
    """annotator, capability, group, and the counts of each gold answer against the review of its clip."""
    rows = current(catalog, specs)
    reviews = rows.filter(pl.col("purpose") == "review").unique(
        ["capability", "clip_id"], keep="last", maintain_order=True
    )
    both = rows.filter(pl.col("purpose") == "gold").join(
        reviews.select("capability", "clip_id", truth="label_id", reviewer="annotator"), on=["capability", "clip_id"]
    )
    both = both.filter(pl.col("annotator") != pl.col("reviewer"))
    found = read_labels(catalog, pl.concat([both["label_id"], both["truth"]]).unique())
    groups = group_of_clips(catalog)
    made = []
    for label_id, truth_id, annotator in both.select("label_id", "truth", "annotator").iter_rows():
        answer, truth = found[label_id], found[truth_id]
        counts = difference(truth.answer, answer.answer, specs[answer.capability])
        told = {"hits": counts[HITS][1], "total": counts[TOTAL], "same": counts[SAME], "pairs": counts[PAIRS]}
        clip = answer.clip_id
        made.append({
            "annotator": annotator, "capability": answer.capability, "clip_id": clip,
            "group": groups.get(clip, clip), **told,
        })  # fmt: skip
    schema = dict.fromkeys(("annotator", "capability", "clip_id", "group"), pl.String)
    numbers = dict.fromkeys(("hits", "total", "same", "pairs"), pl.Float64)
    return pl.DataFrame(made, schema={**schema, **numbers})


def _measured(gold: pl.DataFrame) -> dict[str, Any]:
    """The gold columns of a row of `annotators`."""
    by_group = gold.group_by("group").agg(pl.col("hits", "total", "same", "pairs").sum()).sort("group")
    sums = by_group.select("same", "pairs", 2 * pl.col("hits"), "total").to_numpy()
    total = sums.sum(0) if len(sums) else np.zeros(4)
    verdict = st.bounded(sums[:, :2], st.ratio, units=total[1]) if total[1] else st.UNKNOWN
    marked = st.bounded(sums[:, 2:], st.ratio, units=total[3] / 2) if total[3] else st.UNKNOWN
    return {
        "gold_clips": gold.select("capability", "clip_id").n_unique(),
        "gold_verdict": verdict.value, "gold_verdict_low": verdict.low, "gold_verdict_high": verdict.high,
        "gold_f1": marked.value, "gold_f1_low": marked.low, "gold_f1_high": marked.high,
    }  # fmt: skip
