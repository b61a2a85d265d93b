"""What there is of a capability now, in clips: labelled, expected among the unlabelled, and in which videos.

A clip that is labelled counts 1 or 0. One that is not counts with its probability where labels gave probabilities, and
else, if it matches, 1: a match is no more than a likely clip, and sums of matches are said to be that. Only kept clips
count, so that ten copies are one.

The target comes first, and then the floors of slices: of those by source, licence and condition, which are known of a
clip before anyone labels it. What a segment's fields hold is known afterwards, so their floors are for labels to fill.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

import polars as pl

from curate import views
from curate.catalog import Catalog
from curate.slices import Slice, clip_slices, is_known, slices
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
        short: clips missing in each slice that is below its floor, labelled and expected ones counted.
    """

    target: int
    positives: int
    expected: float
    matches: int
    calibrated: bool
    short: dict[str, float]

    @property
    def missing(self) -> float:
        """Clips: of the target, or, as slices overlap, of the slice that lacks most."""
        return max(0.0, self.target - self.positives - self.expected, *self.short.values())


def floors_of(spec: Capability, *, sources: Iterable[str], licences: Iterable[str]) -> list[Slice]:
    """The slices with a floor that footage of these sources and licences can fill."""
    found = slices(spec, sources=sources, licences=licences)
    return [each for each in found if each.floor and is_known(spec, each.name)]


def worth(catalog: Catalog, spec: Capability, floors: Sequence[Slice] = (), *, config: object = None) -> pl.DataFrame:
    """Every kept clip that is scored: clip_id, video_id, duration_s, verdict (null without a label), matches, and

    - `value`: what the clip counts, 0 to 1.
    - `slices`: those of `floors` that it is in, by their names; null where it is in none.
    - `wanted`: its value while the target is short; from then on, only that of clips in slices that are.

    Args:
        catalog: of the workspace.
        spec: of the capability.
        floors: see `floors_of`.
        config: where the spec is written, for errors.

    Raises:
        InputError: the condition of a slice cannot be used.
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
    kept = views.kept_clips(catalog).collect()
    clips = (
        kept.lazy()
        .select("clip_id", "video_id", "duration_s")
        .join(scores.select("clip_id", "calibration", "probability", "matches", "eligible"), on="clip_id")
        .join(labels, on="clip_id", how="left")
        .select(
            "clip_id", "video_id", "duration_s", "verdict", "calibration", pl.col("matches").fill_null(value=False),
            value=value.cast(pl.Float64),
        )
        .join(_inside(spec, kept, floors, config).lazy(), on="clip_id", how="left")
        .collect()
    )  # fmt: skip
    now = supply(spec, clips, floors)
    if now.target > now.positives + now.expected or not floors:
        return clips.with_columns(wanted="value")
    helps = pl.col("slices").list.eval(pl.element().is_in(list(now.short))).list.any().fill_null(value=False)
    return clips.with_columns(wanted=pl.when(helps).then("value").otherwise(0.0))


def supply(spec: Capability, clips: pl.DataFrame, floors: Sequence[Slice] = ()) -> Supply:
    """What there is, from the rows of `worth`, which was asked of the same floors."""
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
        short=_short(clips, floors),
    )


def _inside(spec: Capability, clips: pl.DataFrame, floors: Sequence[Slice], config: object) -> pl.DataFrame:
    """clip_id and `slices`: the names of those of `floors` that it is in; clips that are in none are left out."""
    if not floors:
        return pl.DataFrame(schema={"clip_id": pl.String, "slices": pl.List(pl.String)})
    asked = pl.DataFrame([{"slice": each.name, "value": each.value, "slices": each.said} for each in floors])
    members = clip_slices(spec, clips, config=config).join(asked, on=["slice", "value"])
    return members.group_by("clip_id").agg("slices")


def _short(clips: pl.DataFrame, floors: Sequence[Slice]) -> dict[str, float]:
    held = dict(clips.explode("slices").group_by("slices").agg(pl.col("value").sum()).iter_rows())
    missing = {each.said: each.floor - held.get(each.said, 0.0) for each in floors}
    return {name: clips for name, clips in missing.items() if clips > 0}


def standing_for_others(catalog: Catalog, videos: set[str]) -> set[str]:
    """Kept clips of `videos` that took the place of a clip of another video: a better copy, and nothing new."""
    dropped = catalog.scan("keepers").filter(pl.col("keeper_id").is_not_null()).select("clip_id", "keeper_id")
    of_others = views.clips(catalog).filter(~pl.col("video_id").is_in(list(videos))).select("clip_id")
    return set(dropped.join(of_others, on="clip_id", how="semi").collect()["keeper_id"])
