"""What a reviewer settles: clips that annotators differ on, and labels that a trained segmenter contradicts.

A case is two answers about one clip, in an order drawn by lot, so that their places say nothing. It is recorded before
it is shown (table `reviews`) and ends with a label of purpose `review`, which is in force from then on. A clip has one
open case at most. A case is withdrawn where an annotator's answer is no longer what it was.

A label is doubted where the newest trained segmenter, on a video that it was not trained on, contradicts it for two of
its frames in a row: `doubt`. Where 6% of the labels of the sample world are wrong, and 5% of those that the segmenter
was trained on, the order by doubt has an average precision of 0.98; the segments that do not match have 0.95, a mean
over all frames 0.77, a drawn order 0.06. Of the labels that `DOUBTED` makes cases 89% are wrong, and they are 97% of
the wrong ones (benchmarks/label_errors.py).

The model that was evaluated last from a file of predictions (`curate evaluate --predictions`) doubts labels by the
same rule, where it gave scores from 0 to 1. What it leaves out of its answer says nothing of how sure it is, so it
contradicts what it marks and a label does not, never what a label marks alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl

from curate import views
from curate.catalog import Catalog
from curate.identity import work_key
from curate.review.agreement import contesting
from curate.review.answers import (
    HITS,
    TOTAL,
    Answer,
    Label,
    agreement_of,
    answer_of,
    as_label,
    current,
    difference,
    group_of_clips,
    meanings,
    read_labels,
)
from curate.specs import Capability
from curate.targets.scoring.trained import newest_trained
from curate.workspace import Workspace

__all__ = ["DOUBTED", "MODEL", "Answer", "Case", "cases", "doubt", "open_cases", "read_cases", "record"]

DOUBTED = 0.8
"""Doubt from which on a label becomes a case."""

MODEL = "model "
"""What the name of an answer begins with that is a model's: no annotator's does."""

_FRAMES = 2
_EVERY_S = 0.5
_LIKELY = 0.5
"""Score from which on a segment is shown to the reviewer."""


@dataclass(frozen=True)
class Case:
    """Two answers about one clip, to be settled by a third.

    Attributes:
        case_id: 16 hex digits over capability, clip and answers: a new answer is a new case.
        reason: annotators (they differ), or model (it contradicts the label in force).
        severity: 0 to 1, worst first.
        answers: in the order in which they are shown.
    """

    case_id: str
    capability: str
    spec_version: str
    clip_id: str
    reason: str
    severity: float
    answers: tuple[Answer, Answer]


def cases(workspace: Workspace, capability: str, *, limit: int | None = None) -> list[Case]:
    """The cases of a capability that no review has settled, recorded or not, worst first.

    Which clips are contested is what `agreement.update` found last.

    Raises:
        InputError: an unknown capability.
    """
    spec = workspace.capability(capability)
    recorded = {case.clip_id: case for case in open_cases(workspace.catalog, capability)}
    new = (*_doubted_by_answers(workspace, spec), *_doubted(workspace, spec), *_contested(workspace, spec))
    found = {**{case.clip_id: case for case in new}, **recorded}
    return sorted(found.values(), key=lambda case: (-case.severity, case.case_id))[:limit]


def record(catalog: Catalog, found: Sequence[Case], *, run_id: str) -> int:
    """Writes those of the cases that are not in table `reviews` yet, and says how many."""
    known = set(catalog.scan("reviews").select("case_id").collect()["case_id"])
    new = {case.case_id: case for case in found if case.case_id not in known}
    return catalog.write("reviews", [_row(case) for case in new.values()], run_id=run_id)


def open_cases(catalog: Catalog, capability: str | None = None) -> list[Case]:
    """The recorded cases that wait for a review, worst first.

    A case is settled by a review that is newer than its annotators' answers, and withdrawn once one of them says
    something else, or its clip is cut in another way.
    """
    recorded = catalog.scan("reviews").join(views.clips(catalog).select("clip_id"), on="clip_id", how="semi")
    rows = (recorded if capability is None else recorded.filter(pl.col("capability") == capability)).collect()
    if rows.is_empty():
        return []
    live = (
        views.live_labels(catalog)
        .filter(pl.col("purpose") != "gold")
        .join(rows.lazy().select("clip_id", "capability"), on=["clip_id", "capability"], how="semi")
        .collect()
    )
    by_clip: dict[tuple[str, str], list[Label]] = {}
    for row in live.iter_rows(named=True):
        by_clip.setdefault((row["capability"], row["clip_id"]), []).append(as_label(row))
    found = [_read(row) for row in rows.iter_rows(named=True)]
    waiting = [case for case in found if _waits(case, by_clip.get((case.capability, case.clip_id), []))]
    return sorted(waiting, key=lambda case: (-case.severity, case.case_id))


def read_cases(catalog: Catalog, case_ids: Sequence[str]) -> dict[str, Case]:
    """Recorded cases by id, open or not."""
    rows = catalog.scan("reviews").filter(pl.col("case_id").is_in(list(case_ids))).collect()
    return {row["case_id"]: _read(row) for row in rows.iter_rows(named=True)}


def doubt(answer: Answer, times_s: np.ndarray, chances: np.ndarray) -> float:
    """How far a model contradicts an answer: 0 to 1, its worst over two frames in a row.

    A frame counts with the distance of the model's chance [T] at times_s [T] from what the answer says of it: 1 inside
    a segment, else 0; what it does not say (unmarked time that was not looked at) cannot be contradicted.
    """
    marked = np.zeros(len(times_s), dtype=bool)
    for segment in answer.segments:
        marked |= (times_s >= segment.start_s) & (times_s <= segment.end_s)
    against = np.where(marked | answer.complete, np.abs(marked - chances), 0.0)
    width = min(_FRAMES, len(against))
    return float(np.convolve(against, np.full(width, 1 / width), "valid").max()) if width else 0.0


def _contested(workspace: Workspace, spec: Capability) -> list[Case]:
    """Of each contested clip the two answers that differ most."""
    catalog = workspace.catalog
    disputed = catalog.scan("agreements").filter(pl.col("capability") == spec.id, pl.col("contested"))
    contested = disputed.join(views.clips(catalog).select("clip_id"), on="clip_id", how="semi").collect()
    rows = current(catalog, {spec.id: spec}).filter(
        pl.col("purpose") != "gold", pl.col("clip_id").is_in(contested["clip_id"].implode())
    )
    by_clip: dict[str, list[Label]] = {}
    for label in read_labels(catalog, rows["label_id"]).values():
        by_clip.setdefault(label.clip_id, []).append(label)
    return [found for clip_id, labels in by_clip.items() if (found := _worst_pair(spec, clip_id, labels))]


def _worst_pair(spec: Capability, clip_id: str, labels: Sequence[Label]) -> Case | None:
    answers = sorted((label for label in labels if label.purpose == "label"), key=lambda label: label.answer.by)
    reviews = sorted((label for label in labels if label.purpose == "review"), key=lambda label: label.updated_at)
    if reviews:
        pairs = [(reviews[-1].answer, label.answer) for label in contesting(answers, reviews, spec)]
    else:
        pairs = [(a.answer, b.answer) for a, b in combinations(answers, 2)]
    if not pairs:
        return None
    severity, _, pair = max((_severity(a, b, spec), -at, (a, b)) for at, (a, b) in enumerate(pairs))
    return _case(spec, clip_id, "annotators", severity, pair)


def _severity(first: Answer, second: Answer, spec: Capability) -> float:
    """How far they differ; half where one of them is not sure."""
    apart = 1 - agreement_of(difference(first, second, spec))
    return apart / 2 if "unsure" in (first.verdict, second.verdict) else apart


def _doubted(workspace: Workspace, spec: Capability) -> list[Case]:
    """Labels in force that the newest trained segmenter contradicts."""
    trained, _ = newest_trained(workspace)
    if trained is None or not trained.knows(spec) or trained.seen_groups is None:
        return []
    catalog, groups = workspace.catalog, group_of_clips(workspace.catalog)
    labels = {
        clip_id: label
        for clip_id, label in _in_force(catalog, spec).items()
        if groups.get(clip_id) not in trained.seen_groups
    }
    wanted = pl.LazyFrame({"clip_id": list(labels)}, schema={"clip_id": pl.String})
    clips = views.framed_clips(catalog).join(wanted, on="clip_id", how="semi").sort("clip_id").collect()
    doubts = [
        doubt(labels[clip_id].answer, times_s, chances)
        for clip_id, (times_s, chances) in zip(clips["clip_id"], trained.chances(spec, clips), strict=True)
    ]
    doubted = clips.with_columns(doubt=pl.Series(doubts, dtype=pl.Float64)).filter(pl.col("doubt") >= DOUBTED)
    found = []
    segments = trained.segments(spec, doubted) if len(doubted) else []
    for clip_id, severity, said in zip(doubted["clip_id"], doubted["doubt"], segments, strict=True):
        by_model = Answer(f"{MODEL}{trained.directory.name}", "present" if said else "absent", True, tuple(said))
        if not _alike(labels[clip_id].answer, by_model, spec):
            found.append(_case(spec, clip_id, "model", severity, (labels[clip_id].answer, by_model)))
    return found


def _doubted_by_answers(workspace: Workspace, spec: Capability) -> list[Case]:
    """Labels in force that the model evaluated last from a file contradicts."""
    catalog = workspace.catalog
    rows = catalog.scan("predictions").filter(pl.col("capability") == spec.id, pl.col("scored")).collect()
    if rows.is_empty():
        return []
    own = rows.filter(pl.col("model") == rows.sort("written_at")["model"][-1])
    scores = own["segments"].explode().drop_nulls().struct.field("score")
    if not scores.is_between(0, 1).all():
        return []
    labels, same = _in_force(catalog, spec), _same_meaning(catalog, spec)
    spans = views.clips(catalog).select("clip_id", "start_s", "end_s").collect()
    found = []
    for row in own.join(spans, on="clip_id").sort("clip_id").iter_rows(named=True):
        if row["clip_id"] not in labels or not same(row["spec_version"]):
            continue
        answer = labels[row["clip_id"]].answer
        times_s = np.arange(row["start_s"], row["end_s"], _EVERY_S)
        severity = doubt(answer, times_s, _surest(answer, times_s, row["segments"]))
        if severity >= DOUBTED:
            said = [segment for segment in row["segments"] if segment["score"] >= _LIKELY]
            by_model = answer_of(f"{MODEL}{row['model']}", "present", True, said)
            found.append(_case(spec, row["clip_id"], "model", severity, (answer, by_model)))
    return found


def _surest(answer: Answer, times_s: np.ndarray, segments: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """The best score [T] of a segment at times_s [T]; what the answer says where there is none."""
    chances = np.full(len(times_s), -1.0)
    for segment in segments:
        inside = (times_s >= segment["start_s"]) & (times_s < segment["end_s"])
        chances[inside] = np.maximum(chances[inside], segment["score"])
    marked = np.zeros(len(times_s))
    for own in answer.segments:
        marked[(times_s >= own.start_s) & (times_s <= own.end_s)] = 1.0
    return np.where(chances < 0, marked, np.maximum(chances, marked))


def _in_force(catalog: Catalog, spec: Capability) -> dict[str, Label]:
    """The labels that a model may doubt, by clip: in force, decided, not contested, no review, of the spec's
    meaning."""
    same = _same_meaning(catalog, spec)
    rows = (
        views.labels(catalog)
        .filter(
            pl.col("capability") == spec.id,
            pl.col("purpose") == "label",
            ~pl.col("contested"),
            pl.col("verdict").is_in(["present", "absent"]),
        )
        .collect()
    )
    return {row["clip_id"]: as_label(row) for row in rows.iter_rows(named=True) if same(row["spec_version"])}


def _same_meaning(catalog: Catalog, spec: Capability) -> Callable[[str | None], bool]:
    """Whether labels under a version of the spec mean what they mean under it as it is."""
    known = meanings(catalog, {spec.id: spec})
    meant = known[spec.id, spec.version]
    return lambda version: known.get((spec.id, version or ""), meant) == meant


def _alike(label: Answer, by_model: Answer, spec: Capability) -> bool:
    """Whether a reviewer would see next to no difference: every segment that counts matched at the highest tIoU."""
    counts = difference(label, by_model, spec)
    return label.verdict == by_model.verdict and 2 * counts[HITS][-1] == counts[TOTAL]


def _case(spec: Capability, clip_id: str, reason: str, severity: float, answers: tuple[Answer, Answer]) -> Case:
    first, second = sorted(answers, key=lambda answer: json.dumps(_as_json(answer), sort_keys=True))
    case_id = work_key("case", spec.id, clip_id, _as_json(first), _as_json(second))
    shown = (second, first) if int(case_id, 16) % 2 else (first, second)
    return Case(case_id, spec.id, spec.version, clip_id, reason, float(severity), shown)


def _as_json(answer: Answer) -> dict[str, Any]:
    segments = [{"start_s": s.start_s, "end_s": s.end_s, "fields": dict(s.fields)} for s in answer.segments]
    return {"by": answer.by, "verdict": answer.verdict, "exhaustive": answer.exhaustive, "segments": segments}


def _row(case: Case) -> dict[str, Any]:
    own = ("case_id", "capability", "spec_version", "clip_id", "reason", "severity")
    answers = json.dumps([_as_json(answer) for answer in case.answers], sort_keys=True)
    return {**{name: getattr(case, name) for name in own}, "answers": answers}


def _read(row: Mapping[str, Any]) -> Case:
    first, second = (_answer(content) for content in json.loads(row["answers"]))
    return Case(
        case_id=row["case_id"],
        capability=row["capability"],
        spec_version=row["spec_version"],
        clip_id=row["clip_id"],
        reason=row["reason"],
        severity=row["severity"],
        answers=(first, second),
    )


def _answer(content: Mapping[str, Any]) -> Answer:
    segments = [{**s, "fields": json.dumps(s["fields"])} for s in content["segments"]]
    return answer_of(content["by"], content["verdict"], content["exhaustive"], segments)


def _waits(case: Case, labels: Sequence[Label]) -> bool:
    """Whether its annotators still say what it shows, and no review is newer; `labels` of its clip, oldest first."""
    newest = {label.answer.by: label for label in labels if label.purpose == "label"}
    reviews = [label for label in labels if label.purpose == "review"]
    answered = []
    for answer in case.answers:
        own = newest.get(answer.by)
        if own and own.answer == answer:
            answered.append(own.updated_at)
        elif not answer.by.startswith(MODEL) and answer not in [review.answer for review in reviews]:
            return False
    return bool(answered) and not any(review.updated_at > max(answered) for review in reviews)
