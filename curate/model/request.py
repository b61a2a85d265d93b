"""A request for analysis as it arrives: read, checked and bounded before anything is done for it.

The shape is the product's: `{"video": {"url" | "asset_id" | "path": ...}, "segment_definitions": [...]}`, optionally
with `analysis_mode`, `min_segment_duration`, `max_segment_duration` and `model`. Whoever sends it is not trusted:
whatever the bytes are, they become a `Request` or an InputError that names the key.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.errors import InputError, quoted
from curate.identity import work_key
from curate.model import ZERO_SHOT
from curate.model.definitions import Definition, as_definitions, bounded
from curate.model.directory import trained_models

ANALYSIS_MODE = "time_based_metadata"
VIDEO_KINDS = ("url", "asset_id", "path")

_KEYS = (
    "video",
    "segment_definitions",
    "analysis_mode",
    "min_segment_duration",
    "max_segment_duration",
    "model",
)
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}")
_MOST_DIGITS = 15


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Attributes:
        kind: how the video is named, one of `VIDEO_KINDS`, and `video` its name.
        definitions: as they were sent, which `as_definitions` has read without complaint.
        min_s, max_s: bounds on every definition's segments, where given.
        model: a trained model's name, `ZERO_SHOT`, or None for the server to choose.
        digest: 16 hex digits, equal for requests that hold the same.
    """

    kind: str
    video: str
    definitions: Sequence[Mapping[str, Any]]
    min_s: float | None
    max_s: float | None
    model: str | None
    digest: str


def read_request(body: bytes, *, most_definitions: int, most_values: int) -> Request:
    """Reads a request's JSON.

    Args:
        most_definitions: it may ask for.
        most_values: the enums of all its fields may hold together.

    Raises:
        InputError: it is not JSON, or not a request; it names the key.
    """
    try:
        return _read(body, most_definitions, most_values)
    except RecursionError:
        raise InputError("nested too deep", where="body") from None


def named_model(models: Path, name: str | None) -> Path | None:
    """The directory of the trained model that a request names, None for zero-shot; without a name, the newest.

    Raises:
        InputError: there is no such model.
    """
    if name == ZERO_SHOT:
        return None
    trained = trained_models(models)
    if name is None and trained:
        return trained[-1]
    known = ", ".join([ZERO_SHOT, *(path.name for path in trained)])
    if name is None:
        raise InputError("no trained model yet", where="model", fix=f"Name one: {known}")
    if name not in {path.name for path in trained}:
        raise InputError(f"no model {name!r}", where="model", fix=f"Known: {known}")
    return models / name


def _read(body: bytes, most_definitions: int, most_values: int) -> Request:
    content = _parsed(body)
    if not isinstance(content, dict):
        raise InputError("the request is not an object", where="body", fix=f"Expected the keys {', '.join(_KEYS)}")
    for key in content:
        if key not in _KEYS:
            raise InputError(f"unknown key {quoted(key)}", where="body", fix=f"Allowed here: {', '.join(_KEYS)}")
    if content.get("analysis_mode", ANALYSIS_MODE) != ANALYSIS_MODE:
        found = quoted(content["analysis_mode"])
        raise InputError(f"analysis_mode is {found}", where="analysis_mode", fix=f"Allowed: {ANALYSIS_MODE}")
    kind, video = _video(content.get("video"))
    min_s, max_s = (_seconds(content, key) for key in ("min_segment_duration", "max_segment_duration"))
    definitions: Any = content.get("segment_definitions")
    for definition in _definitions(definitions, most_definitions, most_values):
        bounded(definition, min_s, max_s)
    digest = work_key(content)
    return Request(kind, video, definitions, min_s, max_s, _model(content.get("model")), digest)


def _parsed(body: bytes) -> Any:
    try:
        content = json.loads(body, parse_constant=_refused_number, parse_int=_whole, parse_float=_number)
        json.dumps(content, ensure_ascii=False).encode()
    except UnicodeError:
        raise InputError("not text in UTF-8", where="body") from None
    except json.JSONDecodeError as error:
        raise InputError(f"not valid JSON: {error.msg}", where=f"body, line {error.lineno}") from None
    return content


def _refused_number(text: str) -> float:
    raise InputError(f"{text} is no number of JSON", where="body")


def _whole(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise InputError(f"a number of {len(text)} digits", where="body", fix=f"Numbers have at most {_MOST_DIGITS}")
    return int(text)


def _number(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refused_number(text[:40])


def _video(found: Any) -> tuple[str, str]:
    expected = 'Expected {"url": ...}, {"asset_id": ...} or {"path": ...}'
    if not isinstance(found, dict) or len(found) != 1:
        raise InputError(f"video is {quoted(found)}", where="video", fix=expected)
    ((kind, name),) = found.items()
    if kind not in VIDEO_KINDS:
        raise InputError(f"unknown key {quoted(kind)}", where="video", fix=expected)
    if not isinstance(name, str) or not name.strip() or "\0" in name:
        raise InputError(f"{kind} is {quoted(name)}: expected a text", where="video")
    return kind, name


def _definitions(found: Any, most: int, most_values: int) -> list[Definition]:
    where = "segment_definitions"
    if not isinstance(found, list) or not found:
        raise InputError(f"segment_definitions is {quoted(found)}: expected a list of them", where=where)
    if len(found) > most:
        raise InputError(f"{len(found)} definitions, more than {most}", where=where, fix="Ask in several requests")
    read = as_definitions(found, where=where)
    values = sum(len(field.values) for definition in read for field in definition.fields)
    if values > most_values:
        raise InputError(f"fields of {values} values, more than {most_values}", where=where, fix="Ask for fewer")
    return read


def _seconds(content: Mapping[str, Any], key: str) -> float | None:
    value = content.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise InputError(f"{key} is {quoted(value)}: expected seconds, 0 or more", where=key)
    return float(value)


def _model(found: Any) -> str | None:
    if found is None:
        return None
    if not isinstance(found, str) or not _MODEL.fullmatch(found):
        raise InputError(f"model is {quoted(found)}: expected a model's name", where="model")
    return found
