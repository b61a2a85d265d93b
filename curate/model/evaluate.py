"""How good a model is on a split of a mix, per capability, with intervals; written to the catalog for the next targets.

Truth is what a label says of all of a clip: `absent`, or `present` and exhaustive. A clip that the mix repeats counts
once.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from curate.errors import InputError
from curate.identity import work_key
from curate.model import ZERO_SHOT
from curate.model.definitions import Encoded
from curate.model.examples import Example
from curate.model.infer import predictor_of
from curate.model.metrics import METRICS, TALLY_SIZE, intervals, tally
from curate.model.predict import Predictor
from curate.model.published import open_mix
from curate.progress import Progress, silent
from curate.workspace import new_run_id

if TYPE_CHECKING:
    from curate.workspace import Workspace

ALL = "all"
"""The row of means over capabilities."""


def evaluate(
    workspace: Workspace,
    mix: str,
    rev: str | None = None,
    *,
    model: Path | str | None = None,
    split: str = "test",
    progress: Progress = silent,
) -> pl.DataFrame:
    """Measures a model on a mix's split from the mix's own vectors, and writes the result to `evaluations`.

    Args:
        model: a trained model's directory; None measures the zero-shot baseline.
        split: train, validation or test.

    Returns:
        Columns model, capability, metric (`metrics.METRICS`), value, low, high (95%, bootstrapped over videos),
        videos and segments (true ones). Capability `all` is the mean over capabilities. A metric that is undefined,
        like the boundary error of no hit, has no row.

    Raises:
        InputError: no such mix, split or model, or no exhaustive labels in the split.
    """
    published = open_mix(workspace, mix, rev)
    predict = predictor_of(model, published.embedding_model)
    name = ZERO_SHOT if model is None else Path(model).resolve().name
    examples = judged(published.examples(split))
    if not examples:
        raise InputError(
            f"the {split} split of {mix} {published.revision} has no exhaustive labels to measure against",
            fix="`curate label pull`, then `curate mix build`",
        )
    rows = measured(examples, predict, published.encoded(), progress).with_columns(model=pl.lit(name))
    versions = {**published.versions, ALL: published.content}
    workspace.catalog.write(
        "evaluations",
        rows.with_columns(
            mix=pl.lit(mix),
            revision=pl.lit(published.revision),
            split=pl.lit(split),
            spec_version=pl.col("capability").replace_strict(versions),
        ),
        run_id=new_run_id("evaluate"),
        work_key=work_key("evaluate", name, published.content, split),
    )
    return rows.select("model", "capability", "metric", "value", "low", "high", "videos", "segments")


def judged(examples: list[Example]) -> list[Example]:
    """The examples that truth is known of throughout, each clip and capability once."""
    return list({(e.clip_id, e.capability): e for e in examples if e.exhaustive}.values())


def measured(
    examples: list[Example], predict: Predictor, encoded: dict[str, Encoded], progress: Progress = silent
) -> pl.DataFrame:
    """Columns capability, metric, value, low, high, videos, segments: one row for each metric that has a value."""
    capabilities = sorted({e.capability for e in examples})
    videos = {video: at for at, video in enumerate(sorted({e.video_id for e in examples}))}
    tallies = np.zeros((len(videos), len(capabilities), TALLY_SIZE))
    seen: dict[str, set[str]] = {ALL: set(videos)}
    segments = {ALL: 0}
    for at, capability in enumerate(capabilities):
        own = [e for e in examples if e.capability == capability]
        required = [field.name for field in encoded[capability].definition.fields if field.required]
        for example, found in zip(own, predict([e.track for e in own], encoded[capability]), strict=True):
            counts = tally(example.segments, found, example.track.duration_s, required)
            tallies[videos[example.video_id], at] += counts
        seen[capability] = {e.video_id for e in own}
        segments[capability] = sum(len(e.segments) for e in own)
        segments[ALL] += segments[capability]
        progress("capabilities", at + 1, len(capabilities))
    value, low, high = intervals(tallies)
    return pl.DataFrame(
        [
            {
                "capability": capability,
                "metric": metric,
                "value": float(value[row, column]),
                "low": float(low[row, column]),
                "high": float(high[row, column]),
                "videos": len(seen[capability]),
                "segments": segments[capability],
            }
            for row, capability in enumerate([*capabilities, ALL])
            for column, metric in enumerate(METRICS)
            if not np.isnan(value[row, column])
        ]
    )
