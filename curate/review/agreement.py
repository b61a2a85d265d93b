"""How far annotators agree: of each clip, of each capability, of each annotator, and of two of them.

Agreement is of labels that annotators made on their own (`answers`). The table `agreements` says of each clip whether
it is contested, which keeps it out of mixes until a review settles it. `agreement` measures capabilities and
annotators; its intervals take clips of one video, and of the video's duplicates, for one observation (`statistics`).

Alpha is Krippendorff's, of verdicts over clips, with `unsure` as a missing value, and of the values of a field over
segments that two annotators both mark. A verdict or value that everyone always gives leaves alpha undefined.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl

from curate.catalog import Catalog
from curate.identity import work_key
from curate.review import statistics as st
from curate.review.answers import (
    COMPARED,
    DIFFERENCE_SIZE,
    END_BIAS_S,
    END_S,
    EQUAL,
    HITS,
    MATCHED,
    PAIRS,
    SAME,
    START_BIAS_S,
    START_S,
    THRESHOLDS,
    TOTAL,
    Label,
    agreement_of,
    comparable_fields,
    current,
    difference,
    f1,
    group_of_clips,
    read_labels,
    same_segments,
)
from curate.specs import Capability

VERSION = 1
VERDICTS = ("present", "absent", "bad_clip")

MEASURED = {
    "capability": pl.String, "annotator": pl.String, "measure": pl.String, "value": pl.Float64, "low": pl.Float64,
    "high": pl.Float64, "pairs": pl.Int64, "clips": pl.Int64, "videos": pl.Int64,
}  # fmt: skip


def update(catalog: Catalog, specs: Mapping[str, Capability], *, run_id: str) -> int:
    """Brings table `agreements` up to date with the labels, and says how many clips are new or judged otherwise.

    Only clips whose labels, or whose capability's fields or `quality.agreement`, have changed are looked at.
    """
    labels = current(catalog, specs).filter(pl.col("purpose") != "gold")
    clips = (
        labels.sort("label_id")
        .group_by("capability", "clip_id")
        .agg(
            "label_id",
            stamps=pl.col("updated_at").dt.epoch("us"),
            several=((pl.col("purpose") == "label").sum() >= 1) & (pl.len() >= 2),
        )
    )
    known = catalog.scan("agreements").select("capability", "clip_id", "work_key").collect()
    judged = clips.join(known, on=["capability", "clip_id"], how="full", coalesce=True)
    judged = judged.filter(
        pl.col("several").fill_null(value=False) | pl.col("work_key").is_not_null(),
        pl.col("capability").is_in(list(specs)),
    )
    rules = {name: _rules(spec) for name, spec in specs.items()}
    columns = ("capability", "clip_id", "label_id", "stamps", "work_key")
    changed = {
        (capability, clip_id): (ids or [], key)
        for capability, clip_id, ids, stamps, former in judged.select(columns).iter_rows()
        if (key := work_key(VERSION, rules[capability], ids, stamps)) != former
    }
    wanted = [label_id for ids, _ in changed.values() for label_id in ids]
    found = read_labels(catalog, pl.Series(wanted, dtype=pl.String))
    rows = [
        {
            "capability": capability,
            "clip_id": clip_id,
            "work_key": key,
            **judge([found[label_id] for label_id in ids if label_id in found], specs[capability]),
        }
        for (capability, clip_id), (ids, key) in sorted(changed.items())
    ]
    return catalog.write("agreements", pl.DataFrame(rows, schema=_schema(catalog)), run_id=run_id)


def judge(labels: Sequence[Label], spec: Capability) -> dict[str, Any]:
    """How far one clip's annotators agree: a row of `agreements`, less its key.

    A review settles what is older than it. A label that is newer and says otherwise contests it again.
    """
    answers = sorted((label for label in labels if label.purpose == "label"), key=lambda label: label.answer.by)
    reviews = sorted((label for label in labels if label.purpose == "review"), key=lambda label: label.updated_at)
    pairs = [difference(a.answer, b.answer, spec) for a, b in combinations(answers, 2)]
    total = np.sum(pairs, axis=0) if pairs else np.zeros(DIFFERENCE_SIZE)
    f1s = [f1(counts) for counts in pairs if counts[TOTAL]]
    parts = {
        "verdicts": _share(total[SAME], total[PAIRS]),
        "f1": float(np.mean(f1s)) if f1s else None,
        "fields": _share(total[EQUAL], total[COMPARED]),
    }
    defined = [part for part in parts.values() if part is not None]
    agreement = min(defined) if defined else None
    return {
        "annotators": [label.answer.by for label in answers],
        **parts,
        "boundary_s": _share(total[START_S] + total[END_S], 2 * total[MATCHED]),
        "agreement": agreement,
        "contested": bool(contesting(answers, reviews, spec))
        if reviews
        else agreement is not None and agreement < spec.quality.agreement,
    }


def contesting(answers: Sequence[Label], reviews: Sequence[Label], spec: Capability) -> list[Label]:
    """The labels newer than the newest review (the last of `reviews`) that say otherwise."""
    settled = reviews[-1]
    later = [label for label in answers if label.updated_at > settled.updated_at]
    level = spec.quality.agreement
    return [label for label in later if agreement_of(difference(settled.answer, label.answer, spec)) < level]


def agreement(catalog: Catalog, specs: Mapping[str, Capability]) -> pl.DataFrame:
    """How far annotators agree.

    Returns:
        A row for each capability (annotator null) and for each of its annotators against the others, and measure:
        value with its 95% interval low to high, over `pairs` of labels of `clips` in `videos` (groups of duplicates).
        The columns are `MEASURED`; low and high are null where nothing is known. Measures:

        - f1@0.3, f1@0.5, f1@0.7: of segments of clips that both call present or absent, matched one to one
        - verdict: share of pairs with the same verdict; verdict_alpha: of present, absent and bad_clip
        - boundary_s: mean distance of the ends of segments matched at tIoU 0.5
        - start_bias_s, end_bias_s, of an annotator: how much later than the others' theirs are, on average
        - fields: share of equal values among matched segments; field:NAME: alpha of that field
    """
    rows: list[dict[str, Any]] = []
    for name, made in _pairs_by_capability(catalog, specs).items():
        rows += _measures({"capability": name, "annotator": None}, made, specs[name], made.every())
        for annotator in sorted(set(made.first) | set(made.second)):
            key = {"capability": name, "annotator": annotator}
            rows += _measures(key, made, specs[name], made.of(annotator), annotator)
    return _known(pl.DataFrame(rows, schema=MEASURED))


def pairs(catalog: Catalog, specs: Mapping[str, Capability]) -> pl.DataFrame:
    """`agreement` of each two annotators over the clips that both labelled, with column `other` and `verdict_kappa`
    (Cohen's), the bias being `annotator`'s."""
    rows: list[dict[str, Any]] = []
    for name, made in _pairs_by_capability(catalog, specs).items():
        for first, second in sorted(set(zip(made.first, made.second, strict=True))):
            chosen = made.of(first) & made.of(second)
            key = {"capability": name, "annotator": first, "other": second}
            rows += _measures(key, made, specs[name], chosen, first)
            rows += _kappa(key, made, chosen)
    schema = {**MEASURED, "other": pl.String}
    return _known(pl.DataFrame(rows, schema=schema))


@dataclass(frozen=True)
class _Pairs:
    """Pairs of labels of one capability: first and second annotator in order of their names, clip and group of each
    pair, counts [n, DIFFERENCE_SIZE], numbers of the verdicts in VERDICTS (-1: unsure), and by field the values of
    matched segments as (pair, first's, second's)."""

    first: np.ndarray
    second: np.ndarray
    clip: np.ndarray
    group: np.ndarray
    counts: np.ndarray
    verdicts: np.ndarray
    values: dict[str, list[tuple[int, Any, Any]]]

    def every(self) -> np.ndarray:
        return np.ones(len(self.first), dtype=bool)

    def of(self, annotator: str) -> np.ndarray:
        return (self.first == annotator) | (self.second == annotator)


def _pairs_by_capability(catalog: Catalog, specs: Mapping[str, Capability]) -> dict[str, _Pairs]:
    labels = current(catalog, specs).filter(pl.col("purpose") == "label")
    several = labels.filter(pl.len().over("capability", "clip_id") >= 2)
    found = read_labels(catalog, several["label_id"])
    groups = group_of_clips(catalog)
    by_clip: dict[tuple[str, str], list[Label]] = {}
    for label in found.values():
        by_clip.setdefault((label.capability, label.clip_id), []).append(label)
    by_capability: dict[str, list[tuple[Label, Label]]] = {}
    for (capability, _), of_clip in sorted(by_clip.items()):
        ordered = sorted(of_clip, key=lambda label: label.answer.by)
        by_capability.setdefault(capability, []).extend(combinations(ordered, 2))
    return {name: _measured(made, specs[name], groups) for name, made in by_capability.items()}


def _measured(made: Sequence[tuple[Label, Label]], spec: Capability, groups: Mapping[str, str]) -> _Pairs:
    values: dict[str, list[tuple[int, Any, Any]]] = {field.name: [] for field in comparable_fields(spec)}
    for at, (a, b) in enumerate(made):
        for mine, theirs in same_segments(a.answer, b.answer) if values else ():
            for name, kept in values.items():
                given = mine.fields.get(name), theirs.fields.get(name)
                if None not in given:
                    kept.append((at, *given))
    place = {verdict: at for at, verdict in enumerate(VERDICTS)}
    return _Pairs(
        first=np.array([a.answer.by for a, _ in made], dtype=object),
        second=np.array([b.answer.by for _, b in made], dtype=object),
        clip=np.array([a.clip_id for a, _ in made], dtype=object),
        group=np.array([groups.get(a.clip_id, a.clip_id) for a, _ in made], dtype=object),
        counts=np.array([difference(a.answer, b.answer, spec) for a, b in made]),
        verdicts=np.array([[place.get(label.answer.verdict, -1) for label in pair] for pair in made]),
        values=values,
    )


def _measures(
    key: Mapping[str, Any], made: _Pairs, spec: Capability, chosen: np.ndarray, annotator: str | None = None
) -> list[dict[str, Any]]:
    """Rows of `MEASURED` for the chosen pairs [n, bool]."""
    names, group = np.unique(made.group[chosen], return_inverse=True)
    sums = st.grouped(made.counts[chosen], group)
    total = sums.sum(0)
    found: dict[str, st.Estimate] = {}
    for at, threshold in enumerate(THRESHOLDS):
        hits = np.stack([2 * sums[:, HITS][:, at], sums[:, TOTAL]], axis=-1)
        found[f"f1@{threshold}"] = st.bounded(hits, st.ratio, units=total[TOTAL] / 2)
    found["verdict"] = st.bounded(sums[:, [SAME, PAIRS]], st.ratio, units=total[PAIRS])
    found["verdict_alpha"] = _verdict_alpha(made, chosen, group, by_clip=annotator is None)
    ends = np.stack([sums[:, START_S] + sums[:, END_S], 2 * sums[:, MATCHED]], axis=-1)
    found["boundary_s"] = st.unbounded(ends, st.ratio, least=0.0)
    if annotator is not None:
        sign = np.where(made.first[chosen] == annotator, -1.0, 1.0)
        for name, column in (("start_bias_s", START_BIAS_S), ("end_bias_s", END_BIAS_S)):
            later = np.stack([made.counts[chosen][:, column] * sign, made.counts[chosen][:, MATCHED]], axis=-1)
            found[name] = st.unbounded(st.grouped(later, group), st.ratio)
    if made.values:
        found["fields"] = st.bounded(sums[:, [EQUAL, COMPARED]], st.ratio, units=total[COMPARED])
    of_pair = np.full(len(chosen), -1)
    of_pair[chosen] = group
    for field in comparable_fields(spec):
        kept = [(of_pair[at], a, b) for at, a, b in made.values[field.name] if chosen[at]]
        found[f"field:{field.name}"] = _field_alpha(kept, numeric=field.type in ("number", "integer"))
    size = {"pairs": int(chosen.sum()), "clips": len(set(made.clip[chosen])), "videos": len(names)}
    return [
        {**key, "measure": measure, "value": e.value, "low": e.low, "high": e.high, **size}
        for measure, e in found.items()
    ]


def _verdict_alpha(made: _Pairs, chosen: np.ndarray, group: np.ndarray, *, by_clip: bool) -> st.Estimate:
    """Of the clips' annotators all together, or of the pairs, each for itself."""
    size = len(VERDICTS)
    units: dict[Any, tuple[int, dict[str, int]]] = {}
    for at, (place, number) in enumerate(zip(np.flatnonzero(chosen), group, strict=True)):
        _, given = units.setdefault(made.clip[place] if by_clip else at, (int(number), {}))
        given.update(zip((made.first[place], made.second[place]), made.verdicts[place].tolist(), strict=True))
    told = [(number, [value for value in given.values() if value >= 0]) for number, given in units.values()]
    return _alpha([(number, st.coincidences(values, size)) for number, values in told])


def _field_alpha(values: Sequence[tuple[int, Any, Any]], *, numeric: bool) -> st.Estimate:
    """Of (group, one annotator's value, the other's)."""
    if numeric:
        return _alpha([(group, st.squares([a, b])) for group, a, b in values], numeric=True)
    names = {value: at for at, value in enumerate(sorted({v for _, a, b in values for v in (a, b)}, key=repr))}
    return _alpha([(group, st.coincidences([names[a], names[b]], len(names))) for group, a, b in values])


def _alpha(units: Iterable[tuple[int, np.ndarray]], *, numeric: bool = False) -> st.Estimate:
    """Alpha of (group, what the unit adds to the sums)."""
    told = [(number, sums) for number, sums in units if sums.any()]
    if not told:
        return st.UNKNOWN
    _, group = np.unique([number for number, _ in told], return_inverse=True)
    sums = st.grouped(np.array([row for _, row in told]), group)
    statistic = st.interval_alpha if numeric else st.nominal_alpha
    return st.bounded(sums, statistic, units=len(told), lowest=-1.0)


def _kappa(key: Mapping[str, Any], made: _Pairs, chosen: np.ndarray) -> list[dict[str, Any]]:
    """The row of Cohen's kappa of one annotator's verdicts and another's."""
    decided = chosen & (made.verdicts >= 0).all(1)
    if not decided.any():
        return []
    names, group = np.unique(made.group[decided], return_inverse=True)
    tables = np.zeros((int(decided.sum()), len(VERDICTS) ** 2))
    tables[np.arange(len(tables)), made.verdicts[decided] @ (len(VERDICTS), 1)] = 1
    found = st.bounded(st.grouped(tables, group), st.kappa, units=len(tables), lowest=-1.0)
    size = {"pairs": len(tables), "clips": len(tables), "videos": len(names)}
    return [{**key, "measure": "verdict_kappa", "value": found.value, "low": found.low, "high": found.high, **size}]


def _known(rows: pl.DataFrame) -> pl.DataFrame:
    """Null where a value or a bound is not known."""
    return rows.with_columns(pl.when(pl.col(name).is_finite()).then(name) for name in ("value", "low", "high"))


def _rules(spec: Capability) -> dict[str, Any]:
    """What decides how two answers compare, beside the answers."""
    fields = [field.model_dump(mode="json", exclude={"description"}) for field in comparable_fields(spec)]
    return {"agreement": spec.quality.agreement, "fields": fields}


def _share(part: float, whole: float) -> float | None:
    return float(part / whole) if whole else None


def _schema(catalog: Catalog) -> dict[str, Any]:
    schema = catalog.schema("agreements")
    return {name: schema[name] for name in schema if name not in ("run_id", "written_at")}
