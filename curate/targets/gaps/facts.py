"""What the catalog says of supply, read once for all capabilities.

Supply is kept clips alone, so that ten copies of a clip are one.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from curate import views
from curate.catalog import Catalog
from curate.dedupe.groups import leakage_groups
from curate.model import ZERO_SHOT
from curate.targets.gaps.estimate import OTHER, WAYS, Clips
from curate.targets.gaps.frozen import MEASURING
from curate.targets.scoring.calibrate import CALIBRATED
from curate.targets.scoring.trained import newest_trained
from curate.workspace import Workspace

_CERTAIN = 1e-6
VERDICTS = {"present": 1, "absent": 0}


@dataclass(frozen=True)
class Evaluated:
    """What a model reached, 0 to 1, with its interval, and in how many videos; all None where nothing was measured."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    videos: int | None = None

    @property
    def error(self) -> float:
        """What is to be expected wrong: as if the model had been right in one video more, and wrong in another
        (Laplace's rule of succession). 1.00 in two videos leaves 0.25, in thirty 0.03: few videos prove nothing, and a
        gap does not close by them. All where nothing is known.
        """
        if self.value is None:
            return 1.0
        videos = self.videos or 0
        return 1 - (self.value * videos + 1) / (videos + 2)


@dataclass(frozen=True)
class Facts:
    """Tables of the workspace as it stands.

    Attributes:
        clips: current clips, rows of `views.clips` with group_id and whether they are `kept`.
        labels: in force on kept clips, with group_id and duration_s; contested ones are unsure.
        reviewed: by capability, kept clips whose label is settled: by a review, or by annotators who agree.
        scores: by capability, of kept clips: clip_id, source, group_id, score, matches, eligible, calibrated, verdict,
            labelled (or called a bad clip by anyone), way, fresh.
        evaluations: by capability and metric, of the model evaluated last.
        slice_evaluations: by capability, slice (as `Slice.said` names it) and metric, likewise.
        in_mix: by capability, the clips with its role in the mix that was published, or fetched, last; None where none
            is.
        measuring: the groups of the validation and test splits.
        sources: of the workspace, sorted.
        longest_s: that a clip may be.
    """

    clips: pl.DataFrame
    labels: pl.DataFrame
    reviewed: Mapping[str, int]
    scores: Mapping[str, pl.DataFrame]
    evaluations: Mapping[tuple[str, str], Evaluated]
    slice_evaluations: Mapping[tuple[str, str, str], Evaluated]
    in_mix: Mapping[str, set[str]] | None
    measuring: set[str]
    sources: list[str]
    longest_s: float


def read_facts(workspace: Workspace) -> Facts:
    """Reads the tables."""
    catalog = workspace.catalog
    groups = leakage_groups(catalog)
    kept = views.kept_clips(catalog).select("clip_id", kept=pl.lit(value=True)).collect()
    clips = (
        views.clips(catalog)
        .collect()
        .join(groups, on="video_id", how="left")
        .join(kept, on="clip_id", how="left")
        .with_columns(pl.col("kept").fill_null(value=False))
    )
    supply = clips.filter("kept")
    unsure = pl.when("contested").then(pl.lit("unsure")).otherwise("verdict")
    said = views.labels(catalog).with_columns(verdict=unsure).collect()
    bad = said.filter(pl.col("verdict") == "bad_clip").select("clip_id").unique()
    labels = said.join(supply.select("clip_id", "duration_s", "source", "group_id"), on="clip_id")
    evaluated = _newest_evaluations(catalog)
    splits = catalog.scan("splits").filter(pl.col("split").is_in(MEASURING)).select("video_id").collect()
    return Facts(
        clips=clips,
        labels=labels,
        reviewed=_reviewed(catalog, labels),
        scores=_scores(workspace, supply, labels, bad),
        evaluations={(a, c): found for (a, b, c), found in evaluated.items() if b is None},
        slice_evaluations={(a, b, c): found for (a, b, c), found in evaluated.items() if b is not None},
        in_mix=_in_newest_mix(workspace),
        measuring=set(groups.join(splits, on="video_id", how="semi")["group_id"]),
        sources=sorted(workspace.sources()),
        longest_s=workspace.analysis().clips.max_s,
    )


def for_estimate(scores: pl.DataFrame) -> Clips:
    """The eligible clips of a capability's scores, in their order, as an estimate takes them.

    Their score is the similarity; the probability, in log odds, where a trained segmenter has a part in that, and then
    what it was trained on is not fresh.
    """
    eligible = scores.filter("eligible")
    return Clips(
        score=eligible["score"].to_numpy(),
        source=eligible["source"].to_numpy(),
        group=eligible["group_id"].to_numpy(),
        verdict=eligible["verdict"].to_numpy(),
        labelled=eligible["labelled"].to_numpy(),
        way=eligible["way"].to_numpy(),
        fresh=eligible["fresh"].to_numpy(),
    )


def _scores(
    workspace: Workspace, supply: pl.DataFrame, labels: pl.DataFrame, bad: pl.DataFrame
) -> dict[str, pl.DataFrame]:
    catalog, known = workspace.catalog, ["clip_id", "capability"]
    way = pl.col("reason").replace_strict(WAYS, default=OTHER, return_dtype=pl.Int8)
    ordered = catalog.scan("orders").select(*known, "reason").collect()
    told = labels.select(*known, "verdict").join(ordered, on=known, how="left")
    verdict = pl.col("verdict").replace_strict(VERDICTS, default=-1, return_dtype=pl.Int8)
    found = (
        catalog.scan("scores")
        .select(*known, "similarity", "probability", "calibration", "matches", "eligible")
        .collect()
        .join(supply.select("clip_id", "source", "group_id"), on="clip_id")
        .join(told, on=known, how="left")
        .join(bad.with_columns(bad=pl.lit(value=True)), on="clip_id", how="left")
        .select(
            *known, "source", "group_id",
            pl.col("similarity").fill_null(-1.0).cast(pl.Float64),
            pl.col("probability").fill_null(0.0).cast(pl.Float64).clip(_CERTAIN, 1 - _CERTAIN),
            pl.col("matches", "eligible").fill_null(value=False),
            calibrated=pl.col("calibration").is_in(CALIBRATED).fill_null(value=False),
            labelled=pl.col("verdict").is_not_null() | pl.col("bad").is_not_null(),
            verdict=verdict.fill_null(-1),
            way=pl.when(pl.col("verdict").is_null()).then(0).otherwise(way.fill_null(OTHER)).cast(pl.Int8),
        )
        .sort("capability", "clip_id")
    )  # fmt: skip
    by_segmenter, seen = _segmenter(workspace, supply)
    asked = pl.col("capability").is_in(by_segmenter)
    log_odds = (pl.col("probability") / (1 - pl.col("probability"))).log()
    scored = found.with_columns(
        score=pl.when(asked).then(log_odds).otherwise("similarity"),
        fresh=~(asked & pl.col("group_id").is_in(seen)),
    ).drop("similarity", "probability")
    parts = scored.partition_by("capability", as_dict=True, maintain_order=True)
    return {str(key[0]): rows for key, rows in parts.items()}


def _segmenter(workspace: Workspace, supply: pl.DataFrame) -> tuple[list[str], list[str]]:
    """The capabilities of which a trained segmenter makes the probabilities, and the groups that it was trained on."""
    by_it = pl.col("features").str.contains("segmenter")
    names = workspace.catalog.scan("calibrations").filter(by_it).select("capability").collect()["capability"].to_list()
    trained = newest_trained(workspace)[0] if names else None
    if trained is None:
        return [], []
    videos = trained.seen_videos or frozenset(supply["video_id"])
    seen = supply.filter(pl.col("video_id").is_in(sorted(videos)))["group_id"]
    return names, seen.unique().sort().to_list()


def _reviewed(catalog: Catalog, labels: pl.DataFrame) -> dict[str, int]:
    agreed = (
        catalog.scan("agreements")
        .filter(pl.col("annotators").list.len() >= 2, ~pl.col("contested"))
        .select("capability", "clip_id")
        .collect()
    )
    decided = labels.filter(pl.col("verdict").is_in(list(VERDICTS)))
    settled = decided.filter(pl.col("purpose") == "review")
    both = pl.concat([settled, decided.join(agreed, on=["capability", "clip_id"], how="semi")])
    return dict(both.unique(["capability", "clip_id"]).group_by("capability").len().iter_rows())


def _newest_evaluations(catalog: Catalog) -> dict[tuple[str, str | None, str], Evaluated]:
    """By capability, slice (None: all of it) and metric: of the model evaluated last, ours or not; of the baseline
    where none is, for evaluating that closes no gap."""
    rows = (
        catalog.scan("evaluations")
        .filter(pl.col("split") == "test", pl.col("value").is_not_null())
        .sort(pl.col("model") != ZERO_SHOT, "written_at", maintain_order=True)
        .unique(["capability", "slice", "metric"], keep="last", maintain_order=True)
        .select("capability", "slice", "metric", "value", "low", "high", "videos")
        .collect()
    )
    return {(name, part, metric): Evaluated(*reached) for name, part, metric, *reached in rows.iter_rows()}


def _in_newest_mix(workspace: Workspace) -> dict[str, set[str]] | None:
    locks = sorted(workspace.data.glob("*/lock.json"), key=lambda path: (path.stat().st_mtime_ns, path))
    if not locks:
        return None
    roles: dict[str, set[str]] = {}
    for clip in json.loads(locks[-1].read_text())["clips"]:
        for role in clip["roles"]:
            roles.setdefault(role, set()).add(clip["clip_id"])
    return roles
