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
    """One dict for each entry: `name`, and `text`, or `columns`, `rows` and `more` where it is a list of records."""
    return [{"name": _words(name, value), **_value(name, value)} for name, value in told.items()
            if value not in (None, "", [], {})]  # fmt: skip


def _value(name: str, value: Any) -> dict[str, Any]:
    if isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(row, Mapping) for row in value):
        columns = list(dict.fromkeys(column for row in value for column in row))
        rows = [[_text(column, row.get(column)) for column in columns] for row in value[:_ROWS]]
        return {
            "columns": [_words(column, None) for column in columns],
            "rows": rows,
            "more": max(0, len(value) - _ROWS),
        }
    return {"text": _text(name, value)}


def _text(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, Mapping):
        return ", ".join(f"{_words(key, part)} {_text(key, part)}" for key, part in value.items())
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
