"""Copies whose truth is known: every transformation at three strengths, of real footage and of sample worlds.

An original is a file of benchmarks.footage.REAL_MEDIA, its first seconds at 384 pixels on the longer side, or a good
video of a sample world. A copy is made from the decoded original and encoded again as H.264. All are cut into clips by
the real analysis, as collecting them does, so where a copy's shots are found elsewhere, that counts too.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from benchmarks.footage import REAL_MEDIA
from curate.analyze.video import analyze_video
from curate.dedupe.fingerprint import Fingerprint
from curate.media.decode import Branch, decode
from curate.media.probe import probe
from curate.sample.world import plan_world, render_original
from curate.sample.write import VARIABLE_TICK, Clock, write_video
from curate.specs import Analysis
from curate.specs.analysis import Embedding

STRENGTHS = ("weak", "medium", "strong")
TRANSFORMS: dict[str, tuple[float, float, float]] = {
    "re-encode": (30, 38, 45),  # crf
    "scale": (0.75, 0.5, 0.25),  # of width and height
    "crop": (0.1, 0.2, 0.3),  # of width and height cut off, anywhere
    "letterbox": (0.06, 0.12, 0.2),  # each bar, of the height
    "logo": (0.1, 0.17, 0.25),  # diameter in a corner, of the shorter side
    "caption": (1, 2, 3),  # lines that change each 2 s; three stand on a box
    "colour": (0.3, 0.6, 1.0),  # of the way to a dark, warm, contrasted, almost grey picture
    "trim": (0.85, 0.7, 0.5),  # kept of the length
    "speed": (1.1, 1.25, 1.33),  # every other copy is slower by it
    "mirror": (0.0, 0.05, 0.1),  # and cropped by this
}
LEAST_COMMON, LEAST_COMMON_S = 0.5, 1.0
"""Clips that share this much of the shorter one, and so long, are copies of each other; less, but some, counts neither
way: `curate.dedupe.align` links nothing by less than a second."""

_REAL = (
    "bikes.mp4", "bunny-10s.mp4", "cartoon-ad.mp4", "hair-360p.mp4", "sintel-10s.mp4", "slideshow-fades.mp4",
    "vertical-vlog.mp4",
)  # fmt: skip
_LONGER_PX = 384
_ANALYSIS = Analysis(embedding=Embedding(model="sample", weights="sample"))
_WORDS = [
    "the", "best", "moments", "of", "this", "week", "wait", "for", "it", "you", "will", "not", "believe", "what",
]  # fmt: skip


@dataclass(frozen=True)
class Pictures:
    """A decoded video: times from the first frame, the end, and uint8 RGB [height, width, 3]."""

    times_s: list[float]
    end_s: float
    images: Iterable[np.ndarray]


@dataclass(frozen=True)
class Clip:
    """A clip with what it shows of which original: original_time = offset_s + speed * time.

    transform, strength: of the copy that it is of; empty for originals.
    """

    original: str
    transform: str
    strength: str
    start_s: float
    end_s: float
    offset_s: float
    speed: float
    fingerprint: Fingerprint
    vector: np.ndarray  # float32 [dim], unit norm

    @property
    def span_s(self) -> tuple[float, float]:
        """What it shows, in the original's time."""
        return self.offset_s + self.speed * self.start_s, self.offset_s + self.speed * self.end_s


def shared(one: Clip, other: Clip) -> tuple[float, float]:
    """What two clips both show, in seconds of the original, and as a share of the shorter one; 0 of two originals."""
    if one.original != other.original:
        return 0.0, 0.0
    (start_s, end_s), (other_start_s, other_end_s) = one.span_s, other.span_s
    both_s = max(min(end_s, other_end_s) - max(start_s, other_start_s), 0.0)
    return both_s, both_s / min(end_s - start_s, other_end_s - other_start_s)


def real_originals(directory: Path, length_s: float) -> Iterator[Path]:
    """The first seconds of the real files that are there."""
    for name in _REAL:
        if (REAL_MEDIA / name).is_file():
            info = probe(REAL_MEDIA / name)
            scale = min(_LONGER_PX / max(info.width, info.height), 1.0)
            size = round(info.width * scale / 2) * 2, round(info.height * scale / 2) * 2
            path = directory / name
            if not path.exists():
                end_s = min(length_s, info.duration_s)
                _write(path, decoded(REAL_MEDIA / name, size=size, end_s=end_s), crf=20)
            yield path


def drawn_originals(directory: Path, seed: int, videos: int) -> Iterator[Path]:
    """The originals of a sample world."""
    for plan in plan_world(videos, seed):
        path = directory / plan.file
        if not path.exists():
            render_original(directory, plan)
        yield path


def copies(original: Path, directory: Path, seed: int, only: Callable[[str, str], bool]) -> Iterator[list[Clip]]:
    """The clips of each copy of an original, made where it is not there yet.

    Args:
        only: whether a transform and strength is wanted.
    """
    pictures = decoded(original)
    shown = list(pictures.images)
    for at, transform in enumerate(TRANSFORMS):
        for level, strength in enumerate(STRENGTHS):
            if not only(transform, strength):
                continue
            path = directory / f"{original.stem}_{transform}_{strength}.mp4"
            amount = TRANSFORMS[transform][level]
            rng = np.random.default_rng([seed, at, level])
            offset_s, speed, crf, made = _copy(pictures, shown, transform, amount, rng)
            if not path.exists():
                _write(path, made, crf=crf)
            yield clips(path, str(original), transform, strength, offset_s, speed)


def clips(
    path: Path, original: str, transform: str = "", strength: str = "", offset_s: float = 0.0, speed: float = 1.0
) -> list[Clip]:
    """What collecting a file gives."""
    made = analyze_video(path, _ANALYSIS)
    return [
        Clip(
            original,
            transform,
            strength,
            clip.start_s,
            clip.end_s,
            offset_s,
            speed,
            Fingerprint.unpack(clip.pictures),
            clip.vector,
        )
        for clip in made.clips
    ]


def decoded(path: Path, *, size: tuple[int, int] | None = None, end_s: float | None = None) -> Pictures:
    """All frames of a file, at a width and height where given."""
    info = probe(path)
    branch = Branch(*(size or (info.width, info.height)), scaling="area")
    frames = list(decode(path, {"all": branch}, end_s=end_s))
    last_s = min(end_s or info.duration_s, info.duration_s)
    return Pictures([frame.time_s for frame in frames], last_s, [frame.image for frame in frames])


def _copy(
    given: Pictures, images: list[np.ndarray], transform: str, amount: float, rng: np.random.Generator
) -> tuple[float, float, int, Pictures]:
    """Offset and speed of the copy's time map, the crf to encode it with, and its pictures."""
    if transform == "re-encode":
        return 0.0, 1.0, round(amount), Pictures(given.times_s, given.end_s, images)
    if transform == "trim":
        start_s = float(rng.uniform(0, 1 - amount)) * given.end_s
        kept = [at for at, time_s in enumerate(given.times_s) if start_s <= time_s < start_s + amount * given.end_s]
        first_s = given.times_s[kept[0]]
        end_s = given.times_s[kept[-1] + 1] if kept[-1] + 1 < len(given.times_s) else given.end_s
        times_s = [given.times_s[at] - first_s for at in kept]
        return first_s, 1.0, 25, Pictures(times_s, end_s - first_s, [images[at] for at in kept])
    if transform == "speed":
        speed = amount if rng.random() < 0.5 else 1 / amount
        times_s = [time_s / speed for time_s in given.times_s]
        return 0.0, speed, 25, Pictures(times_s, given.end_s / speed, images)
    height, width = images[0].shape[:2]
    edit = _EDITS[transform](amount, rng, width, height)
    edited = (edit(image, time_s) for image, time_s in zip(images, given.times_s, strict=True))
    return 0.0, 1.0, 25, Pictures(given.times_s, given.end_s, edited)


_Edit = Callable[[np.ndarray, float], np.ndarray]


def _scale(factor: float, _rng: np.random.Generator, width: int, height: int) -> _Edit:
    size = max(round(width * factor / 2) * 2, 16), max(round(height * factor / 2) * 2, 16)
    return lambda image, _: cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _crop(share: float, rng: np.random.Generator, width: int, height: int) -> _Edit:
    new_width, new_height = round(width * (1 - share) / 2) * 2, round(height * (1 - share) / 2) * 2
    left, top = int(rng.integers(0, width - new_width + 1)), int(rng.integers(0, height - new_height + 1))
    return lambda image, _: np.ascontiguousarray(image[top : top + new_height, left : left + new_width])


def _letterbox(share: float, _rng: np.random.Generator, _width: int, height: int) -> _Edit:
    bar = round(share * height / 2) * 2
    return lambda image, _: cv2.copyMakeBorder(image, bar, bar, 0, 0, cv2.BORDER_CONSTANT, value=(0, 0, 0))


def _logo(share: float, rng: np.random.Generator, width: int, height: int) -> _Edit:
    radius = share * min(width, height) / 2
    right, low = rng.random(2) < 0.5
    margin = round(1.4 * radius)
    center = (width - margin if right else margin, height - margin if low else margin)

    def edit(image: np.ndarray, _: float) -> np.ndarray:
        image = image.copy()
        cv2.circle(image, center, round(radius), (235, 40, 110), -1, cv2.LINE_AA)
        cv2.circle(image, center, round(0.55 * radius), (250, 250, 250), -1, cv2.LINE_AA)
        return image

    return edit


def _caption(lines: float, rng: np.random.Generator, width: int, height: int) -> _Edit:
    step = 0.09 * min(width, height)
    size = step / 32
    long = max(int(width / (step * 2.6)), 2)
    texts = [[" ".join(rng.choice(_WORDS, long)) for _ in range(int(lines))] for _ in range(32)]

    def edit(image: np.ndarray, time_s: float) -> np.ndarray:
        image = image.copy()
        if lines >= 3:
            image[height - round((lines + 0.8) * step) : height - round(0.4 * step)] = 20
        for at, text in enumerate(texts[int(time_s / 2) % len(texts)]):
            base = height - round((lines - at - 0.2) * step)
            for color, thick in (((0, 0, 0), 3), ((255, 255, 255), 1)):
                cv2.putText(image, text, (round(0.04 * width), base), 0, size, color, thick, cv2.LINE_AA)
        return image

    return edit


def _colour(share: float, _rng: np.random.Generator, _width: int, _height: int) -> _Edit:
    def edit(image: np.ndarray, _: float) -> np.ndarray:
        grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        mixed = cv2.addWeighted(image, 1 - 0.8 * share, grey, 0.8 * share, 0).astype(np.float32)
        bent = 255 * (mixed / 255) ** (1 + 0.6 * share)
        warm = np.array([1 + 0.1 * share, 1, 1 - 0.2 * share], np.float32)
        return np.clip((bent - 100) * (1 + 0.4 * share) * warm + 100, 0, 255).astype(np.uint8)

    return edit


def _mirror(share: float, rng: np.random.Generator, width: int, height: int) -> _Edit:
    crop = _crop(share, rng, width, height)
    return lambda image, time_s: np.ascontiguousarray(crop(image, time_s)[:, ::-1])


_EDITS: dict[str, Callable[[float, np.random.Generator, int, int], _Edit]] = {
    "scale": _scale,
    "crop": _crop,
    "letterbox": _letterbox,
    "logo": _logo,
    "caption": _caption,
    "colour": _colour,
    "mirror": _mirror,
}


def _write(path: Path, pictures: Pictures, *, crf: int) -> None:
    ticks = [round(time_s / VARIABLE_TICK) for time_s in (*pictures.times_s, pictures.end_s)]
    clock = Clock(VARIABLE_TICK, tuple(ticks[:-1]), ticks[-1])
    part = path.with_name(f"part-{path.name}")
    write_video(part, (image for image in pictures.images), clock, Fraction(30), crf=crf, preset="veryfast")
    part.replace(path)
