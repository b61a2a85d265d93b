"""Reads one annotation of Label Studio as a label: verdict, exhaustiveness and typed segments in source seconds.

Annotators' work is kept wherever its meaning is plain, and what had to be mended or left out is named, so that
nothing is lost in silence: the server itself checks neither labels nor ranges nor required fields.
"""

import json
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from labeling.frames import Timeline
from labeling.interface import EXHAUSTIVE, SEGMENT, VERDICT, VERDICTS, read_value


@dataclass(frozen=True)
class Reading:
    """What an annotation says. `segments` have the columns of the `labels` table; `problems` name what was mended."""

    verdict: str
    exhaustive: bool
    segments: list[dict[str, Any]]
    problems: list[str]


def read_annotation(result: list[dict[str, Any]], data: dict[str, Any], timeline: Timeline) -> Reading:
    """Reads the `result` of an annotation of a task with `data` (see `labeling.push`) and its clip's timeline.

    A guess that is left in a clip said not to show it may hold somebody's work, so it is named: Label Studio gives its
    origin as "prediction" still when its end was dragged and its fields were filled in.
    """
    problems: list[str] = []
    fields, verdict, exhaustive = _controls(result, problems)
    regions = [entry for entry in result if entry.get("type") == "timelinelabels"]
    segments = []
    for region in regions:
        segments += _segments(region, fields.get(region.get("id", ""), {}), data["capability"], timeline, problems)
    if verdict is None:
        problems.append("no verdict")
        verdict = "present" if segments else "unsure"
    if verdict == "present" and not segments:
        problems.append("present without a segment")
    if verdict in ("absent", "bad_clip") and segments:
        guesses = all(region.get("origin") == "prediction" for region in regions)
        problems.append(f"{'a guess' if guesses else 'segments'} left in a clip said to be {verdict}")
        segments = []
    return Reading(verdict, exhaustive, sorted(segments, key=lambda row: (row["start_s"], row["end_s"])), problems)


def _controls(result: list[dict[str, Any]], problems: list[str]) -> tuple[dict[str, dict[str, Any]], str | None, bool]:
    """Field values by region id, the verdict, and whether the exhaustive box is ticked."""
    fields: dict[str, dict[str, Any]] = defaultdict(dict)
    verdict, exhaustive = None, False
    for entry in result:
        control, value = entry.get("from_name"), entry.get("value") or {}
        if control == SEGMENT:
            if entry.get("type") != "timelinelabels":
                problems.append("unknown kind of region")
        elif control == VERDICT:
            chosen = (value.get("choices") or [None])[0]
            if chosen in VERDICTS:
                verdict = chosen
            else:
                problems.append("unknown verdict")
        elif control == EXHAUSTIVE:
            exhaustive = EXHAUSTIVE in (value.get("choices") or [])
        else:
            try:
                name, content = read_value(str(control), value)
            except ValueError:
                problems.append("unreadable field")
            else:
                fields[entry.get("id", "")][name] = content
    return fields, verdict, exhaustive


def _segments(
    region: dict[str, Any], fields: dict[str, Any], capability: str, timeline: Timeline, problems: list[str]
) -> list[dict[str, Any]]:
    value = region.get("value") or {}
    if value.get("timelinelabels") != [capability]:
        problems.append("unknown label")
        return []
    found = []
    for span in value.get("ranges") or []:
        first, last = span["start"], span["end"]
        inside = max(first, 1), min(last, timeline.frames)
        if inside[0] > inside[1]:
            problems.append("range outside the clip")
            continue
        if inside != (first, last):
            problems.append("range cut at the clip's edge")
        start_s, end_s = timeline.to_seconds(*inside)
        found.append({"start_s": start_s, "end_s": end_s, "fields": json.dumps(fields, sort_keys=True)})
    return found
