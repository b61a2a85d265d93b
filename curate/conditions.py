"""A capability's `where`, or a search's: one SQL condition over what is known of a clip."""

import re
from collections.abc import Collection

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
    return _evaluated(clips, where, source).fill_null(value=False)


def undecided(
    clips: pl.DataFrame, where: str | None, unmeasured: Collection[str], *, source: object = None
) -> pl.Series:
    """Which clips a condition says nothing of until the `unmeasured` columns are known; those must be null in `clips`.

    SQL's logic has three values: "motion > 0.1 and speech_share > 0.3" is false without speech_share where there is no
    motion, and null where there is. That holds for conditions made of comparisons, `and`, `or` and `not`; where one
    asks for nulls in an unmeasured column, or uses what may hide them, as `coalesce`, nothing is decided.

    Raises:
        InputError: as `matching`.
    """
    if not names_of(where, source=source) & set(unmeasured):
        return pl.Series("undecided", [False] * len(clips), dtype=pl.Boolean)
    found = _evaluated(clips, where, source)
    assert where is not None
    if _may_hide_nulls(where, set(clips.columns), set(unmeasured)):
        return pl.Series("undecided", [True] * len(clips), dtype=pl.Boolean)
    return found.is_null().alias("undecided")


def names_of(where: str | None, *, source: object = None) -> set[str]:
    """The columns that a condition names.

    Raises:
        InputError: it is not SQL.
    """
    if where is None or not where.strip():
        return set()
    try:
        return set(pl.sql_expr(where).meta.root_names())
    except (pl.exceptions.PolarsError, ValueError) as error:
        raise InputError(f"condition {where!r} cannot be used: {_first_line(error)}", where=source) from None


def _evaluated(clips: pl.DataFrame, where: str | None, source: object) -> pl.Series:
    """True, false or null for each row."""
    if where is None or not where.strip():
        return pl.Series("matches", [True] * len(clips), dtype=pl.Boolean)
    try:
        found = clips.select(matches=pl.sql_expr(where))["matches"]
    except (pl.exceptions.PolarsError, ValueError) as error:
        raise _unusable(where, _first_line(error).split("; valid columns")[0], clips, source) from None
    if found.dtype not in (pl.Boolean, pl.Null):
        raise _unusable(where, f"it gives {found.dtype}, not true or false", clips, source)
    if len(found) != len(clips):
        found = pl.Series("matches", [found[0]] * len(clips), dtype=pl.Boolean)
    return found.cast(pl.Boolean)


_STRICT = {
    "and", "or", "not", "in", "between", "like", "ilike", "rlike", "regexp", "true", "false", "abs", "round", "floor",
    "ceil", "sqrt", "ln", "log2", "log10", "exp", "pow", "lower", "upper", "length", "char_length", "starts_with",
    "ends_with", "regexp_like", "contains", "strpos", "left", "right", "substr", "replace", "trim", "ltrim", "rtrim",
}  # fmt: skip
"""Words after which null stays null, or whose logic has three values."""


def _may_hide_nulls(where: str, columns: set[str], unmeasured: set[str]) -> bool:
    """Whether a condition has a word that is neither a column nor known to keep nulls."""
    text = re.sub(r"'(?:[^']|'')*'", " ", where).lower()
    known = "|".join(sorted(re.escape(name) for name in columns - unmeasured))
    text = re.sub(rf'"?\b(?:{known})\b"?\s+is\s+(?:not\s+)?null\b', " ", text) if known else text
    return "<=>" in text or bool(set(re.findall(r"[a-z_]\w*", text)) - _STRICT - columns)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


def _unusable(where: str, reason: str, clips: pl.DataFrame, source: object) -> InputError:
    fix = f"Columns: {', '.join(clips.columns)}"
    return InputError(f"condition {where!r} cannot be used: {reason}", where=source, fix=fix)
