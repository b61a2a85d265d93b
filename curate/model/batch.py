"""Segments of all videos of a folder: a line of JSON for each, in a file that a run which was ended goes on with.

A line is written whole and synced when its video is done, so a kill costs the videos at hand; the torn line that it may
leave is cut off by the next run, which skips what is answered and tries again what failed. Each line names the content
of its video and the key of what was asked, so that a file that has changed is answered anew, and a file of answers to
something else is refused rather than mixed.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from curate.engine import Success, run
from curate.errors import InputError
from curate.identity import file_id, work_key
from curate.media.gaps import what_is_lost
from curate.model import ZERO_SHOT
from curate.model.definitions import Definition
from curate.model.infer import Answerer, as_response, header, load_answerer
from curate.model.segmenter import read_config
from curate.progress import Progress, silent
from curate.sources.files import files_below
from curate.specs.analysis import Analysis
from curate.specs.source import VIDEO_FILES

STAGE_VERSION = 1
"""Part of every key: raised when the same request to the same model would be answered in another way."""


@dataclass(frozen=True)
class BatchSummary:
    """What became of the videos: inputs = ok + failed + skipped, where `skipped` were answered before.

    `times_real` is seconds of video of the answered ones for each second that this run took.
    """

    inputs: int
    ok: int
    failed: int
    skipped: int
    segments: int
    video_s: float
    times_real: float
    out: str
    failures: list[tuple[str, str]]


@dataclass(frozen=True)
class _Asked:
    """What every video is asked, and by which model."""

    definitions: tuple[Definition, ...]
    model: Path | None
    device: str
    analysis: Analysis


def segment_folder(
    folder: Path,
    definitions: Sequence[Definition],
    out: Path,
    *,
    model: Path | None,
    analysis: Analysis,
    device: str = "auto",
    progress: Progress = silent,
) -> BatchSummary:
    """Answers for each video below `folder`, in as many processes as the engine has.

    A line of `out` is `{"video": path below the folder, "video_id", "key", "model", "start_offset_s", "duration_s",
    "data": {definition id: [segment with its score]}}`, with "lost" where damage took something; or `{"video", "key",
    "error"}`.

    Args:
        out: JSON Lines; made, or gone on with.
        model: a trained model's directory, or None for zero-shot.
        analysis: its embedding, limits and engine are used.

    Raises:
        InputError: no such folder, no videos in it, or `out` holds something else.
    """
    if not folder.is_dir():
        raise InputError("no such folder", where=folder)
    found = dict(files_below(folder, VIDEO_FILES))
    if not found:
        raise InputError("no video in this folder", where=folder, fix=f"Looked for {', '.join(VIDEO_FILES)}")
    asked = _Asked(tuple(definitions), model, device, analysis)
    key = _key(asked)
    done = _answered(out, key, found)
    started, segments, video_s, ok = time.monotonic(), 0, 0.0, 0
    failures: list[tuple[str, str]] = []
    work = partial(_answer, asked, key)
    waiting = sorted(set(found) - done)
    progress("videos", len(done), len(found))
    with out.open("a") as file:
        outcomes = run(work, [(name, found[name]) for name in waiting], analysis.engine, prepare=partial(_load, asked))
        for number, outcome in enumerate(outcomes, len(done) + 1):
            if isinstance(outcome, Success):
                line, ok = outcome.value, ok + 1
                segments += sum(len(some) for some in line["data"].values())
                video_s += line["duration_s"]
            else:
                name = outcome.item[0]
                line = {"video": name, "key": key, "error": outcome.reason}
                failures.append((name, outcome.reason))
            _append(file, line)
            progress("videos", number, len(found))
    seconds = time.monotonic() - started
    return BatchSummary(
        inputs=len(found),
        ok=ok,
        failed=len(failures),
        skipped=len(done),
        segments=segments,
        video_s=round(video_s, 1),
        times_real=round(video_s / seconds, 1) if seconds else 0.0,
        out=str(out),
        failures=sorted(failures),
    )


def _key(asked: _Asked) -> str:
    model = ZERO_SHOT if asked.model is None else read_config(asked.model).get("key")
    embedding = asked.analysis.embedding.model_dump(include={"model", "weights", "frames_per_s"})
    return work_key("segment", STAGE_VERSION, [asdict(one) for one in asked.definitions], model, embedding)


_loaded = lru_cache(maxsize=1)(load_answerer)


def _load(asked: _Asked) -> Answerer:
    return _loaded(asked.model, asked.analysis.embedding, asked.device)


def _answer(asked: _Asked, key: str, item: tuple[str, Path]) -> dict[str, Any]:
    name, path = item
    answerer = _load(asked)
    reading = answerer.read(path, asked.definitions, asked.analysis.limits)
    data = as_response(asked.definitions, reading.found, with_scores=True)
    lost = {"lost": what_is_lost(reading.gaps)[0]} if reading.gaps else {}
    about = {"video": name, "video_id": file_id(path), "key": key, **header(answerer, reading), **lost}
    return {**about, "data": data}


def _answered(out: Path, key: str, found: dict[str, Path]) -> set[str]:
    """The videos that a line answers as they are now; what is torn, failed or outdated is taken out of the file.

    Raises:
        InputError: the file holds something else than answers to this request.
    """
    if not out.exists():
        if not out.parent.is_dir():
            raise InputError("no such directory", where=out.parent)
        return set()
    kept: dict[str, str] = {}
    text = out.read_text(errors="replace")
    for number, line in enumerate(_lines(text), 1):
        try:
            said = json.loads(line)
            name, asked = said["video"], said["key"]
        except (ValueError, KeyError, TypeError):
            raise InputError(
                "no line that this command writes", where=f"{out}:{number}", fix="Name another file"
            ) from None
        if asked != key:
            raise InputError(
                "holds answers of another model, or to other definitions",
                where=f"{out}:{number}",
                fix="Name another file",
            )
        if "data" in said and (name not in found or file_id(found[name]) == said["video_id"]):
            kept[name] = line
    whole = "".join(f"{line}\n" for line in kept.values())
    if whole != text:
        part = out.with_name(f".{out.name}.{os.getpid()}")
        part.write_text(whole)
        part.replace(out)
    return set(kept) & set(found)


def _lines(text: str) -> Iterator[str]:
    """The lines that were written whole."""
    yield from text[: text.rfind("\n") + 1].splitlines()


def _append(file: Any, line: dict[str, Any]) -> None:
    file.write(json.dumps(line, ensure_ascii=False) + "\n")
    file.flush()
    os.fsync(file.fileno())
