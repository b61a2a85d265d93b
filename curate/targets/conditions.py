"""A capability's `where`, or a search's: one SQL condition over what is known of a clip."""

import polars as pl

from curate.errors import InputError


def matching(clips: pl.DataFrame, where: str | None, *, source: object = None) -> pl.Series:
    """Which clips fulfil a condition; all where there is none. A null is not fulfilled.

    Args:
        clips: rows of `views.clips`.
        where: a polars SQL expression over their columns, as "motion > 0.02 and height >= 240".
        source: where the condition is written, for the error.

    Returns:
        Boolean, one for each row.

    Raises:
        InputError: it is not SQL, names an unknown column, or is not a condition.
    """
    if where is None or not where.strip():
        return pl.Series("matches", [True] * len(clips), dtype=pl.Boolean)
    try:
        found = clips.select(matches=pl.sql_expr(where))["matches"]
    except (pl.exceptions.PolarsError, ValueError) as error:
        reason = str(error).strip().splitlines()[0].split("; valid columns")[0]
        raise _unusable(where, reason, clips, source) from None
    if found.dtype != pl.Boolean:
        raise _unusable(where, f"it gives {found.dtype}, not true or false", clips, source)
    if len(found) != len(clips):
        found = pl.Series("matches", [bool(found[0])] * len(clips), dtype=pl.Boolean)
    return found.fill_null(value=False)


def _unusable(where: str, reason: str, clips: pl.DataFrame, source: object) -> InputError:
    fix = f"Columns: {', '.join(clips.columns)}"
    return InputError(f"condition {where!r} cannot be used: {reason}", where=source, fix=fix)
