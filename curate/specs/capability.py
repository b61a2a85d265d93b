"""A capability: what the model must learn to see, as a versioned object that everything else names."""

from typing import Literal

from pydantic import Field as field
from pydantic import field_validator, model_validator

from curate.specs.read import Spec


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
    like: list[str] = field(default=[], description="Exemplar clips, by id.")
    where: str | None = field(default=None, description="SQL condition over clip signals and metadata.")

    @model_validator(mode="after")
    def _something_to_match(self) -> "Match":
        if not self.text and not self.like:
            raise ValueError("give at least one `text` or `like`")
        return self


class Slices(Spec):
    by: list[str] = field(default=[], description="Segment fields, or `source`: supply is counted in each.")


class Target(Spec):
    clips: int = field(gt=0, description="Labelled clips that show it.")
    per_slice: int = field(default=0, ge=0, description="Floor for each slice, in clips.")
    negatives: float = field(default=0.25, ge=0, description="Labelled clips without it, as a share of clips.")


class Quality(Spec):
    agreement: float = field(default=0.8, ge=0, le=1)


class Evaluation(Spec):
    metric: Literal["f1@0.5"] = "f1@0.5"
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
    def _slices_exist(cls, slices: Slices, info: object) -> Slices:
        segment = getattr(info, "data", {}).get("segment")
        known = {f.name for f in segment.fields} | {"source"} if segment else set()
        unknown = [name for name in slices.by if segment and name not in known]
        if unknown:
            raise ValueError(f"slices by {unknown[0]!r}: not a segment field; known are {', '.join(sorted(known))}")
        return slices
