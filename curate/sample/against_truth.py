"""How right the stages were on the sample world, where the truth is known.

Each function compares what the catalog says with truth.json and returns plain figures; the demo prints them and the
tests hold them to their floors.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from curate import views
from curate.catalog import Catalog

CUT_TOLERANCE_S = 0.1
"""A cut is found when a boundary lies within this of it: two to three frames of the world's slowest video."""

SHOWN_S = 0.75
"""A clip shows an action when at least this much of it, or half of it if that is shorter, lies inside the clip."""

SAME_CONTENT = ("bytes", "remux", "reencode")
"""Copies that show what the original shows, pixel for pixel or nearly so."""


@dataclass(frozen=True)
class Agreement:
    """Counts of what was found, missed and made up."""

    hits: int
    misses: int
    false_alarms: int

    @property
    def recall(self) -> float:
        return self.hits / max(self.hits + self.misses, 1)

    @property
    def precision(self) -> float:
        return self.hits / max(self.hits + self.false_alarms, 1)

    @property
    def f1(self) -> float:
        return 2 * self.hits / max(2 * self.hits + self.misses + self.false_alarms, 1)


@dataclass(frozen=True)
class CopyAgreement:
    """Pairs of a copy's clip and its original's that have an edge or lack one; all edges, and those that are wrong."""

    found: int
    missed: int
    edges: int
    wrong: int

    @property
    def recall(self) -> float:
        return self.found / max(self.found + self.missed, 1)

    @property
    def precision(self) -> float:
        return 1 - self.wrong / max(self.edges, 1)


def truth_by_video(catalog: Catalog, truth: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The truth of each file, by video_id; of files with the same bytes, the original's."""
    files = {Path(path).name: video_id for path, video_id in catalog.read("files")["path", "video_id"].iter_rows()}
    found: dict[str, dict[str, Any]] = {}
    for video in truth["videos"]:
        if video["file"] in files:
            found.setdefault(files[video["file"]], video)
    return found


def cut_agreement(catalog: Catalog, truth: dict[str, Any]) -> Agreement:
    """Detected cuts against true ones. One inside a dissolve or fade belongs to that, and is not counted."""
    hits = misses = false_alarms = 0
    for video, found in _transitions(catalog, truth):
        at = [start_s for start_s, end_s in found if start_s == end_s]
        cuts = [edge["start_s"] for edge in video["boundaries"] if edge["kind"] == "cut"]
        gradual = [
            (edge["start_s"] - 0.25, edge["end_s"] + 0.25) for edge in video["boundaries"] if edge["kind"] != "cut"
        ]
        for cut in cuts:
            nearest = min(at, key=lambda time_s: abs(time_s - cut), default=None)
            if nearest is not None and abs(nearest - cut) <= CUT_TOLERANCE_S:
                hits += 1
                at = [time_s for time_s in at if time_s != nearest]
            else:
                misses += 1
        false_alarms += sum(not any(start <= time_s <= end for start, end in gradual) for time_s in at)
    return Agreement(hits, misses, false_alarms)


def gradual_agreement(catalog: Catalog, truth: dict[str, Any]) -> Agreement:
    """Detected dissolves and fades against true ones: found where the extents share half of their union at least."""
    hits = misses = false_alarms = 0
    for video, found in _transitions(catalog, truth):
        extents = [span for span in found if span[0] < span[1]]
        for edge in video["boundaries"]:
            if edge["kind"] == "cut":
                continue
            fitting = [span for span in extents if _shared(span, (edge["start_s"], edge["end_s"])) >= 0.5]
            hits, misses = hits + bool(fitting), misses + (not fitting)
            extents = [span for span in extents if span not in fitting[:1]]
        false_alarms += len(extents)
    return Agreement(hits, misses, false_alarms)


def _transitions(catalog: Catalog, truth: dict[str, Any]) -> Iterator[tuple[dict[str, Any], list[tuple[float, float]]]]:
    """Each good video's truth, and the spans between its shots: a cut has no length."""
    shots = catalog.scan("shots").sort("video_id", "start_s").collect()
    by_video = {key[0]: rows for key, rows in shots.group_by("video_id", maintain_order=True)}
    for video_id, video in truth_by_video(catalog, truth).items():
        if video["expected"] == "ok" and video_id in by_video:
            rows = by_video[video_id].select("start_s", "end_s", "boundary").rows()
            ends_s = [0.0, *(end_s for _, end_s, _ in rows)]
            yield (
                video,
                [
                    (before_s, start_s)
                    for before_s, (start_s, _, boundary) in zip(ends_s, rows, strict=False)
                    if boundary in ("cut", "gradual")
                ],
            )
        elif video["expected"] == "ok":
            yield video, []


def _shared(one: tuple[float, float], other: tuple[float, float]) -> float:
    """What two spans have in common as a share of what they cover together."""
    shared_s = min(one[1], other[1]) - max(one[0], other[0])
    return max(shared_s, 0.0) / (max(one[1], other[1]) - min(one[0], other[0]))


def copy_agreement(
    catalog: Catalog, truth: dict[str, Any], transforms: tuple[str, ...] = SAME_CONTENT
) -> CopyAgreement:
    """Exact and copy edges against the copies the world made.

    Recall: of the clips of copies by `transforms` with a clip of the original over the same footage (overlap at least
    0.8 of the longer), how many have an edge to it. Precision: of all edges, how many join clips that show the same
    footage in part.
    """
    spans = _root_spans(catalog, truth)
    linked_pairs = catalog.scan("duplicates").filter(pl.col("kind") != "semantic").select("clip_id", "other_id")
    edges = {frozenset(pair) for pair in linked_pairs.collect().iter_rows()}
    found = missed = 0
    originals = [span for span in spans.values() if span["transform"] is None]
    for copy in spans.values():
        if copy["transform"] not in transforms:
            continue
        for original in originals:
            if _overlap(copy, original) >= 0.8:
                linked = frozenset((copy["clip_id"], original["clip_id"])) in edges
                found, missed = found + linked, missed + (not linked)
    wrong = sum(
        not (set(pair) <= set(spans) and _overlap(*(spans[clip] for clip in pair)) > 0) for pair in map(tuple, edges)
    )
    return CopyAgreement(found, missed, len(edges), wrong)


def shows(catalog: Catalog, truth: dict[str, Any], action: str) -> set[str]:
    """The current clips that show an action."""
    videos = truth_by_video(catalog, truth)
    found = set()
    for clip_id, video_id, start_s, end_s in (
        views.clips(catalog).select("clip_id", "video_id", "start_s", "end_s").collect().iter_rows()
    ):
        for segment in videos[video_id]["segments"]:
            shown_s = min(end_s, segment["end_s"]) - max(start_s, segment["start_s"])
            needed_s = min(SHOWN_S, (segment["end_s"] - segment["start_s"]) / 2)
            if segment["action"] == action and shown_s >= needed_s:
                found.add(clip_id)
    return found


def precision_at(ranked: list[str], positives: set[str], k: int = 20) -> float:
    """Share of the first `k` that are positive."""
    return sum(clip in positives for clip in ranked[:k]) / k


def _root_spans(catalog: Catalog, truth: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Each clip's span in the time of the original its video was made from."""
    videos = truth_by_video(catalog, truth)
    spans = {}
    for clip_id, video_id, start_s, end_s in (
        views.clips(catalog).select("clip_id", "video_id", "start_s", "end_s").collect().iter_rows()
    ):
        video = videos[video_id]
        time_map = video["time_map"] or {"offset_s": 0.0, "speed": 1.0}
        spans[clip_id] = {
            "clip_id": clip_id,
            "root": video["of"] or video["file"],
            "transform": video["transform"],
            "start_s": time_map["offset_s"] + time_map["speed"] * start_s,
            "end_s": time_map["offset_s"] + time_map["speed"] * end_s,
        }
    return spans


def _overlap(a: dict[str, Any], b: dict[str, Any]) -> float:
    """Shared footage as a share of the longer span; 0 where the originals differ."""
    if a["root"] != b["root"]:
        return 0.0
    shared_s = min(a["end_s"], b["end_s"]) - max(a["start_s"], b["start_s"])
    return max(shared_s, 0.0) / max(a["end_s"] - a["start_s"], b["end_s"] - b["start_s"])
