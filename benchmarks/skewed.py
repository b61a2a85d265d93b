"""Footage for `benchmarks.targeted_collection`: a pool of short videos, and archives of it whose yields are skewed.

Two things are sought: a scene (night, for a whole shot) and an event (an object hides, for seconds). For each the pool
has videos that are rich in it, thin (one shot of it), teasers (flashes of 0.8 s with keyframes on them, too short for
a clip: keyframes look right, and nothing is there) and hidden ones (rich, and no keyframe stands on it), beside poor
ones that hold neither. Keyframes stand on cuts and each 2 to 10 s, as x264 leaves them.

An archive is sources with folders with files of the pool. One folder in twelve is rich (30 to 80% of its files hold
the thing), one in eight thin (5 to 20%), the others hold it in 0 to 2% of their files; one source teases (in half of
its files), and what another holds is hidden.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.frame import PictureType

from benchmarks.processes import processes
from curate.sample.draw import Stage
from curate.sample.scenes import BACKGROUNDS, Boundary, Deck, Script, Shot, plan_shot
from curate.sample.write import add_x264_stream, open_output

SCENE, EVENT = "night", "hide"
KINDS = ("rich", "thin", "teaser", "hidden")
_BACKGROUND = "night_sky"
_RATE = 15
_SIZE = (256, 144)
_TEASER_S = 0.8


@dataclass(frozen=True)
class Video:
    """One video of the pool: `shown` are the spans in which its thing is in view, `keys_s` where keyframes stand."""

    file: str
    thing: str
    kind: str
    script: Script
    keys_s: tuple[float, ...]
    shown: tuple[tuple[float, float], ...]

    @property
    def length_s(self) -> float:
        return self.script.shots[-1].end_s


@dataclass(frozen=True)
class Planned:
    """A file of an archive: its item, and the video of the pool that it is."""

    item: str
    video: int


def plan_pool(each: int, poor: int, seed: int) -> list[Video]:
    """`each` videos of every kind for each thing, and `poor` ones."""
    rng = np.random.default_rng([seed, 41])
    wanted = [(thing, kind) for thing in (SCENE, EVENT) for kind in KINDS for _ in range(each)] + [("", "poor")] * poor
    return [_plan(rng, f"{at:04d}.mp4", thing, kind) for at, (thing, kind) in enumerate(wanted)]


def render_pool(directory: Path, pool: Sequence[Video]) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    with processes() as workers:
        list(workers.map(partial(_render, directory), pool))


def plan_archive(pool: Sequence[Video], thing: str, files: int, seed: int) -> list[Planned]:
    """About so many files, in sources and folders, by item."""
    rng = np.random.default_rng([seed, 43])
    by_kind = {kind: [at for at, video in enumerate(pool) if (video.thing, video.kind) == (thing, kind)]
               for kind in KINDS}  # fmt: skip
    by_kind["poor"] = [at for at, video in enumerate(pool) if video.kind == "poor"]
    sources = [f"{name}{rng.integers(100):02d}" for name in rng.permutation(list("abcdef"))]
    folders = [(source, f"{rng.integers(10**6):06d}") for source in sources for _ in range(int(rng.integers(4, 11)))]
    sizes = np.ceil(rng.dirichlet(np.full(len(folders), 3.0)) * files).astype(int)
    levels = rng.permutation(np.resize([2] + [1] * 2 + [0] * 9, len(folders)))
    bounds = [(0.0, 0.02), (0.05, 0.2), (0.3, 0.8)]
    made = []
    for (source, folder), size, level in zip(folders, sizes, levels, strict=True):
        share, flat = rng.uniform(*bounds[level]), source == sources[2]
        for number in range(size):
            kind = "poor"
            if rng.random() < share:
                kind = "hidden" if source == sources[1] else "rich" if rng.random() < 0.6 else "thin"
            elif source == sources[0] and rng.random() < 0.5:
                kind = "teaser"
            name = f"{folder}_{number:04d}.mp4" if flat else f"{folder}/{number:04d}.mp4"
            made.append(Planned(f"{source}/{name}", int(rng.choice(by_kind[kind]))))
    return sorted(made, key=lambda planned: planned.item)


def _plan(rng: np.random.Generator, file: str, thing: str, kind: str) -> Video:
    number = int(rng.integers(4, 7))
    holds = (rng.random(number) < 0.6) & (kind in ("rich", "hidden"))
    if kind in ("rich", "hidden", "thin"):
        holds[rng.integers(number)] = True
    deck, shots, shown, flashes, at_s = Deck(rng), [], [], [], 0.0
    for hold in holds:
        length_s = _snap(rng.uniform(2.6, 4.6))
        shots.append(_shot(rng, deck, thing if hold else "", at_s, at_s + length_s))
        if hold:
            spans = [(segment.start_s, segment.end_s) for segment in shots[-1].segments if segment.action == EVENT]
            shown += spans if thing == EVENT else [(at_s, at_s + length_s)]
        at_s += length_s
        if kind == "teaser" and rng.random() < 0.5:
            # Planned as a longer shot, so that the event is under way in the flash of it.
            shot = _shot(rng, deck, thing, at_s - 1.2, at_s + _TEASER_S + 1.2)
            flashes.append((at_s, at_s + _TEASER_S))
            shots.append(_cut(shot, at_s, at_s + _TEASER_S))
            at_s += _TEASER_S
    cuts = [shot.start_s for shot in shots]
    gop_s, keys = float(rng.uniform(2, 10)), [0.0]
    for time_s in (tick / _RATE for tick in range(1, round(at_s * _RATE))):
        on_cut = any(abs(time_s - cut) < 0.5 / _RATE for cut in cuts)
        if on_cut or time_s - keys[-1] >= gop_s:
            keys.append(time_s)
    if kind == "hidden":
        keys = [0.0, *(key for key in keys[1:] if not any(start - 0.1 <= key < end for start, end in shown))]
        if any(start < 0.1 for start, _ in shown):  # the first frame is a keyframe in any case
            shots[0] = _shot(rng, deck, "", 0.0, shots[0].end_s)
            shown = [span for span in shown if span[0] >= shots[0].end_s - 1e-9]
    keys += [(start + end) / 2 for start, end in flashes]
    boundaries = tuple(Boundary("cut", shot.start_s, shot.start_s) for shot in shots[1:])
    return Video(file, thing, kind, Script(tuple(shots), boundaries), tuple(sorted(keys)), tuple(shown))


def _shot(rng: np.random.Generator, deck: Deck, thing: str, start_s: float, end_s: float) -> Shot:
    """A shot with the thing in it, or, without one, with neither."""
    hand: tuple[str, ...] = (EVENT,) if thing == EVENT else (EVENT, "")
    while thing != EVENT and EVENT in hand:
        hand = deck.deal(1)
    shot = plan_shot(rng, hand, (start_s, end_s), (start_s, end_s), _snap)
    others = [background for background in BACKGROUNDS if background != _BACKGROUND]
    if thing == SCENE:
        return replace(shot, background=_BACKGROUND)
    return replace(shot, background=str(rng.choice(others))) if shot.background == _BACKGROUND else shot


def _cut(shot: Shot, start_s: float, end_s: float) -> Shot:
    return replace(shot, start_s=start_s, end_s=end_s, captions=())


def _snap(time_s: float) -> float:
    return round(time_s * _RATE) / _RATE


def _render(directory: Path, video: Video) -> None:
    cv2.setNumThreads(1)
    width, height = _SIZE
    stage = Stage(height, width)
    part = directory / f"{video.file}.part.mp4"
    keys = {round(key * _RATE) for key in video.keys_s}
    with open_output(part) as container:
        stream = add_x264_stream(container, width, height, Fraction(_RATE), Fraction(1, _RATE), 26, "superfast")
        stream.options = {**stream.options, "g": "100000", "sc_threshold": "0", "forced-idr": "1"}
        for tick in range(round(video.length_s * _RATE)):
            planes = cv2.cvtColor(stage.draw(video.script, tick / _RATE), cv2.COLOR_RGB2YUV_I420)
            frame = av.VideoFrame.from_ndarray(np.asarray(planes, np.uint8), format="yuv420p")
            frame.pts, frame.time_base = tick, Fraction(1, _RATE)
            frame.pict_type = PictureType.I if tick in keys else PictureType.NONE
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    part.replace(directory / video.file)
