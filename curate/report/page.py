"""The report: one HTML file that needs nothing else, for the lead who asks in the morning what needs doing, and why.

Each part's data is gathered by a module of its own (`waiting`, `changes`, `supply`, `record`, `losses`, `embedding_map`
...) as plain values; here they are put in the order in which a person asks for them, and `page.html` shows them. What
grows with the footage is bounded: pictures on contact sheets by `_PICTURES`, clips on the map by `layout.MOST`, causes
by `losses.MOST_CAUSES`. So the page of 300 clips of the sample world takes 1.4 MB, and one of 20,000 takes 3.4 MB and
6 s of one core.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from curate import views
from curate.errors import CurateError
from curate.mixes.load import read_lock
from curate.mixes.versions import published_names, versions
from curate.progress import Progress, silent
from curate.report import charts
from curate.report.changes import changes, recall, remember, told
from curate.report.embedding_map import embedding_map, sampled
from curate.report.links import clips_of, least_sure, with_pictures
from curate.report.losses import losses
from curate.report.pictures import Pictures, playable, read_pictures
from curate.report.record import growth, label_times, read_evaluations, trend_points
from curate.report.render import render, write_page
from curate.report.review import review_work
from curate.report.runs import run_facts
from curate.report.status import Status, status
from curate.report.supply import Supply, contact_sheet, read_supply, score_histogram, sources
from curate.report.waiting import waiting
from curate.specs import Capability
from curate.workspace import Workspace

_PICTURES = 480
"""On contact sheets, over all capabilities."""
_EACH = (3, 6)
"""Clips of a kind on a contact sheet: with many capabilities, and with few."""
_PAIRS = 3
"""Pairs of duplicates of each kind."""
_STEPS = 7


def write_report(workspace: Workspace, *, progress: Progress = silent) -> Path:
    """Writes .curate/reports/report.html and returns its path.

    What it says is kept beside it, so that the next report can say what changed.
    """
    catalog = workspace.catalog
    standing = status(workspace)
    progress("report", 1, _STEPS)
    labels = views.labels(catalog).collect()
    supply = read_supply(catalog, labels)
    specs = workspace.capabilities()
    order = [row["capability"] for row in standing.gaps]
    progress("report", 2, _STEPS)
    calibrations = {row["capability"]: row for row in catalog.read("calibrations").to_dicts()}
    sheets = _sheets(supply, order, calibrations)
    pairs = least_sure(workspace, _PAIRS)
    placed = sampled(catalog, supply)
    progress("report", 3, _STEPS)
    shown = {clip["clip_id"] for sheet in sheets.values() for clips in sheet.values() for clip in clips}
    pictures = read_pictures(catalog, shown | clips_of(pairs) | set(placed["clip_id"]))
    progress("report", 4, _STEPS)
    titles = {name: specs[name].title for name in order}
    chart = embedding_map(placed, supply, labels, pictures, titles)
    progress("report", 5, _STEPS)
    published = [asdict(each) for name in published_names(workspace) for each in versions(workspace, name)]
    memory = workspace.reports / "told.json"
    before = recall(memory)
    state = {"catalog": catalog.versions(), "mixes": [each["tag"] for each in published]}
    said = told(standing.gaps, state, before)
    last = said["previous"]
    decisions = waiting(catalog)
    capabilities = _capabilities(workspace, standing, specs, supply, calibrations, sheets, pictures)
    progress("report", 6, _STEPS)
    html = render(
        "page.html",
        name=workspace.root.name,
        made=datetime.now(UTC),
        headline=headline(standing),
        status=standing,
        decisions=decisions,
        changes=None if last is None else changes(workspace, standing.gaps, published, last),
        capabilities=capabilities,
        titles=titles,
        slices=slice_tables(standing.slices, titles),
        review=review_work(catalog, {name: specs[name] for name in order}),
        duplicates=with_pictures(pairs, pictures),
        losses=losses(catalog),
        map=chart,
        mixes=[_mix(workspace, name) for name in published_names(workspace)],
        owners=sorted({spec.owner for spec in specs.values()}),
        sources=sorted({*workspace.sources(), *supply.clips["source"]}),
        run=run_facts(workspace),
    )
    path = write_page(workspace.reports / "report.html", html)
    remember(memory, said)
    progress("report", _STEPS, _STEPS)
    return path


def headline(standing: Status) -> str:
    """What a reader who reads no more should know."""
    short = [row for row in standing.gaps if row["gap_clips"]]
    under = [row for row in standing.gaps if row["evaluation"] is not None and row["evaluation"] < row["floor"]]
    said = []
    if standing.waiting:
        said.append(
            "one decision waits for you" if standing.waiting == 1 else f"{standing.waiting} decisions wait for you"
        )
    if short:
        verb = "is" if len(short) == 1 else "are"
        said.append(f"{len(short)} of {len(standing.gaps)} capabilities {verb} short of labels")
    if under:
        said.append(
            f"{len(under)} {'is' if len(under) == 1 else 'are'} below {'its' if len(under) == 1 else 'their'} floor"
        )
    if not said:
        return "No capability is short" if standing.gaps else "No capability is configured yet"
    text = ", ".join(said)
    return text[0].upper() + text[1:]


def slice_tables(slices: Sequence[Mapping[str, Any]], titles: Mapping[str, str]) -> list[dict[str, Any]]:
    """Slices as matrices, one for each field that capabilities are sliced by, one for those with names of their own.

    Keys: name, values (columns), rows: capability, title, and a cell or None for each value.
    """
    tables: dict[str, dict[str, dict[str, Any]]] = {}
    columns: dict[str, dict[str, None]] = {}
    for row in slices:
        if row["capability"] not in titles:
            continue
        name, value = (row["slice"], row["value"]) if row["value"] else ("conditions", row["slice"])
        columns.setdefault(name, {})[value] = None
        tables.setdefault(name, {}).setdefault(row["capability"], {})[value] = row
    return [
        {
            "name": name,
            "values": (values := sorted(columns[name])),
            "rows": [
                {"capability": each, "title": titles[each], "cells": [rows[each].get(value) for value in values]}
                for each in titles
                if each in rows
            ],
        }
        for name, rows in tables.items()
    ]


def _sheets(
    supply: Supply, order: Sequence[str], calibrations: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, list[dict[str, Any]]]]:
    fewest, most = _EACH
    each = max(fewest, min(most, _PICTURES // (2 * max(len(order), 1))))
    return {name: contact_sheet(supply.of(name), _level(calibrations, name), each) for name in order}


def _level(calibrations: Mapping[str, Mapping[str, Any]], name: str) -> float | None:
    return calibrations[name]["level"] if name in calibrations else None


def _capabilities(
    workspace: Workspace, standing: Status, specs: Mapping[str, Capability], supply: Supply,
    calibrations: Mapping[str, Mapping[str, Any]], sheets: Mapping[str, Mapping[str, list[dict[str, Any]]]],
    pictures: Pictures,
) -> list[dict[str, Any]]:  # fmt: skip
    """Everything the page says of each capability, the most urgent first."""
    evaluations, times = read_evaluations(workspace.catalog), label_times(workspace.catalog)
    found = []
    for row in standing.gaps:
        name, spec = row["capability"], specs[row["capability"]]
        scores, calibration = supply.of(name), calibrations.get(name)
        points = trend_points(evaluations, name, row["metric"])
        grown = growth(times, name)
        bars = score_histogram(scores, _level(calibrations, name))
        bins = [bin_ for bin_ in (calibration or {}).get("reliability") or [] if bin_["clips"]]
        expected = None if row["candidates"] is None else _expected(row)
        found.append({
            **row,
            "spec": spec,
            "short": bool(row["gap_clips"]) or any(s["gap_clips"] for s in standing.slices if s["capability"] == name),
            "sources": sources(scores),
            "calibration": calibration,
            "supply": charts.supply_bar(row["positives"], row["target"], expected),
            "against_floor": charts.floor_dot(
                row["evaluation"], row["evaluation_low"], row["evaluation_high"], row["floor"]
            ),
            "points": points,
            "trend": charts.trend(points, row["floor"]) if points else None,
            "growth": None if grown is None else charts.growth(**grown, target=row["target"]),
            "reliability": charts.reliability(bins) if bins else None,
            "histogram": None if bars is None else charts.histogram(**bars),
            "histogram_of": None if bars is None else bars["what"],
            "sheets": {kind: [_card(clip, pictures) for clip in clips] for kind, clips in sheets[name].items()},
        })  # fmt: skip
    return found


def _expected(row: Mapping[str, Any]) -> tuple[float, float, float]:
    low, high = (
        row["candidates"] if row[name] is None else row[name] for name in ("candidates_low", "candidates_high")
    )
    return row["candidates"], low, high


def _card(clip: Mapping[str, Any], pictures: Pictures) -> dict[str, Any]:
    middle_s = (clip["best_start_s"] + clip["best_end_s"]) / 2
    return {
        **clip,
        "file": Path(clip["path"]).name,
        "jpeg": pictures.encoded(clip["clip_id"], middle_s),
        "uri": playable(clip["path"], clip["best_start_s"], clip["best_end_s"]),
    }


def _mix(workspace: Workspace, name: str) -> dict[str, Any]:
    """The newest version of a mix: its facts, and figures and a bar for each share; or why it cannot be read."""
    newest = versions(workspace, name)[-1]
    try:
        lock = read_lock(name, newest.revision, workspace=workspace.root)
    except CurateError as error:
        return {**asdict(newest), "problem": str(error), "shares": [], "shortfalls": []}
    kinds = ("requested", "feasible", "realised")
    shares = [
        {
            "role": role,
            **{kind: lock[kind][role] for kind in kinds},
            "bar": charts.share_bar(*(lock[kind][role] for kind in kinds)),
        }
        for role in lock["requested"]
    ]
    return {**asdict(newest), "problem": None, "shares": shares, "splits": lock["splits"],
            "shortfalls": [shortfall["words"] for shortfall in lock["shortfalls"]]}  # fmt: skip
