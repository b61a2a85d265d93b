"""What a segmenter is asked for, and the texts that say it.

A definition comes from a capability's spec or from a request (`{id, description, fields}`); both become one
`Definition`, and `encode` turns it into text vectors. Training, the zero-shot baseline and inference all go through
`encode`, so a model never sees a definition worded in another way than it was trained on. A definition and the values
of its fields are known to a model only as text vectors: a new definition or a new enum value needs no new weights.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from curate.errors import InputError, quoted

FIELD_TYPES = ("string", "boolean", "number", "integer", "array", "timestamp")
"""The types a request may name. Segmenters here fill `string` with an enum, and `boolean`; they leave out the rest."""

NEUTRAL_TEXTS = ("a picture", "a picture where nothing happens", "a video frame", "a thing that stands still")
"""What a frame shows where nothing that was asked for happens: the contrast for a definition without `not_text`."""

TextEncoder = Callable[[list[str]], np.ndarray]
"""list of n texts -> float32 [n, dim], unit norm."""


@dataclass(frozen=True)
class FieldSpec:
    """A typed field of a segment."""

    name: str
    type: str
    description: str = ""
    enum: tuple[str, ...] = ()
    required: bool = False

    @property
    def values(self) -> tuple[str | bool, ...]:
        """The values a segmenter chooses from; empty where it cannot fill the field."""
        if self.type == "boolean":
            return (False, True)
        return self.enum if self.type == "string" else ()


@dataclass(frozen=True)
class Definition:
    """A kind of segment: what it is (`description`), what a frame of it shows (`text`), and what not (`not_text`)."""

    id: str
    description: str
    text: tuple[str, ...] = ()
    not_text: tuple[str, ...] = ()
    fields: tuple[FieldSpec, ...] = ()
    min_s: float = 0.2
    max_s: float = 60.0
    time_ranges_s: tuple[tuple[float, float], ...] = ()

    @property
    def required(self) -> list[str]:
        """The fields that a segment is not right without."""
        return [field.name for field in self.fields if field.required]


@dataclass(frozen=True)
class Segment:
    """A span in seconds with its typed fields; `score` is 1 for truth."""

    start_s: float
    end_s: float
    fields: Mapping[str, Any] = field(default_factory=dict)
    score: float = 1.0


@dataclass(frozen=True)
class EncodedField:
    """A field's own vector [dim], and one for each of its `values`: [values, dim], centred and of unit norm."""

    name: str
    values: tuple[str | bool, ...]
    vector: np.ndarray
    value_vectors: np.ndarray


@dataclass(frozen=True)
class Encoded:
    """A definition as vectors: `texts` [n, dim], the first of which is the description, and `not_texts` [m, dim]."""

    definition: Definition
    texts: np.ndarray
    not_texts: np.ndarray
    fields: tuple[EncodedField, ...]

    @property
    def frame_texts(self) -> np.ndarray:
        """Vectors of the texts that were written to match a frame; of the description where there are none."""
        return self.texts[1:] if len(self.texts) > 1 else self.texts


def encode(definitions: Sequence[Definition], encode_texts: TextEncoder) -> list[Encoded]:
    """Text vectors of definitions and their fields; every distinct text is embedded once, all in one call."""
    order: dict[str, int] = {}
    for definition in definitions:
        for text in _texts(definition):
            order.setdefault(text, len(order))
    if not order:
        return []
    vectors = np.asarray(encode_texts(list(order)), dtype=np.float32)

    def look_up(texts: Sequence[str]) -> np.ndarray:
        return vectors[[order[text] for text in texts]]

    return [
        Encoded(
            definition,
            look_up((definition.description, *definition.text)),
            look_up(definition.not_text or NEUTRAL_TEXTS),
            tuple(_encode_field(spec, look_up) for spec in definition.fields if spec.values),
        )
        for definition in definitions
    ]


def value_texts(spec: FieldSpec, value: str | bool) -> tuple[str, ...]:
    """What a frame of a segment with this value shows; the mean of their vectors stands for the value."""
    name = spec.name.replace("_", " ")
    if isinstance(value, bool):
        said = spec.description or name
        return (said, name) if value else (f"not {said}", f"no {name}")
    said = value.replace("_", " ")
    return f"{said} {name}", f"a {said}", f"a {said} thing"


def _encode_field(spec: FieldSpec, look_up: Callable[[Sequence[str]], np.ndarray]) -> EncodedField:
    """Values are told apart by what differs between them, so what they share is taken out."""
    means = np.stack([look_up(value_texts(spec, value)).mean(0) for value in spec.values])
    centred = means - means.mean(0)
    centred /= np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-6)
    return EncodedField(spec.name, spec.values, look_up([_field_text(spec)])[0], centred)


def _field_text(spec: FieldSpec) -> str:
    return spec.description or spec.name.replace("_", " ")


def _texts(definition: Definition) -> list[str]:
    texts = [definition.description, *definition.text, *(definition.not_text or NEUTRAL_TEXTS)]
    for spec in definition.fields:
        if spec.values:
            texts += [_field_text(spec), *(text for value in spec.values for text in value_texts(spec, value))]
    return texts


def read_definitions(path: Path | str) -> list[Definition]:
    """Definitions of a JSON or YAML file: a list, a request, or one capability's config.

    A request is `{"segment_definitions": [...]}`, with `min_segment_duration` and `max_segment_duration`, in seconds,
    where every definition is bounded by them.

    Raises:
        InputError: no such file, not JSON or YAML, or a definition is not as `as_definition` has it.
    """
    import yaml

    path = Path(path)
    try:
        text = path.read_text()
    except (FileNotFoundError, IsADirectoryError):
        raise InputError("no such file of segment definitions", where=path) from None
    except UnicodeDecodeError:
        raise InputError("not a text file, so neither JSON nor YAML", where=path) from None
    try:
        content = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except json.JSONDecodeError as error:
        raise InputError(f"not valid JSON: {error.msg}", where=f"{path}:{error.lineno}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise InputError(f"not valid YAML: {getattr(error, 'problem', error)}", where=f"{path}{line}") from None
    least_s = most_s = None
    if isinstance(content, Mapping) and "segment_definitions" in content:
        bounds = ("min_segment_duration", "max_segment_duration")
        _check_keys(content, ("segment_definitions", *bounds, "analysis_mode"), (), path)
        least_s, most_s = (_seconds(content[key], key, path) if key in content else None for key in bounds)
        content = content["segment_definitions"]
    elif isinstance(content, Mapping) and "segment" in content:
        content = [content]
    if not isinstance(content, list) or not content:
        raise InputError(
            "no segment definitions", where=path, fix='Give a list of them, or {"segment_definitions": [...]}'
        )
    return [bounded(definition, least_s, most_s) for definition in as_definitions(content, where=path)]


def as_definitions(items: Sequence[Definition | Mapping[str, Any]], *, where: object = None) -> list[Definition]:
    """Checks and reads definitions; ids must differ, since the answer is keyed by them.

    Raises:
        InputError: see `as_definition`; or two definitions have one id.
    """
    found = [
        item if isinstance(item, Definition) else as_definition(item, where=_place(where, f"definition {number}"))
        for number, item in enumerate(items, start=1)
    ]
    seen: set[str] = set()
    for definition in found:
        if definition.id in seen:
            raise InputError(f"two definitions have the id {definition.id!r}", where=where, fix="Give each its own")
        seen.add(definition.id)
    return found


def bounded(definition: Definition, least_s: float | None, most_s: float | None) -> Definition:
    """The definition with a request's least and greatest length in seconds, where given, over its own.

    Raises:
        InputError: nothing is that long.
    """
    asked = replace(
        definition,
        min_s=definition.min_s if least_s is None else least_s,
        max_s=definition.max_s if most_s is None else most_s,
    )
    if asked.min_s < 0 or asked.max_s < asked.min_s:
        raise InputError(
            f"segments from {asked.min_s:g} s to {asked.max_s:g} s: nothing is that long",
            where=definition.id,
            fix="Give a least length that is not above the greatest",
        )
    return asked


def as_definition(item: Any, *, where: object = None) -> Definition:
    """A definition from a request, `{id, description, fields?, time_ranges?, text?, not_text?}`, or from a capability.

    `text` and `not_text`, what a frame of it shows and what not, are ours: optional, and worth having for zero-shot.

    Raises:
        InputError: a key is missing, unknown, or has a value that cannot be used; it names the key.
    """
    if not isinstance(item, Mapping):
        raise InputError(f"expected a definition with id and description, found {quoted(item)}", where=where)
    if isinstance(item.get("segment"), Mapping):
        return _of_capability(item, where)
    allowed = ("id", "description", "fields", "time_ranges", "text", "not_text")
    _check_keys(item, allowed, ("id", "description"), where)
    return Definition(
        id=_string(item, "id", where),
        description=_string(item, "description", where),
        text=_strings(item, "text", where),
        not_text=_strings(item, "not_text", where),
        fields=_fields(item, where),
        time_ranges_s=_time_ranges(item, where),
    )


def _of_capability(spec: Mapping[str, Any], where: object) -> Definition:
    segment, match = spec["segment"], spec.get("match") or {}
    if not isinstance(match, Mapping):
        raise InputError(f"match is {quoted(match)}: expected keys and values", where=where)
    _check_keys(segment, ("description", "fields", "min_duration", "max_duration"), ("description",), where)
    return Definition(
        id=_string(spec, "id", where),
        description=_string(segment, "description", where),
        text=_strings(match, "text", where),
        not_text=_strings(match, "not_text", where),
        fields=_fields(segment, where),
        min_s=_seconds(segment.get("min_duration", 0.2), "min_duration", where),
        max_s=_seconds(segment.get("max_duration", 60.0), "max_duration", where),
    )


def _fields(item: Mapping[str, Any], where: object) -> tuple[FieldSpec, ...]:
    given = item.get("fields") or []
    if not isinstance(given, list):
        raise InputError(f"fields is {quoted(given)}: expected a list", where=where)
    return tuple(_field(entry, _place(where, f"field {number}")) for number, entry in enumerate(given, start=1))


def _field(item: Any, where: object) -> FieldSpec:
    if not isinstance(item, Mapping):
        raise InputError(f"expected a field with name and type, found {quoted(item)}", where=where)
    _check_keys(item, ("name", "type", "description", "enum", "required"), ("name", "type"), where)
    kind = _string(item, "type", where)
    if kind not in FIELD_TYPES:
        raise InputError(f"type is {kind!r}", where=where, fix=f"Allowed: {', '.join(FIELD_TYPES)}")
    enum = _strings(item, "enum", where)
    if enum and kind != "string":
        raise InputError(f"enum is for type string, not {kind}", where=where)
    if len(set(enum)) != len(enum):
        raise InputError("enum names a value twice", where=where)
    description = item.get("description") or ""
    return FieldSpec(_string(item, "name", where), kind, str(description), enum, bool(item.get("required", False)))


def _time_ranges(item: Mapping[str, Any], where: object) -> tuple[tuple[float, float], ...]:
    given = item.get("time_ranges") or []
    if not isinstance(given, list):
        raise InputError(f"time_ranges is {quoted(given)}: expected a list", where=where)
    ranges = []
    for entry in given:
        if not isinstance(entry, Mapping) or set(entry) != {"start_time", "end_time"}:
            raise InputError(
                f"time_ranges holds {quoted(entry)}", where=where, fix='Expected {"start_time": s, "end_time": s}'
            )
        start_s, end_s = (_seconds(entry[key], f"time_ranges.{key}", where) for key in ("start_time", "end_time"))
        if end_s <= start_s:
            raise InputError(f"a time range ends at {end_s:g}, not after its start {start_s:g}", where=where)
        ranges.append((start_s, end_s))
    return tuple(ranges)


def _check_keys(item: Mapping[str, Any], allowed: Sequence[str], required: Sequence[str], where: object) -> None:
    for key in required:
        if key not in item:
            raise InputError(f"{key!r} is required", where=where)
    for key in item:
        if key not in allowed:
            raise InputError(f"unknown key {key!r}", where=where, fix=f"Allowed here: {', '.join(allowed)}")


def _string(item: Mapping[str, Any], key: str, where: object) -> str:
    value = item.get(key)
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{key} is {quoted(value)}: expected a text", where=where)
    return value


def _strings(item: Mapping[str, Any], key: str, where: object) -> tuple[str, ...]:
    value = item.get(key) or []
    if not isinstance(value, list | tuple) or not all(isinstance(text, str) and text.strip() for text in value):
        raise InputError(f"{key} is {quoted(value)}: expected a list of texts", where=where)
    return tuple(value)


def _seconds(value: Any, key: str, where: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise InputError(f"{key} is {quoted(value)}: expected seconds, 0 or more", where=where)
    return float(value)


def _place(where: object, part: str) -> str:
    return part if where is None else f"{where}: {part}"
