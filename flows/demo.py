"""Once round the wheel on the sample world, as a short story: from raw footage to a trained segmenter.

Every step is the one a user runs, through the same flows. The only thing simulated is people: two annotators who mark
the world's truth through Label Studio's real API, erring a little, and a reviewer who settles what they differ on. Run
again, each step finds its work done and says so.
"""

import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl

from curate import views
from curate.console import bars, out
from curate.mixes.load import load_mix
from curate.report.page import write_report
from curate.review.agreement import agreement
from curate.sample import against_truth
from curate.sample.world import render_world
from curate.targets.gaps.coverage import gaps
from curate.targets.scoring.score import score
from curate.workspace import Workspace, create_workspace
from flows import run_flow
from flows.settings import progress
from labeling.accounts import sign_up
from labeling.adjudicate import adjudicate
from labeling.client import Server
from labeling.pull import pull
from labeling.server import down, up
from labeling.simulate import Errors, annotate, review

SEED = 7
LABELS_EACH = 36
WHO = "demo"
MIX = "base"
ERRORS = (Errors(0.05, 0.02, 0.02, 0.01, seed=1), Errors(0.1, 0.05, 0.05, 0.02, seed=2))
"""Of the first annotator, and of the second, who labels the share of clips that two are to label."""


def run_demo(directory: Path, *, videos: int = 60) -> dict[str, Any]:
    """Runs the whole loop in a scratch workspace and prints its figures.

    Args:
        directory: the workspace; made if missing, resumed if it was begun.
        videos: originals of the sample world; copies and broken files come on top.

    Returns:
        The figures of each stage, as printed.
    """
    began = time.monotonic()
    workspace = create_workspace(directory, sample=True)
    out.print(f"Once round the wheel, in {workspace.root}\n")
    story: dict[str, Any] = {}
    with _step("footage"):
        truth = story["footage"] = _render(workspace, videos)
    with _step("collect"):
        story["collect"] = _collect(workspace, truth)
    story["gaps"] = _gaps(workspace, "Gaps")
    with _step("label"):
        story["label"] = _label(workspace, truth)
    with _step("mix"):
        story["mix"] = _mix(workspace)
    with _step("train"):
        story["train"] = _train(workspace)
    story["gaps after"] = _gaps(workspace, "Gaps now")
    report = write_report(workspace)
    out.print(f"[bold]done[/bold] in {time.monotonic() - began:.0f} s")
    out.print(f"  report  {report}")
    out.print(f"  mix     {workspace.data / MIX}")
    out.print(f"  model   {story['train']['train']['model_path']}")
    return story


@contextmanager
def _step(title: str) -> Iterator[None]:
    began = time.monotonic()
    with bars() as callback:
        token = progress.set(callback)
        try:
            yield
        finally:
            progress.reset(token)
    out.print(f"  [dim]{title}: {time.monotonic() - began:.0f} s[/dim]\n")


def _say(title: str, *lines: str) -> None:
    out.print(f"[bold]{title}[/bold]")
    for line in lines:
        out.print(f"  {line}")


def _render(workspace: Workspace, videos: int) -> dict[str, Any]:
    footage, wanted = workspace.root / "footage", {"seed": SEED, "originals": videos}
    made = footage / "made.json"
    if made.exists() and json.loads(made.read_text()) == wanted:
        truth: dict[str, Any] = json.loads((footage / "truth.json").read_text())
        _say("Footage", f"{len(truth['videos'])} files are there already: skipped")
        return truth
    began, tell = time.monotonic(), progress.get()
    truth = render_world(footage, videos, SEED, progress=lambda done, total: tell("videos", done, total))
    made.write_text(json.dumps(wanted))
    kinds = pl.DataFrame(truth["videos"], infer_schema_length=None)["kind"].value_counts().sort("kind")
    footage_s = sum(video["duration_s"] or 0 for video in truth["videos"])
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds.iter_rows())
    speed = footage_s / (time.monotonic() - began)
    _say("Footage", f"{counts}: {footage_s / 60:.1f} min, rendered {speed:.0f}x faster than real time")
    return truth


def _collect(workspace: Workspace, truth: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = run_flow(workspace, "collect")
    collected, deduplicated, catalog = found["collect"], found["dedupe"], workspace.catalog
    cuts, gradual = against_truth.cut_agreement(catalog, truth), against_truth.gradual_agreement(catalog, truth)
    copies = against_truth.copy_agreement(catalog, truth)
    _say(
        "Collect",
        f"{collected['inputs']} files = {collected['ok']} ok + {collected['filtered']} filtered"
        f" + {collected['failed']} failed; {collected['skipped']} were done before: skipped",
        f"{collected['clips']} clips; against truth: cuts F1 {cuts.f1:.3f}, dissolves and fades {gradual.f1:.3f}",
        f"{deduplicated['kept']} kept after duplicates; copies found: recall {copies.recall:.3f},"
        f" precision {copies.precision:.3f}",
    )
    for item, reason in collected["failures"]:
        out.print(f"    failed {item}: {reason}")
    found["against_truth"] = {"cuts_f1": cuts.f1, "copies_recall": copies.recall, "copies_precision": copies.precision}
    found["retrieval"] = _retrieval(workspace, truth)
    return found


def _retrieval(workspace: Workspace, truth: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Precision among the 20 best clips of each capability, beside its base rate."""
    kept = set(views.kept_clips(workspace.catalog).collect()["clip_id"])
    scores = workspace.catalog.read("scores").sort(["similarity", "clip_id"], descending=[True, False])
    found = {}
    for name in workspace.capabilities():
        positives = against_truth.shows(workspace.catalog, truth, name) & kept
        ranked = scores.filter(pl.col("capability") == name, pl.col("clip_id").is_in(kept))["clip_id"].to_list()
        found[name] = {
            "precision_at_20": against_truth.precision_at(ranked, positives),
            "base_rate": len(positives) / len(kept),
        }
    lines = [f"{name} {row['precision_at_20']:.2f} ({row['base_rate']:.2f})" for name, row in found.items()]
    out.print(f"  precision of the 20 best by text (base rate): {', '.join(lines)}")
    return found


def _gaps(workspace: Workspace, title: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = gaps(workspace).to_dicts()
    missing = [f"{row['capability']} {row['gap_clips']}" for row in found if row["gap_clips"]]
    _say(title, f"labelled clips missing, most urgent first: {', '.join(missing) or 'none'}")
    out.print()
    return found


def _label(workspace: Workspace, truth: dict[str, Any]) -> dict[str, Any]:
    state = workspace.state / "label-studio"
    orders = workspace.catalog.scan("decisions").filter(pl.col("kind") == "label-order", pl.col("who") == WHO)
    ordered = set(orders.collect()["subject"].to_list())
    missing = sorted(set(workspace.capabilities()) - ordered)
    labels = views.labels(workspace.catalog).collect()
    if not missing and labels.height and not labels["contested"].any():
        _say("Label", f"{labels.height} labels are there already: skipped")
        return {"labels": labels.height}
    server = up(state, progress=progress.get())
    try:
        settings = {"who": WHO, "why": "first round", "capabilities": missing, "budget": LABELS_EACH}
        found: dict[str, Any] = run_flow(workspace, "label", settings)
        second = sign_up(server, f"second-{secrets.token_hex(3)}@localhost", secrets.token_urlsafe(12))
        annotated = [
            annotate(workspace, truth, person, errors=errors, progress=progress.get())
            for person, errors in zip((server, second), ERRORS, strict=True)
        ]
        pulled = pull(workspace, None, server=server, progress=progress.get())
        agreed = agreement(workspace.catalog, workspace.capabilities())
        settled = _settle(workspace, truth, server)
    finally:
        down(state)
    score(workspace, progress=progress.get())
    verdicts = dict(views.labels(workspace.catalog).group_by("verdict").len().sort("verdict").collect().iter_rows())
    sent = sum(row["pushed"] for row in found["pushed"])
    counts = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items())
    shares = agreed.filter(pl.col("annotator").is_null(), pl.col("measure") == "f1@0.5")["value"].drop_nulls().to_list()
    _say(
        "Label",
        f"{sent} clips sent to Label Studio; {annotated[0]} answers of one annotator, {annotated[1]} second opinions",
        f"F1 of the two's segments, mean over capabilities: {sum(shares) / max(len(shares), 1):.2f};"
        f" {settled} clips that they differ on, settled by a reviewer",
        f"{pulled.new} answers pulled; labels in force: {counts}",
    )
    return {**found, "annotated": annotated, "labels": pulled.new, "settled": settled}


def _settle(workspace: Workspace, truth: dict[str, Any], server: Server) -> int:
    """Has a reviewer settle what the annotators differ on, and says how many clips that were."""
    for name in workspace.capabilities():
        adjudicate(workspace, server, name, progress=progress.get())
    settled = review(workspace, truth, server, progress=progress.get())
    pull(workspace, None, server=server, progress=progress.get())
    return settled


def _mix(workspace: Workspace) -> dict[str, Any]:
    published: dict[str, Any] = run_flow(workspace, "build", {"mix": MIX, "who": WHO, "why": "first round"})
    rows = ", ".join(f"{count} {split}" for split, count in published["rows"].items())
    note = "published" if published["new"] else "nothing changed since, so nothing new"
    size_mb = sum(path.stat().st_size for path in (workspace.data / MIX).rglob("*") if path.is_file()) / 1e6
    back = load_mix(MIX, published["revision"], workspace=workspace.root)
    _say(
        "Mix",
        f"{MIX} {published['revision']}: {rows}; {size_mb:.1f} MB: {note}",
        f"loads back through `datasets`: {sum(back.num_rows.values())} rows",
    )
    return published


def _train(workspace: Workspace) -> dict[str, Any]:
    found: dict[str, Any] = run_flow(workspace, "train", {"mix": MIX})
    trained = found["train"]
    note = "skipped: the model of this mix is there" if trained["skipped"] else f"{trained['seconds']:.0f} s"
    _say("Train", f"{trained['steps']} steps on {trained['device']}: {note}", "F1@0.5 on held-out videos:")
    zero, after = (
        {row["capability"]: row for row in found[name] if row["metric"] == "f1@0.5" and row["slice"] is None}
        for name in ("zero_shot", "trained")
    )
    for name, row in after.items():
        interval = "" if row["low"] is None else f" [{row['low']:.2f}, {row['high']:.2f}]"
        out.print(f"    {name:<14} zero-shot {_figure(zero.get(name))}   trained {_figure(row)}{interval}")
    return found


def _figure(row: dict[str, Any] | None) -> str:
    return "-" if row is None or row["value"] is None else f"{row['value']:.2f}"
