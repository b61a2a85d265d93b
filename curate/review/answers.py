"""What annotators say of clips now, and where two answers about a clip differ.

An annotator's answer is the newest version of their newest label of a clip. Answers are compared where they mean the
same: no change of the guidelines between them moved the meaning (`curate.specs.guideline`). Gold answers and reviews
are no independent looks at an ordinary clip, so neither is compared with annotators' labels for agreement.

Unmarked time is no statement unless someone looked: a segment that the other lacks counts as a difference only where
the other answer is `exhaustive` or says that the clip shows none, or where it marks some of the same time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from curate import views
from curate.catalog import Catalog
from curate.dedupe.groups import leakage_groups
from curate.model.definitions import Segment
from curate.model.metrics import match, temporal_iou
from curate.specs import Capability, Field
from curate.specs.guideline import change

THRESHOLDS = (0.3, 0.5, 0.7)
"""Temporal IoU from which on two segments are the same."""

NUMBERS_WITHIN = 0.1
"""Two values of a field of type number are the same if they differ by at most this share of the larger."""

HITS, TOTAL, MATCHED = slice(0, 3), 3, 4
START_S, END_S, START_BIAS_S, END_BIAS_S = range(5, 9)
EQUAL, COMPARED, SAME, PAIRS = range(9, 13)
DIFFERENCE_SIZE = 13


@dataclass(frozen=True)
class Answer:
    """What an annotator or a model says of a clip.

    Attributes:
        by: the annotator, or the model's name.
        exhaustive: unmarked time was looked at.
        segments: source seconds, in time order.
    """

    by: str
    verdict: str
    exhaustive: bool
    segments: tuple[Segment, ...]

    @property
    def complete(self) -> bool:
        """Whether unmarked time is said not to show it."""
        return self.exhaustive or self.verdict == "absent"

    @property
    def decided(self) -> bool:
        """Whether it says that the clip shows the capability or does not."""
        return self.verdict in ("present", "absent")

    def rows(self) -> list[dict[str, Any]]:
        """The segments as the catalog keeps them."""
        return [
            {"start_s": s.start_s, "end_s": s.end_s, "fields": json.dumps(dict(s.fields), sort_keys=True)}
            for s in self.segments
        ]


@dataclass(frozen=True)
class Label:
    """An answer in the catalog."""

    clip_id: str
    capability: str
    spec_version: str
    purpose: str
    updated_at: datetime
    answer: Answer


def current(catalog: Catalog, specs: Mapping[str, Capability]) -> pl.DataFrame:
    """The newest label of each annotator for each clip, capability and purpose, without its segments.

    Of each clip those only that mean the same as its newest label does.

    Returns:
        label_id, clip_id, capability, spec_version, annotator, purpose, updated_at, meaning; oldest first.
    """
    rows = (
        views.live_labels(catalog)
        .filter(pl.col("capability").is_in(list(specs)), pl.col("annotator").is_not_null())
        .select("label_id", "clip_id", "capability", "spec_version", "annotator", "purpose", "updated_at")
        .unique(["clip_id", "capability", "annotator", "purpose"], keep="last", maintain_order=True)
        .collect()
    )
    known = meanings(catalog, specs)
    versions = rows.select("capability", "spec_version").unique()
    named = versions.with_columns(
        meaning=pl.Series([meaning_of(known, *row) for row in versions.iter_rows()], dtype=pl.String)
    )
    own = ["capability", "clip_id"]
    rows = rows.join(named, on=["capability", "spec_version"], how="left", nulls_equal=True, maintain_order="left")
    newest = rows.filter(pl.col("purpose") != "gold").group_by(own).agg(newest=pl.col("meaning").last())
    return rows.join(newest, on=own, maintain_order="left").filter(pl.col("meaning") == pl.col("newest")).drop("newest")


def meanings(catalog: Catalog, specs: Mapping[str, Capability]) -> dict[tuple[str, str], str]:
    """By capability and spec version, the first of the versions whose labels mean the same, as far as guidelines are
    known: of those that something was ever labelled or reviewed under, and of the specs as they are."""
    rows = (
        catalog.history("label_projects")
        .filter(pl.col("guideline").is_not_null())
        .select("capability", "spec_version", "guideline")
        .collect()
    )
    told = {(capability, version): json.loads(guideline) for capability, version, guideline in rows.iter_rows()}
    told |= {(spec.id, spec.version): spec.guideline for spec in specs.values() if (spec.id, spec.version) not in told}
    found: dict[tuple[str, str], str] = {}
    newest: dict[tuple[str, str], Mapping[str, Any]] = {}
    for (capability, version), guideline in told.items():
        ours = [name for name, last in newest.items() if name[0] == capability and change(last, guideline) != "meaning"]
        name = ours[-1] if ours else (capability, version)
        found[capability, version] = name[1]
        newest[name] = guideline
    return found


def meaning_of(known: Mapping[tuple[str, str], str], capability: str, version: str | None) -> str:
    """The name of what labels under a version mean; a version of an unknown guideline means what it says itself."""
    return known.get((capability, version or ""), version or "")


def read_labels(catalog: Catalog, label_ids: pl.Series) -> dict[str, Label]:
    """Live labels by id."""
    wanted = pl.DataFrame({"label_id": label_ids}, schema={"label_id": pl.String}).lazy()
    rows = views.live_labels(catalog).join(wanted, on="label_id", how="semi").collect()
    return {row["label_id"]: as_label(row) for row in rows.iter_rows(named=True)}


def as_label(row: Mapping[str, Any]) -> Label:
    """A row of `labels`."""
    answer = answer_of(row["annotator"] or "", row["verdict"], row["exhaustive"], row["segments"])
    return Label(
        row["clip_id"], row["capability"], row["spec_version"] or "", row["purpose"], row["updated_at"], answer
    )


def answer_of(by: str, verdict: str, exhaustive: bool | None, segments: Sequence[Mapping[str, Any]] | None) -> Answer:
    """An answer from segments as the catalog keeps them."""
    found = [Segment(s["start_s"], s["end_s"], json.loads(s["fields"] or "{}")) for s in segments or ()]
    return Answer(by, verdict, bool(exhaustive), tuple(sorted(found, key=lambda s: (s.start_s, s.end_s))))


def group_of_clips(catalog: Catalog) -> dict[str, str]:
    """The leakage group of every clip ever cut: what is right or wrong together."""
    clips = catalog.scan("clips").select("clip_id", "video_id").unique("clip_id").collect()
    grouped = clips.join(leakage_groups(catalog), on="video_id", how="left")
    return dict(grouped.select("clip_id", pl.coalesce("group_id", "video_id")).iter_rows())


def same_segments(first: Answer, second: Answer) -> list[tuple[Segment, Segment]]:
    """The segments that both mark, at tIoU 0.5, one to one."""
    if not (first.decided and second.decided):
        return []
    pairs = match(first.segments, second.segments, 0.5)
    return [(first.segments[i], second.segments[j]) for i, j in pairs]


def difference(first: Answer, second: Answer, spec: Capability) -> np.ndarray:
    """Counts of one pair of answers, float [DIFFERENCE_SIZE], that add up over pairs.

    HITS at each of `THRESHOLDS`, TOTAL segments of both that count; of the MATCHED at tIoU 0.5 summed distances of
    starts and ends and, second less first, their bias; fields EQUAL of those COMPARED; SAME verdicts of PAIRS.
    A clip that one of them calls unsure or bad has no segments to compare.
    """
    counts = np.zeros(DIFFERENCE_SIZE)
    counts[SAME], counts[PAIRS] = first.verdict == second.verdict, 1
    if not (first.decided and second.decided and (first.segments or second.segments)):
        return counts
    iou = temporal_iou(first.segments, second.segments)
    counts[TOTAL] = len(first.segments) if second.complete else (iou > 0).any(1).sum()
    counts[TOTAL] += len(second.segments) if first.complete else (iou > 0).any(0).sum()
    for at, threshold in enumerate(THRESHOLDS):
        if not (iou >= threshold).any():
            continue
        pairs = match(first.segments, second.segments, threshold)
        counts[HITS][at] = len(pairs)
        if threshold != 0.5:
            continue
        counts[MATCHED] = len(pairs)
        for i, j in pairs:
            a, b = first.segments[i], second.segments[j]
            counts[START_S] += abs(a.start_s - b.start_s)
            counts[END_S] += abs(a.end_s - b.end_s)
            counts[START_BIAS_S] += b.start_s - a.start_s
            counts[END_BIAS_S] += b.end_s - a.end_s
            for field in comparable_fields(spec):
                values = a.fields.get(field.name), b.fields.get(field.name)
                if None not in values or (field.required and values != (None, None)):
                    counts[COMPARED] += 1
                    counts[EQUAL] += same_value(field, *values)
    return counts


def agreement_of(counts: np.ndarray) -> float:
    """What is held against `quality.agreement`: the least of the shares of equal verdicts, matched segments (F1 at tIoU
    0.5) and equal fields, of those that there are."""
    parts = counts[[SAME, EQUAL]], counts[[PAIRS, COMPARED]]
    shares = [part / whole for part, whole in zip(*parts, strict=True) if whole]
    if counts[TOTAL]:
        shares.append(f1(counts))
    return float(min(shares))


def f1(counts: np.ndarray) -> float:
    """F1 of summed counts at tIoU 0.5; nan where nobody marked any."""
    return float(2 * counts[HITS][1] / counts[TOTAL]) if counts[TOTAL] else float("nan")


def comparable_fields(spec: Capability) -> list[Field]:
    """The fields whose values can be equal: free text is left out."""
    return [field for field in spec.segment.fields if field.type != "string" or field.enum]


def same_value(field: Field, first: Any, second: Any) -> bool:
    """Whether two values of a field are the same, of which one may be missing; numbers need only be near."""
    if field.type == "number" and None not in (first, second):
        return bool(abs(first - second) <= NUMBERS_WITHIN * max(abs(first), abs(second)))
    return bool(first == second)
