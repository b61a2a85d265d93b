"""Sends clips to annotators: each once, with a guess to correct where the search has one.

Label Studio knows no uniqueness and a lost reply may hide a commit, so a task's identity (clip and spec version) is
in its data, and is looked for before every import, under a lock, without retries. A push that was killed is
repeated and sends what is missing.
"""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, TypeVar

import polars as pl
from label_studio_sdk.client import LabelStudio

from curate import views
from curate.decisions import APPROVED, DONE, PROPOSED, Decision, finish
from curate.engine import Failure
from curate.errors import InputError
from curate.progress import Progress, silent
from curate.specs import Capability
from curate.targets.choosing.order import ordered_clips
from curate.workspace import Workspace, new_run_id
from labeling.client import Server, session
from labeling.interface import SEGMENT, VIDEO, instructions, labelling_config
from labeling.projects import Project, open_project
from labeling.proxies import Proxy, Span, cut_proxies, directory

T = TypeVar("T")

_BATCH_TASKS = 100
_QUERY_IDS = 300
"""Ids in one look-up: the query travels in the URL, and over 64 KiB the client refuses it."""


@dataclass(frozen=True)
class PushSummary:
    """Clips sent now, there before, and those that could not be cut (each a `failed` outcome of stage `proxy`)."""

    capability: str
    pushed: int
    already_there: int
    failed: int
    project_id: int
    url: str


def push(workspace: Workspace, order: Decision, server: Server, *, progress: Progress = silent) -> PushSummary:
    """Sends the clips of an approved order (`curate.targets.choosing.order`) to the capability's project, in their
    order.

    Pushing again sends nothing twice. Once all are sent, the order is done; why each clip was sent is in `orders`.

    Raises:
        InputError: an unknown capability or clip, an order that nobody approved or that is for another version of the
            spec, a refused token, or a server that cannot reach the media.
        CurateError: the server does not answer, or another push is running.
    """
    spec = workspace.capability(order.subject)
    _check_order(order, spec)
    address = _media_address(server)
    clips = ordered_clips(order)
    reasons = dict(clips.select("clip_id", pl.coalesce("detail", "reason", pl.lit(""))).iter_rows())
    with workspace.lock("label-push"), session(server) as client:
        media = directory(workspace) if server.pid else None
        project = open_project(
            client, workspace, server, spec,
            title=spec.id, config=labelling_config(spec), instructions=instructions(spec), media=media,
        )  # fmt: skip
        there = _already_there(client, project, list(reasons))
        wanted = _clips(workspace, [clip for clip in reasons if clip not in there])
        proxies, failures = _proxies(workspace, wanted, progress)
        guesses = _guesses(workspace, spec, list(proxies))
        rows = (row for row in wanted.iter_rows(named=True) if row["clip_id"] in proxies)
        tasks = [
            _task(row, proxies[row["clip_id"]], spec, address, reasons[row["clip_id"]], guesses.get(row["clip_id"]))
            for row in rows
        ]
        # Before the tasks: that a clip was ordered and never sent is harmless, a label of unknown origin is not.
        run_id = new_run_id("label-push")
        _record_clips(workspace, run_id, order, [task["data"]["clip_id"] for task in tasks])
        _import(client, project, tasks, progress)
        _show_guesses(client, project, guesses)
    summary = PushSummary(spec.id, len(tasks), len(there), len(failures), project.number, project.url(server))
    _record_outcomes(workspace, run_id, proxies, failures)
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


def _media_address(server: Server) -> str:
    """What comes before a proxy's name in the address an annotator's browser loads it from."""
    if server.pid:
        return "/data/local-files/?d=proxies/"
    address = os.environ.get("LABEL_STUDIO_MEDIA_URL")
    if not address:
        raise InputError(
            "this Label Studio cannot read the clips, which are files of this workspace",
            where=server.url,
            fix="Serve .curate/cache/proxies over HTTP (with Range and CORS) and set LABEL_STUDIO_MEDIA_URL to its "
            "address, or unset LABEL_STUDIO_URL and use `curate label up`",
        )
    return f"{address.rstrip('/')}/"


def _already_there(client: LabelStudio, project: Project, clip_ids: Sequence[str]) -> set[str]:
    found: set[str] = set()
    for ids in _batches(clip_ids, _QUERY_IDS):
        item = {"filter": "filter:tasks:data.clip_id", "operator": "in_list", "type": "String", "value": ids}
        tasks = client.tasks.list(
            project=project.number,
            query=json.dumps({"filters": {"conjunction": "and", "items": [item]}}),
            fields="task_only",
            include="id,data",
            resolve_uri=False,
            page_size=1000,
        )
        found |= {task.data["clip_id"] for task in tasks}
    return found & set(clip_ids)


def _clips(workspace: Workspace, clip_ids: list[str]) -> pl.DataFrame:
    wanted = pl.DataFrame({"clip_id": clip_ids}, schema={"clip_id": pl.String})
    found = wanted.join(views.clips(workspace.catalog).collect(), on="clip_id", how="left", maintain_order="left")
    unknown = found.filter(pl.col("video_id").is_null())["clip_id"].to_list()
    if unknown:
        raise InputError(f"no clip {unknown[0]!r} ({len(unknown)} unknown)", fix="Choose among the workspace's clips")
    return found


def _proxies(
    workspace: Workspace, clips: pl.DataFrame, progress: Progress
) -> tuple[dict[str, Proxy], list[Failure[Span]]]:
    spans = [Span(*row) for row in clips.select("clip_id", "path", "start_s", "end_s").iter_rows()]
    made: dict[str, Proxy] = {}
    failures: list[Failure[Span]] = []
    for outcome in cut_proxies(workspace, spans, progress):
        if isinstance(outcome, Proxy):
            made[outcome.clip_id] = outcome
        else:
            failures.append(outcome)
    return made, failures


def _guesses(workspace: Workspace, spec: Capability, clip_ids: list[str]) -> dict[str, dict[str, Any]]:
    """The best span of each clip by the capability's scores, where there is one."""
    scores = workspace.catalog.scan("scores").filter(
        pl.col("capability") == spec.id,
        pl.col("spec_version") == spec.version,
        pl.col("clip_id").is_in(clip_ids),
        pl.col("best_start_s").is_not_null(),
        pl.col("best_end_s") > pl.col("best_start_s"),
    )
    columns = ["clip_id", "model_id", "probability", "best_start_s", "best_end_s"]
    return {row["clip_id"]: row for row in scores.select(columns).collect().iter_rows(named=True)}


def _task(
    clip: dict[str, Any], proxy: Proxy, spec: Capability, address: str, reason: str, guess: dict[str, Any] | None
) -> dict[str, Any]:
    data = {
        "video": f"{address}{proxy.name}",
        "clip_id": clip["clip_id"],
        "video_id": clip["video_id"],
        "capability": spec.id,
        "spec_version": spec.version,
        "fps": float(proxy.fps),
        "fps_fraction": str(proxy.fps),
        "frames": proxy.frames,
        "start_s": clip["start_s"],
        "duration_s": proxy.duration_s,
        "proxy": proxy.settings,
        "reason": reason,
    }
    return {"data": data, "predictions": [_prediction(proxy, spec, guess)] if guess else []}


def _prediction(proxy: Proxy, spec: Capability, guess: dict[str, Any]) -> dict[str, Any]:
    first, last = proxy.timeline.to_frames(guess["best_start_s"], guess["best_end_s"])
    value = {"ranges": [{"start": first, "end": last}], "timelinelabels": [spec.id]}
    region = {"id": "guess", "from_name": SEGMENT, "to_name": VIDEO, "type": "timelinelabels", "value": value}
    return {"model_version": guess["model_id"], "score": guess["probability"], "result": [region]}


def _import(client: LabelStudio, project: Project, tasks: list[dict[str, Any]], progress: Progress) -> None:
    sent = 0
    progress("tasks", sent, len(tasks))
    for batch in _batches(tasks, _BATCH_TASKS):
        client.projects.import_tasks(project.number, request=batch)
        sent += len(batch)
        progress("tasks", sent, len(tasks))


def _show_guesses(client: LabelStudio, project: Project, guesses: dict[str, dict[str, Any]]) -> None:
    """Label Studio shows the predictions of one model version only: the newest scores'."""
    models = {guess["model_id"] for guess in guesses.values()}
    if models:
        client.projects.update(project.number, model_version=max(models))


def _record_outcomes(
    workspace: Workspace, run_id: str, proxies: dict[str, Proxy], failures: list[Failure[Span]]
) -> None:
    rows: list[dict[str, Any]] = [{"stage": "proxy", "item": clip_id, "outcome": "ok"} for clip_id in proxies]
    for failure in failures:
        item = {"stage": "proxy", "item": failure.item.clip_id, "outcome": "failed", "reason": failure.reason}
        rows.append({**item, "seconds": failure.seconds})
    workspace.catalog.write("outcomes", rows, run_id=run_id)


def _record_clips(workspace: Workspace, run_id: str, order: Decision, sent: Sequence[str]) -> None:
    """Why each clip was first chosen: a clip drawn at random stays so, whatever orders it again."""
    ours = {"capability": pl.lit(order.subject), "decision_id": pl.lit(order.decision_id)}
    chosen = ordered_clips(order).select("clip_id", "reason", "inclusion").with_columns(**ours)
    known = workspace.catalog.scan("orders").select("capability", "clip_id").collect()
    new = chosen.filter(pl.col("clip_id").is_in(list(sent))).join(known, on=["capability", "clip_id"], how="anti")
    workspace.catalog.write("orders", new, run_id=run_id)


def _batches(items: Sequence[T], size: int) -> Iterator[list[T]]:
    queue = iter(items)
    while batch := list(islice(queue, size)):
        yield batch
