"""Coverage of probe clips: is there anything to learn from near to each clip that the model is measured on?

A probe is a clip that shows a capability and stays out of training: positive labels of the evaluation groups (the
validation and test splits), or exemplars where there are none. It is covered when a labelled positive of a group
without a probe is as near to it, in embedding space, as the nearest twentieth of the probes are to one another. Those
are pairs that are known to show the same capability, and their share, unlike the distance to the nearest of them, does
not depend on how many probes there are; so coverage only rises as labels are added.

What is compared are the labelled segments (`curate.targets.gaps.looks`), not clips: a clip is mostly its background.
Drawn clips of the sample world that nothing here was chosen on, eight capabilities, 20 probes, 12 draws of each:

| supply                   | all probes covered     | those of the kind left out | had it been there |
|--------------------------|------------------------|----------------------------|-------------------|
| 5, 10, 20, 40 clips      | 0.25, 0.40, 0.61, 0.79 |                            |                   |
| 40, without a background | 0.73                   | 0.30                       | 0.80              |
| 40, without a color      | 0.78                   | 0.63                       | 0.77              |
| 40, without a shape      | 0.80                   | 0.77                       | 0.78              |

With clips in place of segments a missing color is a little harder to see (0.73 for 0.83), a missing background a little
easier (0.22 for 0.80). What the embedding does not tell apart, as shapes here, is for slices to count. 40 clips cover
0.84, 0.79 and 0.80 of 10, 20 and 40 probes.
"""

from collections.abc import Mapping

import numpy as np
import polars as pl

from curate.catalog import Catalog
from curate.search.question import Exemplar
from curate.specs import Capability
from curate.targets.gaps.looks import labelled_spans, looks

NEAREST = 0.05
"""The share of the pairs of probes that are near enough."""
LEAST_PROBES = 8
"""Clips, and leakage groups, of probes with which coverage is told."""
PAIRS_AT_ONCE = 4_000_000
_SPANS = ["capability", "clip_id", "start_s", "end_s", "group_id", "probe"]


def coverage(probes: np.ndarray, groups: np.ndarray, clips: np.ndarray, supply: np.ndarray) -> float | None:
    """The share of probe clips that supply covers; a clip of several segments by the share of those.

    Args:
        probes: float32 [n, dim], unit norm: segments.
        groups: [n], the leakage group of each.
        clips: [n], the clip of each.
        supply: float32 [m, dim], unit norm.

    Returns:
        None with fewer than LEAST_PROBES clips or groups.
    """
    if min(len(np.unique(clips)), len(np.unique(groups))) < LEAST_PROBES:
        return None
    first, second = np.nonzero(np.triu(groups[:, None] != groups))
    threshold = np.quantile(np.einsum("ij,ij->i", probes[first], probes[second]), 1 - NEAREST)
    nearest = np.full(len(probes), -np.inf)
    step = max(1, PAIRS_AT_ONCE // len(probes))
    for at in range(0, len(supply), step):
        nearest = np.maximum(nearest, (probes @ supply[at : at + step].T).max(axis=1))
    _, of, segments = np.unique(clips, return_inverse=True, return_counts=True)
    covered = np.bincount(of, nearest >= threshold) / segments
    return float(covered.mean())


def probe_coverage(
    catalog: Catalog, specs: Mapping[str, Capability], positive: pl.DataFrame, clips: pl.DataFrame, measuring: set[str]
) -> dict[str, tuple[int, float | None]]:
    """For each capability how many clips are probes, and the share of them that is covered; frames are read once.

    Args:
        catalog: has the embeddings.
        specs: by capability.
        positive: labels in force with verdict present: capability, clip_id, verdict, segments, group_id.
        clips: the current clips: clip_id, group_id.
        measuring: the evaluation groups.
    """
    evaluated = pl.col("group_id").is_in(sorted(measuring))
    spans = pl.concat(
        [_labelled(positive).with_columns(probe=evaluated), _exemplars(specs, positive, clips, evaluated)]
    )
    counts = dict(spans.filter("probe").group_by("capability").agg(pl.col("clip_id").n_unique()).iter_rows())
    told = [name for name, count in counts.items() if count >= LEAST_PROBES]
    wanted = spans.filter(pl.col("capability").is_in(told))
    vectors = looks(catalog, wanted.select("clip_id", "start_s", "end_s"))
    found: dict[str, tuple[int, float | None]] = {name: (counts.get(name, 0), None) for name in specs}
    for name in told:
        own = (wanted["capability"] == name).to_numpy()
        rows, seen = wanted.filter(own), vectors[own]
        probe = rows["probe"].to_numpy()
        asked = rows.filter(probe)
        apart = ~probe & ~rows["group_id"].is_in(asked["group_id"].implode()).to_numpy()
        share = coverage(seen[probe], asked["group_id"].to_numpy(), asked["clip_id"].to_numpy(), seen[apart])
        found[name] = (counts[name], share)
    return found


def _labelled(positive: pl.DataFrame) -> pl.DataFrame:
    """Every labelled segment: capability, clip_id, start_s, end_s, group_id."""
    parts = [
        labelled_spans(rows).join(rows.select("clip_id", "capability", "group_id"), on="clip_id")
        for rows in positive.partition_by("capability")
    ]
    empty = pl.DataFrame(schema={"clip_id": pl.String, "start_s": pl.Float64, "end_s": pl.Float64,
                                 "capability": pl.String, "group_id": pl.String})  # fmt: skip
    return pl.concat([empty, *parts]).select(_SPANS[:-1])


def _exemplars(
    specs: Mapping[str, Capability], positive: pl.DataFrame, clips: pl.DataFrame, evaluated: pl.Expr
) -> pl.DataFrame:
    """The exemplars of capabilities without a positive in an evaluation group, as probes; those that are clips, for a
    file would have to be embedded."""
    with_probes = set(positive.filter(evaluated)["capability"])
    rows = [
        (name, example.name, example.start_s, example.end_s)
        for name, spec in specs.items()
        if name not in with_probes
        for example in map(Exemplar.parse, spec.match.like)
    ]
    schema = {"capability": pl.String, "clip_id": pl.String, "start_s": pl.Float64, "end_s": pl.Float64}
    named = pl.DataFrame(rows, schema=schema, orient="row")
    return named.join(clips.select("clip_id", "group_id"), on="clip_id").with_columns(probe=True).select(_SPANS)
