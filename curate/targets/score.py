"""Scores every current clip for every capability: similarity, where in the clip, and what that is worth.

A capability is scored again only when its spec, its labels or the clips have changed.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from curate import views
from curate.conditions import matching, names_of
from curate.errors import InputError
from curate.identity import work_key
from curate.progress import Progress, silent
from curate.search.question import NOT_WEIGHT, direction
from curate.specs import Capability
from curate.standing.windows import WINDOW, Best, best_windows
from curate.targets.calibrate import platt, probabilities, ranks
from curate.workspace import Workspace, new_run_id

VERSION = 1


@dataclass(frozen=True)
class ScoreSummary:
    """By capability: `clips` scored, how many are `eligible`, the `calibration` (rank or platt), and `unchanged`."""

    capabilities: dict[str, dict]
    seconds: float


def score(
    workspace: Workspace, capabilities: Sequence[str] | None = None, *, progress: Progress = silent
) -> ScoreSummary:
    """Brings the `scores` of the current clips up to date.

    Args:
        workspace: its clips must have been collected.
        capabilities: ids; all of configs/capabilities/ where not given.
        progress: told the capabilities done.

    Raises:
        InputError: no such capability, or its `where` cannot be used.
        CurateError: another run of this stage holds the workspace's lock.
    """
    started = time.monotonic()
    specs = workspace.capabilities()
    for name in capabilities or ():
        workspace.capability(name)
    chosen = [spec for name, spec in specs.items() if capabilities is None or name in capabilities]
    with workspace.lock("score"):
        catalog, embedding = workspace.catalog, workspace.analysis().embedding
        clips = views.clips(catalog).collect()
        labels = views.labels(catalog).collect()
        scored = catalog.scan("scores").select("clip_id", "capability", "eligible", "calibration", "work_key").collect()
        content = clips.select("clip_id", "work_key").rows()
        summaries: dict[str, dict] = {}
        stale: dict[str, tuple[Capability, str]] = {}
        for spec in chosen:
            verdicts = _verdicts(labels, spec.id)
            parts = ("score", VERSION, NOT_WEIGHT, WINDOW, embedding.model_dump(), spec.version)
            work = work_key(*parts, content, verdicts.rows(), _measured(clips, spec))
            done = scored.filter(pl.col("capability") == spec.id, pl.col("work_key") == work)
            if len(done.join(clips, on="clip_id", how="semi")) == len(clips):
                summaries[spec.id] = _summary(done, unchanged=True)
            else:
                stale[spec.id] = (spec, work)
        if stale:
            embeddings = views.current_embeddings(catalog).drop("work_key").join(
                views.clips(catalog), on="clip_id"
            ).sort("clip_id").collect()  # fmt: skip
            eligible = {
                name: matching(embeddings, spec.match.where, source=workspace.configs / "capabilities" / f"{name}.yaml")
                for name, (spec, _) in stale.items()
            }
            asked = np.stack([_direction(workspace, spec, embeddings) for spec, _ in stale.values()])
            best = best_windows(embeddings, asked, frames_per_s=embedding.frames_per_s)
            run_id = new_run_id("score")
            for at, (name, (spec, work)) in enumerate(stale.items()):
                rows = _rows(spec, embeddings, best[at], eligible[name].to_numpy(), _verdicts(labels, name))
                catalog.write("scores", rows, run_id=run_id, work_key=work)
                summaries[name] = _summary(rows, unchanged=False)
                progress("capabilities", at + 1, len(stale))
    ordered = {spec.id: summaries[spec.id] for spec in chosen}
    return ScoreSummary(ordered, time.monotonic() - started)


def _measured(clips: pl.DataFrame, spec: Capability) -> list[tuple]:
    """What the capability's condition depends on and the clips' own keys do not: signals measured later."""
    every = {name for columns in views.MEASURED.values() for name in columns}
    return clips.select(sorted(every & names_of(spec.match.where))).rows()


def _verdicts(labels: pl.DataFrame, capability: str) -> pl.DataFrame:
    wanted = labels.filter(pl.col("capability") == capability, pl.col("verdict").is_in(["present", "absent"]))
    return wanted.select("clip_id", "verdict").sort("clip_id")


def _direction(workspace: Workspace, spec: Capability, embeddings: pl.DataFrame) -> np.ndarray:
    match = spec.match
    try:
        return direction(
            workspace.analysis().embedding, embeddings.lazy(), text=match.text, not_text=match.not_text, like=match.like
        )
    except InputError as error:
        where = error.where or workspace.configs / "capabilities" / f"{spec.id}.yaml"
        raise InputError(error.what, where=where, fix=error.fix) from None


def _rows(
    spec: Capability, embeddings: pl.DataFrame, best: Best, eligible: np.ndarray, verdicts: pl.DataFrame
) -> pl.DataFrame:
    similarity = best.similarity.astype(np.float64)
    labelled = embeddings.select("clip_id").with_columns(similarity=similarity).join(verdicts, on="clip_id")
    curve = platt(labelled["similarity"].to_numpy(), (labelled["verdict"] == "present").to_numpy())
    probability = np.full(len(similarity), np.nan)
    of_eligible = similarity[eligible]
    probability[eligible] = probabilities(of_eligible, curve) if curve else ranks(of_eligible)
    return embeddings.select(
        "clip_id",
        "model_id",
        capability=pl.lit(spec.id),
        spec_version=pl.lit(spec.version),
        similarity=similarity,
        probability=pl.Series(probability, dtype=pl.Float64).fill_nan(None),
        calibration=pl.lit("platt" if curve else "rank"),
        eligible=eligible,
        best_start_s=best.start_s,
        best_end_s=best.end_s,
    )


def _summary(rows: pl.DataFrame, *, unchanged: bool) -> dict:
    calibration = rows["calibration"][0] if len(rows) else "rank"
    eligible = int(rows["eligible"].sum())
    return {"clips": len(rows), "eligible": eligible, "calibration": calibration, "unchanged": unchanged}
