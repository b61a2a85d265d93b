"""Footage whose transitions are known, to measure shot detectors on: drawn, real, and real that we cut together.

- `drawn`: sample worlds of seeds that tuned nothing; the truth is the script.
- `real`: the files of benchmarks.footage.REAL_MEDIA, where they are; the truth is the table below, read off the frames
  one by one.
- `edited`: spans of the same files cut together with cuts, dissolves, fades, wipes, cuts with one blended frame (what a
  conversion of frame rates leaves) and flashes, under noise. Bicycles passing close by, hair that fills the picture
  and cartoons are in it, so its dissolves mix motion with motion: harder than what most footage holds.
"""

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from benchmarks.footage import REAL_MEDIA
from curate.analyze.shots import picture_size
from curate.media.decode import Branch, decode
from curate.media.probe import probe
from curate.sample.world import render_world

Extent = tuple[int, int]


@dataclass(frozen=True)
class Film:
    """Frames as a detector sees them, and its transitions in frame numbers.

    Attributes:
        times_s: of the frames.
        images: uint8 BGR, longer side 96.
        cuts: first frames of later shots.
        gradual: first frame of each mix, and the first after it.
        open: spans in which viewers would differ: what is found there counts neither way.
    """

    name: str
    times_s: list[float]
    images: list[np.ndarray]
    cuts: tuple[int, ...]
    gradual: tuple[Extent, ...]
    open: tuple[Extent, ...] = ()


# Jump cuts of one camera and one scene are open; insets and captions that come and go are none.
_REAL: dict[str, tuple[tuple[int, ...], tuple[Extent, ...], tuple[Extent, ...]]] = {
    "bikes.mp4": ((30, 76, 137, 187, 242), (), ()),
    "bunny-10s.mp4": ((), (), ()),
    "cartoon-ad.mp4": ((144, 237), (), ()),
    "counter-10fps.mp4": ((10, 20), (), ()),
    "hair-360p.mp4": ((), (), ()),
    "scene-cuts.mp4": ((30, 76, 137, 187, 242), (), ()),  # half of its picture is a chart that stands still
    "sintel-10s.mp4": ((214,), ((72, 104), (165, 185)), ((0, 33), (108, 160))),  # opens in a fade; a title
    "slideshow-fades.mp4": ((30, 180), ((211, 241), (331, 360), (394, 424), (529, 559), (664, 693)), ()),
    "vertical-vlog.mp4": ((), (), ((103, 103), (264, 264), (528, 528), (556, 556), (756, 756), (960, 960))),
}

# Spans of one shot each, to cut together.
_SPANS = (
    ("bikes.mp4", 0, 30), ("bikes.mp4", 30, 76), ("bikes.mp4", 76, 137), ("bikes.mp4", 137, 187),
    ("bikes.mp4", 187, 242), ("bunny-10s.mp4", 0, 130), ("bunny-10s.mp4", 150, 280), ("cartoon-ad.mp4", 16, 140),
    ("cartoon-ad.mp4", 147, 237), ("hair-360p.mp4", 0, 130), ("hair-360p.mp4", 220, 350), ("hair-360p.mp4", 440, 570),
    ("sintel-10s.mp4", 36, 70), ("sintel-10s.mp4", 186, 214), ("vertical-vlog.mp4", 110, 240),
    ("vertical-vlog.mp4", 270, 400), ("vertical-vlog.mp4", 800, 930), ("slideshow-fades.mp4", 35, 165),
    ("slideshow-fades.mp4", 245, 325), ("slideshow-fades.mp4", 425, 520),
)  # fmt: skip
_EDITS = ("cut", "dissolve", "fade", "wipe", "blended")
_EDIT_SHARES = (0.4, 0.3, 0.15, 0.05, 0.1)
_SIZE = (96, 54)


def drawn(seed: int, videos: int) -> Iterator[Film]:
    """The good videos of a sample world."""
    with tempfile.TemporaryDirectory() as directory:
        world = Path(directory)
        render_world(world, videos, seed)
        for entry in json.loads((world / "truth.json").read_text())["videos"]:
            if entry["expected"] == "ok":
                times_s, images = _decoded(world / entry["file"])
                spans = [
                    (edge["kind"], *_frames(times_s, edge["start_s"], edge["end_s"])) for edge in entry["boundaries"]
                ]
                yield Film(
                    entry["file"],
                    times_s,
                    images,
                    tuple(start for kind, start, _ in spans if kind == "cut"),
                    tuple((start, end) for kind, start, end in spans if kind != "cut"),
                )


def real() -> Iterator[Film]:
    """The real files that are there and in the table."""
    for name, (cuts, gradual, either) in _REAL.items():
        if (REAL_MEDIA / name).is_file():
            times_s, images = _decoded(REAL_MEDIA / name)
            yield Film(name, times_s, images, cuts, gradual, either)


def edited(seeds: range) -> Iterator[Film]:
    """Films of 16 spans each, where all real files are there."""
    if not all((REAL_MEDIA / name).is_file() for name, _, _ in _SPANS):
        return
    files = {name: _decoded(REAL_MEDIA / name)[1] for name in {name for name, _, _ in _SPANS}}
    spans = [[cv2.resize(image, _SIZE).astype(np.float32) for image in files[name][a:b]] for name, a, b in _SPANS]
    for seed in seeds:
        yield _edit(spans, seed)


def _edit(spans: list[list[np.ndarray]], seed: int) -> Film:
    rng = np.random.default_rng(seed)
    shown: list[np.ndarray] = []
    cuts: list[int] = []
    gradual: list[Extent] = []
    either: list[Extent] = []
    for index in rng.permutation(len(spans))[:16]:
        new = list(spans[index])
        if len(new) > 60 and rng.random() < 0.3:
            at = int(rng.integers(25, len(new) - 25))
            new[at : at + 3] = [np.minimum(0.4 * picture + 170, 255) for picture in new[at : at + 3]]
        kind = str(rng.choice(_EDITS, p=_EDIT_SHARES)) if shown else "first"
        length = min(int(rng.integers(6, 30)), len(new) // 2 - 4)
        weights = np.arange(length) / length
        start = len(shown) - length
        match kind:
            case "cut":
                cuts.append(len(shown))
            case "blended":
                shown[-1] = (shown[-1] + new[0]) / 2
                gradual.append((len(shown) - 2, len(shown)))
                new = new[1:]
            case "dissolve" | "wipe":
                for place, weight in enumerate(weights):
                    old = shown[start + place]
                    mask = weight if kind == "dissolve" else (np.arange(_SIZE[0]) < weight * _SIZE[0])[:, None]
                    shown[start + place] = old + mask * (new[place] - old)
                gradual.append((start, len(shown)))
                new = new[length:]
            case "fade":
                empty = np.full_like(new[0], float(rng.choice([0, 0, 235])))
                for place, weight in enumerate(weights):
                    shown[start + place] = shown[start + place] + weight * (empty - shown[start + place])
                    new[place] = empty + weight * (new[place] - empty)
                hold = int(rng.integers(0, 6))
                shown += [empty] * hold
                gradual.append((start, len(shown) + length))
        shown += new
    noise = rng.normal(0, 1, (len(shown), *shown[0].shape))
    images = list(np.clip(np.stack(shown) + noise, 0, 255).astype(np.uint8))
    return Film(
        f"edit {seed}", [at / 25 for at in range(len(images))], images, tuple(cuts), tuple(gradual), tuple(either)
    )


def _decoded(path: Path) -> tuple[list[float], list[np.ndarray]]:
    info = probe(path)
    frames = list(decode(path, {"small": Branch(*picture_size(info.width, info.height), "bgr24")}))
    return [frame.time_s for frame in frames], [frame.image for frame in frames]


def _frames(times_s: list[float], start_s: float, end_s: float) -> Extent:
    """The frames nearest to two times."""
    return tuple(int(np.abs(np.array(times_s) - time_s).argmin()) for time_s in (start_s, end_s))  # type: ignore[return-value]
