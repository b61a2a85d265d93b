"""Two workers do nearly twice the work of one, here and on Ray, and a worker's memory does not grow with the video.

Efficiency is the seconds of one worker over twice those of two, for the same videos through `engine.run` and the
analysis as `collect` runs it (sample model). The clock runs from the first start of a video to the last end of one, as
the workers see it; before that they have waited for each other, so their own start is in none. Memory is the most that
a worker's share of its pages comes to (PSS, looked at four times a second), for videos of different lengths made of
the same packets.
"""

import os
import tempfile
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import av

from benchmarks import claim, footage
from curate import engine
from curate.analyze.embed.place import Placed, placed
from curate.analyze.video import analyze_video
from curate.specs.analysis import Analysis, Embedding, Engine

_ANALYSIS = Analysis(embedding=Embedding(model="sample", weights="sample", device="cpu"))
_TARGET = 0.85
_LOOK_S = 0.25


def measure(quick: bool) -> claim.Result:
    videos, length_s, repeats, minutes = (16, 6.0, 3, (0.25, 1)) if quick else (8, 20.0, 5, (1, 10, 60))
    with tempfile.TemporaryDirectory() as made:
        clip = footage.make(Path(made), "clip", 640, 360, length_s)
        timings = scaling(clip, videos, repeats, with_ray=_has_ray())
        lengths = {length: repeated(clip, Path(made) / f"{length:g}.mp4", 60 * length) for length in minutes}
        peaks = {length: peak_bytes(video) / 1e6 for length, video in lengths.items()}
    rows: list[dict[str, Any]] = [
        {
            "what": name,
            "seconds": timing.median_s,
            "efficiency": claim.ratio(timings, "1 worker", name) / (1 if name == "1 worker" else 2),
            "memory_mb": None,
        }
        for name, timing in timings.items()
    ]
    rows += [
        {"what": f"{length:g} min of video", "seconds": None, "efficiency": None, "memory_mb": peak}
        for length, peak in peaks.items()
    ]
    grown = peaks[minutes[-1]] / peaks[minutes[0]]
    notes = f"a worker takes {grown:.2f} times the memory for {minutes[-1] / minutes[0]:g} times the length"
    found = claim.ratio(timings, "1 worker", "2 workers") / 2
    return claim.Result(found, "of twice one worker's rate", _TARGET, at_most=False, rows=rows, notes=notes)


def scaling(clip: Path, videos: int, repeats: int, *, with_ray: bool) -> dict[str, claim.Timing]:
    """Seconds of each way, in turn, after a round that does not count."""
    ways = {"1 worker": Engine(workers=1), "2 workers": Engine(workers=2)}
    if with_ray:
        ways["Ray, 2 workers"] = Engine(kind="ray", workers=2)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(repeats + 1):
        for name, how in ways.items():
            took_s = seconds_of(how, clip, videos)
            if repeat:
                seconds[name].append(took_s)
    return {name: claim.Timing(tuple(some)) for name, some in seconds.items()}


def seconds_of(how: Engine, clip: Path, videos: int) -> float:
    """From the first start of a video to the last end, on workers that are all up."""
    workers = how.workers or 1
    with tempfile.TemporaryDirectory() as meeting, placed(_ANALYSIS.embedding, how) as model:
        items = [Path(meeting)] * workers + [clip] * videos
        results = list(engine.run(partial(_analyse, model=model, workers=workers), items, how, prepare=model.open))
    spans = [result.value for result in results if isinstance(result, engine.Success) and result.value]
    assert len(spans) == videos, [result for result in results if isinstance(result, engine.Failure)]
    return float(max(end for _, end in spans) - min(start for start, _ in spans))


def _analyse(path: Path, model: Placed, workers: int) -> tuple[float, float] | None:
    """Analyses a video; at a directory, waits until every worker has come there. Seconds of the machine's clock."""
    if path.is_dir():
        (path / str(os.getpid())).touch()
        while len(list(path.iterdir())) < workers:
            time.sleep(0.01)
        return None
    start = time.monotonic()
    analyze_video(path, _ANALYSIS, embedder=model.open())
    return start, time.monotonic()


def peak_bytes(video: Path) -> int:
    """The most a worker's share of memory comes to while it analyses a video."""
    how = Engine(workers=1)
    with placed(_ANALYSIS.embedding, how) as model:
        (result,) = engine.run(partial(_watched, model=model), [video], how, prepare=model.open)
    assert isinstance(result, engine.Success), result.reason
    return int(result.value)


def _watched(path: Path, model: Placed) -> int:
    seen, ended = [_pss_bytes()], threading.Event()

    def look() -> None:
        while not ended.wait(_LOOK_S):
            seen.append(_pss_bytes())

    thread = threading.Thread(target=look)
    thread.start()
    analyze_video(path, _ANALYSIS, embedder=model.open())
    ended.set()
    thread.join()
    return max(seen)


def _pss_bytes() -> int:
    """Of the pages that processes share, each counts its part."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def repeated(clip: Path, path: Path, length_s: float) -> Path:
    """A file that shows a clip again and again for a time: the same packets at later times, nothing encoded."""
    with av.open(str(clip)) as once:
        lasts_s = (once.duration or 0) / av.time_base + 0.1  # sound begins before the picture
    with av.open(str(path), "w") as made:
        streams: dict[int, Any] = {}
        for turn in range(max(round(length_s / lasts_s), 1)):
            with av.open(str(clip)) as given:
                kept = (given.streams.video[0], given.streams.audio[0])
                for stream in kept if turn == 0 else ():
                    streams[stream.index] = made.add_stream_from_template(stream)
                for packet in given.demux(kept):
                    if packet.dts is None or packet.pts is None or packet.time_base is None:
                        continue
                    later = round(turn * lasts_s / packet.time_base)
                    packet.pts, packet.dts = packet.pts + later, packet.dts + later
                    packet.stream = streams[packet.stream.index]
                    made.mux(packet)
    return path


def _has_ray() -> bool:
    try:
        import ray  # noqa: F401
    except ImportError:
        return False
    return True


if __name__ == "__main__":
    claim.main("scaling", measure)
