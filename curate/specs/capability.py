"""A capability: what the model must learn to see, as a versioned object that everything else names."""

from typing import Any, Literal

from pydantic import Field as field
from pydantic import ValidationInfo, field_validator, model_validator

from curate.specs.read import Spec

CLIP_SLICES = {"source", "licence"}
"""Columns of a clip that supply may be sliced by, beside the segment's fields."""


class Field(Spec):
    """A typed field of a segment, as the model's request has it."""

    name: str = field(pattern=r"^[a-z][a-z0-9_]*$")
    type: Literal["string", "boolean", "number", "integer"]
    description: str = ""
    enum: list[str] | None = None
    required: bool = False

    @model_validator(mode="after")
    def _enum_of_strings(self) -> "Field":
        if self.enum is not None and self.type != "string":
            raise ValueError(f"enum is for type string, not {self.type}")
        return self


class Segment(Spec):
    """The segment definition that the model is asked for."""

    description: str
    fields: list[Field] = []
    min_duration: float = field(default=0.2, gt=0, description="Seconds.")
    max_duration: float = field(default=60, gt=0, description="Seconds.")


class Match(Spec):
    """How candidates are found."""

    text: list[str] = field(default=[], description="Texts that describe a frame showing it.")
    not_text: list[str] = field(default=[], description="Texts that describe what it is mistaken for.")
    like: list[str] = field(
        default=[],
        description="Exemplars: clip ids, images, videos; NAME@12.5-15 is a span. Files are found from the workspace.",
    )
    where: str | None = field(default=None, description="SQL condition over clip signals and metadata.")
    level: float | None = field(
        default=None,
        ge=-2,
        le=2,
        description="Similarity from which a clip counts as a match until labels calibrate it; found from the clips "
        "where not given. `curate capability check` shows what lies around it.",
    )
    sources: list[str] | None = field(default=None, description="Where candidates may come from; all if not given.")
    licences: list[str] | None = field(default=None, description="Licences they may have; all if not given.")

    @model_validator(mode="after")
    def _something_to_match(self) -> "Match":
        if not self.text and not self.like:
            raise ValueError("give at least one `text` or `like`")
        return self


class Slices(Spec):
    """What supply is counted in, each for itself."""

    by: list[str] = field(default=[], description="Segment fields, `source` or `licence`: a slice for each value.")
    where: dict[str, str] = field(
        default={}, description="Slices with names of their own, each a SQL condition over the clip, as `match.where`."
    )


class Target(Spec):
    """Either `clips` or `hours`: both count labelled clips that show it."""

    clips: int | None = field(default=None, gt=0, description="Labelled clips that show it.")
    hours: float | None = field(default=None, gt=0, description="In place of `clips`: their hours.")
    per_slice: int = field(default=0, ge=0, description="Floor for each slice, in clips.")
    floors: dict[str, int] = field(
        default={}, description="Floors of single slices, in clips, over `per_slice`: `color=red: 40`."
    )
    negatives: float = field(default=0.25, ge=0, description="Labelled clips without it, as a share of those with it.")

    @model_validator(mode="after")
    def _one_amount(self) -> "Target":
        if (self.clips is None) == (self.hours is None):
            raise ValueError("give either `clips` or `hours`")
        return self


class Quality(Spec):
    agreement: float = field(
        default=0.8, ge=0, le=1, description="Clips whose annotators agree less than this are adjudicated."
    )
    overlap: float = field(default=0.1, ge=0, le=1, description="Share of clips that two annotators label.")
    gold: float = field(
        default=0.0, ge=0, le=0.5, description="Share of clips sent whose answer is known, to measure annotators."
    )


class Evaluation(Spec):
    metric: Literal["f1@0.3", "f1@0.5", "f1@0.7", "f1@0.9"] = field(
        default="f1@0.5", description="Segments matched one to one, at this overlap in time (tIoU)."
    )
    floor: float = field(default=0.5, ge=0, le=1)


class Capability(Spec):
    """configs/capabilities/ID.yaml."""

    id: str = field(pattern=r"^[a-z][a-z0-9_]*$")
    title: str
    owner: str
    why: str = field(description="The evidence that asked for it.")
    weight: float = field(default=1.0, gt=0, description="Its worth against the other capabilities.")
    definition: str
    non_examples: list[str] = []
    segment: Segment
    match: Match
    slices: Slices = Slices()
    target: Target
    quality: Quality = Quality()
    evaluation: Evaluation = Evaluation()

    @field_validator("slices")
    @classmethod
    def _slices_exist(cls, slices: Slices, info: ValidationInfo) -> Slices:
        segment = info.data.get("segment")
        known = CLIP_SLICES | ({f.name for f in segment.fields} if segment else set())
        unknown = [name for name in slices.by if segment and name not in known]
        if unknown:
            raise ValueError(f"slices by {unknown[0]!r}: not a segment field; known are {', '.join(sorted(known))}")
        return slices

    @field_validator("target")
    @classmethod
    def _floors_are_of_slices(cls, target: Target, info: ValidationInfo) -> Target:
        slices = info.data.get("slices", Slices())
        named = [*slices.by, *slices.where]
        strange = [name for name in target.floors if name.partition("=")[0] not in named]
        if strange:
            raise ValueError(f"a floor for {strange[0]!r}: not a slice; slices are {', '.join(named) or 'not given'}")
        return target

    @property
    def guideline(self) -> dict[str, Any]:
        """What annotators are told of it, and mark: labels made under equal guidelines mean the same."""
        return self.model_dump(mode="json", include={"title", "definition", "non_examples", "segment"})
