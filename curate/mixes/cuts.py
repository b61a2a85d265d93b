"""The mp4 of every clip of a mix, cut at most once: cuts are kept in the workspace's cache by clip.

They show the source's pictures at the source's times, since labels do (`curate.media.exact`). Spans of one video are
cut one after the other, so that a worker reads where its pictures are once.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from curate import engine
from curate.errors import CurateError
from curate.media.exact import cut_exactly
from curate.progress import Progress, silent
from curate.specs.analysis import Engine
from curate.workspace import Workspace, new_run_id


@dataclass(frozen=True)
class _Span:
    clip_id: str
    path: str
    start_s: float
    end_s: float
    target: Path


def cut_media(workspace: Workspace, rows: pl.DataFrame, *, progress: Progress = silent) -> dict[str, Path]:
    """The mp4 of every clip, from the cache or cut now, in parallel.

    Args:
        rows: clip_id, path, start_s, end_s.

    Raises:
        CurateError: clips could not be cut; each has its reason in `outcomes` (stage `cut`).
    """
    cache = workspace.cache("exact-cuts")
    spans = [
        _Span(clip_id, path, start_s, end_s, cache / clip_id[:2] / f"{clip_id}.mp4")
        for clip_id, path, start_s, end_s in rows.select("clip_id", "path", "start_s", "end_s").unique().iter_rows()
    ]
    missing = sorted(
        (span for span in spans if not span.target.exists()), key=lambda span: (span.path, span.start_s, span.clip_id)
    )
    failures = []
    for done, result in enumerate(_run_cuts(missing, workspace.analysis().engine), start=1):
        if isinstance(result, engine.Failure):
            failures.append(result)
        progress("cuts", done, len(missing))
    if failures:
        outcomes = [
            {"stage": "cut", "item": failure.item.clip_id, "outcome": "failed", "reason": failure.reason}
            for failure in failures
        ]
        workspace.catalog.write("outcomes", outcomes, run_id=new_run_id("mix"))
        first = failures[0]
        raise CurateError(
            f"{len(failures)} of {len(spans)} clips could not be cut; clip {first.item.clip_id}: {first.reason}",
            where=first.item.path,
            fix="Put the file back, or `curate collect` to take note that it changed, and build again",
        )
    return {span.clip_id: span.target for span in spans}


def _run_cuts(spans: list[_Span], how: Engine) -> Iterator[engine.Success | engine.Failure]:
    yield from engine.run(_cut, spans, how) if spans else ()


def _cut(span: _Span) -> None:
    span.target.parent.mkdir(parents=True, exist_ok=True)
    cut_exactly(span.path, span.start_s, span.end_s, span.target)
