"""What could be labelled for a capability, and what is labelled already, as arrays to choose from.

A clip could be labelled when it is kept (so never a duplicate), eligible for the capability, not labelled for it, and
called a bad clip by nobody; and, by purpose, outside the frozen evaluation groups or inside them. Labels on the other
side tell what the capability looks like, but are no supply here: a clip that is like one that measures is new to a
model, which may not learn from that one, and it is what `curate.targets.gaps.probes` finds lacking.

**Working probability.** Where scores are probabilities it is that. A rank says who is likelier, not how likely, so then
it is a guess for choosing only: with m clips above the level at which a clip counts as a match, the k-th of all has
odds (m / k) ** 2: one half at the level, 0.99 at a tenth of the way there, 0.01 at ten times it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from curate import views
from curate.dedupe.groups import leakage_groups
from curate.errors import InputError
from curate.slices import slices_of
from curate.specs import Capability
from curate.targets.gaps.frozen import frozen_groups
from curate.targets.gaps.looks import labelled_spans, looks
from curate.targets.scoring.calibrate import CALIBRATED
from curate.workspace import Workspace

EVALUATION = "evaluation"
_MOST_CONFUSING = 500


@dataclass(frozen=True)
class Pool:
    """Clips that could be labelled, sorted by clip id, n of them.

    Attributes:
        clips: rows of `views.clips` with probability, similarity, group_id, best_start_s, best_end_s.
        likely: float64 [n], the working probability.
        calibrated: whether scores are probabilities.
        side: of leakage groups, as an expression over group_id: where clips may come from.
    """

    clips: pl.DataFrame
    likely: np.ndarray
    calibrated: bool
    side: pl.Expr

    def __len__(self) -> int:
        return len(self.clips)


def pool_of(workspace: Workspace, spec: Capability, purpose: str) -> Pool:
    """What could be labelled.

    Raises:
        InputError: nothing is scored for the capability, or evaluation is asked for and no group is frozen.
        CurateError: the lock of a published mix cannot be read.
    """
    catalog = workspace.catalog
    scores = (
        catalog.scan("scores")
        .filter(pl.col("capability") == spec.id)
        .select("clip_id", "eligible", "probability", "similarity", "matches", "calibration", "best_start_s",
                "best_end_s")
        .collect()
    )  # fmt: skip
    if scores.is_empty():
        raise InputError(f"no clip is scored for {spec.id!r}", fix="Run `curate collect` first")
    frozen = frozen_groups(workspace)
    if purpose == EVALUATION and not frozen:
        raise InputError(
            "no clip is set aside for evaluation yet", where=workspace.root, fix="`curate mix build` settles the splits"
        )
    eligible = (
        views.kept_clips(catalog)
        .join(scores.lazy().filter("eligible").drop("eligible"), on="clip_id")
        .join(leakage_groups(catalog).lazy(), on="video_id")
        .sort("clip_id")
        .collect()
    )
    said = views.labels(catalog).select("clip_id", "capability", "verdict").collect()
    settled = said.filter((pl.col("capability") == spec.id) | (pl.col("verdict") == "bad_clip"))
    working = eligible.with_columns(likely=pl.Series(_likely(eligible, spec), dtype=pl.Float64))
    inside = pl.col("group_id").is_in(sorted(frozen))
    side = inside if purpose == EVALUATION else ~inside
    open_ = working.filter(side).join(settled, on="clip_id", how="anti", maintain_order="left")
    return Pool(open_.drop("likely"), open_["likely"].to_numpy(), _calibrated(eligible), side)


def _calibrated(eligible: pl.DataFrame) -> bool:
    return bool(eligible["calibration"].is_in(CALIBRATED).any())


def _likely(eligible: pl.DataFrame, spec: Capability) -> np.ndarray:
    """The working probability of all eligible clips."""
    probability = eligible["probability"].fill_null(0.0).to_numpy().astype(np.float64)
    if _calibrated(eligible):
        return np.clip(probability, 0.0, 1.0)
    place = np.empty(len(probability))
    place[np.lexsort((-eligible["similarity"].to_numpy(), -probability))] = np.arange(1, len(probability) + 1)
    matches = int(eligible["matches"].fill_null(value=False).sum()) or spec.target.clips or 1
    return np.asarray(1 / (1 + (place / min(matches, len(place))) ** 2))


@dataclass(frozen=True)
class Labelled:
    """What is labelled for the capability, on kept clips: a vector for each segment, or for each clip without one.

    Attributes:
        rows: clip_id, present, and whether it is `supply` (on the side that is chosen from), for each vector.
        vectors: float32 [rows, dim].
        confusing: by capability, float32 [k, dim]: clips that show another one and were not labelled for this one.
        slices: clip_id, slice, value of clips labelled present, by all kinds of slices.
        positives, negatives: labelled clips of the supply.
    """

    rows: pl.DataFrame
    vectors: np.ndarray
    confusing: Mapping[str, np.ndarray]
    slices: pl.DataFrame
    positives: int
    negatives: int

    @property
    def present(self) -> np.ndarray:
        return self.rows["present"].to_numpy().astype(bool)

    @property
    def supply(self) -> np.ndarray:
        return self.rows["supply"].to_numpy().astype(bool)


def labelled_of(workspace: Workspace, spec: Capability, side: pl.Expr) -> Labelled:
    """The labels in force on kept clips, as far as choosing more needs them.

    Args:
        side: that is chosen from, as `Pool` has it.
    """
    catalog = workspace.catalog
    kept = views.kept_clips(catalog).collect()
    every = views.labels(catalog).collect().join(kept.select("clip_id"), on="clip_id", how="semi")
    own = every.filter(pl.col("capability") == spec.id)
    decided = own.filter(pl.col("verdict").is_in(["present", "absent"])).sort("clip_id")
    spans = labelled_spans(decided)
    present = decided.filter(pl.col("verdict") == "present")
    others = (
        every.filter(pl.col("capability") != spec.id, pl.col("verdict") == "present")
        .join(own, on="clip_id", how="anti")
        .sort("capability", "clip_id")
    )
    confusing = {
        str(key[0]): labelled_spans(some).head(_MOST_CONFUSING)
        for key, some in others.group_by("capability", maintain_order=True)
    }
    every_look = looks(catalog, pl.concat([spans, *confusing.values()]))
    parts = np.split(every_look, np.cumsum([len(spans), *map(len, confusing.values())])[:-1])
    groups = leakage_groups(catalog).filter(side)
    beside = kept.join(groups, on="video_id", how="semi")["clip_id"]
    supply = decided.filter(pl.col("clip_id").is_in(beside.implode()))["verdict"] == "present"
    own_clips = kept.join(present.select("clip_id"), on="clip_id", how="semi")
    return Labelled(
        rows=spans.select(
            "clip_id",
            present=pl.col("clip_id").is_in(present["clip_id"].implode()),
            supply=pl.col("clip_id").is_in(beside.implode()),
        ),
        vectors=parts[0],
        confusing=dict(zip(confusing, parts[1:], strict=True)),
        slices=slices_of(spec, own_clips, decided),
        positives=int(supply.sum()),
        negatives=int((~supply).sum()),
    )
