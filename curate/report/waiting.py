"""Decisions that wait for a person: what would be done, what speaks for it, its cost, and the command that says yes.

Plans, evidence and costs are whatever the stage that proposed them found worth saying, so they are shown by shape: a
number with the unit that its name ends in, a table where there are rows, words elsewhere.
"""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from curate.catalog import Catalog
from curate.decisions import PROPOSED, Decision, decisions

_UNITS = {
    "h": "h", "hours": "h", "s": "s", "min": "min", "clips": "clips", "mb": "MB", "gb": "GB", "usd": "USD",
    "eur": "EUR",
}  # fmt: skip
_BOUNDS = ("_low", "_high")
_ROWS = 8
"""Of a table of evidence; the rest is counted."""

KINDS = {"collection": "Collect footage", "label-order": "Order labels", "release": "Release a mix"}


def waiting(catalog: Catalog) -> list[dict[str, Any]]:
    """What is proposed, oldest first: decision_id, kind, title, subject, who, why, at, cost, plan, evidence, approve,
    reject. The three parts are lists of facts: see `facts`."""
    return [_shown(each) for each in decisions(catalog, status=[PROPOSED])]


def _shown(decision: Decision) -> dict[str, Any]:
    command = f"curate {{}} {shlex.quote(decision.decision_id)} --why ''"
    return {
        "decision_id": decision.decision_id,
        "kind": decision.kind,
        "title": KINDS.get(decision.kind, decision.kind),
        "subject": decision.subject,
        "who": decision.who,
        "why": decision.why,
        "at": decision.at,
        "cost": facts(decision.cost),
        "plan": facts(decision.plan),
        "evidence": facts(decision.evidence),
        "approve": command.format("approve"),
        "reject": command.format("reject"),
    }


def facts(told: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One dict for each entry: `name`, and `text`, or `columns`, `rows` and `more` where it is a list of records.

    `x_low` and `x_high` are the interval of `x`, and are shown with it.
    """
    return [{"name": _words(name, value), **_value(name, value, told)} for name, value in told.items()
            if value not in (None, "", [], {}) and not _is_bound(name, told)]  # fmt: skip


def _value(name: str, value: Any, beside: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(row, Mapping) for row in value):
        names = dict.fromkeys(column for row in value for column in row)
        columns = [column for column in names if not _is_bound(column, names)]
        rows = [[_with_interval(column, row) for column in columns] for row in value[:_ROWS]]
        return {
            "columns": [_words(column, None) for column in columns],
            "rows": rows,
            "more": max(0, len(value) - _ROWS),
        }
    return {"text": _with_interval(name, beside)}


def _is_bound(name: str, beside: Mapping[str, Any]) -> bool:
    return any(name.endswith(end) and name.removesuffix(end) in beside for end in _BOUNDS)


def _with_interval(name: str, told: Mapping[str, Any]) -> str:
    text = _text(name, told.get(name))
    low, high = (told.get(f"{name}{end}") for end in _BOUNDS)
    return text if low is None or high is None else f"{text} ({_text(name, low)} to {_text(name, high)})"


def _text(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, Mapping):
        own = [key for key in value if not _is_bound(key, value)]
        return ", ".join(f"{_words(key, value[key])} {_with_interval(key, value)}" for key in own)
    if isinstance(value, Sequence) and not isinstance(value, str):
        shown = ", ".join(_text("", part) for part in value[:_ROWS])
        return shown if len(value) <= _ROWS else f"{shown} and {len(value) - _ROWS} more"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        unit = _unit(name)
        number = f"{value:,}" if isinstance(value, int) else f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"
        return f"{number} {unit}" if unit else number
    return str(value)


def _unit(name: str) -> str:
    is_rate = "_per_" in name
    return "" if is_rate or "_" not in name else _UNITS.get(name.rsplit("_", 1)[-1], "")


def _words(name: str, value: Any) -> str:
    """A key as words, without the unit that its number shows."""
    stem = name.rsplit("_", 1)[0] if _unit(name) and isinstance(value, int | float) else name
    return stem.replace("_", " ")
