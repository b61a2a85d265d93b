"""Labels for what a mix is short of: an order for each capability, as large as it takes to fill its shares.

A shortfall says how many clips labelled present are missing. Of the clips that are sent some will be absent, so where
scores are probabilities as many are chosen as are expected to bring that; the order stays a proposal for a person.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from curate.decisions import Decision
from curate.targets.choosing.candidates import pool_of
from curate.targets.choosing.choose import TRAIN, choose
from curate.targets.choosing.order import order_labels
from curate.workspace import Workspace

_MOST_FOR_ONE = 10
"""Clips sent for each that is missing, at most: what is rarer than that wants better scores or footage first."""


def order_as_asked(workspace: Workspace, lock: Mapping[str, Any], *, who: str, why: str = "") -> list[Decision]:
    """What a mix that says `on_shortfall: order-labels` proposes, of the lock of a version; [] for any other mix.

    Raises:
        InputError: as `order_for_shortfall`.
    """
    if lock["mix"]["on_shortfall"] != "order-labels":
        return []
    return order_for_shortfall(workspace, lock["shortfalls"], who=who, why=why)


def order_for_shortfall(
    workspace: Workspace, shortfalls: Iterable[Mapping[str, Any]], *, who: str, why: str
) -> list[Decision]:
    """Proposes an order of labels for each capability of which labels would fill a share or a minimum.

    Args:
        shortfalls: as a lock keeps them (`curate.mixes.solving.shortfall.Shortfall.record`).
        who, why: whose proposal it is, and its reason; what is short where none is given.

    Returns:
        The orders, by capability; none for one without clips left to label. The same shortfall of the same catalog is
        the same order, sent or not.

    Raises:
        InputError: a capability has no scores to choose by.
    """
    found = []
    for capability, short in sorted(_by_capability(shortfalls).items()):
        clips = choose(workspace, capability, _budget(workspace, capability, clips_to_label(short)))
        if clips.is_empty():
            continue
        words = "; ".join(each["words"] for each in short)
        found.append(order_labels(workspace, capability, clips, who=who, why=why or f"a mix is short: {words}"))
    return found


def clips_to_label(shortfalls: Iterable[Mapping[str, Any]]) -> int:
    """Clips labelled present that fill all shortfalls of one capability: one clip counts for its share, for
    `min_clips`, and for a slice of each field; slices of one field need clips of their own."""
    by_kind: defaultdict[str, int] = defaultdict(int)
    for each in shortfalls:
        by_kind[(each["minimum"] or "").partition("=")[0]] += each["to_label"]
    return max(by_kind.values(), default=0)


def _by_capability(shortfalls: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    found: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for each in shortfalls:
        if each["to_label"] > 0:
            found[each["share"]].append(each)
    return found


def _budget(workspace: Workspace, capability: str, missing: int) -> int:
    """Clips to send so that `missing` of them are expected to show it; as many as that where nothing says how likely
    each is."""
    if not pool_of(workspace, workspace.capability(capability), TRAIN).calibrated:
        return missing
    first = float(choose(workspace, capability, missing)["probability"].sum())
    return missing if first >= missing else min(math.ceil(missing**2 / max(first, 1e-9)), _MOST_FOR_ONE * missing)
