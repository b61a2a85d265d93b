"""Renders a sample world: raw videos of many formats, copies and broken files, and `truth.json` beside them.

The truth is the script itself, so shots, actions, text and sound are known to the frame. Times in it are seconds
relative to the first shown frame. A world of 60 originals is about 30 minutes of footage; rendering runs at
about 40 times real time on one core (1,005 s of footage in 23 s). Files are made in threads, one for each core: nearly
all of the time goes by in OpenCV and x264, which let the others run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from curate.sample.copies import (
    BREAKAGES,
    TRANSFORMS,
    TimeMap,
    read_frame_times,
    suffix_of_copy,
    write_broken,
    write_copy,
)
from curate.sample.draw import Stage
from curate.sample.scenes import Deck, Script, duration_s, mirrored, plan_script
from curate.sample.write import Clock, Sound, make_clock, write_video

Truth = dict[str, Any]

# One block of 20 originals. Small worlds take its head, so that even six videos hold the awkward formats.
_STYLES = (
    "variable", "rotated", "plain", "late", "matroska", "portrait", "plain", "medium", "plain", "variable",
    "plain", "plain", "matroska", "plain", "rotated", "plain", "portrait", "variable", "plain", "plain",
)  # fmt: skip
_RATES = (Fraction(30), Fraction(25), Fraction(30000, 1001), Fraction(24))


@dataclass(frozen=True)
class VideoPlan:
    """Everything about one original before a pixel is drawn. Width and height are as shown."""

    file: str
    width: int
    height: int
    fps: Fraction
    variable_rate: bool
    rotation_deg: int
    start_offset_s: Fraction
    preset: str
    clock: Clock
    script: Script
    sound: tuple[Sound, ...]


def render_world(
    directory: Path, videos: int, seed: int, *, progress: Callable[[int, int], None] | None = None
) -> Truth:
    """Writes `videos` originals, about a quarter as many copies, and four broken files, the same bytes for a seed.

    Returns the truth, which is also written as directory/truth.json. From 24 originals on, each of TRANSFORMS
    occurs at least once. `progress` is called with (files done, files in total).

    rotation_deg in the truth is clockwise: how a player must turn the stored picture. fps is nominal.
    """
    if videos < 1:
        raise ValueError(f"a world needs at least 1 video, got {videos}")
    directory.mkdir(parents=True, exist_ok=True)
    plans = plan_world(videos, seed)
    rng = np.random.default_rng([seed, 1])
    sources = [plan for plan in plans if plan.rotation_deg == 0 and plan.file.endswith(".mp4")]
    transforms = _copies(rng, videos)
    total = len(plans) + len(transforms) + len(BREAKAGES)
    entries: list[Truth] = []

    def done(entry: Truth) -> Truth:
        entries.append(entry)
        if progress is not None:
            progress(len(entries), total)
        return entry

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # frames are too small to share, and waking a pool for each costs more than drawing
    pool = ThreadPoolExecutor(len(os.sched_getaffinity(0)))
    try:
        drawn = pool.map(partial(render_original, directory), plans)
        by_file = {entry["file"]: done(entry) for entry in drawn}
        copied = [by_file[sources[int(rng.integers(len(sources)))].file] for _ in transforms]
        for entry in pool.map(partial(render_copy, directory), copied, transforms, range(len(transforms))):
            done(entry)
        for index, breakage in enumerate(BREAKAGES):
            source_path = directory / sources[index % len(sources)].file
            path = directory / f"broken_{breakage}.mp4"
            write_broken(source_path, path, breakage, seed)
            done(_broken_entry(path.name, breakage))
    finally:
        pool.shutdown(cancel_futures=True)
        cv2.setNumThreads(threads)
    truth: Truth = {"seed": seed, "videos": entries}
    (directory / "truth.json").write_text(json.dumps(truth, indent=1) + "\n")
    return truth


def plan_world(videos: int, seed: int) -> list[VideoPlan]:
    """Plans the originals of a world. One deck deals the actions of all of them."""
    rng = np.random.default_rng([seed, 0])
    deck = Deck(rng)
    styles = [_STYLES[index % len(_STYLES)] for index in range(videos)]
    order = rng.permutation(videos)
    return [_plan_video(rng, deck, index, styles[int(order[index])], int(order[index])) for index in range(videos)]


def _plan_video(rng: np.random.Generator, deck: Deck, index: int, style: str, style_index: int) -> VideoPlan:
    width, height = 320, 180
    if style == "medium":
        width, height = (640, 360) if style_index % 40 == 27 else (480, 270)
    elif style in {"portrait", "rotated"}:
        width, height = 180, 320
    fps = _RATES[int(rng.choice(len(_RATES), p=[0.4, 0.2, 0.2, 0.2]))]
    if style == "plain" and rng.random() < 0.06:
        fps = Fraction(50)
    start_offset_s, matroska = Fraction(0), style == "matroska"
    if style == "late":
        matroska = style_index % 40 == 23
        start_offset_s = Fraction(1, 2) if matroska else Fraction(7, 5)
    clock = make_clock(rng, duration_s(rng), fps, variable=style == "variable", matroska=matroska)
    offset_ticks = round(start_offset_s / clock.time_base)
    return VideoPlan(
        file=f"footage_{index + 1:04d}{'.mkv' if matroska else '.mp4'}",
        width=width,
        height=height,
        fps=fps,
        variable_rate=style == "variable",
        rotation_deg=int(rng.choice([90, 270])) if style == "rotated" else 0,
        start_offset_s=offset_ticks * clock.time_base,
        preset="veryfast" if style == "plain" and rng.random() < 0.25 else "superfast",
        clock=clock,
        script=plan_script(rng, deck, clock.times_s, clock.end_s),
        sound=_plan_sound(rng, clock.end_s) if rng.random() < 0.65 else (),
    )


def _plan_sound(rng: np.random.Generator, end_s: float) -> tuple[Sound, ...]:
    parts = int(rng.integers(1, 4))
    edges = [0.0, *(end_s * (i + float(rng.uniform(-0.2, 0.2))) / parts for i in range(1, parts)), end_s]
    return tuple(
        Sound(start, end, str(rng.choice(["tone", "noise", "silence"])), float(rng.integers(200, 1200)))
        for start, end in pairwise(edges)
    )


def _copies(rng: np.random.Generator, videos: int) -> list[str]:
    wanted = max(round(videos / 4), len(TRANSFORMS) if videos >= 24 else 1)
    deals = [str(t) for _ in range(-(-wanted // len(TRANSFORMS))) for t in rng.permutation(TRANSFORMS)]
    return deals[:wanted]


def render_original(directory: Path, plan: VideoPlan) -> Truth:
    """Draws and encodes one original; returns its entry of the truth."""
    stage = Stage(plan.height, plan.width)
    write_video(
        directory / plan.file,
        (stage.draw(plan.script, time_s) for time_s in plan.clock.times_s),
        plan.clock,
        plan.fps,
        rotation_deg=plan.rotation_deg,
        start_offset_s=plan.start_offset_s,
        sound=plan.sound,
        preset=plan.preset,
    )
    # An mp4 counts the delay of its edit list in milliseconds, so the file has the last word on it.
    start_offset_s = read_frame_times(directory / plan.file).start_offset_s if plan.start_offset_s else 0.0
    shots = plan.script.shots
    return {
        "file": plan.file,
        "kind": "original",
        "of": None,
        "transform": None,
        "time_map": None,
        "expected": "ok",
        "duration_s": _s(plan.clock.end_s),
        "fps": _rate(plan.fps),
        "variable_rate": plan.variable_rate,
        "rotation_deg": plan.rotation_deg,
        "width": plan.width,
        "height": plan.height,
        "start_offset_s": _s(start_offset_s),
        "has_audio": bool(plan.sound),
        "boundaries": [
            {"kind": b.kind, "start_s": _s(b.start_s), "end_s": _s(b.end_s)} for b in plan.script.boundaries
        ],
        "shots": [
            {
                "start_s": _s(shot.start_s),
                "end_s": _s(shot.end_s),
                "background": shot.background,
                "pan_per_s": shot.pan_per_s,
                "objects": [{"shape": o.shape, "color": o.color, "texture": o.texture} for o in shot.objects],
            }
            for shot in shots
        ],
        "segments": [
            {"action": a.action, "start_s": _s(a.start_s), "end_s": _s(a.end_s), "fields": dict(a.fields)}
            for shot in shots
            for a in shot.segments
        ],
        "text": [
            {"start_s": _s(c.start_s), "end_s": _s(c.end_s), "text": c.text} for shot in shots for c in shot.captions
        ],
        "sound": [{"start_s": _s(p.start_s), "end_s": _s(p.end_s), "kind": p.kind} for p in plan.sound],
    }


def render_copy(directory: Path, source: Truth, transform: str, index: int) -> Truth:
    """Copies one original of the truth; returns the copy's entry, with the original's truth in the copy's time."""
    source_path = directory / source["file"]
    path = directory / f"copy_{index + 1:04d}_{transform}{suffix_of_copy(transform, source_path)}"
    time_map = write_copy(source_path, path, transform)
    made = read_frame_times(path)
    edges_s = np.array([*made.times_s, made.end_s])

    def spans(items: Sequence[Truth]) -> list[Truth]:
        """Moves spans to the copy's time, onto its frames; what it no longer shows is gone."""
        kept = []
        for item in items:
            start_s, end_s = (_nearest(edges_s, _to_copy(time_map, item[key])) for key in ("start_s", "end_s"))
            is_cut = item.get("kind") == "cut"
            shown = 0 < start_s < made.end_s if is_cut else start_s < end_s
            if shown:
                kept.append({**item, "start_s": _s(start_s), "end_s": _s(end_s)})
        return kept

    segments = spans(source["segments"])
    if transform == "mirror":
        segments = [{**segment, "fields": mirrored(segment["fields"])} for segment in segments]
    return {
        **source,
        "file": path.name,
        "kind": "copy",
        "of": source["file"],
        "transform": transform,
        "time_map": asdict(time_map),
        "duration_s": _s(made.end_s),
        "fps": _rate(Fraction(source["fps"]) * Fraction(time_map.speed)),
        "width": made.width,
        "height": made.height,
        "start_offset_s": _s(made.start_offset_s),
        "has_audio": made.has_audio,
        "boundaries": spans(source["boundaries"]),
        "shots": spans(source["shots"]),
        "segments": segments,
        "text": [] if transform == "mirror" else spans(source["text"]),
        "sound": spans(source["sound"]) if made.has_audio else [],
    }


def _broken_entry(file: str, breakage: str) -> Truth:
    nothing: Truth = dict.fromkeys(
        ("of", "time_map", "duration_s", "fps", "variable_rate", "rotation_deg", "width", "height", "start_offset_s")
    )
    empty: Truth = {key: [] for key in ("boundaries", "shots", "segments", "text", "sound")}
    return {
        "file": file, "kind": "broken", "transform": breakage, "expected": "failed", **nothing,
        "has_audio": breakage == "audio_only", **empty,
    }  # fmt: skip


def _to_copy(time_map: TimeMap, original_s: float) -> float:
    return (original_s - time_map.offset_s) / time_map.speed


def _nearest(edges_s: np.ndarray, time_s: float) -> float:
    return float(edges_s[int(np.abs(edges_s - time_s).argmin())])


def _s(seconds: float) -> float:
    return round(seconds, 6)


def _rate(fps: Fraction) -> str:
    return f"{fps.numerator}/{fps.denominator}"
