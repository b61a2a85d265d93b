"""All that `curate evaluate` says of a model: its metrics, its probes, and how it stands against another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from curate.errors import InputError
from curate.evaluation.compare import Comparison, compare, own_metrics
from curate.evaluation.evaluate import counted, record
from curate.evaluation.judged import Answers, Exam, answers_of_model, open_exam
from curate.evaluation.predictions import answers_of_file, keep_answers
from curate.evaluation.probes import probe
from curate.model import ZERO_SHOT
from curate.progress import Progress, silent

if TYPE_CHECKING:
    from curate.workspace import Workspace


@dataclass(frozen=True)
class Evaluation:
    """A model on a split.

    Attributes:
        rows: as `evaluate.evaluate` returns them.
        clips: judged ones.
        unanswered: those of which the model left something unsaid.
        outside: answers of a file that are of no judged clip.
        probes: as `probes.probe` returns them; None where not asked for.
        comparison: None where not asked for.
    """

    model: str
    place: str
    rows: pl.DataFrame
    clips: int
    unanswered: int
    outside: int
    probes: pl.DataFrame | None
    comparison: Comparison | None

    @property
    def notes(self) -> list[str]:
        """What a reader must know of the figures, a line each."""
        found = []
        if self.unanswered:
            found.append(
                f"{self.unanswered} of {self.clips} clips lack an answer, which counts as nothing found in them"
            )
        if self.outside:
            found.append(f"{self.outside} answers are of no clip of {self.place} and were left out")
        return found

    def as_dict(self) -> dict[str, Any]:
        """As JSON says it."""
        comparison = self.comparison
        return {
            "model": self.model,
            "clips": self.clips,
            "unanswered": self.unanswered,
            "outside": self.outside,
            "metrics": self.rows.to_dicts(),
            "probes": None if self.probes is None else self.probes.to_dicts(),
            "against": None if comparison is None else comparison.against,
            "comparison": None if comparison is None else comparison.rows.to_dicts(),
            "regressions": None if comparison is None else comparison.regressions,
        }


def examine(
    workspace: Workspace,
    mix: str,
    rev: str | None = None,
    *,
    model: Path | str | None = None,
    predictions: Path | str | None = None,
    name: str | None = None,
    against: Path | str | None = None,
    split: str = "test",
    probes: bool = False,
    progress: Progress = silent,
) -> Evaluation:
    """Measures a model as `evaluate.evaluate` does, and what else is asked for.

    Args:
        against: another model: a trained model's directory or name, `zero-shot`, or a file of predictions. It is
            measured, and its result is not written.
        probes: ask the model otherwise (`probes`); it has to be one that runs here.

    Raises:
        InputError: as `evaluate.evaluate`; or what is asked for does not go together.
    """
    if predictions is not None and model is not None:
        raise InputError("a model and a file of predictions are two", fix="Give --model or --predictions")
    if name is not None and predictions is None:
        raise InputError("--name is for --predictions: a model that runs here has its own", fix="Leave it out")
    if probes and predictions is not None:
        raise InputError("a file of predictions cannot be asked again", fix="Leave --probes out")
    exam = open_exam(workspace, mix, rev, split=split)
    if predictions is None:
        answers = answers_of_model(exam, model, progress)
    else:
        answers = answers_of_file(exam, predictions, name=name)
    comparison = None
    if against is not None:
        other = _answers(exam, against, progress)
        comparison = compare(
            answers.model, counted(exam, answers), other.model, counted(exam, other), own_metrics(exam)
        )
    if predictions is not None:
        keep_answers(exam, answers)
    said = {judged.clip_id: True for judged in exam.judged}
    for judged, known in zip(exam.judged, answers.answered, strict=True):
        said[judged.clip_id] &= known
    return Evaluation(
        answers.model,
        exam.place,
        record(exam, answers),
        len(said),
        sum(not known for known in said.values()),
        answers.outside,
        probe(exam, model, progress) if probes else None,
        comparison,
    )


def _answers(exam: Exam, model: Path | str, progress: Progress) -> Answers:
    if str(model) != ZERO_SHOT and Path(model).is_file():
        return answers_of_file(exam, model)
    return answers_of_model(exam, model, progress)
