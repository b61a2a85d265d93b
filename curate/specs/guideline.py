"""Whether labels made under one guideline still mean the same under another.

What annotators are told decides what their labels mean. A change of wording on a control, a further optional field or
a further value to choose leaves every earlier label right; anything else may not, and asks for new labels.
"""

from collections.abc import Mapping
from typing import Any, Literal

Change = Literal["none", "compatible", "meaning"]

_MEANING = ("definition", "non_examples")
_SEGMENT_MEANING = ("description", "min_duration", "max_duration")


def change(old: Mapping[str, Any], new: Mapping[str, Any]) -> Change:
    """How the guideline `new` differs from `old` (see `Capability.guideline`).

    Returns:
        none: they are equal.
        compatible: the title, a field's description or order, a new optional field, new values of an enum, a field
            that is no longer required.
        meaning: the definition, the non-examples, what a segment is or how long, a field that is gone, of another
            type or required from now on, a value that can no longer be chosen.
    """
    if old == new:
        return "none"
    before, after = old["segment"], new["segment"]
    if any(old[name] != new[name] for name in _MEANING) or any(
        before[name] != after[name] for name in _SEGMENT_MEANING
    ):
        return "meaning"
    earlier = {field["name"]: field for field in before["fields"]}
    later = {field["name"]: field for field in after["fields"]}
    if earlier.keys() - later.keys():
        return "meaning"
    kept = all(_still_right(earlier[name], field) for name, field in later.items() if name in earlier)
    added = all(not field["required"] for name, field in later.items() if name not in earlier)
    return "compatible" if kept and added else "meaning"


def _still_right(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether every answer to the field `old` is one to `new`."""
    if old["type"] != new["type"] or (new["required"] and not old["required"]):
        return False
    if old["enum"] is None or new["enum"] is None:
        return bool(old["enum"] == new["enum"])
    return set(old["enum"]) <= set(new["enum"])
