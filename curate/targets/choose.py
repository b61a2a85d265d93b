"""Which clips are worth a label: a budget in three parts, each with its reason beside every clip.

- `audit`, AUDIT of the budget: drawn at random from all that could be labelled, before anything else is chosen, so
  that the true share of positives can be estimated without bias.
- `likely`: the best scores. They fill the gap.
- `uncertain`, UNCERTAIN of the budget: probabilities nearest to one half; with ranks, those nearest to the rank
  that the target implies (a target of 50 clips of 500 puts it at 0.9). They sharpen the calibration and the model.

Only kept clips that fulfil the capability's `where` and bear no label for it are chosen, so never duplicates. Likely
and uncertain clips are also spread: while others are left, none is as near in embedding space to a labelled or chosen
clip as TOO_NEAR, and no leakage group gives more than PER_GROUP of the budget.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from curate import views
from curate.dedupe.groups import leakage_groups
from curate.errors import InputError
from curate.vectors import matrix
from curate.workspace import Workspace

AUDIT, UNCERTAIN = 0.15, 0.25
PER_GROUP = 0.1
TOO_NEAR = 0.95
_LEAST_PER_GROUP = 2
_CHOSEN = {"clip_id": pl.String(), "probability": pl.Float64(), "reason": pl.String()}


def choose(workspace: Workspace, capability: str, budget: int, *, seed: int = 0) -> pl.DataFrame:
    """The clips to label next, the same ones for the same catalog and seed.

    Args:
        workspace: scored for the capability.
        capability: its id.
        budget: most clips; fewer come where there are not as many.
        seed: of the audit's draw.

    Returns:
        clip_id, probability (or rank), reason: likely clips first, then uncertain, then audit.

    Raises:
        InputError: there is no such capability, it has no scores, or the budget is not positive.
    """
    if budget < 1:
        raise InputError(f"a budget of {budget} clips", fix="Give 1 or more")
    spec = workspace.capability(capability)
    pool = _pool(workspace, capability)
    audit_count, uncertain_count = max(1, round(AUDIT * budget)), round(UNCERTAIN * budget)
    likely_count = budget - audit_count - uncertain_count
    boundary = 0.5 if pool.calibrated else max(0.0, 1 - spec.target.clips / max(pool.eligible, 1))
    best_first = np.lexsort((-pool.similarity, -pool.probability))
    nearest_first = np.argsort(np.abs(pool.probability - boundary), kind="stable")

    audit = np.random.default_rng(seed).permutation(len(pool.clip_ids))[:audit_count].tolist()
    per_group = max(_LEAST_PER_GROUP, math.ceil(PER_GROUP * budget))
    likely = _spread(pool, best_first, likely_count, taken=audit, per_group=per_group)
    uncertain = _spread(pool, nearest_first, uncertain_count, taken=audit + likely, per_group=per_group)
    reasons = {"likely": likely, "uncertain": uncertain, "audit": audit}
    rows = [
        (pool.clip_ids[at], float(pool.probability[at]), reason) for reason, chosen in reasons.items() for at in chosen
    ]
    return pl.DataFrame(rows, schema=_CHOSEN, orient="row")


@dataclass(frozen=True)
class _Pool:
    """What could be labelled, sorted by clip id; `labelled` are the vectors of what bears a label already, and
    `eligible` counts both."""

    clip_ids: list[str]
    probability: np.ndarray
    similarity: np.ndarray
    vectors: np.ndarray
    groups: list[str]
    labelled: np.ndarray
    eligible: int
    calibrated: bool


def _pool(workspace: Workspace, capability: str) -> _Pool:
    catalog = workspace.catalog
    scores = catalog.scan("scores").filter(pl.col("capability") == capability, "eligible")
    kept = (
        views.kept_clips(catalog)
        .select("clip_id", "video_id")
        .join(scores.select("clip_id", "probability", "similarity", "calibration"), on="clip_id")
        .join(views.current_embeddings(catalog).select("clip_id", "vector"), on="clip_id")
        .join(leakage_groups(catalog).lazy(), on="video_id")
        .sort("clip_id")
        .collect()
    )
    if kept.is_empty() and scores.select(pl.len()).collect().item() == 0:
        raise InputError(f"no clip is scored for {capability!r}", fix="Run `curate collect` first")
    labels = views.labels(catalog).filter(pl.col("capability") == capability).select("clip_id").collect()
    rest = kept.join(labels, on="clip_id", how="anti", maintain_order="left")
    labelled = kept.join(labels, on="clip_id", how="semi")
    return _Pool(
        clip_ids=rest["clip_id"].to_list(),
        probability=rest["probability"].to_numpy().astype(np.float64),
        similarity=rest["similarity"].to_numpy().astype(np.float64),
        vectors=matrix(rest["vector"]) if len(rest) else np.zeros((0, 0), dtype=np.float32),
        groups=rest["group_id"].to_list(),
        labelled=matrix(labelled["vector"]) if len(labelled) else np.zeros((0, 0), dtype=np.float32),
        eligible=len(kept),
        calibrated="platt" in kept["calibration"],
    )


def _spread(pool: _Pool, order: np.ndarray, count: int, *, taken: Sequence[int], per_group: int) -> list[int]:
    """The first `count` of `order` that are not taken, spread out; what is too near or too many comes last."""
    used = Counter(pool.groups[at] for at in taken)
    closest = np.full(len(pool.clip_ids), -1.0)
    if len(pool.labelled) and len(closest):
        closest = (pool.vectors @ pool.labelled.T).max(axis=1)
    for at in taken:
        closest = np.maximum(closest, pool.vectors @ pool.vectors[at])
    chosen: list[int] = []
    gone = set(taken)
    for mind_nearness, mind_groups in ((True, True), (False, True), (False, False)):
        for at in order.tolist():
            if len(chosen) == count:
                return chosen
            crowded = mind_groups and used[pool.groups[at]] >= per_group
            if at in gone or crowded or (mind_nearness and closest[at] >= TOO_NEAR):
                continue
            chosen.append(at)
            gone.add(at)
            used[pool.groups[at]] += 1
            closest = np.maximum(closest, pool.vectors @ pool.vectors[at])
    return chosen
