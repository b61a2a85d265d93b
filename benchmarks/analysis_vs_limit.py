"""The whole analysis of a video costs little more than decoding it.

One pass of `analyze_video` (adaptive shots, 2 frames/s in the size that ViT-B-32 takes, signals and sound, thumbnails,
but no forward pass of the model) against libav decoding the same files and doing nothing with the frames, one decoder
thread each, in turn. The value is the worst of the sizes' ratios over their targets, so 1 is just met.
"""

import tempfile
from pathlib import Path

import av
import numpy as np

from benchmarks.claim import Result, in_turn, main, ratio
from benchmarks.footage import make
from curate.analyze.embed import Pending, PictureEmbedder
from curate.analyze.video import analyze_video
from curate.media.decode import Branch
from curate.specs import Analysis

_SIZES = ((1920, 1080, 1.3), (854, 480, 1.6), (640, 360, 2.0))
"""Width, height, and how many times the bare decode the analysis may take."""


class NoForward:
    """Stands where the model would: takes pictures as ViT-B-32 does, and gives one and the same vector for each."""

    model_id, dim = "none", 512

    def branch(self, width: int, height: int, every_s: float | None = None) -> Branch:
        scale = max(224 / width, 224 / height)
        size = round(width * scale), round(height * scale)
        return Branch(*size, "rgb24", every_s=every_s, scaling="bicubic")

    def submit(self, pictures: np.ndarray) -> Pending:
        return Pending(lambda: self.images(pictures))

    def images(self, pictures: np.ndarray) -> np.ndarray:
        vectors = np.zeros((len(pictures), self.dim), np.float32)
        vectors[:, 0] = 1
        return vectors


def decode_bare(path: Path) -> int:
    """Decodes the video stream in one thread; the number of frames."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        return sum(1 for _ in container.decode(stream))


def measure(quick: bool) -> Result:
    length_s, repeats = (8, 3) if quick else (60, 7)
    embedder: PictureEmbedder = NoForward()
    rows = []
    with tempfile.TemporaryDirectory() as directory:
        for width, height, target in _SIZES:
            path = make(Path(directory), "limit", width, height, length_s)
            frames = decode_bare(path)
            timings = in_turn(
                {
                    "bare": lambda path=path: decode_bare(path),
                    "analysis": lambda path=path: analyze_video(path, Analysis(), embedder=embedder),
                },
                repeats,
            )
            rows.append(
                {
                    "size": f"{width}x{height}",
                    "ratio": ratio(timings, "analysis", "bare"),
                    "target": target,
                    "bare_frames_per_s": frames / timings["bare"].median_s,
                    "analysis_frames_per_s": frames / timings["analysis"].median_s,
                    "megabits_per_s": path.stat().st_size * 8 / length_s / 1e6,
                }
            )
    worst = max(row["ratio"] / row["target"] for row in rows)
    return Result(worst, "of the allowed time", 1.0, at_most=True, rows=rows)


if __name__ == "__main__":
    main("analysis_vs_limit", measure)
