"""A three-hour video is answered for in the memory of a short one, many times faster than it plays.

    python -m benchmarks.segment_long [--quick] [--json]

`curate segment VIDEO --jsonl` runs as a process of its own on a long and on a short file of one kind (640x360, 25
frames/s, H.264), asked for the nine capabilities of the sample world with the sample CLIP and a trained segmenter of
untrained weights. Its own pages are read ten times
a second. The figure is the peak of the long file over that of the short one; beside it stand how many times real the
video was answered for, and decoding alone.

The files are minutes of footage whose packets are repeated with later times, so that three hours are written in
seconds; the decoder has all of them to do.
"""

import json
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import av
import torch

from benchmarks.claim import Result, main
from benchmarks.footage import make
from curate.analyze.embed import load_embedder
from curate.media.frames import shown_frames
from curate.model.segmenter import Segmenter, Shape, save_model
from curate.worker import memory_bytes
from curate.workspace import Workspace, create_workspace

_SIZE = (640, 360)
_PIECE_S = 60.0
_LOOK_S = 0.1
_TARGET = 1.1
_MB = 1e6


@dataclass(frozen=True)
class Run:
    """One answer: what it took, and how soon the first segment was there."""

    peak_mb: float
    seconds: float
    first_segment_s: float
    segments: int


def repeated(piece: Path, path: Path, times: int) -> Path:
    """The video of `piece` so many times in a row, its packets copied."""
    with av.open(str(piece)) as source, av.open(str(path), "w") as container:
        stream = source.streams.video[0]
        packets = [packet for packet in source.demux(stream) if packet.dts is not None]
        length = round(_PIECE_S / stream.time_base)
        written = container.add_stream_from_template(stream)
        content = [(bytes(packet), packet.pts, packet.dts, packet.is_keyframe) for packet in packets]
        for at in range(times):
            for data, pts, dts, is_keyframe in content:
                packet = av.Packet(data)
                packet.pts, packet.dts, packet.time_base = pts + at * length, dts + at * length, stream.time_base
                packet.is_keyframe, packet.stream = is_keyframe, written
                container.mux(packet)
    return path


def prepare(directory: Path) -> tuple[Workspace, Path]:
    """A workspace with a model, and a request for all of its capabilities."""
    workspace = create_workspace(directory / "workspace", sample=True)
    embedder = load_embedder(workspace.analysis().embedding)
    torch.manual_seed(0)
    network = Segmenter(Shape(dim=embedder.dim))
    torch.nn.init.constant_(network.actionness.bias, 1.0)
    save_model(workspace.models / "untrained", network, {"embedding_model": embedder.model_id, "key": "untrained"})
    asked = []
    for name, spec in workspace.capabilities().items():
        fields = [field.model_dump(exclude_none=True, exclude={"required"}) for field in spec.segment.fields]
        asked.append({"id": name, "description": spec.segment.description, "fields": fields, "text": spec.match.text})
    request = directory / "request.json"
    request.write_text(json.dumps({"segment_definitions": asked}))
    return workspace, request


def answered(workspace: Workspace, request: Path, video: Path) -> Run:
    """Runs the command and reads its lines as they come."""
    curate = Path(sys.executable).parent / "curate"
    words = [curate, "-w", workspace.root, "segment", video, "--jsonl", "--definitions", request]
    started, peak, first_s, last = time.monotonic(), [0], 0.0, ""
    with subprocess.Popen([str(word) for word in words], stdout=subprocess.PIPE, text=True) as process:

        def watch() -> None:
            while process.poll() is None:
                peak[0] = max(peak[0], memory_bytes(process.pid))
                time.sleep(_LOOK_S)

        watcher = threading.Thread(target=watch)
        watcher.start()
        assert process.stdout is not None
        for number, line in enumerate(process.stdout):
            if number == 1:
                first_s = time.monotonic() - started
            last = line
        watcher.join()
    if process.returncode or not json.loads(last).get("done"):
        raise SystemExit(f"the command ended with {process.returncode}")
    return Run(peak[0] / _MB, time.monotonic() - started, first_s, json.loads(last)["segments"])


def decoding_s(video: Path) -> float:
    started = time.monotonic()
    for _ in shown_frames(video):
        pass
    return time.monotonic() - started


def measure(quick: bool) -> Result:
    lengths_s = {"short": 120.0, "long": 600.0} if quick else {"short": 600.0, "long": 10_800.0}
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        workspace, request = prepare(directory)
        piece = make(directory, "talk", *_SIZE, _PIECE_S)
        rows = []
        for name, length_s in lengths_s.items():
            video = repeated(piece, directory / f"{name}.mp4", round(length_s / _PIECE_S))
            run, bare_s = answered(workspace, request, video), decoding_s(video)
            rows.append(
                {
                    "video_s": length_s,
                    "peak_mb": run.peak_mb,
                    "seconds": run.seconds,
                    "times_real": length_s / run.seconds,
                    "times_real_decoding_alone": length_s / bare_s,
                    "first_segment_s": run.first_segment_s,
                    "segments": run.segments,
                }
            )
    short, long = rows
    return Result(
        value=long["peak_mb"] / short["peak_mb"],
        unit=f"of the peak memory of {short['video_s'] / 60:g} min",
        target=_TARGET,
        at_most=True,
        rows=rows,
        notes=f"{long['video_s'] / 3600:.3g} h at {long['times_real']:.0f} times real, the process's start and the "
        f"model's loading included; decoding alone {long['times_real_decoding_alone']:.0f} times.",
    )


if __name__ == "__main__":
    main("segment_long", measure)
