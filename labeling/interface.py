"""What an annotator sees for a capability: the labelling interface and its instructions, written from the spec.

The timeline has one label, the capability's id. Each field of a segment is a control of its own, named
`<type>__<field>`, so that an annotation can be read back with its types without the spec that made it, and no field
can collide with the controls below.
"""

from html import escape
from xml.etree import ElementTree

from curate.specs import Capability, Field

SEGMENT, VERDICT, EXHAUSTIVE, VIDEO = "segment", "verdict", "exhaustive", "video"
VERDICTS = ("present", "absent", "unsure", "bad_clip")

Value = str | bool | int | float


def labelling_config(spec: Capability) -> str:
    """Label Studio's XML for marking segments of `spec`."""
    view = ElementTree.Element("View")
    add(view, "Header", value=f"{spec.title}: mark every occurrence")
    timeline = add(view, "TimelineLabels", name=SEGMENT, toName=VIDEO)
    add(timeline, "Label", value=spec.id, hotkey="1")
    add(view, "Video", name=VIDEO, value="$video", frameRate="$fps", height="400")
    for field in spec.segment.fields:
        add_field(view, field)
    add(view, "Header", value="The clip", size="4")
    choices(view, VERDICT, VERDICTS, required="true")
    choices(view, EXHAUSTIVE, (EXHAUSTIVE,), choice="multiple")
    return ElementTree.tostring(view, encoding="unicode")


def instructions(spec: Capability) -> str:
    """HTML that tells the annotator what counts, what does not, and what each field means."""
    parts = [
        f"<h2>{escape(spec.title)}</h2>",
        f"<p>{escape(spec.definition)}</p>",
        f"<p><b>One segment:</b> {escape(spec.segment.description)}"
        f" {spec.segment.min_duration:g} to {spec.segment.max_duration:g} seconds.</p>",
    ]
    if spec.match.text:
        parts.append(_list("Examples", spec.match.text))
    if spec.non_examples:
        parts.append(_list("Does not count", spec.non_examples))
    if spec.segment.fields:
        parts.append(_list("Fields of each segment", [_described(field) for field in spec.segment.fields]))
    parts.append(
        f"<p>Tick <b>{EXHAUSTIVE}</b> when you have looked at the whole clip: only then does unmarked time count as"
        " not showing it. A segment that is already marked is a guess: move it or delete it.</p>"
    )
    return "".join(parts)


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


def add_field(view: ElementTree.Element, field: Field) -> None:
    name, required = control_name(field), str(field.required).lower()
    box = add(view, "View", visibleWhen="region-selected")
    add(box, "Header", value=f"{field.name}: {field.description}" if field.description else field.name, size="5")
    common = {"perRegion": "true", "required": required}
    match control_type(field):
        case "choices":
            choices(box, name, field.enum or ("true", "false"), **common)
        case "number":
            step = {"step": "1"} if field.type == "integer" else {"step": "0.001"}
            add(box, "Number", name=name, toName=VIDEO, **common, **step)
        case _:
            add(box, "TextArea", name=name, toName=VIDEO, maxSubmissions="1", editable="true", **common)


def choices(
    view: ElementTree.Element,
    name: str,
    values: list[str] | tuple[str, ...],
    *,
    choice: str = "single",
    **attributes: str,
) -> None:
    control = add(view, "Choices", name=name, toName=VIDEO, choice=choice, showInline="true", **attributes)
    for value in values:
        add(control, "Choice", value=value)


def add(parent: ElementTree.Element, tag: str, **attributes: str) -> ElementTree.Element:
    return ElementTree.SubElement(parent, tag, attributes)


def _list(title: str, items: list[str]) -> str:
    return f"<p><b>{escape(title)}:</b></p><ul>{''.join(f'<li>{escape(item)}</li>' for item in items)}</ul>"


def _described(field: Field) -> str:
    kind = ", ".join(field.enum) if field.enum else field.type
    text = f"{field.name} ({kind}{', required' if field.required else ''})"
    return f"{text}: {field.description}" if field.description else text
