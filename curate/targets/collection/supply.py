"""What there is of a capability now, in clips: labelled, expected among the unlabelled, and in which videos.

A clip that is labelled counts 1 or 0. One that is not counts with its probability where labels gave probabilities, and
else, if it matches, 1: a match is no more than a likely clip, and sums of matches are said to be that. Only kept clips
count, so that ten copies are one.
"""

import math
from dataclasses import dataclass
from typing import cast

import polars as pl

from curate import views
from curate.catalog import Catalog
from curate.specs import Capability
from curate.targets.scoring.calibrate import CALIBRATED


@dataclass(frozen=True)
class Supply:
    """Of one capability, in kept clips.

    Attributes:
        target: positives asked for; a target in hours is as many clips of the typical duration.
        positives: labelled present.
        expected: positives expected among eligible clips without a label: the sum of their probabilities, or matches.
        matches: of those clips, how many match.
        calibrated: `expected` is a sum of probabilities.
    """

    target: int
    positives: int
    expected: float
    matches: int
    calibrated: bool

    @property
    def missing(self) -> float:
        return max(0.0, self.target - self.positives - self.expected)


def worth(catalog: Catalog, spec: Capability) -> pl.DataFrame:
    """Every kept clip that is scored: clip_id, video_id, duration_s, verdict (null without a label), matches, `value`.

    `value` is what the clip counts, 0 to 1.
    """
    scores = catalog.scan("scores").filter(pl.col("capability") == spec.id)
    labels = views.labels(catalog).filter(pl.col("capability") == spec.id).select("clip_id", "verdict")
    likely = (
        pl.when(pl.col("calibration").is_in(CALIBRATED)).then("probability").otherwise(pl.col("matches").cast(float))
    )
    unlabelled = pl.when("eligible").then(likely).otherwise(0.0).fill_null(0.0)
    value = (
        pl.when(pl.col("verdict").is_null()).then(unlabelled).otherwise((pl.col("verdict") == "present").cast(float))
    )
    return (
        views.kept_clips(catalog)
        .select("clip_id", "video_id", "duration_s")
        .join(scores.select("clip_id", "calibration", "probability", "matches", "eligible"), on="clip_id")
        .join(labels, on="clip_id", how="left")
        .select(
            "clip_id", "video_id", "duration_s", "verdict", "calibration", pl.col("matches").fill_null(value=False),
            value=value.cast(pl.Float64),
        )
        .collect()
    )  # fmt: skip


def supply(spec: Capability, clips: pl.DataFrame) -> Supply:
    """What there is, from the rows of `worth`."""
    present = clips.filter(pl.col("verdict") == "present")
    unlabelled = clips.filter(pl.col("verdict").is_null())
    typical_s = cast("float | None", (present if len(present) else clips)["duration_s"].median())
    target = spec.target.clips or math.ceil((spec.target.hours or 0) * 3600 / (typical_s or 10.0))
    return Supply(
        target=target,
        positives=len(present),
        expected=float(unlabelled["value"].sum()),
        matches=int(unlabelled["matches"].sum()),
        calibrated=bool(clips["calibration"].is_in(CALIBRATED).any()),
    )


def standing_for_others(catalog: Catalog, videos: set[str]) -> set[str]:
    """Kept clips of `videos` that took the place of a clip of another video: a better copy, and nothing new."""
    dropped = catalog.scan("keepers").filter(pl.col("keeper_id").is_not_null()).select("clip_id", "keeper_id")
    of_others = views.clips(catalog).filter(~pl.col("video_id").is_in(list(videos))).select("clip_id")
    return set(dropped.join(of_others, on="clip_id", how="semi").collect()["keeper_id"])
