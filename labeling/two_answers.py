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
    SEGMENT,
    VIDEO,
    add,
    add_field,
    add_verdict,
    add_video,
    control_name,
    control_type,
    page,
    read_value,
    what_counts,
    what_is_said_of_a_clip,
    write_value,
)
from labeling.projects import Project

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

_OWN_KEY = "5"
_VIDEO_HEIGHT = "350"
"""Lower than an annotator's, so that what both say is on the same screen."""

_REVIEW = {
    FIRST: "Answer 1 is right",
    SECOND: "Answer 2 is right",
    CORRECTED: "Neither: I mark it",
    UNSURE: "Nobody can tell",
}
_COMPARISON = {
    FIRST: "Answer 1 is better",
    SECOND: "Answer 2 is better",
    TIE: "Equally good",
    NEITHER: "Both are wrong",
}


def review_config(spec: Capability) -> str:
    """Label Studio's XML for settling which of two answers is right."""
    view, side = _page(spec, "Which answer is right?", own=True)
    take = _take(side, _REVIEW)
    mine = add(side, "View", visibleWhen="choice-selected", whenTagName=TAKE, whenChoiceValue=take[CORRECTED])
    add(mine, "Header", value=f"Mark {spec.id} on the timeline, or select a segment and press {_OWN_KEY}", size="5")
    add_verdict(mine)
    for field in spec.segment.fields:
        add_field(mine, field)
    for control in mine.iter():
        if control.get("perRegion"):
            control.set("whenLabelValue", spec.id)  # else the page asks for what an answer left out
    return ElementTree.tostring(view, encoding="unicode")


def comparison_config(spec: Capability) -> str:
    """Label Studio's XML for saying which of two answers is better."""
    view, side = _page(spec, "Which answer is better?", own=False)
    _take(side, _COMPARISON)
    return ElementTree.tostring(view, encoding="unicode")


def review_instructions(spec: Capability) -> str:
    """HTML that says what to do, before what counts."""
    return (
        "<p>Two answers about this clip differ. Watch it, then take the one that is right: <b>1</b> or <b>2</b>. Where "
        f"neither is, press <b>3</b> and mark {escape(spec.id)} yourself: press <b>{_OWN_KEY}</b> and drag on the "
        f"timeline, or select a segment of an answer, press <b>{_OWN_KEY}</b> to make it yours and move its ends; then "
        "give the verdict. <b>4</b> where nobody can tell. What you say settles it. <b>Ctrl Enter</b> submits.</p>"
        f"{what_counts(spec)}{what_is_said_of_a_clip()}"
    )


def comparison_instructions(spec: Capability) -> str:
    """HTML that says what to do, before what counts."""
    return (
        "<p>Two answers about this clip, side by side by lot. Watch it, then say which marks it better: <b>1</b> or "
        "<b>2</b>; <b>3</b> where they are equally good, <b>4</b> where both are wrong. Nothing needs to be corrected. "
        f"<b>Ctrl Enter</b> submits.</p>{what_counts(spec)}"
    )


def _page(spec: Capability, question: str, *, own: bool) -> tuple[ElementTree.Element, ElementTree.Element]:
    """The page, and the column beside the video, where the question is answered."""
    view = page()
    head = add(view, "View", className="curate-head")
    add(head, "Header", value=spec.title, size="4")
    timeline = add(head, "TimelineLabels", name=SEGMENT, toName=VIDEO)
    for label, color in zip(_LABELS, _COLORS, strict=True):
        add(timeline, "Label", value=label, background=color, visible="false")
    if own:
        add(timeline, "Label", value=spec.id, background=_OWN_COLOR, hotkey=_OWN_KEY)
    add_video(view).set("height", _VIDEO_HEIGHT)
    side = add(view, "View", className="curate-side")
    add(side, "Header", value=question, size="5")
    columns = add(view, "View", style="grid-column: 1 / 3; display: flex; gap: 16px; margin: 8px 0")
    for name, label, color in zip(WORDS, _LABELS, _COLORS, strict=True):
        style = f"flex: 1; border-left: 6px solid {color}; padding-left: 12px; white-space: pre-line"
        column = add(columns, "View", style=style)
        add(column, "Header", value=label, size="5")
        add(column, "Text", name=name, value=f"${name}")
    return view, side


def _take(view: ElementTree.Element, offered: Mapping[str, str]) -> Mapping[str, str]:
    """What may be chosen, with the keys 1, 2, 3, 4; returns the words of each."""
    control = add(view, "Choices", name=TAKE, toName=VIDEO, choice="single", required="true")
    for key, (value, words) in enumerate(offered.items(), start=1):
        add(control, "Choice", value=words, alias=value, hotkey=str(key))
    return offered


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
