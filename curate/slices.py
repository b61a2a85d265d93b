"""The slices of a capability: which it has, which floor each has, and which of them a clip is in.

Three kinds, told apart by what is known of a clip before anyone labels it:

- `source` and `licence`: a slice for each value; known of every clip.
- conditions of `slices.where`: one slice each, with the value ""; known of every clip.
- segment fields: a slice for each value; known only of clips labelled present, from their segments. A clip with a red
  and a blue segment is in both slices.

Slices overlap, between kinds and within a field, so their counts do not add up to the capability's.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from curate.conditions import matching
from curate.specs import Capability
from curate.specs.capability import CLIP_SLICES

MEMBERS = {"clip_id": pl.String(), "slice": pl.String(), "value": pl.String()}


@dataclass(frozen=True)
class Slice:
    """One slice.

    Attributes:
        name: a segment field, `source`, `licence`, or the name of a condition in `slices.where`.
        value: of the field; "" for a condition.
        floor: labelled clips asked for, 0 where none are.
    """

    name: str
    value: str
    floor: int

    @property
    def said(self) -> str:
        """As people and floors name it: color=red, night."""
        return f"{self.name}={self.value}" if self.value else self.name


def floor(spec: Capability, name: str, value: str) -> int:
    """Labelled clips asked of a slice: the floor of `name=value`, else of `name`, else `per_slice`."""
    floors = spec.target.floors
    return floors.get(f"{name}={value}", floors.get(name, spec.target.per_slice))


def slices(spec: Capability, *, sources: Iterable[str] = (), licences: Iterable[str] = ()) -> list[Slice]:
    """The slices that are known without looking at a label: what to fill, also where nothing is there yet.

    Args:
        spec: of the capability.
        sources: of the workspace; those that the capability does not allow are left out.
        licences: of its footage, likewise.

    Returns:
        In the order of `slices.by` and then of `slices.where`, values sorted within each. A field without an enum has
        only the values that a floor names.
    """
    known = {
        "source": _allowed(sources, spec.match.sources),
        "licence": _allowed(licences, spec.match.licences),
    }
    for field in spec.segment.fields:
        known[field.name] = {"false", "true"} if field.type == "boolean" else set(field.enum or ())
    for said in spec.target.floors:
        name, is_value, value = said.partition("=")
        if is_value:
            known.setdefault(name, set()).add(value)
    by = [Slice(name, value, floor(spec, name, value)) for name in spec.slices.by for value in sorted(known[name])]
    return by + [Slice(name, "", floor(spec, name, "")) for name in spec.slices.where]


def is_known(spec: Capability, name: str) -> bool:
    """Whether a slice is known of every clip before anyone labels it."""
    return name in CLIP_SLICES or name in spec.slices.where


def clip_slices(spec: Capability, clips: pl.DataFrame, *, config: object = None) -> pl.DataFrame:
    """The slices that clips are in by what is known of every clip: source, licence and conditions.

    Args:
        spec: of the capability.
        clips: rows of `views.clips`.
        config: where the spec is written, for errors.

    Returns:
        clip_id, slice, value: a row for each clip and slice it is in.

    Raises:
        InputError: a condition cannot be used.
    """
    found = [pl.DataFrame(schema=MEMBERS)]
    for name in spec.slices.by:
        if name in CLIP_SLICES:
            found.append(clips.select("clip_id", slice=pl.lit(name), value=pl.col(name)).drop_nulls("value"))
    for name, condition in spec.slices.where.items():
        inside = clips.filter(matching(clips, condition, source=config))
        found.append(inside.select("clip_id", slice=pl.lit(name), value=pl.lit("")))
    return pl.concat(found)


def label_slices(spec: Capability, labels: pl.DataFrame) -> pl.DataFrame:
    """The slices that labelled clips are in by the fields of their segments.

    Args:
        spec: of the capability.
        labels: clip_id and `segments`, as the table `labels` has them.

    Returns:
        clip_id, slice, value: a row for each clip and slice it is in. A value that is not text is written as JSON.
    """
    fields = [name for name in spec.slices.by if name not in CLIP_SLICES]
    if not fields or labels.is_empty():
        return pl.DataFrame(schema=MEMBERS)
    segments = labels.select("clip_id", fields=pl.col("segments").list.eval(pl.element().struct.field("fields")))
    held = segments.explode("fields").drop_nulls("fields").unique()
    rows = [
        (written, name, value)
        for written in held["fields"].unique().to_list()
        for name, value in _values(written, fields)
    ]
    values = pl.DataFrame(
        rows, schema={"fields": pl.String(), "slice": pl.String(), "value": pl.String()}, orient="row"
    )
    return held.join(values, on="fields").select(*MEMBERS).unique(maintain_order=True)


def slices_of(spec: Capability, clips: pl.DataFrame, labels: pl.DataFrame, *, config: object = None) -> pl.DataFrame:
    """`clip_slices` of clips, and `label_slices` of those among them that `labels` has as present."""
    present = labels.filter(pl.col("verdict") == "present").join(clips.select("clip_id"), on="clip_id", how="semi")
    return pl.concat([clip_slices(spec, clips, config=config), label_slices(spec, present)])


def _allowed(found: Iterable[str], allowed: Iterable[str] | None) -> set[str]:
    return set(found) if allowed is None else set(allowed)


def _values(written: str, fields: Iterable[str]) -> list[tuple[str, str]]:
    held = json.loads(written or "{}")
    return [
        (name, value if isinstance(value, str) else json.dumps(value))
        for name in fields
        if (value := held.get(name)) is not None
    ]
