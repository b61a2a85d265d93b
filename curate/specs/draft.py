"""The first version of a capability's file: whole and valid at once, with a comment at each thing to think about."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from curate.errors import InputError
from curate.specs.capability import Capability
from curate.specs.read import read_spec

_DRAFT = """\
# yaml-language-server: $schema=../schemas/capability.schema.json
id: {id}
title: {title}
owner: {owner}
why: {why}  # the evidence that asked for it: an evaluation, a report, a customer
# One sentence by which two annotators decide alike. Then what it is mistaken for, and is not.
definition: {definition}
non_examples: {non_examples}

# What the model is asked for: one segment from its first moment to its last, with typed fields.
segment:
  description: {description}
  fields: []
  # fields:
  #   - {{name: color, type: string, enum: [red, green, blue], required: true}}
  #   - {{name: indoors, type: boolean}}
  min_duration: 0.2  # seconds
  max_duration: 60

# How candidates are found. See what that gives with: curate capability check {id}
match:
  text:  # what ONE FRAME of it shows, in a few wordings; verbs that no single frame shows help little
{text}
  not_text: {not_text}  # what it is mistaken for
  like: {like}  # clips or files that show it: clip ids, photo.jpg, video.mp4@12.5-15
  # where: "motion > 0.02 and height >= 240"  # SQL over signals and metadata
  # level: 0.25  # similarity from which a clip matches, until labels calibrate it; found from the clips if not given
  # sources: [footage]
  # licences: [CC0-1.0, CC-BY-4.0]

# Supply is counted in each slice: by: segment fields, source, licence; where: conditions with names of their own.
slices: {{by: [source]}}
# slices: {{by: [color, source], where: {{night: "brightness < 0.25"}}}}

# How much is enough, in labelled clips that show it; hours: 2 in place of clips.
target: {{clips: 50, per_slice: 0, negatives: 0.25}}
quality: {{agreement: 0.8}}
evaluation: {{metric: f1@0.5, floor: 0.5}}
"""


def write_draft(
    configs: Path,
    name: str,
    *,
    title: str = "",
    owner: str = "",
    why: str = "",
    text: Sequence[str] = (),
    not_text: Sequence[str] = (),
    like: Sequence[str] = (),
) -> Path:
    """Writes configs/capabilities/NAME.yaml and returns its path. What is not given is made of the name.

    Raises:
        InputError: the name is none, or there is such a file already; that stays as it is.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        better = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
        better = f"{better if better[:1].isalpha() else f'c_{better}'}".rstrip("_")
        raise InputError(f"{name!r} is no name", fix=f"Lower case letters, digits and _, as {better}")
    path = configs / "capabilities" / f"{name}.yaml"
    said = name.replace("_", " ")
    texts = list(text) or ([] if like else [said])
    content = _DRAFT.format(
        id=_quoted(name),
        title=_quoted(title or said.capitalize()),
        owner=_quoted(owner or "nobody yet"),
        why=_quoted(why or "not said yet"),
        definition=_quoted(f"{title or said.capitalize()}."),
        non_examples=_flow(not_text),
        description=_quoted(f"{title or said.capitalize()}, from its first moment to its last."),
        text="\n".join(f"    - {_quoted(each)}" for each in texts) or "    []",
        not_text=_flow(not_text),
        like=_flow(like),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x") as file:
            file.write(content)
    except FileExistsError:
        raise InputError(
            "there is such a capability already", where=path, fix="Edit it, or take another name"
        ) from None
    read_spec(path, Capability)
    return path


def _quoted(text: str) -> str:
    """A YAML scalar: as it is where that is plain, else in quotes, as JSON has them."""
    plain = re.fullmatch(r"[A-Za-z][\w ,.'()-]*", text) and text.strip() == text
    words = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}
    return text if plain and text.lower() not in words else json.dumps(text, ensure_ascii=False)


def _flow(texts: Sequence[str]) -> str:
    """A YAML list on one line."""
    return f"[{', '.join(text if _simple(text) else json.dumps(text, ensure_ascii=False) for text in texts)}]"


def _simple(text: str) -> bool:
    return _quoted(text) == text and "," not in text
