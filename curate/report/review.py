"""How far labels can be trusted, and what review is left: agreement, doubts, time, answers on known clips."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import polars as pl

from curate.catalog import Catalog
from curate.review.agreement import agreement
from curate.review.annotators import annotators
from curate.review.cases import open_cases
from curate.specs import Capability

_MEASURES = {"f1": "f1@0.5", "verdict": "verdict_alpha", "boundary_s": "boundary_s"}


def in_doubt(catalog: Catalog) -> dict[str, int]:
    """Clips that wait for a reviewer by capability: annotators differ on them, or they are a recorded case."""
    contested = catalog.scan("agreements").filter(pl.col("contested")).select("capability", "clip_id").collect()
    clips = set(contested.iter_rows()) | {(case.capability, case.clip_id) for case in open_cases(catalog)}
    return dict(Counter(capability for capability, _ in clips))


def review_work(catalog: Catalog, specs: Mapping[str, Capability]) -> dict[str, list[dict[str, Any]]]:
    """What the report says of review.

    Returns:
        `capabilities` with labels of several annotators or clips in doubt: capability, clips (asked twice), doubt, and
        f1, verdict and boundary_s, each a row of `curate.review.agreement.agreement`, or None.
        `annotators`: the columns of `curate.review.annotators.ANNOTATORS`, over all capabilities.
    """
    doubt = in_doubt(catalog)
    measured = {
        (row["capability"], row["measure"]): row
        for row in agreement(catalog, specs).filter(pl.col("annotator").is_null()).iter_rows(named=True)
    }
    people = annotators(catalog, specs).filter(pl.col("capability").is_null()).drop("capability")
    found = []
    for name in specs:
        figures = {shown: measured.get((name, measure)) for shown, measure in _MEASURES.items()}
        clips = max((row["clips"] for (capability, _), row in measured.items() if capability == name), default=0)
        if clips or doubt.get(name):
            row = {"capability": name, "clips": clips, "doubt": doubt.get(name, 0)}
            found.append({**row, **figures})
    return {"capabilities": found, "annotators": people.sort("labels", descending=True).to_dicts()}
