"""What an annotator sees for a capability: the labelling interface and its instructions, written from the spec.

The timeline has one label, the capability's id. Each field of a segment is a control of its own, named
`<type>__<field>`, so that an annotation can be read back with its types without the spec that made it, and no field
can collide with the controls below.

At 1400 x 900 everything is on one screen: the video and beside it the clip's verdict and the fields of the segment
that is selected, the timeline under both, over the whole width. Everything has a key; Label Studio gives keys of its
own choice to whatever has none.
"""

from collections.abc import Mapping, Sequence
from html import escape
from xml.etree import ElementTree

from curate.specs import Capability, Field

SEGMENT, VERDICT, EXHAUSTIVE, VIDEO = "segment", "verdict", "exhaustive", "video"
VERDICTS = ("present", "absent", "unsure", "bad_clip")

SEGMENT_KEY = "1"
VERDICT_KEYS = {"present": "p", "absent": "a", "unsure": "s", "bad_clip": "b"}
EXHAUSTIVE_KEY = "x"
_FIELD_KEYS = ("234567890", "qwertio", "dfghjkl", "zcvnm")
"""Rows of the keyboard, less the keys above and Label Studio's own: u lets go of a region."""
_WORDS = {"bad_clip": "bad clip", EXHAUSTIVE: "I looked at the whole clip"}
"""What is shown for a value where that is not the value itself."""

_MEANINGS = {
    "present": "it happens in this clip, and every time it does is marked",
    "absent": "it does not happen in this clip",
    "unsure": "you cannot tell, even at a second look",
    "bad_clip": "it cannot be judged: black, broken, nothing to be seen",
    EXHAUSTIVE: "only then does time without a segment count as not showing it",
}
_KEYS = (
    f"[{SEGMENT_KEY}] and drag on the timeline: mark a segment",
    "[Backspace] deletes the selected segment, [u] lets go of it, [Ctrl Z] undoes",
    "[Space] or [Ctrl Alt Space] plays and pauses, [Alt Right] and [Alt Left] step on and back",
    "[Ctrl Enter] submits, [Ctrl Space] skips",
)
"""Label Studio's own, as its users may not have changed them."""

LAYOUT = """
.curate { display: grid; grid-template-columns: minmax(0, 1fr) 250px; column-gap: 16px; }
.curate h4 { margin: 6px 0 3px !important; font-size: 14px !important; line-height: 20px !important; }
.curate .curate-head { grid-column: 1 / 3; display: flex; align-items: center; gap: 16px; height: 40px; }
.curate .curate-head .lsf-labels, .curate .curate-head .lsf-label, .curate .curate-head h3 { margin: 0 !important; }
.curate .curate-head h4 { margin: 0 !important; font-weight: 400 !important; }
.curate .curate-side { grid-column: 2; grid-row: 2; max-height: 480px; overflow-y: auto; }
.curate .lsf-object, .curate .lsf-video-segmentation { display: contents; }
.curate .lsf-video { grid-column: 1; grid-row: 2; min-width: 0; }
.curate .lsf-timeline { grid-column: 1 / 3; grid-row: 3; min-width: 0; }
.curate .lsf-choices { margin: 0 0 6px; display: flex; flex-wrap: wrap; gap: 4px; }
.curate .lsf-choice { margin: 0; border: 1px solid var(--color-neutral-border); border-radius: 5px; }
.curate .lsf-choice__item { padding: 0 !important; }
.curate .lsf-choice__checkbox { margin: 0; padding: 3px 6px !important; font-size: 14px; line-height: 20px; }
.curate .lsf-choice { position: relative; }
.curate .ant-checkbox { position: absolute; inset: 0; opacity: 0; }
.curate .ant-checkbox-input { width: 100%; height: 100%; }
.curate .curate-tick .ant-checkbox { position: relative; opacity: 1; }
.curate .lsf-choice:has(input:checked) { box-shadow: inset 0 0 0 2px var(--color-primary-content); }
"""
"""The places of things on the page. Only what is needed to see all at once: colours are Label Studio's own, light or
dark, and `>` and `&` do not survive its cleaning of styles."""

Value = str | bool | int | float


def labelling_config(spec: Capability) -> str:
    """Label Studio's XML for marking segments of `spec`."""
    view = page()
    head = add(view, "View", className="curate-head")
    add(head, "Header", value=spec.title, size="4")
    timeline = add(head, "TimelineLabels", name=SEGMENT, toName=VIDEO)
    add(timeline, "Label", value=spec.id, hotkey=SEGMENT_KEY)
    add(head, "Header", value=f"{SEGMENT_KEY}, then drag on the timeline", size="5")
    add_video(view)
    side = add(view, "View", className="curate-side")
    add_verdict(side)
    add_fields(side, spec.segment.fields)
    return ElementTree.tostring(view, encoding="unicode")


def instructions(spec: Capability) -> str:
    """HTML that tells the annotator what counts, what does not, what each field means, and the keys."""
    return "".join([
        what_counts(spec, field_keys(spec.segment.fields)),
        what_is_said_of_a_clip(),
        "<p>A segment that is there already is a guess: correct its edges, or delete it.</p>",
        _list("Keys", _KEYS),
    ])  # fmt: skip


def what_counts(spec: Capability, keys: Mapping[str, str] | None = None) -> str:
    """HTML of the capability's definition; `keys` of its fields where the page has them."""
    segment = spec.segment
    parts = [
        f"<h2>{escape(spec.title)}</h2>",
        f"<p>{escape(spec.definition)}</p>",
        f"<p><b>One segment:</b> {escape(segment.description)} It lasts {segment.min_duration:g} to"
        f" {segment.max_duration:g} seconds.</p>",
    ]
    if spec.match.text:
        parts.append(_list("Examples", spec.match.text))
    if spec.non_examples:
        parts.append(_list("Does not count", spec.non_examples))
    if segment.fields:
        described = [_described(field, (keys or {}).get(field.name, "")) for field in segment.fields]
        parts.append(_list("Fields of each segment", described))
    return "".join(parts)


def what_is_said_of_a_clip() -> str:
    """HTML of the verdicts, and of having looked at all of it, with their keys."""
    return _list("The clip", [f"{_key(name)}: {_MEANINGS[name]}" for name in (*VERDICTS, EXHAUSTIVE)])


def control_name(field: Field) -> str:
    """The name of a field's control in the interface and in annotations."""
    return f"{field.type}__{field.name}"


def control_type(field: Field) -> str:
    """The type of the results that a field's control makes."""
    if field.type == "boolean" or field.enum:
        return "choices"
    return "textarea" if field.type == "string" else "number"


def write_value(field: Field, value: Value) -> dict[str, object]:
    """A field's value as a result of its control has it."""
    kind = control_type(field)
    if kind == "number":
        return {"number": value}
    text = str(value).lower() if field.type == "boolean" else str(value)
    return {"choices" if kind == "choices" else "text": [text]}


def read_value(control: str, value: dict[str, object]) -> tuple[str, Value]:
    """The field's name and typed value from one result of its control.

    Raises:
        ValueError: it is no control of a field, or what it holds is not of the field's type.
    """
    kind, separator, name = control.partition("__")
    if not separator:
        raise ValueError(f"no control of a field: {control}")
    found = next((value[key] for key in ("choices", "text", "number") if key in value), None)
    content = found[0] if isinstance(found, list) and found else found
    if kind == "string" and isinstance(content, str):
        return name, content
    if kind == "boolean" and content in ("true", "false"):
        return name, content == "true"
    if kind == "integer" and isinstance(content, int | float) and float(content).is_integer():
        return name, int(content)
    if kind == "number" and isinstance(content, int | float):
        return name, float(content)
    raise ValueError(f"{name} is no {kind}: {content!r}")


def field_keys(fields: Sequence[Field]) -> dict[str, str]:
    """The keys of each field's values, in their order: one row of the keyboard for a field while rows last.

    A number's one key counts it up. A field whose values fit no row is left to Label Studio: "".
    """
    rows, keys = list(_FIELD_KEYS), {}
    for field in fields:
        count = len(_values(field)) or 1
        place = next((place for place, row in enumerate(rows) if len(row) >= count), None)
        if control_type(field) == "textarea" or place is None:
            keys[field.name] = ""
        else:
            keys[field.name], rows[place] = rows[place][:count], rows[place][count:]
    return keys


def page() -> ElementTree.Element:
    """An empty page with the places that the parts below take."""
    view = ElementTree.Element("View", className="curate")
    add(view, "Style").text = LAYOUT
    return view


def add_video(view: ElementTree.Element) -> ElementTree.Element:
    """The video and its timeline, with room for four segments before it scrolls."""
    return add(view, "Video", name=VIDEO, value="$video", frameRate="$fps", height="480", timelineHeight="120")


def add_verdict(view: ElementTree.Element) -> None:
    """What is said of the clip as a whole."""
    add(view, "Header", value="The clip", size="5")
    choices(view, VERDICT, VERDICTS, keys=list(VERDICT_KEYS.values()), required="true")
    tick = add(view, "View", className="curate-tick")
    choices(tick, EXHAUSTIVE, (EXHAUSTIVE,), keys=[EXHAUSTIVE_KEY], choice="multiple")


def add_fields(view: ElementTree.Element, fields: Sequence[Field]) -> None:
    """What is said of the segment that is selected."""
    if not fields:
        return
    hint = add(view, "View", visibleWhen="no-region-selected")
    add(hint, "Header", value="Select a segment to fill in its fields", size="5")
    keys = field_keys(fields)
    for field in fields:
        add_field(view, field, keys[field.name])


def add_field(view: ElementTree.Element, field: Field, keys: str = "") -> None:
    """One field of the selected segment, with a key for each of its values."""
    name, required = control_name(field), str(field.required).lower()
    box = add(view, "View", visibleWhen="region-selected")
    title = field.name if field.required else f"{field.name} (optional)"
    add(box, "Header", value=f"{title}: {field.description}" if field.description else title, size="5")
    common = {"perRegion": "true", "required": required}
    match control_type(field):
        case "choices":
            choices(box, name, _values(field), keys=list(keys), **common)
        case "number":
            step = {"step": "1"} if field.type == "integer" else {"step": "0.001"}
            hotkey = {"hotkey": keys} if keys else {}
            add(box, "Number", name=name, toName=VIDEO, **common, **step, **hotkey)
        case _:
            add(box, "TextArea", name=name, toName=VIDEO, maxSubmissions="1", editable="true", **common)


def choices(
    view: ElementTree.Element,
    name: str,
    values: Sequence[str],
    *,
    keys: Sequence[str] = (),
    choice: str = "single",
    **attributes: str,
) -> None:
    """A choice of `values`, with a key for each where `keys` are given."""
    control = add(view, "Choices", name=name, toName=VIDEO, choice=choice, showInline="true", **attributes)
    for place, value in enumerate(values):
        shown = {"value": _WORDS[value], "alias": value} if value in _WORDS else {"value": value}
        add(control, "Choice", **shown, **({"hotkey": keys[place]} if keys else {}))


def add(parent: ElementTree.Element, tag: str, **attributes: str) -> ElementTree.Element:
    return ElementTree.SubElement(parent, tag, attributes)


def _values(field: Field) -> Sequence[str]:
    return field.enum or (("true", "false") if field.type == "boolean" else ())


def _key(name: str) -> str:
    return f"{_WORDS.get(name, name)} [{VERDICT_KEYS.get(name, EXHAUSTIVE_KEY)}]"


def _list(title: str, items: Sequence[str]) -> str:
    """Label Studio shows lists as bare lines and drops styles, so the bullets and the space are text."""
    return f"<br/><p><b>{escape(title)}</b></p>{''.join(f'<p>• {escape(item)}</p>' for item in items)}"


def _described(field: Field, keys: str) -> str:
    """A field in words: its values with their keys, or its type."""
    values = _values(field)
    if values:
        kind = ", ".join(f"{value} [{keys[place]}]" if keys else value for place, value in enumerate(values))
    else:
        kind = f"{field.type}, [{keys}] counts up" if keys else field.type
    text = f"{field.name} ({'required' if field.required else 'optional'}): {kind}"
    return f"{text}. {field.description}" if field.description else text
