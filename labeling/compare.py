"""Blind comparison of two models: people see both segmentations of a clip, and never which is whose.

What is asked, and which model is on which side, is planned by `curate.review.blind` and kept in `comparisons` before
anything is sent. A task's key is a hash, so neither a repeated clip nor a side can be told from what the page shows.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
from label_studio_sdk.client import LabelStudio

from curate.catalog import Catalog
from curate.identity import work_key
from curate.model.definitions import Segment
from curate.progress import Progress, silent
from curate.review.answers import answer_of
from curate.review.blind import plan
from curate.specs import Capability
from curate.workspace import Workspace, new_run_id
from labeling import two_answers as page
from labeling.changes import Change, Changes
from labeling.client import Server, session
from labeling.media import media
from labeling.projects import COMPARISON, Project, open_project
from labeling.send import send
from labeling.shown import Shown, shown
from labeling.store import Stored, store

_ASKED = ("comparison_id", "clip_id", "repeat")


@dataclass(frozen=True)
class CompareSummary:
    """What is asked in a comparison.

    Attributes:
        comparison_id: what its result is asked by.
        clips: asked about; of these `repeats` twice.
        same, seen: clips left out because the models agree on them, or one was trained on their video.
        failed: clips that could not be cut.
    """

    comparison_id: str
    capability: str
    clips: int
    repeats: int
    pushed: int
    already_there: int
    same: int
    seen: int
    failed: int
    url: str


def compare(
    workspace: Workspace,
    server: Server,
    capability: str,
    model_1: str,
    model_2: str,
    *,
    clips: Sequence[str] | None = None,
    count: int | None = None,
    restore_interface: bool = False,
    progress: Progress = silent,
) -> CompareSummary:
    """Asks people which of two models marks clips better; asking the same again adds nothing twice.

    Args:
        model_1, model_2: names of trained models, or "zero-shot".
        clips, count: ids of the clips to ask about, or how many; see `curate.review.blind.plan`.
        restore_interface: put back an interface that was edited by hand.

    Raises:
        InputError: an unknown capability, model or clip, no clip to ask about, a refused token, or a server that
            cannot reach the media.
        CurateError: the server does not answer, or another push is running.
    """
    spec = workspace.capability(capability)
    planned = plan(workspace, capability, model_1, model_2, clips, count=count)
    done = ask(workspace, server, spec, planned.rows, restore_interface=restore_interface, progress=progress)
    return CompareSummary(
        planned.comparison_id,
        capability,
        clips=done.clips,
        repeats=done.asked - done.clips,
        pushed=done.pushed,
        already_there=done.asked - done.pushed,
        same=planned.same,
        seen=planned.seen,
        failed=done.failed,
        url=done.url,
    )


@dataclass(frozen=True)
class Asked:
    """Tasks of a comparison: of how many clips, how many, those sent now, and clips that could not be cut."""

    clips: int
    asked: int
    pushed: int
    failed: int
    url: str


def ask(
    workspace: Workspace,
    server: Server,
    spec: Capability,
    rows: Sequence[Mapping[str, Any]],
    *,
    restore_interface: bool = False,
    progress: Progress = silent,
) -> Asked:
    """Sends the tasks of `rows` of `comparisons`, in their order, and keeps the rows."""
    with workspace.lock("label-push"), session(server) as client:
        serving = media(workspace, server)
        serving.check()
        ready, failures = shown(workspace, serving, list(dict.fromkeys(row["clip_id"] for row in rows)), progress)
        asked = [row for row in rows if row["clip_id"] in ready]
        _record(workspace.catalog, asked)
        project = open_project(
            client, workspace, server, spec, COMPARISON,
            title=f"{spec.id} comparison",
            config=page.comparison_config(spec),
            instructions=page.comparison_instructions(spec),
            media=serving,
            restore_interface=restore_interface,
        )  # fmt: skip
        tasks = [_task(spec, row, ready[row["clip_id"]]) for row in asked]
        sent = send(client, workspace, project, tasks, progress)
        page.show_answers(client, project, tasks)
        serving.renew(client, project.number)
    return Asked(len(ready), len(asked), len(sent.new), len(failures), project.url(server))


def pull_votes(
    workspace: Workspace, client: LabelStudio, project: Project, changes: Changes, run_id: str, problems: Counter[str]
) -> Stored:
    """What people have voted for in `project`, as rows of `votes`."""
    rows = workspace.catalog.scan("comparisons").filter(pl.col("capability") == project.capability)
    asked = {_key(row): row for row in rows.select(_ASKED).collect().iter_rows(named=True)}

    def read(answered: Sequence[Change]) -> list[dict[str, Any]]:
        return [row for change in answered if (row := _vote(change, asked, problems))]

    return store(workspace.catalog, "votes", project, changes, read, run_id)


def _record(catalog: Catalog, rows: Sequence[Mapping[str, Any]]) -> None:
    """Before the tasks: a side that is known and not shown is harmless, a vote for an unknown side is worth nothing."""
    known = set(catalog.scan("comparisons").select(_ASKED).collect().iter_rows())
    new = [dict(row) for row in rows if tuple(row[name] for name in _ASKED) not in known]
    catalog.write("comparisons", new, run_id=new_run_id("compare"))


def _task(spec: Capability, row: Mapping[str, Any], clip: Shown) -> dict[str, Any]:
    segments = [_segments(row[side]) for side in ("segments_first", "segments_second")]
    said = [page.words(None, None, marked, clip.data["start_s"]) for marked in segments]
    words = dict(zip(page.WORDS, said, strict=True))
    data = {**clip.data, "key": _key(row), "capability": spec.id, "spec_version": spec.version, **words}
    return {"data": data, "predictions": page.predictions((), segments, clip.timeline)}


def _vote(change: Change, asked: Mapping[str, Mapping[str, Any]], problems: Counter[str]) -> dict[str, Any] | None:
    answer, row = page.taken(change.result), asked.get(change.data["key"])
    if not answer or not row:
        problems["unknown comparison" if answer else "no choice"] += 1
        return None
    return {
        "vote_id": change.label_id,
        **row,
        "annotator": change.annotator,
        "answer": answer,
        "lead_time_s": change.lead_time_s,
        "updated_at": change.updated_at,
        "deleted": False,
    }


def _key(row: Mapping[str, Any]) -> str:
    return work_key(*(row[name] for name in _ASKED))


def _segments(rows: Sequence[Mapping[str, Any]]) -> Sequence[Segment]:
    return answer_of("", "present", True, rows).segments
