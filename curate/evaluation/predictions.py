"""A file of predictions as answers to be measured: any model's output, in one of three forms, told apart by content.

- Ours, of many videos: `{KEY: {"<definition id>": [{"start_time", "end_time", "metadata", "score"?}]}}`.
- JSON lines, one for each video: `{"video": KEY, "data": {"<definition id>": [...]}}`; `video_id`, where given, says
  which video it is, other keys are not read, and a line with `error` in place of `data` is no answer. `curate segment
  FOLDER` writes it.
- ActivityNet's: `{"results": {KEY: [{"label", "score", "segment": [start, end]}]}}`; a label is a definition id. What
  this form has no word for, `metadata`, may stand beside.

Whose answer it is, a KEY says: see `curate.evaluation.keys`. Nothing is left out in silence: what cannot be read or
placed is an error, what is of no clip of the split is counted.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from curate.errors import InputError, quoted
from curate.evaluation.judged import Answers, Exam
from curate.evaluation.keys import Keys, Place
from curate.identity import file_id
from curate.model import ZERO_SHOT
from curate.model.definitions import Segment
from curate.workspace import new_run_id

_LATE_S = 0.5
"""How long after a clip's end a segment may start: encoders round a clip's length to whole frames."""


@dataclass(frozen=True)
class Said:
    """One answer of a file: by definition id its segments, in seconds of what `key` names.

    Attributes:
        where: the file, and the key or line.
        data: None where the model failed.
        video_id: of the file that was looked at, where it is said.
        whole: a definition that is not in `data` has no segments; else it was not asked for.
    """

    key: str
    where: str
    data: Mapping[str, list[Segment]] | None
    video_id: str | None = None
    whole: bool = False


def answers_of_file(exam: Exam, path: Path | str, *, name: str | None = None) -> Answers:
    """What a file says of the judged clips of a split.

    Segments of a source video are cut to each of its clips, as labels are. A clip or definition without an answer
    counts as nothing found.

    Args:
        name: the model's; the file's where not given.

    Raises:
        InputError: a file, key, definition, time or score that cannot be used, two answers for one clip, scores for
            some segments only, or no answer for any clip of the split. It names the place.
    """
    path = Path(path)
    model = path.name.removesuffix(path.suffix) if name is None else name
    if not model.strip() or model == ZERO_SHOT:
        raise InputError(f"a model cannot be named {model!r}", where=path, fix="Give it a name of its own: --name")
    said, scored = read_predictions(path, exam.published.definitions)
    keys = Keys(exam)
    of_clip: dict[str, Said] = {}
    outside = 0
    for each in said:
        places = keys.clips(each.key, each.video_id, where=each.where)
        outside += not places
        for place in places:
            first = of_clip.get(place.clip_id)
            if first is None or first.data is None:
                of_clip[place.clip_id] = _said_of_clip(each, place)
            elif each.data is not None:
                raise InputError(
                    f"{first.key!r} and {each.key!r} both answer for clip {place.clip_id}",
                    where=path,
                    fix="Leave one of them out",
                )
    found: list[Sequence[Segment]] = []
    answered: list[bool] = []
    for judged in exam.judged:
        answer = of_clip.get(judged.clip_id)
        data = None if answer is None else answer.data
        found.append((data or {}).get(judged.capability, []))
        answered.append(data is not None and answer is not None and (answer.whole or judged.capability in data))
    if not any(answered):
        example = exam.judged[0].clip_id
        raise InputError(
            f"no answer is of a clip of {exam.place}",
            where=path,
            fix=f"Keys are clip ids, as {example!r}, the names of their files, or source videos",
        )
    return Answers(model, found, answered, scored, file_id(path), outside)


def keep_answers(exam: Exam, answers: Answers) -> int:
    """Writes answers to the table `predictions`, in source seconds, so that labels they contradict can be reviewed;
    says how many."""
    starts = {clip["clip_id"]: clip["start_s"] for clip in exam.published.lock["clips"]}
    rows = [
        {
            "model": answers.model,
            "clip_id": judged.clip_id,
            "capability": judged.capability,
            "spec_version": exam.published.versions[judged.capability],
            "scored": answers.scored,
            "segments": [
                {
                    "start_s": starts[judged.clip_id] + s.start_s,
                    "end_s": starts[judged.clip_id] + s.end_s,
                    "fields": json.dumps(dict(s.fields), sort_keys=True),
                    "score": s.score,
                }
                for s in found
            ],
        }
        for judged, found, said in zip(exam.judged, answers.found, answers.answered, strict=True)
        if said
    ]
    catalog = exam.published.workspace.catalog
    schema = {name: dtype for name, dtype in catalog.schema("predictions").items() if name in rows[0]}
    return catalog.write(
        "predictions", pl.DataFrame(rows, schema=schema), run_id=new_run_id("evaluate"), work_key=answers.key
    )


def read_predictions(path: Path, definitions: Collection[str]) -> tuple[list[Said], bool]:
    """The answers of a file, and whether each of their segments has a score.

    Raises:
        InputError: as `answers_of_file`.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, IsADirectoryError):
        raise InputError("no such file of predictions", where=path) from None
    except UnicodeDecodeError:
        raise InputError("not a text file, so neither JSON nor JSON lines", where=path) from None
    reader = _Reader(path, definitions)
    lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    if lines and reader.is_line(lines[0][1]):
        said = [reader.line(number, line) for number, line in lines]
    else:
        said = list(reader.whole(text))
    if not said:
        raise InputError("no predictions", where=path, fix="See docs/researcher.md for the forms that are read")
    if reader.scores and reader.unscored:
        raise InputError("has no score, but other segments have", where=reader.unscored[0], fix="Score all, or none")
    return said, not reader.unscored


class _Reader:
    """Reads forms of one file, and counts which segments have scores."""

    def __init__(self, path: Path, definitions: Collection[str]) -> None:
        self.path, self.definitions = path, definitions
        self.scores = 0
        self.unscored: list[str] = []

    def is_line(self, line: str) -> bool:
        try:
            content = json.loads(line)
        except json.JSONDecodeError:
            return False
        return isinstance(content, dict) and isinstance(content.get("video"), str)

    def line(self, number: int, line: str) -> Said:
        where = f"{self.path}:{number}"
        content = self._load(line, number)
        if not isinstance(content, dict) or not isinstance(content.get("video"), str):
            raise InputError('expected {"video": ..., "data": {...}}', where=where)
        failed = content.get("error") is not None and content.get("data") is None
        data = None if failed else self._data(content.get("data"), where)
        return Said(content["video"], where, data, content.get("video_id"))

    def whole(self, text: str) -> Iterator[Said]:
        content = self._load(text, 1)
        if not isinstance(content, dict):
            raise InputError("expected an object with a key for each clip or video", where=self.path)
        if isinstance(content.get("results"), dict) and set(content) <= {"version", "results", "external_data"}:
            for key, segments in content["results"].items():
                where = f"{self.path}: {key}"
                yield Said(key, where, self._activitynet(segments, where), whole=True)
            return
        for key, data in content.items():
            where = f"{self.path}: {key}"
            yield Said(key, where, self._data(data, where))

    def _load(self, text: str, first: int) -> Any:
        def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
            found = dict(pairs)
            if len(found) != len(pairs):
                names = [name for name, _ in pairs]
                twice = next(name for name in names if names.count(name) > 1)
                raise InputError(f"the key {twice!r} stands twice in one object", where=self.path)
            return found

        try:
            return json.loads(text, object_pairs_hook=once)
        except json.JSONDecodeError as error:
            raise InputError(f"not valid JSON: {error.msg}", where=f"{self.path}:{first + error.lineno - 1}") from None

    def _data(self, data: Any, where: str) -> dict[str, list[Segment]]:
        if not isinstance(data, dict):
            raise InputError(
                f"{quoted(data)} is no answer", where=where, fix='Expected {"<definition id>": [segments]}'
            )
        found = {}
        for name, segments in data.items():
            place = f"{where}: {self._known(name, where)}"
            if not isinstance(segments, list):
                raise InputError(f"{quoted(segments)}: expected a list of segments", where=place)
            found[name] = [
                self._segment(item, f"{place}: segment {number}") for number, item in enumerate(segments, start=1)
            ]
        return found

    def _activitynet(self, segments: Any, where: str) -> dict[str, list[Segment]]:
        if not isinstance(segments, list):
            raise InputError(f"{quoted(segments)}: expected a list of segments", where=where)
        found: dict[str, list[Segment]] = {}
        for number, item in enumerate(segments, start=1):
            place = f"{where}: segment {number}"
            span = item.get("segment") if isinstance(item, dict) else None
            if not isinstance(span, list) or len(span) != 2:
                raise InputError('expected {"label": ..., "score": ..., "segment": [start, end]}', where=place)
            name = self._known(item.get("label"), place)
            found.setdefault(name, []).append(
                self._segment({**item, "start_time": span[0], "end_time": span[1]}, place)
            )
        return found

    def _known(self, name: Any, where: str) -> str:
        if name not in self.definitions:
            raise InputError(
                f"{quoted(name)} is no capability of the mix", where=where, fix=f"It has: {', '.join(self.definitions)}"
            )
        return str(name)

    def _segment(self, item: Any, where: str) -> Segment:
        if not isinstance(item, dict):
            raise InputError(f"{quoted(item)}: expected a segment with start_time and end_time", where=where)
        start_s, end_s = (_number(item.get(name), name, where) for name in ("start_time", "end_time"))
        if not 0 <= start_s <= end_s:
            raise InputError(f"from {start_s:g} s to {end_s:g} s: no such span", where=where)
        fields = item.get("metadata") or {}
        if not isinstance(fields, dict):
            raise InputError(f"metadata is {quoted(fields)}: expected an object", where=where)
        if item.get("score") is None:
            self.unscored.append(where)
            return Segment(start_s, end_s, fields)
        self.scores += 1
        return Segment(start_s, end_s, fields, _number(item["score"], "score", where))


def _said_of_clip(said: Said, place: Place) -> Said:
    """An answer in seconds from the clip's start: of a source video's segments those that lie in the clip, cut to
    it."""
    if said.data is None:
        return said
    return replace(
        said, data={name: list(_in_clip(segments, place, said, name)) for name, segments in said.data.items()}
    )


def _in_clip(segments: Sequence[Segment], place: Place, said: Said, definition: str) -> Iterator[Segment]:
    duration_s = place.end_s - place.start_s
    for segment in segments:
        start_s, end_s = segment.start_s, segment.end_s
        if place.from_source:
            if not (start_s < place.end_s and end_s > place.start_s):
                continue
            start_s, end_s = start_s - place.start_s, end_s - place.start_s
        elif start_s > duration_s + _LATE_S:
            raise InputError(
                f"{start_s:g} s is after the end of clip {place.clip_id}, which lasts {duration_s:g} s",
                where=f"{said.where}: {definition}",
                fix="Times of a clip are seconds from its start; name the source video where they are its",
            )
        yield replace(segment, start_s=min(max(start_s, 0.0), duration_s), end_s=min(end_s, duration_s))


def _number(value: Any, name: str, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(f"{name} is {quoted(value)}: expected a number", where=where)
    return float(value)
