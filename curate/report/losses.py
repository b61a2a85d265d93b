"""What was left out and what failed: by cause, with an example of each and what a person can do about it.

Reasons are counted as one where they differ by a number or by what they name alone, so that a page for a million files
has as many rows as there are causes.
"""

import re
from typing import Any

import polars as pl

from curate.catalog import Catalog

MOST_CAUSES = 40
"""Rows of the table; rarer causes are counted together."""

_ADVICE: tuple[tuple[str, str, str], ...] = (
    ("collect", r"same bytes", "Nothing: the other file stands for it."),
    ("collect", r"file is gone", "Bring the file back, or leave it: its clips count no more."),
    ("collect", r"file is empty|cut short|damaged|no frame can be decoded|cannot be read",
     "Copy it again from where it came: new bytes are tried by themselves."),
    ("collect", r"no video stream", "It is no footage: keep it out of the source's folder, or leave it."),
    ("collect", r"no frame (for|within)|took longer", "If it only takes long, raise `engine.frame_timeout_s` or "
     "`engine.timeout_s` in configs/analysis.yaml, a download's in its source; then `curate collect --retry-failed`."),
    ("collect", r"memory", "Raise `engine.memory_mb` in configs/analysis.yaml, then `curate collect --retry-failed`."),
    ("collect", r"killed from outside", "It says nothing of the file: the next `curate collect` tries it again."),
    ("collect", r"worker died", "It crashes the decoder: `curate collect --retry-failed` tries once more."),
    ("collect", r"http|connect|address|download|certificate|redirect",
     "Check the address; `curate collect --retry-failed` asks again."),
    ("clips", r"shorter than", "Lower `clips.min_s` in configs/analysis.yaml if spans so short matter."),
    ("dedupe", r"^(exact|copy|semantic)", "Nothing: the better one is kept. `curate dedupe --html FILE` shows pairs."),
    ("dedupe", r"fingerprint", "`curate collect` makes what is missing."),
    ("measure", r"", "`curate measure --retry-failed` tries again."),
    ("collect", r"", "`curate trace ITEM` says all that is known; `curate collect --retry-failed` tries again."),
    ("", r"", "`curate trace ITEM` says all that is known."),
)  # fmt: skip
"""The first that fits the stage and the reason."""


def losses(catalog: Catalog) -> list[dict[str, Any]]:
    """One dict for each cause, failures first and then by count.

    Keys: stage, outcome, cause, count, example (an item), reason (its own), advice, sources.
    """
    videos = catalog.scan("videos").select("video_id", known="source").unique("video_id")
    bare = pl.col("reason").fill_null("no reason given").str.replace(r"\s(of|as)\s.*$", "")
    rows = (
        catalog.scan("outcomes")
        .filter(pl.col("outcome") != "ok")
        .join(videos, on="video_id", how="left")
        .with_columns(
            cause=bare.str.replace_all(r"\d+(\.\d+)?", "#"),
            source=pl.col("known").fill_null(
                pl.when(pl.col("stage") == "collect").then(pl.col("item").str.split("/").list.first())
            ),
        )
        .group_by("stage", "outcome", "cause")
        .agg(
            count=pl.len(),
            example=pl.col("item").min(),
            reason=pl.col("reason").sort_by("item").first(),
            sources=pl.col("source").drop_nulls().unique().sort().head(50),
        )
        .sort(["outcome", "count", "stage", "cause"], descending=[False, True, False, False])
        .collect()
    )
    found = rows.head(MOST_CAUSES).to_dicts()
    rest = rows.slice(MOST_CAUSES)
    for row in found:
        row["reason"] = row["reason"] or "no reason given"
        row["advice"] = advice(row["stage"], row["reason"])
    if len(rest):
        found.append({
            "stage": "all", "outcome": "other", "cause": f"{len(rest)} rarer causes", "count": int(rest["count"].sum()),
            "example": "", "reason": f"{len(rest)} rarer causes", "sources": [],
            "advice": "`curate outcomes` lists them.",
        })  # fmt: skip
    return found


def advice(stage: str, reason: str) -> str:
    """What a person can do about it, in a sentence."""
    fits = (words for of, pattern, words in _ADVICE if stage.startswith(of) and re.search(pattern, reason))
    return next(fits)
