"""What a reviewer sees of two answers about one clip: both on the timeline in a colour each, and what each says in
words; one key takes one.

The same for annotators who differ, where the right answer may also be marked anew, and for two models that are
compared blind. Whose an answer is appears nowhere in a task: sides are in our catalog alone.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any
from xml.etree import ElementTree

from label_studio_sdk.client import LabelStudio

from curate.model.definitions import Segment
from curate.specs import Capability, Field
from labeling.frames import Timeline
from labeling.interface import (
    EXHAUSTIVE,
    SEGMENT,
    VERDICT,
    VERDICTS,
    VIDEO,
    add,
    add_field,
    choices,
    control_name,
    control_type,
    instructions,
    read_value,
    write_value,
)
from labeling.projects import Project  # fmt: skip

TAKE = "take"
FIRST, SECOND, CORRECTED, UNSURE, TIE, NEITHER = "1", "2", "corrected", "unsure", "tie", "neither"
WORDS = ("answer_1", "answer_2")
"""Names in a task's data of what each answer says."""

MODEL_VERSION = "answers"
"""Label Studio shows the segments of both answers as one prediction, and its name beside them."""

_LABELS = ("answer 1", "answer 2")
_COLORS = ("#0072B2", "#E69F00")
_OWN_COLOR = "#009E73"
"""Blue, orange and green that people who see colours differently tell apart (Okabe and Ito 2008)."""

_REVIEW = {
    FIRST: ("Answer 1 is right", "1"),
    SECOND: ("Answer 2 is right", "2"),
    CORRECTED: ("Neither: I mark it", "3"),
    UNSURE: ("Nobody can tell", "4"),
}
_COMPARISON = {
    FIRST: ("Answer 1 is better", "1"),
    SECOND: ("Answer 2 is better", "2"),
    TIE: ("Equally good", "3"),
    NEITHER: ("Both are wrong", "4"),
}


def review_config(spec: Capability) -> str:
    """Label Studio's XML for settling which of two answers is right."""
    view = _view(f"{spec.title}: which answer is right?", spec, own=True)
    _take(view, _REVIEW)
    mine = add(view, "View", visibleWhen="choice-selected", whenTagName=TAKE, whenChoiceValue=_REVIEW[CORRECTED][0])
    add(
        mine,
        "Header",
        value=f"Mark {spec.id} on the timeline (5), or select a segment of an answer and press 5",
        size="5",
    )
    choices(mine, VERDICT, VERDICTS, required="true")
    choices(mine, EXHAUSTIVE, (EXHAUSTIVE,), choice="multiple")
    for field in spec.segment.fields:
        add_field(mine, field)
    for control in mine.iter():
        if control.get("perRegion"):
            control.set("whenLabelValue", spec.id)  # else the page asks for what an answer left out
    return ElementTree.tostring(view, encoding="unicode")


def comparison_config(spec: Capability) -> str:
    """Label Studio's XML for saying which of two answers is better."""
    view = _view(f"{spec.title}: which answer is better?", spec, own=False)
    _take(view, _COMPARISON)
    return ElementTree.tostring(view, encoding="unicode")


def review_instructions(spec: Capability) -> str:
    """HTML that says what to do, before what counts."""
    return (
        "<p>Two answers about this clip differ. Watch it, then take the one that is right: <b>1</b> or <b>2</b>. Where "
        f"neither is, press <b>3</b> and mark {escape(spec.id)} yourself: draw on the timeline, or select a segment of "
        "an answer, press <b>5</b> to make it yours and move its ends. Your answer settles it. Ctrl+Enter submits.</p>"
        f"{instructions(spec)}"
    )


def comparison_instructions(spec: Capability) -> str:
    """HTML that says what to do, before what counts."""
    return (
        "<p>Two answers about this clip, in an order that says nothing about them. Watch it, then say which marks it "
        "better: <b>1</b>, <b>2</b>, <b>3</b> where they are equally good, <b>4</b> where both are wrong. Nobody needs "
        "the answers corrected. Ctrl+Enter submits.</p>"
        f"{instructions(spec)}"
    )


def _view(title: str, spec: Capability, *, own: bool) -> ElementTree.Element:
    view = ElementTree.Element("View")
    add(view, "Header", value=title)
    add(view, "Video", name=VIDEO, value="$video", frameRate="$fps", height="400", timelineHeight="120")
    timeline = add(view, "TimelineLabels", name=SEGMENT, toName=VIDEO)
    for label, color in zip(_LABELS, _COLORS, strict=True):
        add(timeline, "Label", value=label, background=color, visible="false")
    if own:
        add(timeline, "Label", value=spec.id, background=_OWN_COLOR, hotkey="5")
    columns = add(view, "View", style="display: flex; gap: 16px; margin: 12px 0")
    for name, label, color in zip(WORDS, _LABELS, _COLORS, strict=True):
        style = f"flex: 1; border-left: 6px solid {color}; padding: 0 0 4px 12px; white-space: pre-line"
        column = add(columns, "View", style=style)
        add(column, "Header", value=label, size="5")
        add(column, "Text", name=name, value=f"${name}")
    return view


def _take(view: ElementTree.Element, offered: Mapping[str, tuple[str, str]]) -> None:
    control = add(view, "Choices", name=TAKE, toName=VIDEO, choice="single", showInline="true", required="true")
    for value, (words, hotkey) in offered.items():
        add(control, "Choice", value=words, alias=value, hotkey=hotkey)


def predictions(
    fields: Sequence[Field], answers: Sequence[Sequence[Segment]], timeline: Timeline
) -> list[dict[str, Any]]:
    """The `predictions` of a task: the segments of both answers as regions that the page shows, if there are any.

    Args:
        fields: those that the page has controls for.
    """
    shown = [
        (f"answer{number}-{place}", label, segment)
        for number, (label, segments) in enumerate(zip(_LABELS, answers, strict=True), start=1)
        for place, segment in enumerate(segments, start=1)
    ]
    result = []
    for region, label, segment in reversed(shown):  # the timeline's first row is the last region
        first, last = timeline.to_frames(segment.start_s, segment.end_s)
        ranges = {"ranges": [{"start": first, "end": last}]}
        result.append(_entry(region, SEGMENT, "timelinelabels", {**ranges, "timelinelabels": [label]}))
        for field in fields:
            said = segment.fields.get(field.name)
            if said is not None and (field.enum is None or said in field.enum):
                value = {**ranges, **write_value(field, said)}
                result.append(_entry(region, control_name(field), control_type(field), value))
    return [{"model_version": MODEL_VERSION, "result": result}] if result else []


def show_answers(client: LabelStudio, project: Project, tasks: Sequence[Mapping[str, Any]]) -> None:
    """Makes a project show the predictions of its `tasks`, once it has some: the server refuses it before."""
    marked = any(task["predictions"] for task in tasks)
    if marked and client.projects.get(project.number).model_version != MODEL_VERSION:
        client.projects.update(project.number, model_version=MODEL_VERSION)


def marked(result: Sequence[Mapping[str, Any]], timeline: Timeline) -> tuple[list[Segment], list[Segment]]:
    """The segments of both answers from the `result` of their `prediction`: source seconds."""
    fields: dict[str, dict[str, Any]] = defaultdict(dict)
    for entry in result:
        if entry["from_name"] != SEGMENT:
            name, value = read_value(entry["from_name"], entry["value"])
            fields[entry["id"]][name] = value
    found: tuple[list[Segment], list[Segment]] = ([], [])
    for entry in result:
        if entry["from_name"] == SEGMENT:
            [label], [span] = entry["value"]["timelinelabels"], entry["value"]["ranges"]
            start_s, end_s = timeline.to_seconds(span["start"], span["end"])
            found[_LABELS.index(label)].append(Segment(start_s, end_s, fields[entry["id"]]))
    return found


def words(verdict: str | None, exhaustive: bool | None, segments: Sequence[Segment], start_s: float) -> str:
    """What an answer says, a line for each segment; times from the start of the clip, as the player shows them.

    Args:
        verdict, exhaustive: None for a model, which only marks segments.
        start_s: the clip's, in source seconds.
    """
    lines = []
    if verdict is not None:
        lines.append(verdict.replace("_", " ") + (", looked at all of it" if exhaustive else ""))
    elif not segments:
        lines.append("nothing is marked")
    for segment in segments:
        said = ", ".join(f"{name} {_said(value)}" for name, value in sorted(segment.fields.items()))
        times = f"{segment.start_s - start_s:.2f} to {segment.end_s - start_s:.2f} s"
        lines.append(f"{times}: {said}" if said else times)
    return "\n".join(lines)


def taken(result: Sequence[Mapping[str, Any]]) -> str | None:
    """What the reviewer chose; None where nothing was."""
    for entry in result:
        if entry.get("from_name") == TAKE:
            chosen: list[str] = (entry.get("value") or {}).get("choices") or []
            return chosen[0] if chosen else None
    return None


def own(result: Sequence[dict[str, Any]], capability: str) -> list[dict[str, Any]]:
    """Of an annotation's `result`, what the reviewer says, without the segments that are still an answer's."""
    regions = {
        entry["id"] for entry in result if (entry.get("value") or {}).get("timelinelabels") not in (None, [capability])
    }
    return [entry for entry in result if entry.get("id") not in regions and entry.get("from_name") != TAKE]


def _said(value: Any) -> str:
    return ("no", "yes")[value] if isinstance(value, bool) else str(value)


def _entry(region: str, control: str, kind: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"id": region, "from_name": control, "to_name": VIDEO, "type": kind, "value": value}
