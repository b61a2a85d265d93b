"""On-screen text: what can be read in a few pictures of a clip, where it stands, and how much of the picture it takes.

PP-OCRv6 (small) through RapidOCR, whose wheel holds the networks; they read Latin and Chinese script and more.
Pictures are given at most `signals.text_px` on the longer side and not enlarged: on the sample world's captions, 6
pixels high, that costs nothing in rightness and a tenth of the time of RapidOCR's own default, which enlarges them.

One picture costs 45 ms of one core at 320x180, 110 at 640x360, 230 at 960x540, and 15 more for each line of text.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from curate.analyze.clips import Span
from curate.media.decode import Branch, decode, picture
from curate.media.frames import shown_frames

_MIN_SCORE, _MIN_CHARACTERS = 0.6, 2
"""Below these a line does not count: rings, crosses and windows are read as O, 大 and 田."""
_SAME = 0.8
"""Readings of one text in two pictures are at least this alike (difflib's ratio): a letter or two may differ."""

Box = tuple[float, float, float, float]
"""Left, top, width, height, as shares of the picture's width and height."""


@dataclass(frozen=True)
class Line:
    """A text as seen over [start_s, end_s), in seconds from the first shown frame, with its place when read best."""

    start_s: float
    end_s: float
    text: str
    box: Box
    score: float


@dataclass(frozen=True)
class OnScreenText:
    """What was read in a clip: the mean share of the area that text takes, and each text once."""

    share: float
    lines: tuple[Line, ...]

    @property
    def text(self) -> str:
        """The lines in order of time, then from top to bottom."""
        return "\n".join(line.text for line in self.lines)


def text_between(
    path: Path | str, size: tuple[int, int], span: Span, *, every_s: float, longer_px: int
) -> OnScreenText:
    """Reads about one picture in each `every_s` of a span, two at least where it has them.

    Args:
        path: a video.
        size: (width, height) as shown.
        span: in seconds from the first shown frame; entered by seeking, once.
        every_s: seconds between pictures.
        longer_px: pictures that are larger are scaled down to this.

    Raises:
        DecodeError: the pictures are damaged there.
    """
    pictures = list(_pictures(path, size, span, every_s, longer_px))
    ends_s = [*(time_s for time_s, _ in pictures[1:]), span[1]]
    shares, seen = [], []
    for (time_s, image), end_s in zip(pictures, ends_s, strict=True):
        lines, share = read(image)
        shares.append(share)
        seen.append([replace(line, start_s=time_s, end_s=end_s) for line in lines])
    return OnScreenText(float(np.mean(shares)), merged(seen))


def read(image: np.ndarray) -> tuple[list[Line], float]:
    """The lines of text in one picture, uint8 BGR [height, width, 3], and the share of the area they cover together."""
    found = load()(image)
    if found.boxes is None or not found.txts:
        return [], 0.0
    height, width = image.shape[:2]
    covered = np.zeros((height, width), np.uint8)
    lines = []
    for corners, text, score in zip(found.boxes, found.txts, found.scores, strict=True):
        if score < _MIN_SCORE or sum(letter.isalnum() for letter in text) < _MIN_CHARACTERS:
            continue
        cv2.fillConvexPoly(covered, np.round(corners).astype(np.int32), 1)
        left, top = (float(side) for side in corners.min(axis=0))
        right, bottom = (float(side) for side in corners.max(axis=0))
        box = (left / width, top / height, (right - left) / width, (bottom - top) / height)
        lines.append(Line(0.0, 0.0, text.strip(), box, float(score)))
    return lines, float(covered.mean())


def merged(seen: Sequence[Sequence[Line]]) -> tuple[Line, ...]:
    """The lines of consecutive pictures with each text once: the reading with the best score stands for the others.

    A text that is gone in one picture and back in a later one is two.
    """
    done: list[Line] = []
    shown: list[Line] = []
    for lines in seen:
        still = []
        for line in lines:
            known = next((other for other in shown if _alike(other.text, line.text)), None)
            if known is not None:
                shown.remove(known)
                best = max(known, line, key=lambda each: each.score)
                line = replace(best, start_s=known.start_s, end_s=line.end_s)
            still.append(line)
        done += shown
        shown = still
    return tuple(sorted([*done, *shown], key=lambda line: (line.start_s, line.box[1], line.box[0])))


def _alike(one: str, other: str) -> bool:
    one, other = ("".join(text.casefold().split()) for text in (one, other))
    digits = ["".join(letter for letter in text if letter.isdigit()) for text in (one, other)]
    # A score or a clock that has moved on is another text.
    return one == other or (digits[0] == digits[1] and SequenceMatcher(None, one, other).ratio() >= _SAME)


def _pictures(
    path: Path | str, size: tuple[int, int], span: Span, every_s: float, longer_px: int
) -> Iterator[tuple[float, np.ndarray]]:
    scale = min(longer_px / max(size), 1.0)
    width, height = (max(round(side * scale), 1) for side in size)
    step_s = min(every_s, (span[1] - span[0]) / 2)
    wanted = Branch(width, height, "bgr24", every_s=step_s, scaling="bicubic")
    taken = False
    for frame in decode(path, {"text": wanted}, *span):
        taken = True
        yield frame.time_s, frame.image
    if not taken:  # no frame begins in it: the one on screen
        for _, stored, stretch in shown_frames(path, span[0], lead=True):
            yield span[0], np.ascontiguousarray(picture(stored, width, height, stretch)[:, :, ::-1])
            return


@lru_cache(maxsize=1)
def load() -> Any:
    """RapidOCR with its networks, loaded once in a process."""
    from rapidocr import RapidOCR

    threads = {f"EngineConfig.onnxruntime.{kind}_op_num_threads": 1 for kind in ("intra", "inter")}
    # Text stands upright on screens, so the network that looks for text on its head is left out.
    sizes = {"Det.limit_type": "max", "Det.limit_side_len": 2000}
    reader = RapidOCR(params={"Global.use_cls": False, "Global.log_level": "error", **threads, **sizes})
    reader(np.zeros((32, 96, 3), np.uint8))  # it loads them at its first picture
    return reader
