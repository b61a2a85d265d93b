"""How good a model is on a split of a mix, per capability and slice, with intervals; written to the catalog, so that
the next targets follow from it.

Measured are answers (`curate.evaluation.judged`), whoever gave them: the reference segmenter, the baseline that needs
no training, or whatever wrote a file of predictions (`curate.evaluation.predictions`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from curate.evaluation.count import ALL, METRICS, Counts, count
from curate.evaluation.judged import Answers, Exam, Judged, answers_of_model, open_exam, predicted
from curate.evaluation.uncertainty import bound_of, draws
from curate.identity import work_key
from curate.model.definitions import Encoded
from curate.model.examples import Example
from curate.model.metrics import true_segments
from curate.model.track import Predictor
from curate.progress import Progress, silent
from curate.review.agreement import agreement
from curate.workspace import new_run_id

if TYPE_CHECKING:
    from curate.workspace import Workspace

_AGREED = {"f1@0.3": "f1@0.3", "f1@0.5": "f1@0.5", "f1@0.7": "f1@0.7", "boundary_error_s": "boundary_s"}
"""The metrics that annotators are measured by too, and their names there."""

MEASURED = {
    "capability": pl.String, "slice": pl.String, "metric": pl.String, "value": pl.Float64, "low": pl.Float64,
    "high": pl.Float64, "videos": pl.Int64, "segments": pl.Int64, "unanswered": pl.Int64,
}  # fmt: skip


def evaluate(
    workspace: Workspace,
    mix: str,
    rev: str | None = None,
    *,
    model: Path | str | None = None,
    split: str = "test",
    progress: Progress = silent,
) -> pl.DataFrame:
    """Measures a model on a mix's split, and writes the result to `evaluations`.

    Args:
        model: a trained model's directory or name, asked from the mix's own vectors; None measures the zero-shot
            baseline.
        split: train, validation or test.

    Returns:
        Columns model, capability, slice (null: all of the capability), metric (`count.METRICS`), value, low, high (95%,
        bootstrapped over videos; null where nothing is known), videos, segments (true ones), unanswered (clips that the
        model said nothing of, counted as nothing found) and ceiling (what annotators reach against each other; null
        where unknown). Capability `all` is the mean over capabilities. A metric that is undefined, like the boundary
        error of no hit, has no row; average precision has none where segments have no scores.

    Raises:
        InputError: no such mix, split or model, or no exhaustive labels in the split.
    """
    exam = open_exam(workspace, mix, rev, split=split)
    return record(exam, answers_of_model(exam, model, progress))


def record(exam: Exam, answers: Answers) -> pl.DataFrame:
    """Measures answers, writes the result to `evaluations`, and returns it as `evaluate` does."""
    published = exam.published
    counts = counted(exam, answers)
    rows = measured_counts(counts, exam.judged, answers.answered).with_columns(model=pl.lit(answers.model))
    versions = {**published.versions, ALL: published.content}
    published.workspace.catalog.write(
        "evaluations",
        rows.with_columns(
            mix=pl.lit(published.name),
            revision=pl.lit(published.revision),
            split=pl.lit(exam.split),
            spec_version=pl.col("capability").replace_strict(versions),
        ),
        run_id=new_run_id("evaluate"),
        work_key=work_key("evaluate", answers.model, answers.key, published.content, exam.split),
    )
    return with_ceiling(published.workspace, rows).select("model", *MEASURED, "ceiling")


def counted(exam: Exam, answers: Answers) -> Counts:
    """What the metrics of some answers are made of."""
    return count(exam.judged, answers.found, required=exam.required, slices=exam.slices, scored=answers.scored)


def measured(
    examples: Sequence[Example], predict: Predictor, encoded: dict[str, Encoded], progress: Progress = silent
) -> pl.DataFrame:
    """Measures a predictor on examples without a mix: rows as MEASURED has them, without slices."""
    found = predicted(examples, predict, encoded, progress)
    truth = [Judged(e.clip_id, e.video_id, e.capability, e.track.duration_s, e.segments) for e in examples]
    required = {name: each.definition.required for name, each in encoded.items()}
    counts = count(truth, found, required=required, slices={}, scored=True)
    return measured_counts(counts, truth, [True] * len(truth))


def measured_counts(counts: Counts, truth: Sequence[Judged], answered: Sequence[bool]) -> pl.DataFrame:
    """Rows as MEASURED has them, one for each metric that has a value."""
    value, low, high = counts.table(counts.values(draws(len(counts.tallies))))
    true = true_segments(counts.tallies.sum(0))
    own = len(counts.capabilities)
    silent_in = dict.fromkeys(counts.capabilities, 0)
    for each, said in zip(truth, answered, strict=True):
        silent_in[each.capability] += not said
    rows: list[dict[str, Any]] = []
    keys = [*((name, None) for name in counts.capabilities), *counts.slices, (ALL, None)]
    for row, (capability, part) in enumerate(keys):
        every = capability == ALL
        size = {
            "videos": len(counts.judged) if every else int(counts.judged[:, row].sum()),
            "segments": int(true[:own].sum() if every else true[row]),
            "unanswered": sum(silent_in.values()) if every else None if part else silent_in[capability],
        }
        rows += [
            {
                "capability": capability,
                "slice": part,
                "metric": metric,
                "value": float(value[row, column]),
                "low": bound_of(low[row, column]),
                "high": bound_of(high[row, column]),
                **size,
            }
            for column, metric in enumerate(METRICS)
            if not np.isnan(value[row, column])
        ]
    return pl.DataFrame(rows, schema=MEASURED)


def with_ceiling(workspace: Workspace, rows: pl.DataFrame) -> pl.DataFrame:
    """Evaluation rows with `ceiling`: the same measure of annotators against each other, of whole capabilities.

    More than that a model cannot be shown to reach: its truth is what one of them said.
    """
    named = pl.DataFrame(list(_AGREED.items()), schema=["metric", "measure"], orient="row")
    found = agreement(workspace.catalog, workspace.capabilities()).filter(pl.col("annotator").is_null())
    own = found.join(named, on="measure").select("capability", "metric", ceiling="value").drop_nulls()
    of_all = pl.col("slice").is_null()
    joined = rows.join(own, on=["capability", "metric"], how="left", maintain_order="left")
    return joined.with_columns(ceiling=pl.when(of_all).then("ceiling"))
