"""Pushing 10,000 clips to annotators takes at most 5 minutes, and pulling 10,000 annotations at most 2.

    python -m benchmarks.labels [--quick] [--json]

Against a real Label Studio on this machine (SQLite), started here and stopped again. Each clip has a guess to correct,
and a tenth is asked of two annotators. The clips' proxies are known beforehand, as after a first push: cutting them is
bound by decoding, not by Label Studio. Annotations of half the tasks have a segment; they come in by Label Studio's
bulk import, because annotators take longer. Beside the two figures of the claim stand what it costs to push and pull
again with nothing new, at once and minutes later, and to pull after ten annotations changed. The figure is the larger
share of the time allowed.
"""

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from benchmarks.claim import Result, main
from curate.identity import file_id, span_id
from curate.sample.world import render_world
from curate.specs import Capability
from curate.targets.choosing.order import order_labels
from curate.workspace import Workspace, create_workspace
from labeling.client import Server, session
from labeling.frames import Timeline
from labeling.gold import task_key
from labeling.interface import EXHAUSTIVE, SEGMENT, VERDICT, VIDEO, labelling_config
from labeling.media import media
from labeling.projects import find_projects, open_project
from labeling.proxies import Proxy, Span, cut_proxies, directory
from labeling.pull import pull
from labeling.push import push
from labeling.server import down, up
from labeling.tasks import pages

_CLIP_S = 2.0
_PUSH_S, _PULL_S = 300.0, 120.0
_CHANGED = 10
_SETTLED_S = 130.0
"""After so long no request can be under way that a pull has not seen, and it need not look back."""


def measure(quick: bool) -> Result:
    count = 500 if quick else 10_000
    with tempfile.TemporaryDirectory() as temporary:
        workspace = create_workspace(Path(temporary) / "workspace", sample=True)
        clip_ids = fill(workspace, count)
        state = workspace.state / "label-studio"
        try:
            rows = _rows(workspace, up(state), clip_ids, settled=not quick)
        finally:
            down(state)
    allowed = {"push": _PUSH_S * count / 10_000, "pull": _PULL_S * count / 10_000}
    share = max(row["seconds"] / allowed[row["step"]] for row in rows if row["step"] in allowed)
    notes = f"The machine had a load of {os.getloadavg()[2]:.1f} over the last 15 minutes."
    return Result(share, "of the time allowed", 1.0, at_most=True, rows=rows, notes=notes)


def fill(workspace: Workspace, count: int) -> list[str]:
    """Makes `count` clips of one video that are known, with a score each, and whose proxies are one short file."""
    truth = render_world(workspace.root / "footage", 1, seed=3)
    path = workspace.root / "footage" / next(each["file"] for each in truth["videos"] if each["kind"] == "original")
    video_id, catalog = file_id(path), workspace.catalog
    spans = [(0.5 + index / 1000, 0.5 + index / 1000 + _CLIP_S) for index in range(count)]
    clips = [
        {"clip_id": span_id(video_id, start_s, end_s), "video_id": video_id, "start_s": start_s, "end_s": end_s}
        for start_s, end_s in spans
    ]
    video = {"video_id": video_id, "path": str(path), "source": "sample_world", "licence": "CC0-1.0"}
    outcome = {"stage": "collect", "item": path.name, "video_id": video_id, "outcome": "ok"}
    first = Span(clips[0]["clip_id"], str(path), *spans[0])
    [proxy] = cut_proxies(workspace, [first], lambda *_: None)
    assert isinstance(proxy, Proxy)
    known = []
    for clip in clips[1:]:
        edges_s = [clip["start_s"] + edge_s - spans[0][0] for edge_s in proxy.timeline.edges_s]
        other = Proxy(clip["clip_id"], proxy.settings, Timeline(proxy.fps, edges_s))
        known.append(
            {
                "clip_id": other.clip_id,
                "settings": other.settings,
                "fps": str(other.fps),
                "frames": other.frames,
                "duration_s": other.duration_s,
                "edges_s": edges_s,
            }
        )
        file = directory(workspace) / other.name
        file.parent.mkdir(parents=True, exist_ok=True)
        os.link(directory(workspace) / proxy.name, file)
    for table, rows in (("videos", [video]), ("clips", clips), ("outcomes", [outcome]), ("proxies", known)):
        catalog.write(table, rows, run_id="benchmark", work_key="benchmark")
    return [clip["clip_id"] for clip in clips]


def _rows(workspace: Workspace, server: Server, clip_ids: list[str], *, settled: bool) -> list[dict[str, Any]]:
    pushed, annotated = _capability(workspace, "pushed"), _capability(workspace, "annotated")
    _score(workspace, pushed, clip_ids)
    rows = [
        _timed("push", len(clip_ids), lambda: _push(workspace, server, pushed, clip_ids)),
        _timed("push, all there", len(clip_ids), lambda: _push(workspace, server, pushed, clip_ids)),
    ]
    _annotate(workspace, server, pushed, annotated)
    rows.append(_timed("pull", len(clip_ids), lambda: _pull(workspace, server, annotated)))
    rows.append(_timed("pull, nothing new", 0, lambda: _pull(workspace, server, annotated)))
    _change(server, annotated)
    rows.append(_timed("pull, 10 changed", _CHANGED, lambda: _pull(workspace, server, annotated)))
    if settled:
        time.sleep(_SETTLED_S)
        _pull(workspace, server, annotated)
        rows.append(_timed("pull, nothing new for minutes", 0, lambda: _pull(workspace, server, annotated)))
    return rows


def _timed(step: str, items: int, way: Callable[[], int]) -> dict[str, Any]:
    began = time.perf_counter()
    found = way()
    seconds = time.perf_counter() - began
    assert found == items, f"{step}: {found} of {items}"
    return {"step": step, "items": items, "seconds": seconds}


def _push(workspace: Workspace, server: Server, spec: Capability, clip_ids: list[str]) -> int:
    clips = pl.DataFrame({"clip_id": clip_ids}).with_columns(reason=pl.lit("likely"))
    order = order_labels(workspace, spec.id, clips, who="benchmark", why="to measure", status="approved")
    sent = push(workspace, order, server)
    return sent.pushed + sent.already_there


def _pull(workspace: Workspace, server: Server, spec: Capability) -> int:
    return pull(workspace, [spec.id], server=server).new


def _annotate(workspace: Workspace, server: Server, pushed: Capability, annotated: Capability) -> None:
    """Copies the tasks that were pushed into another capability's project, with an annotation each."""
    with session(server) as client:
        [source] = [project for project in find_projects(client) if project.capability == pushed.id]
        target = open_project(
            client, workspace, server, annotated,
            title=annotated.id, config=labelling_config(annotated), instructions="", media=media(workspace, server),
        )  # fmt: skip
        for page in pages(client, source, [], "id,data"):
            request = [
                {
                    "data": task.data | {"key": task_key(target, task.data["clip_id"]), "capability": annotated.id},
                    "annotations": [_annotation(annotated, task.id % 2 == 0)],
                }
                for task in page
            ]
            client.projects.import_tasks(target.number, request=request)


def _annotation(spec: Capability, present: bool) -> dict[str, Any]:
    span = {"ranges": [{"start": 10, "end": 30}], "timelinelabels": [spec.id]}
    segment = {"id": "a", "from_name": SEGMENT, "to_name": VIDEO, "type": "timelinelabels", "value": span}
    said = [_choice(VERDICT, "present" if present else "absent"), _choice(EXHAUSTIVE, EXHAUSTIVE)]
    return {"result": [*said, segment] if present else said, "lead_time": 8.0, "ground_truth": False}


def _choice(control: str, value: str) -> dict[str, Any]:
    return {"id": control, "from_name": control, "to_name": VIDEO, "type": "choices", "value": {"choices": [value]}}


def _change(server: Server, spec: Capability) -> None:
    with session(server) as client:
        [project] = [project for project in find_projects(client) if project.capability == spec.id]
        tasks = next(pages(client, project, [], "id,annotations"))[:_CHANGED]
        for task in tasks:
            client.annotations.update(task.annotations[0]["id"], result=[_choice(VERDICT, "unsure")])


def _capability(workspace: Workspace, name: str) -> Capability:
    content = {
        "id": name,
        "title": name,
        "owner": "benchmark",
        "why": "to measure",
        "definition": "It is seen.",
        "segment": {"description": "One time.", "fields": []},
        "match": {"text": ["a thing"]},
        "target": {"clips": 10_000},
    }
    path = workspace.configs / "capabilities" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content))
    return workspace.capability(name)


def _score(workspace: Workspace, spec: Capability, clip_ids: list[str]) -> None:
    known = {"capability": spec.id, "spec_version": spec.version, "model_id": "clip", "probability": 0.5}
    spans = workspace.catalog.read("clips").select(
        "clip_id", best_start_s=pl.col("start_s"), best_end_s=pl.col("end_s") - 1
    )
    scores = spans.filter(pl.col("clip_id").is_in(clip_ids)).with_columns(**{k: pl.lit(v) for k, v in known.items()})
    workspace.catalog.write("scores", scores, run_id="benchmark")


if __name__ == "__main__":
    main("labels", measure)
