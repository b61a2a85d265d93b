"""What a model is measured against: the clips of a split of a mix whose labels say all of a capability, and who
answers.

Truth is what a label says of all of a clip: `absent`, or `present` and exhaustive. A clip that the mix repeats counts
once. Every model, ours or not, is measured against the same clips: one that says nothing of a clip has predicted
nothing there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
from pydantic import ValidationError

from curate import views
from curate.errors import InputError
from curate.identity import work_key
from curate.mixes.load import load_mix
from curate.model import ZERO_SHOT
from curate.model.definitions import Encoded, Segment
from curate.model.directory import model_directory
from curate.model.examples import Example, told
from curate.model.infer import predictor_of
from curate.model.published import PublishedMix, open_mix
from curate.model.track import Predictor
from curate.progress import Progress, silent
from curate.slices import Slice, clip_slices, label_slices
from curate.specs import Capability

if TYPE_CHECKING:
    from curate.workspace import Workspace


@dataclass(frozen=True)
class Judged:
    """What the truth is of one capability in one clip. Segment times are seconds from the clip's start."""

    clip_id: str
    video_id: str
    capability: str
    duration_s: float
    segments: tuple[Segment, ...]


@dataclass(frozen=True)
class Answers:
    """What a model says of judged clips.

    Attributes:
        model: its name.
        found: its segments for each of them, in their order.
        answered: whether it said anything of each, if only that there is none.
        scored: whether scores rank its segments.
        key: 16 hex digits over what it said, or what made it say so.
        outside: answers of a file that are of no judged clip.
    """

    model: str
    found: Sequence[Sequence[Segment]]
    answered: Sequence[bool]
    scored: bool
    key: str
    outside: int = 0


@dataclass(frozen=True)
class Exam:
    """A split of a mix to be measured on.

    Attributes:
        judged: by capability, then as the mix has them.
        slices: by capability and slice (`Slice.said`), the clips in it.
    """

    published: PublishedMix
    split: str
    judged: list[Judged]
    slices: dict[tuple[str, str], set[str]]

    @property
    def required(self) -> dict[str, list[str]]:
        """The required fields of each capability."""
        return {name: definition.required for name, definition in self.published.definitions.items()}

    @property
    def place(self) -> str:
        return f"the {self.split} split of {self.published.name} {self.published.revision}"


def open_exam(workspace: Workspace, mix: str, rev: str | None = None, *, split: str = "test") -> Exam:
    """Reads the truth of a split; no media, no vectors.

    Raises:
        InputError: no such mix or split, or no exhaustive labels in it.
    """
    published = open_mix(workspace, mix, rev, vectors=False)
    rows = _rows(published, split)
    found = {
        (capability, row["clip_id"]): Judged(
            row["clip_id"], row["video_id"], capability, float(row["duration_s"]), segments
        )
        for row in rows
        for capability, segments, exhaustive in told(row)
        if exhaustive and capability in published.definitions
    }
    exam = Exam(published, split, [found[key] for key in sorted(found)], _slices(published, split, rows))
    if not found:
        raise InputError(
            f"{exam.place} has no exhaustive labels to measure against",
            fix="`curate label pull`, then `curate mix build`",
        )
    return exam


def answers_of_model(exam: Exam, model: Path | str | None, progress: Progress = silent) -> Answers:
    """What a trained model, given as `model_directory` takes it, finds from the mix's own vectors.

    Raises:
        InputError: no such model, or the workspace or the model is of another embedding than the mix.
    """
    published = exam.published
    published.check_embedding()
    directory = model_directory(published.workspace.models, model)
    predict = predictor_of(directory, published.embedding_model)
    examples = {(e.capability, e.clip_id): e for e in published.examples(exam.split) if e.exhaustive}
    asked = [examples.get((judged.capability, judged.clip_id)) for judged in exam.judged]
    found = iter(predicted([e for e in asked if e is not None], predict, published.encoded(), progress))
    return Answers(
        ZERO_SHOT if directory is None else directory.resolve().name,
        [[] if example is None else next(found) for example in asked],
        [example is not None for example in asked],
        scored=True,
        key=work_key("model", ZERO_SHOT if directory is None else directory.resolve().name),
    )


def predicted(
    examples: Sequence[Example], predict: Predictor, encoded: dict[str, Encoded], progress: Progress = silent
) -> list[list[Segment]]:
    """The segments that a predictor finds in each example; each capability is asked once, of all its clips."""
    of: dict[str, list[int]] = {}
    for at, example in enumerate(examples):
        of.setdefault(example.capability, []).append(at)
    found: list[list[Segment]] = [[] for _ in examples]
    for done, (capability, places) in enumerate(of.items(), start=1):
        answers = predict([examples[at].track for at in places], encoded[capability])
        for at, segments in zip(places, answers, strict=True):
            found[at] = segments
        progress("capabilities", done, len(of))
    return found


def _rows(published: PublishedMix, split: str) -> list[dict]:
    if not published.lock["splits"].get(split, {}).get("rows"):
        return []
    rows = load_mix(
        published.name, published.revision, split, media=False, vectors=False, workspace=published.workspace.root
    )
    columns = ["clip_id", "video_id", "duration_s", "labels"]
    found: list[dict] = rows.select_columns(columns).with_format("arrow")[:].to_pylist()
    return list({row["clip_id"]: row for row in found}.values())


def _slices(published: PublishedMix, split: str, rows: Sequence[dict]) -> dict[tuple[str, str], set[str]]:
    """The slices of each capability, by its spec as the mix was built; none of a spec that this release cannot read.

    A slice of a field holds the clips that show such a segment, so none that show nothing.
    """
    known = pl.DataFrame([clip for clip in published.lock["clips"] if clip["split"] == split], infer_schema_length=None)
    if known.is_empty():
        return {}
    own = known.select("clip_id", "source", "licence", "video_id")
    current = views.clips(published.workspace.catalog).drop("source", "licence", "video_id")
    signals = current.join(own.lazy().select("clip_id"), on="clip_id", how="semi").collect()
    clips = own.join(signals, on="clip_id", how="left")
    segment = pl.Struct({"start_s": pl.Float64, "end_s": pl.Float64, "fields": pl.String})
    schema = {"clip_id": pl.String(), "segments": pl.List(segment)}
    found: dict[tuple[str, str], set[str]] = {}
    for capability, entry in published.lock["capabilities"].items():
        try:
            spec = Capability.model_validate(entry["spec"])
        except ValidationError:
            continue
        labels = [
            {"clip_id": row["clip_id"], "segments": label["segments"]}
            for row in rows
            for label in row["labels"] or ()
            if label["capability"] == capability and label["verdict"] == "present"
        ]
        place = f"mix {published.name} {published.revision}: {capability}"
        members = pl.concat(
            [clip_slices(spec, clips, config=place), label_slices(spec, pl.DataFrame(labels, schema=schema))]
        )
        for clip_id, name, value in members.iter_rows():
            found.setdefault((capability, Slice(name, value, 0).said), set()).add(clip_id)
    return found
