"""What each capability has to draw on: the clips that may show it, by their score, for its part of the report.

Scores are read once for all capabilities, without the wide columns, and each capability then has a frame of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from curate import views
from curate.catalog import Catalog
from curate.targets.scoring.calibrate import CALIBRATED

_OF_CAPABILITY = pl.Schema({
    "clip_id": pl.String(), "capability": pl.String(), "similarity": pl.Float32(), "probability": pl.Float32(),
    "calibration": pl.String(), "matches": pl.Boolean(), "eligible": pl.Boolean(), "best_start_s": pl.Float64(),
    "best_end_s": pl.Float64(), "video_id": pl.String(), "source": pl.String(), "path": pl.String(),
    "start_s": pl.Float64(), "end_s": pl.Float64(), "labelled": pl.Boolean(),
})  # fmt: skip
_PER_VIDEO = 2
"""Clips of one video on a contact sheet: more show little that is new."""
_BARS = 28
EVEN_ODDS = 0.5
"""Probability from which a calibrated clip matches."""
_SURE = 0.4
"""A probability as far as this from even odds is no borderline: there, labels of other clips tell more."""


@dataclass(frozen=True)
class Supply:
    """Kept clips and what they score.

    Attributes:
        clips: kept clips: clip_id, video_id, source, path, start_s, end_s.
        scores: by capability, its eligible kept clips: `_OF_CAPABILITY`; `labelled` says that it has a label for the
            capability.
    """

    clips: pl.DataFrame
    scores: dict[str, pl.DataFrame]

    def of(self, capability: str) -> pl.DataFrame:
        """A capability's frame; without rows where nothing is scored for it."""
        return self.scores.get(capability, pl.DataFrame(schema=_OF_CAPABILITY))


def read_supply(catalog: Catalog, labels: pl.DataFrame) -> Supply:
    """Of the current kept clips; `labels` are those in force."""
    clips = views.kept_clips(catalog).select("clip_id", "video_id", "source", "path", "start_s", "end_s").collect()
    rows = (
        catalog.scan("scores")
        .filter(pl.col("eligible"))
        .drop("spec_version", "model_id", "segmenter", "run_id", "work_key", "written_at")
        .join(clips.lazy(), on="clip_id")
        .join(
            labels.lazy().select("clip_id", "capability", labelled=pl.lit(True)),
            on=["clip_id", "capability"],
            how="left",
        )
        .with_columns(pl.col("labelled").fill_null(False), pl.col("matches").fill_null(False))
        .select(_OF_CAPABILITY.names())
        .collect()
    )
    return Supply(clips, {str(key[0]): part for key, part in rows.partition_by("capability", as_dict=True).items()})


def is_calibrated(scores: pl.DataFrame) -> bool:
    return len(scores) > 0 and scores["calibration"][0] in CALIBRATED


def sources(scores: pl.DataFrame) -> dict[str, int]:
    """Matching clips by source, the most first."""
    counts = scores.filter("matches").group_by("source").len().sort(["len", "source"], descending=[True, False])
    return dict(counts.iter_rows())


def contact_sheet(scores: pl.DataFrame, level: float | None, each: int) -> dict[str, list[dict[str, Any]]]:
    """Clips nobody has labelled: the `best`, and those about which the score is least sure (`borderline`).

    Args:
        level: similarity from which a clip matches where there are no probabilities.
        each: most clips of each kind, and at most _PER_VIDEO of one video.
    """
    waiting = scores.filter(~pl.col("labelled"))
    by_probability = is_calibrated(scores)
    column, line = ("probability", EVEN_ODDS) if by_probability else ("similarity", level)
    best = _spread(waiting.filter("matches").sort([column, "clip_id"], descending=[True, False]), each)
    near = waiting.join(best, on="clip_id", how="anti")
    if line is None:
        return {"best": best.to_dicts(), "borderline": []}
    near = near.with_columns(unsure=(pl.col(column) - line).abs())
    near = near.filter(pl.col("unsure") < (_SURE if by_probability else np.inf))
    near = near.sort("unsure", "clip_id").drop("unsure")
    return {"best": best.to_dicts(), "borderline": _spread(near, each).sort(column, descending=True).to_dicts()}


def _spread(rows: pl.DataFrame, each: int) -> pl.DataFrame:
    return rows.filter(pl.int_range(pl.len()).over("video_id") < _PER_VIDEO).head(each)


def score_histogram(scores: pl.DataFrame, level: float | None) -> dict[str, Any] | None:
    """edges, counts, level and `what` of all eligible kept clips: probabilities where there are any, else
    similarities; None without clips."""
    by_probability = is_calibrated(scores)
    what = "probability" if by_probability else "similarity"
    values = scores[what].drop_nulls().to_numpy()
    if not len(values):
        return None
    low, high = (0.0, 1.0) if by_probability else (float(values.min()), float(values.max()))
    counts, edges = np.histogram(values, bins=_BARS, range=(low, max(high, low + 1e-3)))
    return {"edges": _plain(edges), "counts": [int(count) for count in counts], "what": what,
            "level": EVEN_ODDS if by_probability else level}  # fmt: skip


def _plain(values: Sequence[float] | np.ndarray) -> list[float]:
    return [float(value) for value in values]
