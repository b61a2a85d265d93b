"""Keeps what annotators have done: a row for each version of an answer, and nothing is ever overwritten.

What is known is what the catalog holds, so a pull that was killed and repeated makes the same rows as one that was
not. An answer that was deleted, or turned into a skip, gets a last row with `deleted`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from curate.catalog import TABLES, Catalog
from labeling.changes import Change, Changes
from labeling.projects import Project


@dataclass(frozen=True)
class Stored:
    """Answers by what became of them.

    Attributes:
        new: versions written now, first ones and those of answers given again.
        unchanged: answers that the catalog had already.
        deleted: answers that are gone from the server, or have become a skip.
        skipped: skips on the server; they are no answers.
    """

    new: int
    unchanged: int
    deleted: int
    skipped: int


def store(
    catalog: Catalog,
    table: str,
    project: Project,
    changes: Changes,
    read: Callable[[Sequence[Change]], list[dict[str, Any]]],
    run_id: str,
) -> Stored:
    """Brings the rows of `table` (labels, votes) that are of a project up to date with its changes.

    Args:
        read: answers to rows, in their order; one that says nothing may be left out.
    """
    name = TABLES[table].key[0]
    known = _known(catalog, table, project)
    new = deleted = 0
    for batch in changes.batches():
        fresh = [change for change in batch if _is_news(change, known)]
        rows = read([change for change in fresh if not change.skipped])
        ended = {change.label_id: change.updated_at for change in fresh if change.skipped}
        new, deleted = new + len(rows), deleted + len(ended)
        rows += _endings(catalog, table, ended)
        catalog.write(table, rows, run_id=run_id)
        known |= {row[name]: (row["updated_at"], row["deleted"]) for row in rows}
    alive = {answer for answer, (_, ended_before) in known.items() if not ended_before}
    gone = changes.gone(alive)
    catalog.write(table, _endings(catalog, table, dict.fromkeys(gone, datetime.now(UTC))), run_id=run_id)
    return Stored(new, len(alive) - len(gone) - new, deleted + len(gone), changes.skips)


def _is_news(change: Change, known: dict[str, tuple[datetime, bool]]) -> bool:
    """Whether it is a version that the catalog lacks, or the end of an answer that is in force there."""
    updated_at, deleted = known.get(change.label_id, (None, True))
    if change.skipped:
        return not deleted
    return updated_at is None or updated_at < change.updated_at


def _known(catalog: Catalog, table: str, project: Project) -> dict[str, tuple[datetime, bool]]:
    """When the newest version of each answer of the project is from, and whether it says that there is none now."""
    name = TABLES[table].key[0]
    rows = _newest(catalog, table, pl.col(name).str.starts_with(f"ls-{project.uid}-"))
    found = rows.select(name, "updated_at", pl.col("deleted").fill_null(False)).collect()
    return {answer: (updated_at, deleted) for answer, updated_at, deleted in found.iter_rows()}


def _endings(catalog: Catalog, table: str, ended: dict[str, datetime]) -> list[dict[str, Any]]:
    """The rows that say that answers are no more, each newer than the one it ends."""
    if not ended:
        return []
    name = TABLES[table].key[0]
    return [
        {
            **{column: row[column] for column in TABLES[table].columns if column != "lead_time_s"},
            "updated_at": max(ended[row[name]], row["updated_at"] + timedelta(microseconds=1)),
            "deleted": True,
        }
        for row in _newest(catalog, table, pl.col(name).is_in(list(ended))).collect().to_dicts()
    ]


def _newest(catalog: Catalog, table: str, which: pl.Expr) -> pl.LazyFrame:
    rows = catalog.scan(table).filter(which).sort("updated_at")
    return rows.unique(TABLES[table].key[0], keep="last", maintain_order=True)
