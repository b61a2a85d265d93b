"""Which clips may serve which share of a mix, and what keeps out those that may not, as arrays.

An offer is a label that lets a clip serve a share: as a positive where it is labelled present, as a negative where it
is labelled absent and the capability takes negatives. What is forbidden by a limit that a person could lift stays in,
with the limit's bit, so that a lifted limit is the same problem with other bounds.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from polars import selectors

from curate.conditions import matching
from curate.mixes.solving.chance import draw
from curate.specs.mix import Mix

REPLAY = "replay"
TOLERANCE = 1e-6
LICENCES, WHERE, PER_DUPLICATE_GROUP, LABELS, SHARE_WHERE = 1, 2, 4, 8, 16
"""Why a clip, or (the last two) an offer, may not be used: bits."""

SLICES = {"capability": pl.String(), "slice": pl.String(), "clip_id": pl.String()}


@dataclass(frozen=True)
class Problem:
    """A mix over its clips. Clips are numbered in the order in which they are drawn (`chance.draw`).

    Attributes:
        mix: what is asked for.
        unit: of the budget.
        roles: the capabilities that have a share, sorted. Arrays over them:
        demand: the share, in the unit. negatives: largest fraction of its rows. most: times a positive may occur.
        minimum: distinct positives.
        clip_ids: of every clip. Arrays over clips:
        size: in the unit. video, source, licence: numbers from 0. why: bits, 0 where nothing forbids it.
        offer_clip, offer_role, offer_positive, offer_why: arrays over offers, sorted by clip and role; why: the clip's
            bits too.
        slices: (role, name) of each slice with a minimum. floors: that minimum.
        slice_offer, slice_of: which offers are in which slices.
        sources, licences: the names of the numbers.
    """

    mix: Mix
    unit: Literal["clips", "h"]
    roles: tuple[str, ...]
    demand: np.ndarray
    negatives: np.ndarray
    most: np.ndarray
    minimum: np.ndarray
    clip_ids: pl.Series
    size: np.ndarray
    video: np.ndarray
    source: np.ndarray
    licence: np.ndarray
    why: np.ndarray
    offer_clip: np.ndarray
    offer_role: np.ndarray
    offer_positive: np.ndarray
    offer_why: np.ndarray
    slices: tuple[tuple[int, str], ...]
    floors: np.ndarray
    slice_offer: np.ndarray
    slice_of: np.ndarray
    sources: tuple[str, ...]
    licences: tuple[str, ...]

    @property
    def licence_limits(self) -> np.ndarray:
        """Most distinct clips of each licence; infinite where there is no limit."""
        return np.array([self.mix.limits.per_licence.get(name, np.inf) for name in self.licences])


def budget_of(mix: Mix) -> float:
    return float(mix.budget.clips) if mix.budget.clips is not None else float(mix.budget.hours or 0)


def shares_of(mix: Mix) -> dict[str, float]:
    shares = {name: share.share for name, share in sorted(mix.capabilities.items())}
    return {**shares, REPLAY: mix.replay.share} if mix.replay.share > 0 else shares


def demand_of(mix: Mix) -> dict[str, float]:
    """Each share in the budget's unit; whole clips by largest remainder."""
    exact = {role: share * budget_of(mix) for role, share in shares_of(mix).items()}
    if mix.budget.clips is None:
        return exact
    whole: dict[str, float] = {role: math.floor(amount + TOLERANCE) for role, amount in exact.items()}
    left = math.floor(sum(exact.values()) + TOLERANCE) - sum(whole.values())
    for role in sorted(exact, key=lambda role: (whole[role] - exact[role], role))[: int(left)]:
        whole[role] += 1
    return whole


def config_of(mix: Mix) -> str:
    """Where a mix is written, for errors about its conditions."""
    return f"configs/mixes/{mix.name}.yaml"


def pose(
    clips: pl.DataFrame,
    labels: pl.DataFrame,
    mix: Mix,
    negatives: Mapping[str, float],
    slices: pl.DataFrame | None = None,
) -> Problem:
    """The problem of a mix over its clips; the arguments are those of `curate.mixes.solving.solve.solve`."""
    demand = demand_of(mix)
    roles = tuple(sorted(name for name in mix.capabilities if demand[name] > 0))
    drawn = drawn_clips(clips.drop(selectors.binary() | selectors.list()), mix.seed)
    by_clips = mix.budget.clips is not None
    offers = _offers(drawn, labels, mix, roles, negatives)
    outside = _outside(drawn, mix)
    clip, role = offers["clip"].to_numpy(), offers["role"].to_numpy()
    fits = offers["why"].to_numpy() == 0
    positive = offers["positive"].to_numpy()
    count = len(drawn)
    present = np.bincount(clip[fits & positive], minlength=count)
    why = outside | _beyond_duplicates(drawn, outside, present, np.bincount(clip[fits], minlength=count), mix)
    named, slice_offer, slice_of = _sliced(slices, offers, drawn["clip_id"], mix, roles)
    source, sources = _numbered(drawn, "source")
    licence, licences = _numbered(drawn, "licence")
    return Problem(
        mix=mix,
        unit="clips" if by_clips else "h",
        roles=roles,
        demand=np.array([demand[name] for name in roles], dtype=np.float64),
        negatives=np.array([negatives[name] for name in roles], dtype=np.float64),
        most=np.array([mix.capabilities[name].max_repeat for name in roles], dtype=np.int64),
        minimum=np.array([mix.capabilities[name].min_clips for name in roles], dtype=np.float64),
        clip_ids=drawn["clip_id"],
        size=np.ones(count) if by_clips else drawn["duration_s"].to_numpy().astype(np.float64) / 3600,
        video=_numbered(drawn, "video_id")[0],
        source=source,
        licence=licence,
        why=why,
        offer_clip=clip,
        offer_role=role,
        offer_positive=positive,
        offer_why=offers["why"].to_numpy() | why[clip],
        slices=named,
        floors=np.array([mix.capabilities[roles[role]].per_slice for role, _ in named], dtype=np.float64),
        slice_offer=slice_offer,
        slice_of=slice_of,
        sources=sources,
        licences=licences,
    )


def drawn_clips(clips: pl.DataFrame, seed: int) -> pl.DataFrame:
    """`clips` in the order in which they are drawn."""
    return (
        clips.with_columns(drawn=pl.Series(draw(clips["clip_id"], seed), dtype=pl.UInt64))
        .sort("drawn", "clip_id")
        .drop("drawn")
    )


def allowed(clips: pl.DataFrame, labels: pl.DataFrame, mix: Mix) -> np.ndarray:
    """Which clips, in the order in which they are drawn, are within licences, `where` and the duplicate limit.

    Args:
        labels: clip_id, verdict of those that count; the clips of a duplicate group with the most of them stay.
    """
    counts = labels.group_by("clip_id").agg(present=(pl.col("verdict") == "present").sum(), labelled=pl.len())
    found = clips.select("clip_id").join(counts, on="clip_id", how="left", maintain_order="left").fill_null(0)
    outside = _outside(clips, mix)
    beyond = _beyond_duplicates(clips, outside, found["present"].to_numpy(), found["labelled"].to_numpy(), mix)
    return (outside | beyond) == 0


def as_asked(mix: Mix) -> pl.Expr:
    """Whether a label is as its capability's share asks: reviewed, where that is asked for."""
    asked = [name for name, share in mix.capabilities.items() if share.labels == "reviewed"]
    if not asked:
        return pl.lit(value=True)
    return ~pl.col("capability").is_in(asked) | pl.col("reviewed")


def _outside(clips: pl.DataFrame, mix: Mix) -> np.ndarray:
    why = np.zeros(len(clips), dtype=np.int64)
    if mix.limits.licences is not None:
        why[~clips["licence"].is_in(mix.limits.licences).fill_null(value=False).to_numpy()] |= LICENCES
    if mix.where is not None:
        why[~matching(clips, mix.where, source=config_of(mix)).to_numpy()] |= WHERE
    return why


def _beyond_duplicates(
    clips: pl.DataFrame, outside: np.ndarray, present: np.ndarray, labelled: np.ndarray, mix: Mix
) -> np.ndarray:
    """The bit of the duplicate limit: of a group those stay that are allowed, then those with the most labels."""
    ranked = (
        clips.select("duplicate_group")
        .with_columns(
            outside=pl.Series(outside != 0), present=pl.Series(present), labelled=pl.Series(labelled),
            at=pl.int_range(pl.len()),
        )
        .filter(pl.col("duplicate_group").is_duplicated())
        .sort("outside", "present", "labelled", "at", descending=[False, True, True, False])
        .with_columns(rank=pl.int_range(pl.len()).over("duplicate_group"))
    )  # fmt: skip
    why = np.zeros(len(clips), dtype=np.int64)
    why[ranked.filter(pl.col("rank") >= mix.limits.per_duplicate_group)["at"].to_numpy()] = PER_DUPLICATE_GROUP
    return why


def _offers(
    clips: pl.DataFrame, labels: pl.DataFrame, mix: Mix, roles: tuple[str, ...], negatives: Mapping[str, float]
) -> pl.DataFrame:
    """clip, role (numbers), positive, why; sorted by clip and role."""
    with_negatives = [name for name in roles if negatives[name] > 0]
    schema = {"capability": pl.String(), "role": pl.Int64()}
    numbers = pl.DataFrame({"capability": roles, "role": range(len(roles))}, schema=schema)
    found = (
        labels.filter(
            (pl.col("verdict") == "present")
            | ((pl.col("verdict") == "absent") & pl.col("capability").is_in(with_negatives))
        )
        .join(numbers, on="capability")
        .join(clips.select("clip_id", clip=pl.int_range(pl.len())), on="clip_id")
        .select(
            "clip", "role",
            positive=pl.col("verdict") == "present",
            why=pl.when(as_asked(mix)).then(0).otherwise(LABELS).cast(pl.Int64),
        )
        .sort("clip", "role")
    )  # fmt: skip
    why = found["why"].to_numpy().copy()
    for number, name in enumerate(roles):
        if (where := mix.capabilities[name].where) is not None:
            fits = matching(clips, where, source=config_of(mix)).to_numpy()
            why[(found["role"].to_numpy() == number) & ~fits[found["clip"].to_numpy()]] |= SHARE_WHERE
    return found.with_columns(why=pl.Series(why, dtype=pl.Int64))


def _sliced(
    slices: pl.DataFrame | None, offers: pl.DataFrame, clip_ids: pl.Series, mix: Mix, roles: tuple[str, ...]
) -> tuple[tuple[tuple[int, str], ...], np.ndarray, np.ndarray]:
    """The slices that have a minimum, and which offers are in which of them."""
    asked = [name for name in roles if mix.capabilities[name].per_slice]
    if slices is None or not asked:
        return (), np.zeros(0, np.int64), np.zeros(0, np.int64)
    mine = slices.filter(pl.col("capability").is_in(asked))
    named = mine.select("capability", "slice").unique().sort("capability", "slice")
    number = {name: at for at, name in enumerate(roles)}
    numbers = named.select("capability", "slice", at=pl.int_range(pl.len()), role=pl.col("capability").replace_strict(
        number, return_dtype=pl.Int64))  # fmt: skip
    members = mine.join(numbers, on=["capability", "slice"]).join(
        clip_ids.to_frame("clip_id").select("clip_id", clip=pl.int_range(pl.len())), on="clip_id"
    )
    offered = offers["clip"].to_numpy() * len(roles) + offers["role"].to_numpy()
    wanted = members["clip"].to_numpy() * len(roles) + members["role"].to_numpy()
    offer = np.minimum(np.searchsorted(offered, wanted), max(len(offered) - 1, 0))
    known = np.zeros(len(wanted), dtype=bool)
    if len(offered):
        known = (offered[offer] == wanted) & offers["positive"].to_numpy()[offer]
    keys = np.unique(offer[known] * len(named) + members["at"].to_numpy()[known])
    pairs = tuple((number[capability], name) for capability, name in named.iter_rows())
    return pairs, keys // max(len(named), 1), keys % max(len(named), 1)


def _numbered(clips: pl.DataFrame, column: str) -> tuple[np.ndarray, tuple[str, ...]]:
    names = clips[column].fill_null("").unique(maintain_order=True)
    numbers = names.to_frame(column).with_columns(at=pl.int_range(pl.len()))
    found = clips.select(pl.col(column).fill_null("")).join(numbers, on=column, how="left", maintain_order="left")
    return found["at"].to_numpy(), tuple(names)
