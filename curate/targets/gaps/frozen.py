"""Which leakage groups measure, and so may never be labelled for training.

A group is frozen for evaluation when one of its videos is settled in validation or test, in the `splits` table or in
any version of any mix that was published: labels on it would be paid for and then withheld, or leak. Groups that a
later discovery joined to such a group are frozen too, whatever their own videos were used for.
"""

import polars as pl

from curate.dedupe.groups import leakage_groups
from curate.mixes.versions import published_names
from curate.workspace import Workspace

MEASURING = ("validation", "test")


def frozen_groups(workspace: Workspace) -> set[str]:
    """The group_id of every group that is frozen for evaluation.

    Raises:
        CurateError: the lock of a published version can be read neither from the cache nor from the remote.
    """
    catalog = workspace.catalog
    settled = [catalog.scan("splits").select("video_id", "split").collect()]
    if published_names(workspace):
        from curate.mixes.verify import history  # it brings DVC, two seconds that others need not wait

        settled.append(history(workspace).select("video_id", "split"))
    measuring = pl.concat(settled).filter(pl.col("split").is_in(MEASURING)).unique("video_id")
    groups = leakage_groups(catalog).join(measuring, on="video_id")
    return set(groups["group_id"])
