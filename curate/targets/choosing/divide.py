"""One budget of labels over the capabilities that lack them: the more urgent a gap, the larger its part.

Labels are dealt out one by one, each to the capability with the largest priority / (2 n + 1), where n is what it has so
far (Webster 1832, Sainte-Laguë 1910). So parts follow priorities as nearly as whole labels can, and a larger budget
takes nothing from anyone.

No capability gets more than its gap can use: LABELS_FOR_ONE for each clip that is missing, or that is expected among
the unlabelled ones where those are fewer; what footage does not hold has to be collected. What one cannot use goes to
the others, and what none can use is not spent.
"""

import heapq
from collections.abc import Sequence

import polars as pl

from curate.targets.gaps.coverage import gaps
from curate.workspace import Workspace

LABELS_FOR_ONE = 2
"""Labels for each clip that is missing: audit, doubt and negatives are about half of what `choose` takes."""


def divide(lacking: pl.DataFrame, budget: int) -> dict[str, int]:
    """Labels for each capability that gets any, in the order of `lacking`.

    Args:
        lacking: capability, priority, gap_clips, candidates_high: rows of `curate.targets.gaps.coverage.gaps`.
        budget: labels in all, 0 or more; one is what one person says of one clip and one capability.

    Returns:
        Parts that sum to `budget`, or to less where no gap has a use for more.
    """
    rows = lacking.select("capability", "priority", most=_most())
    most = dict(rows.select("capability", "most").iter_rows())
    parts = dict.fromkeys(most, 0)
    # Ties fall to the one that stands first, which is the more urgent one or the first of the alphabet.
    waiting = [
        (-priority, at, name, priority)
        for at, (name, priority, limit) in enumerate(rows.iter_rows())
        if priority > 0 and limit > 0
    ]
    heapq.heapify(waiting)
    for _ in range(budget):
        if not waiting:
            break
        _, at, name, priority = waiting[0]
        parts[name] += 1
        if parts[name] < most[name]:
            heapq.heapreplace(waiting, (-priority / (2 * parts[name] + 1), at, name, priority))
        else:
            heapq.heappop(waiting)
    return {name: count for name, count in parts.items() if count}


def parts(
    workspace: Workspace, capabilities: Sequence[str] | None, *, each: int, total: int | None = None
) -> dict[str, int]:
    """Labels for each capability: `each` for every one of these, or with a gap where None; or `total`, divided.

    Raises:
        InputError: no such capability.
    """
    if capabilities is not None:
        names = list(workspace.capabilities(capabilities))
        if total is None:
            return dict.fromkeys(names, each)
    found = gaps(workspace)
    asked = found.filter(pl.col("gap_clips") > 0 if capabilities is None else pl.col("capability").is_in(names))
    return dict.fromkeys(asked["capability"], each) if total is None else divide(asked, total)


def _most() -> pl.Expr:
    """The labels that a gap can use."""
    found = pl.min_horizontal("gap_clips", pl.col("candidates_high").ceil())  # a null counts for nothing
    return (LABELS_FOR_ONE * found).cast(pl.Int64)
