"""Which of two models' segmentations people prefer, without knowing whose is whose.

Each clip where the two differ is asked once, the model on each side drawn by lot (each has each side equally often),
and a share of them a second time with the sides exchanged, which shows how steady the answers are. What a model was
trained on is not asked. A clip has one vote: of its annotators the majority, else a tie.

A winner needs two things of the clips that are decided. The 95% interval of the share it wins (Wilson's at the
effective number of clips, as clips of a video are not independent: `statistics`) does not hold one half; and an exact
sign test says so too: under equal models each video's balance of votes is as likely the other way round, which gives
the distribution of the total without any approximation. Where each video has one clip, that is the binomial test.

Looking at a result again and again until it has a winner would find one too often. So while clips wait for votes a
winner needs p below 0.001, which leaves the final test as it is (Haybittle 1971, Peto et al. 1976).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from curate import views
from curate.catalog import Catalog
from curate.dedupe.groups import leakage_groups
from curate.errors import InputError
from curate.identity import work_key
from curate.model import ZERO_SHOT
from curate.model.definitions import Segment
from curate.review import statistics as st
from curate.review.answers import Answer, group_of_clips
from curate.specs import Capability
from curate.targets.scoring.trained import segments_of, trained_model
from curate.workspace import Workspace

LEVEL, EARLY_LEVEL = 0.05, 0.001
_ALIKE_S = 0.1
"""Ends that are nearer than this look the same to a person."""
_AT_5_PERCENT, _AT_80_PERCENT = 1.959964, 0.841621
"""Quantiles of the normal distribution, for a two-sided test at 5% that finds what is there four times in five."""
_CANDIDATES = 20
"""Clips that are looked at for each that is asked for: in most clips of a rare capability no model finds anything."""


@dataclass(frozen=True)
class Plan:
    """What to ask.

    Attributes:
        rows: of `comparisons`, in the order in which to ask, repeats last.
        same: clips left out because the two models say the same of them.
        seen: clips left out because one of the models was trained on their video, or on a copy of it.
    """

    comparison_id: str
    rows: list[dict[str, Any]]
    same: int
    seen: int


@dataclass(frozen=True)
class Result:
    """What people prefer, as far as they have voted.

    Attributes:
        models: the two; `share`, `low` and `high` are of the first.
        clips: asked, of which so many have no vote yet (`waiting`).
        wins: decided clips, by model.
        ties: clips without a preference; `neither` more where both were said to be wrong.
        share: of the decided clips, that the first model wins, with its 95% interval low to high; nan without any.
        p: of the sign test, two-sided.
        design_effect: how many clips as they are say as much as one independent clip.
        consistency: share of the repeated clips that have the same answer again, and its interval.
        first_side: share of the preferences that are for side 1: one half where side makes no difference.
        winner: None while there is none.
        needed: clips more to ask for a winner with a chance of 80%, if the share is what is observed; None where that
            cannot be said, 0 where there is a winner.
    """

    comparison_id: str
    capability: str
    models: tuple[str, str]
    clips: int
    waiting: int
    votes: int
    annotators: int
    wins: dict[str, int]
    ties: int
    neither: int
    share: float
    low: float
    high: float
    p: float
    design_effect: float
    consistency: st.Estimate
    first_side: st.Estimate
    winner: str | None
    needed: int | None


def plan(
    workspace: Workspace,
    capability: str,
    model_1: str,
    model_2: str,
    clips: Sequence[str] | None = None,
    *,
    count: int | None = None,
    repeats: float = 0.2,
    seed: int = 0,
) -> Plan:
    """Which clips to ask about, and which model is on which side. The same call makes the same plan.

    Args:
        model_1, model_2: names of trained models, or "zero-shot".
        clips: ids; kept clips of all videos in turn where None.
        count: ask about so many at most.
        repeats: share of the clips that are asked twice.

    Raises:
        InputError: an unknown capability, model or clip, a model compared with itself, or no clip is left to ask about.
    """
    spec = workspace.capability(capability)
    if model_1 == model_2:
        raise InputError(f"{model_1!r} is compared with itself", fix="Name two models")
    seen_groups = _seen_groups(workspace, (model_1, model_2))
    rows = _candidates(workspace, clips, seed)
    fresh = rows.filter(~pl.col("group_id").is_in(sorted(seen_groups)))
    if clips is None and count is not None:
        fresh = fresh.head(_CANDIDATES * count)
    framed = views.framed_clips(workspace.catalog).join(fresh.lazy().select("clip_id"), on="clip_id", how="semi")
    ready = fresh.select("clip_id").join(framed.collect(), on="clip_id", maintain_order="left")
    found = [segments_of(workspace, name, spec, ready) for name in (model_1, model_2)]
    differ = [
        (clip_id, one, two)
        for clip_id, one, two in zip(ready["clip_id"], *found, strict=True)
        if not _alike(one, two, spec)
    ]
    asked = differ[:count]
    if not asked:
        raise InputError(
            f"no clip to ask about: {len(rows) - len(fresh)} are of footage that a model was trained on, "
            f"and of {len(ready)} both say the same",
            where=capability,
            fix="Collect other footage, or name other models",
        )
    identity = work_key("comparison", spec.id, spec.version, *sorted((model_1, model_2)), [c for c, *_ in asked], seed)
    sides = np.random.default_rng(int(identity, 16)).permutation(len(asked))
    again = set(np.argsort(sides)[::-1][: round(repeats * len(asked))].tolist())
    made = [
        _row(identity, spec, clip_id, repeat, (model_1, one), (model_2, two), exchanged=(sides[at] + repeat) % 2 == 1)
        for repeat in (0, 1)
        for at, (clip_id, one, two) in enumerate(asked)
        if repeat == 0 or at in again
    ]
    return Plan(identity, made, len(ready) - len(differ), len(rows) - len(fresh))


def result(catalog: Catalog, comparison_id: str) -> Result:
    """What the votes say.

    Raises:
        InputError: no such comparison.
    """
    asked = catalog.scan("comparisons").filter(pl.col("comparison_id") == comparison_id).collect()
    if asked.is_empty():
        known = catalog.scan("comparisons").select("comparison_id").unique().collect()["comparison_id"].sort()
        raise InputError(f"no comparison {comparison_id!r}", fix=f"Known: {', '.join(known) or 'none'}")
    first, second = sorted({*asked["first"], *asked["second"]})
    votes = _votes(catalog, comparison_id).join(asked.select("clip_id", "repeat", "first"), on=["clip_id", "repeat"])
    for_side = pl.col("answer").replace_strict({"1": 1, "2": -1}, default=0, return_dtype=pl.Int8)
    votes = votes.with_columns(side=for_side, liked=for_side * pl.when(pl.col("first") == first).then(1).otherwise(-1))
    by_clip = _by_clip(votes)
    groups = group_of_clips(catalog)
    decided = {clip: balance > 0 for clip, (balance, _) in by_clip.items() if balance != 0}
    sums = _sums([(groups.get(clip, clip), float(won)) for clip, won in decided.items()])
    estimate = st.bounded(sums, st.ratio, units=len(decided)) if decided else st.UNKNOWN
    wins = {first: sum(decided.values()), second: len(decided) - sum(decided.values())}
    p = sign_test(2 * sums[:, 0] - sums[:, 1]) if decided else 1.0
    clips = asked["clip_id"].n_unique()
    waiting = clips - len(by_clip)
    settled = decided and not estimate.low <= 0.5 <= estimate.high and p < (EARLY_LEVEL if waiting else LEVEL)
    winner = (first if estimate.value > 0.5 else second) if settled else None
    effect = _design_effect(sums, estimate.value) if decided else math.nan
    undecided = [neither for balance, neither in by_clip.values() if balance == 0]
    return Result(
        comparison_id=comparison_id,
        capability=asked["capability"][0],
        models=(first, second),
        clips=clips,
        waiting=waiting,
        votes=len(votes),
        annotators=votes["annotator"].n_unique(),
        wins=wins,
        ties=undecided.count(False),
        neither=undecided.count(True),
        share=estimate.value,
        low=estimate.low,
        high=estimate.high,
        p=p,
        design_effect=effect,
        consistency=_consistency(votes, groups),
        first_side=_first_side(votes, groups),
        winner=winner,
        needed=0 if winner else _needed(estimate.value, effect, len(decided), len(by_clip)),
    )


def sign_test(balances: np.ndarray) -> float:
    """The chance that whole numbers [n] add up to as much, either way, where each may as well have the other sign."""
    sizes = np.abs(np.asarray(balances)).round().astype(int)
    reach = int(sizes.sum())
    chances: np.ndarray = np.zeros(2 * reach + 1)
    chances[reach] = 1.0
    for size in sizes[sizes > 0]:
        chances = (np.roll(chances, size) + np.roll(chances, -size)) / 2
    total = abs(round(float(np.sum(balances))))
    return float(min(1.0, chances[: reach - total + 1].sum() + chances[reach + total :].sum())) if total else 1.0


def _seen_groups(workspace: Workspace, models: Sequence[str]) -> set[str]:
    seen: set[str] = set()
    for name in models:
        if name == ZERO_SHOT:
            continue
        trained = trained_model(workspace, name)
        if trained.seen_groups is None:
            raise InputError(
                "nothing says which videos the model was trained on, so no comparison with it is fair",
                where=trained.directory,
                fix=f"Fetch its mix, {trained.config['mix']} {trained.config['revision']}: `dvc pull`",
            )
        seen |= trained.seen_groups
    return seen


def _candidates(workspace: Workspace, clips: Sequence[str] | None, seed: int) -> pl.DataFrame:
    """clip_id and group_id: the clips asked for, or all that are kept, one of each group first."""
    every = views.clips(workspace.catalog) if clips is not None else views.kept_clips(workspace.catalog)
    found = every.select("clip_id", "video_id").collect().join(leakage_groups(workspace.catalog), on="video_id")
    if clips is not None:
        unknown = [clip for clip in clips if clip not in set(found["clip_id"])]
        if unknown:
            raise InputError(f"no clip {unknown[0]!r} ({len(unknown)} unknown)", fix="Choose among the current clips")
        found = found.filter(pl.col("clip_id").is_in(list(clips)))
    drawn = pl.Series([work_key("drawn", seed, clip) for clip in found["clip_id"]], dtype=pl.String)
    ordered = found.with_columns(drawn=drawn).sort("drawn").with_columns(turn=pl.int_range(pl.len()).over("group_id"))
    return ordered.sort("turn", "drawn").select("clip_id", "group_id")


def _alike(one: Sequence[Segment], two: Sequence[Segment], spec: Capability) -> bool:
    if len(one) != len(two):
        return False
    names = [field.name for field in spec.segment.fields]
    return all(
        abs(a.start_s - b.start_s) < _ALIKE_S
        and abs(a.end_s - b.end_s) < _ALIKE_S
        and all(a.fields.get(name) == b.fields.get(name) for name in names)
        for a, b in zip(one, two, strict=True)
    )


def _row(
    identity: str,
    spec: Capability,
    clip_id: str,
    repeat: int,
    one: tuple[str, Sequence[Segment]],
    two: tuple[str, Sequence[Segment]],
    *,
    exchanged: bool,
) -> dict[str, Any]:
    first, second = (two, one) if exchanged else (one, two)
    return {
        "comparison_id": identity,
        "capability": spec.id,
        "spec_version": spec.version,
        "clip_id": clip_id,
        "repeat": repeat,
        "first": first[0],
        "second": second[0],
        "segments_first": Answer("", "", True, tuple(first[1])).rows(),
        "segments_second": Answer("", "", True, tuple(second[1])).rows(),
    }


def _votes(catalog: Catalog, comparison_id: str) -> pl.DataFrame:
    """The newest vote of each annotator on each clip and repeat."""
    return (
        catalog.scan("votes")
        .filter(pl.col("comparison_id") == comparison_id)
        .sort("updated_at", maintain_order=True)
        .unique("vote_id", keep="last", maintain_order=True)
        .filter(~pl.col("deleted").fill_null(value=False))
        .unique(["annotator", "clip_id", "repeat"], keep="last", maintain_order=True)
        .collect()
    )


def _by_clip(votes: pl.DataFrame) -> dict[str, tuple[float, bool]]:
    """By clip the balance of its annotators' preferences (above 0: for the first model), and whether most of the votes
    are that neither is right. An annotator who was asked twice has one voice."""
    voices: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    neither: dict[str, list[bool]] = defaultdict(list)
    for clip, annotator, liked, answer in votes.select("clip_id", "annotator", "liked", "answer").iter_rows():
        voices[clip][annotator].append(liked)
        neither[clip].append(answer == "neither")
    return {
        clip: (float(sum(np.sign(sum(said)) for said in of_clip.values())), 2 * sum(neither[clip]) > len(neither[clip]))
        for clip, of_clip in voices.items()
    }


def _consistency(votes: pl.DataFrame, groups: dict[str, str]) -> st.Estimate:
    twice = votes.filter(pl.col("repeat") == 0).join(
        votes.filter(pl.col("repeat") == 1), on=["clip_id", "annotator"], suffix="_again"
    )
    same = twice.select("clip_id", same=pl.col("liked") == pl.col("liked_again"))
    sums = _sums([(groups.get(clip, clip), float(agrees)) for clip, agrees in same.iter_rows()])
    return st.bounded(sums, st.ratio, units=len(same)) if len(same) else st.UNKNOWN


def _first_side(votes: pl.DataFrame, groups: dict[str, str]) -> st.Estimate:
    preferring = votes.filter(pl.col("side") != 0)
    told = [
        (groups.get(clip, clip), float(side > 0)) for clip, side in preferring.select("clip_id", "side").iter_rows()
    ]
    return st.bounded(_sums(told), st.ratio, units=len(told)) if told else st.UNKNOWN


def _sums(told: Sequence[tuple[str, float]]) -> np.ndarray:
    """[groups, 2]: of (group, value), the values and their number within each group."""
    _, group = np.unique([name for name, _ in told], return_inverse=True)
    return st.grouped(np.array([(value, 1.0) for _, value in told]).reshape(-1, 2), group)


def _design_effect(sums: np.ndarray, share: float) -> float:
    """The variance of the share over that of as many independent clips; 1 where nothing shows it."""
    _, variance = st.jackknife(sums, st.ratio)
    independent = share * (1 - share) / sums[:, 1].sum()
    return max(1.0, float(variance / independent)) if independent > 0 and not np.isnan(variance) else 1.0


def _needed(share: float, effect: float, decided: int, voted: int) -> int | None:
    """So many that a share that is what it seems is told from one half four times in five (two-sided, 5%)."""
    if not decided or share == 0.5:
        return None
    reach = _AT_5_PERCENT * 0.5 + _AT_80_PERCENT * math.sqrt(share * (1 - share))
    enough = effect * (reach / (share - 0.5)) ** 2
    return max(1, math.ceil((enough - decided) * voted / decided))
