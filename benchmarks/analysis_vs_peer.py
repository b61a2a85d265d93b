"""The analysis of a few files against the script that teams write today, start to end, on all cores.

The script: `scenedetect detect-adaptive split-video` cuts each file into clip files with ffmpeg, OpenCV reads each clip
again and keeps 2 frames/s, open_clip's own transform prepares them, and one forward pass for each clip embeds them.
Ours: the same files through the engine with one worker a core. Both use ViT-B-32 with random weights and end with
clips and a vector for each sampled frame. The value is how many times longer the script takes without the forward
pass; the rows tell it with the forward pass too, which takes most of the rest on a CPU. There each does as it does by
default: the script multiplies in fp32, and we in bf16 where the processor can.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import open_clip
import torch
from PIL import Image

from benchmarks.analysis_vs_limit import NoForward
from benchmarks.claim import Result, in_turn, main, ratio
from benchmarks.footage import make
from curate import engine
from curate.analyze.video import VideoAnalysis, analyze_video
from curate.errors import InputError
from curate.specs import Analysis
from curate.specs.analysis import Embedding

_FRAMES_PER_S = 2.0
_RANDOM = Embedding(model="ViT-B-32", weights="random", frames_per_s=_FRAMES_PER_S, device="cpu")


def by_script(files: Sequence[Path], *, forward: bool) -> int:
    """What a team writes by hand; returns the number of clips."""
    model, _, transform = open_clip.create_model_and_transforms("ViT-B-32")
    model.eval()
    scenedetect = Path(sys.executable).with_name("scenedetect")
    clips = 0
    for path in files:
        with tempfile.TemporaryDirectory() as directory:
            command = [scenedetect, "-q", "-i", path, "-o", directory, "detect-adaptive", "split-video"]
            subprocess.run(command, check=True, capture_output=True)
            for clip in sorted(Path(directory).glob("*.mp4")):
                batch = torch.stack([transform(picture) for picture in _read_clip(clip)])
                if forward:
                    with torch.inference_mode():
                        model.encode_image(batch)
                clips += 1
    return clips


def by_curate(files: Sequence[Path], *, forward: bool) -> int:
    """The same with the library; returns the number of clips."""
    analysis = Analysis(embedding=_RANDOM)
    work = partial(_analyse, analysis=analysis, forward=forward)
    results = engine.run(work, files, analysis.engine)
    return sum(len(result.value.clips) for result in results if isinstance(result, engine.Success))


def _analyse(path: Path, analysis: Analysis, *, forward: bool) -> VideoAnalysis:
    return analyze_video(path, analysis) if forward else analyze_video(path, analysis, embedder=NoForward())


def _read_clip(path: Path) -> list[Image.Image]:
    capture = cv2.VideoCapture(str(path))
    step = max(round(capture.get(cv2.CAP_PROP_FPS) / _FRAMES_PER_S), 1)
    pictures: list[Image.Image] = []
    index = 0
    while True:
        found, frame = capture.read()
        if not found:
            return pictures
        if index % step == 0:
            pictures.append(Image.fromarray(np.ascontiguousarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))))
        index += 1


def measure(quick: bool) -> Result:
    if shutil.which("ffmpeg") is None:
        raise InputError("the script that is compared with needs ffmpeg", fix="Install it: apt-get install ffmpeg")
    files, length_s, repeats = (2, 12, 1) if quick else (3, 45, 5)
    rows = []
    with tempfile.TemporaryDirectory() as directory:
        footage = [make(Path(directory), f"peer{at}", 1280, 720, length_s) for at in range(files)]
        for forward in (False, True):
            timings = in_turn(
                {
                    "script": partial(by_script, footage, forward=forward),
                    "curate": partial(by_curate, footage, forward=forward),
                },
                repeats if not forward else max(repeats // 2, 1),
                warm=not (quick or forward),
            )
            rows.append(
                {
                    "forward": forward,
                    "times": ratio(timings, "script", "curate"),
                    "script_s": timings["script"].median_s,
                    "curate_s": timings["curate"].median_s,
                    "footage_s": files * length_s,
                    "clips": by_curate(footage, forward=False),
                }
            )
    return Result(rows[0]["times"], "times the script's speed", 4.0, at_most=False, rows=rows)


if __name__ == "__main__":
    main("analysis_vs_peer", measure)
