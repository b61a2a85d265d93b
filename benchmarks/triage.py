"""Triage: footage decoded before 90% of the clips that show something rare are found, against file order.

    python -m benchmarks.triage [--quick] [--json]

The corpus is drawn here: videos of 15 to 40 s with 3 to 7 shots; 5% of them hold a rare scene (night, for a whole
shot), and another 5% a rare event (an object hides, for 1.5 to 6 s). It is encoded twice, with a keyframe each
2 s as streaming ladders have, and each 2 to 10 s as x264 leaves it; cuts have one each time. `collect --for` orders
it; the truth says after how much footage 90% of the shots that show the thing have been analysed. File order needs, on
average over shuffled files, 0.8 to 0.9 of all footage for it. What triage decodes itself is added, as its share of the
time that decoding everything takes. The figure of the claim is that of the scene, with keyframes each 2 to 10 s.
"""

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import yaml

from benchmarks.claim import Result, in_turn, main, ratio
from benchmarks.footage import make
from benchmarks.processes import processes
from curate.analyze.embed import load_embedder
from curate.analyze.shots import picture_size
from curate.analyze.triage import look_at
from curate.analyze.video import analyze_video
from curate.media.decode import Branch, decode, keyframes
from curate.media.probe import probe
from curate.progress import silent
from curate.sample.draw import Stage
from curate.sample.scenes import BACKGROUNDS, Deck, Script, duration_s, plan_script
from curate.sample.write import Clock, PictureEncoder, add_x264_stream, open_output
from curate.sources.files import find_files, identify
from curate.specs import Analysis
from curate.targets.collection.aim import Aim
from curate.workspace import Workspace, create_workspace

SHARE = 0.05
FOUND = 0.9
SCENE, EVENT = "night", "hide"
_BACKGROUND = "night_sky"
_RATE = Fraction(25)
_SIZE = (320, 180)
_SEED = 1
_SHUFFLES = 200
SCENE_CAPABILITY = {
    "id": SCENE,
    "title": "Footage at night",
    "owner": "benchmark",
    "why": "a rare scene",
    "definition": "The sky is that of night.",
    "segment": {"description": "As long as it is night."},
    "match": {"text": ["a night sky", "a starry sky", "stars at night"]},
    "target": {"clips": 10},
}


@dataclass(frozen=True)
class Planned:
    """One video of the corpus.

    Attributes:
        gop_s: the longest time between keyframes.
        matches: how many of its shots show each rare thing.
    """

    file: str
    script: Script
    clock: Clock
    gop_s: float
    matches: dict[str, int]


@dataclass
class _Rare(Deck):
    """Deals the event to half of the shots of videos that hold it, and to none of the others."""

    holds: bool = False

    def deal(self, most: int = 2) -> tuple[str, ...]:
        if self.holds and self.rng.random() < 0.5:
            return (EVENT,)
        while EVENT in (hand := super().deal(most)):
            pass
        return hand


def plan_corpus(videos: int, seed: int, gops_s: tuple[float, float]) -> list[Planned]:
    """Plans videos, of which SHARE, drawn at random, hold the rare scene, and as many the event."""
    rng = np.random.default_rng([seed, 9])
    holding = {thing: set(rng.choice(videos, max(round(SHARE * videos), 1), replace=False)) for thing in (SCENE, EVENT)}
    return [_plan(rng, at, {thing: at in some for thing, some in holding.items()}, gops_s) for at in range(videos)]


def _plan(rng: np.random.Generator, at: int, holds: dict[str, bool], gops_s: tuple[float, float]) -> Planned:
    frames = round(duration_s(rng) * _RATE)
    clock = Clock(1 / _RATE, tuple(range(frames)), frames)
    gop_s = float(rng.uniform(*gops_s))
    while True:
        deck = _Rare(rng, holds=holds[EVENT])
        script = _with_scene(rng, plan_script(rng, deck, clock.times_s, clock.end_s), holds[SCENE])
        matches = {
            SCENE: sum(shot.background == _BACKGROUND for shot in script.shots),
            EVENT: sum(any(segment.action == EVENT for segment in shot.segments) for shot in script.shots),
        }
        if all(bool(matches[thing]) == holds[thing] for thing in matches):
            return Planned(f"footage_{at:04d}.mp4", script, clock, gop_s, matches)


def _with_scene(rng: np.random.Generator, script: Script, holds: bool) -> Script:
    """Puts half of the shots before the rare scene, or takes it away from all."""
    others = [background for background in BACKGROUNDS if background != _BACKGROUND]
    shots = []
    for shot in script.shots:
        background = _BACKGROUND if holds and rng.random() < 0.5 else shot.background
        if background == _BACKGROUND and not holds:
            background = str(rng.choice(others))
        shots.append(replace(shot, background=background))
    return replace(script, shots=tuple(shots))


def render(directory: Path, planned: Planned) -> None:
    """Encodes one video unless it is there."""
    path = directory / planned.file
    if path.exists():
        return
    cv2.setNumThreads(1)
    width, height = _SIZE
    stage = Stage(height, width)
    part = path.with_suffix(".part.mp4")
    with open_output(part) as container:
        stream = add_x264_stream(container, width, height, _RATE, planned.clock.time_base, 24, "superfast")
        stream.options = {**stream.options, "g": str(round(planned.gop_s * _RATE))}
        encoder = PictureEncoder(container, stream, [*planned.clock.ticks, planned.clock.end_tick])
        for time_s in planned.clock.times_s:
            encoder.encode(stage.draw(planned.script, time_s))
        encoder.finish()
    part.replace(path)


def render_corpus(directory: Path, corpus: list[Planned]) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    with processes() as pool:
        list(pool.map(partial(render, directory), corpus))


def order_of(workspace: Workspace, capability: str) -> list[str]:
    """The names of the files, the one with the likest keyframe first."""
    files = identify(workspace.catalog, find_files(workspace, workspace.sources().values()), "benchmark", silent)
    seen = Aim(workspace, workspace.capability(capability), "benchmark").look(files)
    best = {file.video_id: float(seen[file.video_id].similarities.max()) for file in files}
    return [Path(file.path).name for file in sorted(files, key=lambda file: (-best[file.video_id], file.item))]


def share_until_found(order: Sequence[str], corpus: dict[str, Planned], thing: str) -> float:
    """The share of all footage that lies in the files up to the one with which FOUND of the shots are found."""
    hours = np.cumsum([corpus[name].clock.end_s for name in order])
    found = np.cumsum([corpus[name].matches[thing] for name in order])
    return float(hours[np.searchsorted(found, FOUND * found[-1] - 1e-9)] / hours[-1])


def measure(quick: bool) -> Result:
    torch.set_num_threads(1)
    videos = 40 if quick else 200
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        for gops_s in ((2.0, 10.0), (2.0, 2.0)):
            corpus = plan_corpus(videos, _SEED, gops_s)
            workspace = _workspace(Path(scratch) / f"up_to_{gops_s[1]:g}")
            cost = cost_of_looking(Path(scratch), sum(gops_s) / 2, workspace.analysis(), quick)
            render_corpus(workspace.root / "footage", corpus)
            rows += _rows(workspace, {planned.file: planned for planned in corpus}, gops_s, cost)
            shutil.rmtree(workspace.root)
    return Result(
        value=rows[0]["against_file_order"],
        unit="of the footage that file order decodes",
        target=0.2,
        at_most=True,
        rows=rows,
        notes=(
            "A keyframe shows only what stands on it. Scenes and objects are in view where cuts put keyframes; an "
            "event of a few seconds lies between keyframes that are further apart than it is long, and what is not "
            "decoded cannot rank."
        ),
    )


def _rows(workspace: Workspace, corpus: dict[str, Planned], gops_s: tuple[float, float], cost: dict) -> list[dict]:
    rng = np.random.default_rng(_SEED)
    rows = []
    for thing in (SCENE, EVENT):
        by_triage = share_until_found(order_of(workspace, thing), corpus, thing)
        shuffled = [share_until_found(rng.permutation(list(corpus)).tolist(), corpus, thing) for _ in range(_SHUFFLES)]
        by_file = float(np.mean(shuffled))
        rows.append(
            {
                "thing": thing,
                "keyframe_each_s": f"{gops_s[0]:g}" if gops_s[0] == gops_s[1] else f"{gops_s[0]:g} to {gops_s[1]:g}",
                "videos": len(corpus),
                "holding": sum(planned.matches[thing] > 0 for planned in corpus.values()),
                "hours": sum(planned.clock.end_s for planned in corpus.values()) / 3600,
                "share_by_triage": by_triage,
                "share_by_file_order": by_file,
                **cost,
                "against_file_order": (by_triage + cost["triage_of_decoding"]) / by_file,
                "against_all": by_triage + cost["triage_of_decoding"],
            }
        )
    return rows


def cost_of_looking(directory: Path, gop_s: float, analysis: Analysis, quick: bool) -> dict[str, float]:
    """Processor time of looking at a video over that of analysing it: of decoding alone, and of all.

    On footage of an ordinary size; opening a file costs some milliseconds, which short and small videos feel more.
    """
    path = make(directory, f"gop{gop_s:g}", 640, 360, 20.0 if quick else 60.0, gop_s=gop_s)
    info = probe(path)
    branch = load_embedder(analysis.embedding).branch(info.width, info.height)
    branches = {
        "small": Branch(*picture_size(info.width, info.height), "bgr24"),
        "embed": replace(branch, every_s=1 / analysis.embedding.frames_per_s),
    }
    ways: dict[str, Callable[[], object]] = {
        "look": lambda: [probe(path), *keyframes(path, branch)],
        "decode": lambda: [probe(path), sum(1 for _ in decode(path, branches))],
        "triage": lambda: look_at(path, analysis),
        "analyse": lambda: analyze_video(path, analysis),
    }
    timings = in_turn(ways, 3 if quick else 5, clock=time.process_time)
    return {
        "triage_of_decoding": ratio(timings, "look", "decode"),
        "triage_of_analysis": ratio(timings, "triage", "analyse"),
    }


def _workspace(directory: Path) -> Workspace:
    """A workspace of the sample model that looks for both things in ./footage."""
    workspace = create_workspace(directory, sample=True)
    (workspace.configs / "capabilities" / f"{SCENE}.yaml").write_text(yaml.safe_dump(SCENE_CAPABILITY))
    return workspace


if __name__ == "__main__":
    main("triage", measure)
