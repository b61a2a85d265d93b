"""Sends clips to annotators: each once, most valuable first, with guesses to correct.

A clip's task in a project is known by its key (`labeling.gold.task_key`), so a push that was killed is repeated and
sends what is missing (`labeling.send`). A spec whose meaning changed has a new project: tasks of the old one that
nobody has begun move there, in first and out after, and those that somebody has begun stay.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl
from label_studio_sdk.client import LabelStudio

from curate import views
from curate.catalog import Catalog
from curate.decisions import APPROVED, DONE, PROPOSED, Decision, finish
from curate.engine import Failure
from curate.errors import InputError
from curate.identity import work_key
from curate.progress import Progress, silent
from curate.specs import Capability
from curate.targets.choosing.order import ordered_clips
from curate.workspace import Workspace, new_run_id
from labeling.client import Server, session
from labeling.gold import gold_keys, is_gold, mixed, task_key
from labeling.guesses import Guesses, guesses, prediction, show_guesses
from labeling.interface import instructions, labelling_config
from labeling.media import media
from labeling.projects import Project, find_projects, open_project
from labeling.proxies import Span
from labeling.send import LOCK, Sent, send
from labeling.shown import Shown, shown
from labeling.tasks import Task, by_key, delete_untouched, untouched


@dataclass(frozen=True)
class PushSummary:
    """What became of an order's clips.

    Attributes:
        pushed: sent now.
        already_there: in the project before.
        moved: besides, from projects of the spec's earlier meanings, where nobody had begun them.
        failed: could not be cut; each is a `failed` outcome of stage `proxy`.
    """

    capability: str
    pushed: int
    already_there: int
    moved: int
    failed: int
    project_id: int
    url: str


@dataclass(frozen=True)
class _Move:
    """A task that nobody has begun, in a project of an earlier meaning."""

    project: Project
    task: Task

    @property
    def clip_id(self) -> str:
        clip_id: str = self.task.data["clip_id"]
        return clip_id

    @property
    def reason(self) -> str:
        return self.task.data.get("reason", "")

    @property
    def is_gold(self) -> bool:
        return is_gold(self.project, self.task.data)


def push(
    workspace: Workspace,
    order: Decision,
    server: Server,
    *,
    restore_interface: bool = False,
    progress: Progress = silent,
) -> PushSummary:
    """Sends the clips of an approved order (`curate.targets.choosing.order`) to the capability's project, in their
    order.

    Pushing again sends nothing twice. Once all are sent, the order is done; why each clip was sent is in `orders`.

    Args:
        restore_interface: put back a labelling interface that was edited by hand.

    Raises:
        InputError: an unknown capability or clip, an order that nobody approved or that is for another version of the
            spec, an interface edited by hand, a refused token, or a server that cannot reach the media.
        CurateError: the server does not answer, or another push is running.
    """
    spec = workspace.capability(order.subject)
    _check_order(order, spec)
    serving = media(workspace, server)
    serving.check()
    reasons = dict(ordered_clips(order).select("clip_id", pl.coalesce("detail", "reason", pl.lit(""))).iter_rows())
    with workspace.lock(LOCK), session(server) as client:
        project = open_project(
            client, workspace, server, spec,
            title=spec.id, config=labelling_config(spec), instructions=instructions(spec), media=serving,
            restore_interface=restore_interface,
        )  # fmt: skip
        moves = _moves(workspace.catalog, client, project)
        wanted = reasons | {m.clip_id: m.reason for m in moves if m.clip_id not in reasons and not m.is_gold}
        gold = gold_keys(
            workspace.catalog, spec, project, order.decision_id, list(reasons),
            there=lambda keys: set(by_key(client, project, keys)),
        )  # fmt: skip
        ready, failures = shown(workspace, serving, [*wanted, *gold.values()], progress)
        guessed = guesses(workspace, spec, list(ready))
        keys = {task_key(project, clip_id): clip_id for clip_id in wanted}
        tasks = [
            _task(spec, key, ready[clip_id], wanted[clip_id], guessed)
            for key, clip_id in keys.items()
            if clip_id in ready
        ]
        known = [
            _task(spec, key, ready[clip_id], _some_reason(reasons, key), guessed)
            for key, clip_id in gold.items()
            if clip_id in ready
        ]
        # Before the tasks: that a clip was ordered and never sent is harmless, a label of unknown origin is not.
        run_id = new_run_id("label-push")
        _record_clips(workspace.catalog, run_id, order, [clip_id for clip_id in reasons if clip_id in ready])
        twice = {task_key(project, clip_id) for clip_id in _asked_twice(spec, reasons)}
        twice |= {task_key(project, move.clip_id) for move in moves if move.task.annotators > 1}
        sent = send(client, workspace, project, mixed(tasks, known, order.decision_id), progress, twice=twice)
        moved = _take_out(client, project, moves, sent)
        show_guesses(client, workspace, project, spec, guessed.model)
        serving.renew(client, project.number)
    new, there = (
        [clip for key, clip in keys.items() if key in some and clip in reasons] for some in (sent.new, sent.there)
    )
    failed = sum(failure.item.clip_id in reasons for failure in failures)
    summary = PushSummary(spec.id, len(new), len(there), moved, failed, project.number, project.url(server))
    _record_outcomes(workspace.catalog, run_id, new, failures)
    if order.status != DONE:
        finish(workspace.catalog, order, {**asdict(summary), "project": project.uid}, run_id=run_id)
    return summary


def _check_order(order: Decision, spec: Capability) -> None:
    if order.status not in (APPROVED, DONE):
        fix = f"`curate approve {order.decision_id} --why ...`" if order.status == PROPOSED else None
        raise InputError(f"the order of labels is {order.status}, not approved", where=order.decision_id, fix=fix)
    if order.plan["spec_version"] != spec.version:
        raise InputError(
            f"the order is for {spec.id} {order.plan['spec_version']}, and the spec is {spec.version} now",
            where=order.decision_id,
            fix=f"Order again: `curate label push {spec.id}`",
        )


def _task(spec: Capability, key: str, clip: Shown, reason: str, guessed: Guesses) -> dict[str, Any]:
    data = {"key": key, "capability": spec.id, "spec_version": spec.version, **clip.data, "reason": reason}
    segments = guessed.segments.get(clip.data["clip_id"], [])
    return {
        "data": data,
        "predictions": [prediction(spec, guessed.model, segments, clip.timeline)] if segments else [],
    }


def _some_reason(reasons: Mapping[str, str], key: str) -> str:
    """A reason for a gold task that tells an annotator nothing: that of one of the others."""
    others = list(reasons.values())
    return others[int(key, 16) % len(others)]


def _asked_twice(spec: Capability, clip_ids: Collection[str]) -> list[str]:
    """The share `quality.overlap` of an order's clips, drawn by a hash: the same ones when it is pushed again."""
    drawn = sorted(clip_ids, key=lambda clip_id: work_key("overlap", spec.id, clip_id))
    return drawn[: round(spec.quality.overlap * len(clip_ids))]


def _moves(catalog: Catalog, client: LabelStudio, project: Project) -> list[_Move]:
    """What nobody has begun in the capability's other projects, of clips that are still there."""
    others = [
        other for other in find_projects(client) if other.capability == project.capability and other.uid != project.uid
    ]
    found = [_Move(other, task) for other in others for task in untouched(client, other)]
    if not found:
        return []
    current = set(views.clips(catalog).select("clip_id").collect()["clip_id"])
    return [move for move in found if move.clip_id in current]


def _take_out(client: LabelStudio, project: Project, moves: Sequence[_Move], sent: Sent) -> int:
    """Deletes tasks from the projects they moved out of, and gold, whose answer is of the earlier meaning."""
    arrived = sent.new | sent.there
    gone = [move for move in moves if move.is_gold or task_key(project, move.clip_id) in arrived]
    for other in {move.project for move in gone}:
        delete_untouched(client, other, [move.task.number for move in gone if move.project == other])
    return sum(not move.is_gold for move in gone)


def _record_outcomes(catalog: Catalog, run_id: str, sent: Sequence[str], failures: Sequence[Failure[Span]]) -> None:
    rows: list[dict[str, Any]] = [{"stage": "proxy", "item": clip_id, "outcome": "ok"} for clip_id in sent]
    for failure in failures:
        item = {"stage": "proxy", "item": failure.item.clip_id, "outcome": "failed", "reason": failure.reason}
        rows.append({**item, "seconds": failure.seconds})
    catalog.write("outcomes", rows, run_id=run_id)


def _record_clips(catalog: Catalog, run_id: str, order: Decision, clip_ids: Sequence[str]) -> None:
    """Why each clip was first chosen: a clip drawn at random stays so, whatever orders it again."""
    ours = {"capability": pl.lit(order.subject), "decision_id": pl.lit(order.decision_id)}
    chosen = ordered_clips(order).select("clip_id", "reason", "inclusion").with_columns(**ours)
    known = catalog.scan("orders").select("capability", "clip_id").collect()
    new = chosen.filter(pl.col("clip_id").is_in(list(clip_ids))).join(known, on=["capability", "clip_id"], how="anti")
    catalog.write("orders", new, run_id=run_id)
