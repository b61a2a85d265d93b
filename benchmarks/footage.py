"""Footage to measure on: real files scaled to a wanted size, or the sample world drawn at it where there are none.

Real files are those of CURATE_REAL_MEDIA (default ../shared/media). Everything is encoded anew as H.264 with a stereo
AAC track, so that all files of a run have the same kind of stream and every size shows the same content.
"""

import os
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path

import av
import numpy as np

from curate.media.decode import Branch, decode
from curate.media.probe import probe
from curate.sample.draw import Stage
from curate.sample.world import plan_world

REAL_MEDIA = Path(os.environ.get("CURATE_REAL_MEDIA") or Path(__file__).parents[1].parent / "shared" / "media")

_RATE = 25
_SOUND_HZ = 48_000


def real_files() -> list[Path]:
    """The half of the real footage with the most bits a pixel, so with motion and detail; none where it is not here.

    A slide show or a test card decodes many times faster than footage does, and would be measured in its place.
    """
    files = sorted(REAL_MEDIA.glob("*.mp4")) if REAL_MEDIA.is_dir() else []
    return sorted(files, key=_bits_per_pixel, reverse=True)[: (len(files) + 1) // 2]


def _bits_per_pixel(path: Path) -> float:
    info = probe(path)
    return info.bitrate_bps / (info.width * info.height * info.fps)


def make(directory: Path, name: str, width: int, height: int, length_s: float, *, gop_s: float = 2.0) -> Path:
    """A file of this size and length whose content is real footage where there is some, one file after the other.

    H.264 high profile, preset fast, crf 18, a keyframe each `gop_s`, 25 frames/s; a new name shows other content.
    """
    path = directory / f"{name}_{width}x{height}_{length_s:g}s.mp4"
    if not path.exists():
        frames = round(length_s * _RATE)
        _encode(path, islice(_pictures(name, width, height), frames), width, height, frames, gop_s)
    return path


def _pictures(name: str, width: int, height: int) -> Iterator[np.ndarray]:
    start = sum(name.encode())
    while True:
        files = real_files()
        if files:
            files = [files[(start + at) % len(files)] for at in range(len(files))]
            branch = {"all": Branch(width, height, "rgb24", scaling="bicubic")}
            yield from chain.from_iterable((frame.image for frame in decode(path, branch)) for path in files)
        else:
            plan = plan_world(1, start)[0]
            stage = Stage(height, width)
            yield from (stage.draw(plan.script, time_s) for time_s in plan.clock.times_s)
        start += 1


def _encode(path: Path, pictures: Iterator[np.ndarray], width: int, height: int, frames: int, gop_s: float) -> None:
    part = path.with_suffix(".part")
    rng = np.random.default_rng(0)
    with av.open(str(part), "w", format="mp4") as container:
        video = container.add_stream("libx264", rate=_RATE)
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        video.options = {"preset": "fast", "crf": "18", "g": str(round(gop_s * _RATE))}
        sound = container.add_stream("aac", rate=_SOUND_HZ, layout="stereo")
        step = sound.codec_context.frame_size or 1024
        for picture in pictures:
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode(None))
        for start in range(0, frames * _SOUND_HZ // _RATE, step):
            block = av.AudioFrame.from_ndarray(
                rng.normal(0, 0.05, (2, step)).astype(np.float32), format="fltp", layout="stereo"
            )
            block.sample_rate, block.pts, block.time_base = _SOUND_HZ, start, Fraction(1, _SOUND_HZ)
            container.mux(sound.encode(block))
        container.mux(sound.encode(None))
    part.replace(path)
