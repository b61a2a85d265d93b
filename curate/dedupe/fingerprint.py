"""What a clip looks like over time, small enough to keep and coarse enough to survive a re-encode.

CLIP says what a picture is about: two takes of one action before one background are the same to it. Whether two
clips show the same footage is asked of the pixels: 8 pictures a second of 16 x 16 luma, after black bars are cut
away. Only clips that some other clip resembles are decoded for it, each once: fingerprints are cached by clip.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from PIL import Image

from curate import engine
from curate.media.decode import Branch, decode
from curate.progress import Progress, silent
from curate.specs.analysis import Engine

VERSION = 1
SIZE = 16
PICTURES_PER_S = 8.0
_DECODED = (128, 72)
_BAR_LEVEL, _MOST_BAR = 24, 0.25
_SMALL_BYTES, _FOLD_FILES = 1 << 20, 256
_WEIGHTS = np.array([0.299, 0.587, 0.114], dtype=np.float32)
_SCHEMA: dict[str, Any] = {"clip_id": pl.String, "version": pl.Int32, "times_s": pl.List(pl.Float32), "luma": pl.Binary}


@dataclass(frozen=True)
class Fingerprint:
    """Pictures of one clip: `times_s` float32 [n] from the clip's start, `luma` uint8 [n, 16, 16]."""

    times_s: np.ndarray
    luma: np.ndarray

    @cached_property
    def grid(self) -> np.ndarray:
        """Pictures at k / PICTURES_PER_S from the first, float32 [m, 256], each of zero mean and unit norm.

        A picture with hardly any contrast keeps its small norm, so that noise on black does not count as content.
        """
        flat = self.luma.reshape(len(self.luma), -1).astype(np.float32)
        flat -= flat.mean(axis=1, keepdims=True)
        flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 2.0 * SIZE)
        length_s = float(self.times_s[-1] - self.times_s[0])
        return interpolate(
            flat, self.times_s, self.times_s[0] + np.arange(int(length_s * PICTURES_PER_S) + 1) / PICTURES_PER_S
        )


@dataclass(frozen=True)
class Span:
    """A clip to fingerprint."""

    clip_id: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class VideoSpans:
    """Clips of one video: one decode serves them all."""

    path: str
    spans: tuple[Span, ...]


def interpolate(pictures: np.ndarray, times_s: np.ndarray, wanted_s: np.ndarray) -> np.ndarray:
    """Pictures [n, d] at times [n], linearly between neighbours, as [len(wanted_s), d]; clamped at the ends."""
    after = np.clip(np.searchsorted(times_s, wanted_s), 1, max(len(times_s) - 1, 1))
    if len(times_s) == 1:
        return np.repeat(pictures, len(wanted_s), axis=0)
    before_s, after_s = times_s[after - 1], times_s[after]
    weight = np.clip((wanted_s - before_s) / np.maximum(after_s - before_s, 1e-9), 0, 1).astype(np.float32)[:, None]
    return pictures[after - 1] * (1 - weight) + pictures[after] * weight


def picture(rgb: np.ndarray) -> np.ndarray:
    """uint8 [n, h, w, 3] pictures of one clip as uint8 luma [n, 16, 16] without its black bars."""
    luma = np.clip(rgb.astype(np.float32) @ _WEIGHTS, 0, 255).astype(np.uint8)
    box = _without_bars(luma)
    images = (Image.fromarray(one).resize((SIZE, SIZE), Image.Resampling.BOX, box=box) for one in luma)
    return np.stack([np.asarray(image) for image in images])


def fingerprints(
    videos: Sequence[VideoSpans], cache: Path, engine_spec: Engine, *, progress: Progress = silent
) -> tuple[dict[str, Fingerprint], dict[str, str]]:
    """The fingerprint of each clip, from the cache or by decoding.

    Returns:
        Fingerprints by clip id, and for the clips that could not be decoded, why.
    """
    wanted = {span.clip_id for video in videos for span in video.spans}
    found = _read(cache, wanted)
    missing = [
        VideoSpans(video.path, spans)
        for video in videos
        if (spans := tuple(span for span in video.spans if span.clip_id not in found))
    ]
    failed: dict[str, str] = {}
    for done, outcome in enumerate(engine.run(of_video, missing, engine_spec), start=1):
        if isinstance(outcome, engine.Success):
            _write(cache, outcome.value)
            found |= outcome.value
            gone = {span.clip_id: "no frame in the clip's span" for span in outcome.item.spans}
            failed |= {clip_id: why for clip_id, why in gone.items() if clip_id not in outcome.value}
        else:
            failed |= {span.clip_id: outcome.reason for span in outcome.item.spans}
        progress("fingerprints", done, len(missing))
    _fold(cache)
    return found, failed


def of_video(video: VideoSpans) -> dict[str, Fingerprint]:
    """Decodes a video from its first to its last wanted clip; a clip that shows no frame is left out."""
    start_s, end_s = min(s.start_s for s in video.spans), max(s.end_s for s in video.spans)
    branch = Branch(*_DECODED, every_s=1 / PICTURES_PER_S)
    decoded = decode(video.path, {"luma": branch}, start_s=start_s, end_s=end_s, gaps=[])  # no clip spans a gap
    frames = [(frame.time_s, frame.image) for frame in decoded]
    made = {}
    for span in video.spans:
        inside = [(time_s, image) for time_s, image in frames if span.start_s <= time_s < span.end_s]
        if inside:
            times_s = np.array([time_s - span.start_s for time_s, _ in inside], dtype=np.float32)
            made[span.clip_id] = Fingerprint(times_s, picture(np.stack([image for _, image in inside])))
    return made


def _without_bars(luma: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of what is shown between symmetric bars that stay black throughout the clip."""
    height, width = luma.shape[1:]
    bright = luma.max(axis=0)
    top = _bar(bright.max(axis=1))
    left = _bar(bright.max(axis=0))
    return left, top, width - left, height - top


def _bar(brightest: np.ndarray) -> int:
    """How many rows at both ends never rise above black; 0 if the ends differ, as a dark scene's do."""
    lit = np.flatnonzero(brightest > _BAR_LEVEL)
    if not len(lit):
        return 0
    before, after = int(lit[0]), len(brightest) - 1 - int(lit[-1])
    return min(before, after) if abs(before - after) <= 1 and max(before, after) <= _MOST_BAR * len(brightest) else 0


def _read(cache: Path, wanted: set[str]) -> dict[str, Fingerprint]:
    files = sorted(cache.glob("*.parquet"))
    if not files or not wanted:
        return {}
    rows = pl.scan_parquet(files).filter(pl.col("version") == VERSION, pl.col("clip_id").is_in(list(wanted))).collect()
    return {
        clip_id: Fingerprint(
            np.array(times_s, dtype=np.float32), np.frombuffer(luma, dtype=np.uint8).reshape(-1, SIZE, SIZE)
        )
        for clip_id, times_s, luma in rows.select("clip_id", "times_s", "luma").iter_rows()
    }


def _write(cache: Path, made: dict[str, Fingerprint]) -> None:
    """One file for each decoded video, renamed into place, so that a crash costs the video in hand."""
    rows = [
        {"clip_id": clip_id, "version": VERSION, "times_s": one.times_s.tolist(), "luma": one.luma.tobytes()}
        for clip_id, one in made.items()
    ]
    if rows:
        _write_file(cache, pl.DataFrame(rows, schema=_SCHEMA))


def _fold(cache: Path) -> None:
    """Joins many small files into one. A crash in between leaves rows twice, which read as once."""
    small = [path for path in cache.glob("*.parquet") if path.stat().st_size < _SMALL_BYTES]
    if len(small) >= _FOLD_FILES:
        _write_file(cache, pl.read_parquet(small))
        for path in small:
            path.unlink()


def _write_file(cache: Path, rows: pl.DataFrame) -> None:
    target = cache / f"{uuid.uuid4().hex}.parquet"
    temporary = target.with_suffix(".part")
    rows.write_parquet(temporary)
    temporary.rename(target)
