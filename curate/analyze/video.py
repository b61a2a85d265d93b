"""One video, one decode: shots, clips, signals and frame embeddings of it, as plain rows.

The decoder yields three branches: small frames of all times for shots, signals and fingerprints, the embedding's grid
of frames in the model's own size, embedded in batches while decoding goes on, and a thumbnail each second. So memory
does not grow with the video but for its vectors, fingerprints and thumbnails. Sound is read beside, so that its damage
costs no picture. A frame that stands on a cut belongs to the later shot.

Without the model's forward pass all of it takes 1.23 times bare decoding at 1080p, 1.48 at 854x480 and 1.69 at 640x360
(`benchmarks/analysis_vs_limit.py`: a minute of H.264, one core). What a file costs once, mostly opening it four times,
is 25 ms at 360p; on a light half minute that decodes at 2,900 frames/s the ratios were 1.32, 1.69 and 2.01.
"""

import time
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from curate.analyze.clips import Span, clips_of
from curate.analyze.embed import Pending, PictureEmbedder, load_embedder
from curate.analyze.shots import Shot, make_detector, picture_size, shots_between
from curate.analyze.signals import SignalMeter, Signals
from curate.dedupe.fingerprint import Fingerprinter
from curate.errors import DecodeError
from curate.media.decode import Branch, decode, picture
from curate.media.frames import shown_frames
from curate.media.gaps import Gap
from curate.media.loudness import measure_loudness
from curate.media.probe import VideoInfo, probe
from curate.media.thumbnail import Strip, Thumbnails
from curate.specs.analysis import Analysis
from curate.vectors import pack, unit
from curate.worker import heartbeat

_SHORTFALL_S = 0.5
_SHORTFALL_SHARE = 0.9
"""Decoding that ends this much earlier than probed, with less than this share of the frames, has lost footage."""
_UNDER_WAY = 2
"""Batches that may be without their vectors while decoding goes on."""


@dataclass(frozen=True)
class ClipRow:
    """A clip with its signals and embedding; vectors as the catalog keeps them."""

    start_s: float
    end_s: float
    signals: Signals
    vector: np.ndarray  # float32 [dim], unit norm
    frame_times_s: tuple[float, ...]
    frame_vectors: bytes  # float16 [frames, dim]
    thumbnails: Strip
    content: str
    pictures: bytes  # Fingerprint.pack(), `content` in it too


@dataclass(frozen=True)
class VideoAnalysis:
    """All that one pass over a video gives."""

    info: VideoInfo
    model_id: str
    shots: tuple[Shot, ...]
    clips: tuple[ClipRow, ...]
    too_short: tuple[Span, ...]
    gaps: tuple[Gap, ...] = ()
    embed_s: float = 0.0  # seconds that decoding waited for the model


def analyze_video(path: Path | str, analysis: Analysis, *, embedder: PictureEmbedder | None = None) -> VideoAnalysis:
    """Decodes a video once and returns its rows. Every clip has at least one frame vector.

    Raises:
        DecodeError: the file is no video, or nothing in it decodes.
        InputError: the embedding model cannot be had.
    """
    heartbeat()
    embedder = embedder or load_embedder(analysis.embedding)
    info = probe(path, analysis.limits)
    detector, meter = make_detector(analysis.shots), SignalMeter()
    sampled = _FrameVectors(embedder, analysis.embedding.batch)
    thumbnails, fingerprinter = Thumbnails(), Fingerprinter()
    branches = {
        "small": Branch(*picture_size(info.width, info.height), "bgr24"),
        "embed": embedder.branch(info.width, info.height, every_s=1 / analysis.embedding.frames_per_s),
        "thumbnail": Thumbnails.branch(info.width, info.height, every_s=min(1.0, analysis.clips.min_s)),
    }
    gaps: list[Gap] = []
    for frame in decode(path, branches, gaps=gaps, limits=analysis.limits):
        heartbeat()
        if frame.branch == "small":
            detector.process(frame.time_s, frame.image)
            meter.process(frame.time_s, frame.image)
            fingerprinter.process(frame.time_s, frame.image)
        elif frame.branch == "embed":
            sampled.add(frame.time_s, frame.image)
        else:
            thumbnails.add(frame.time_s, frame.image)
    info = _as_decoded(info, meter, gaps)
    shots = shots_between(detector.finish(), info.duration_s, analysis.shots.min_shot_s, gaps)
    spans, too_short = clips_of(shots, analysis.clips, meter.changes())
    cuts_s = {shot.start_s for shot in shots}
    sound = measure_loudness(path, info)
    times_s, vectors = sampled.finish()
    rows = []
    for span in spans:
        heartbeat()
        first, last = np.searchsorted(times_s, np.array(span) - 1e-9)
        here_s, here = times_s[first:last], vectors[first:last]
        if first == last:
            here_s, here = _middle_frame(path, span, info, embedder)
        fingerprint = fingerprinter.between(span, info.width, info.height)
        rows.append(
            ClipRow(
                *span,
                signals=meter.between(span, begins_with_cut=span[0] in cuts_s, sound=sound),
                vector=unit(here.mean(axis=0)),
                frame_times_s=tuple(float(time_s) for time_s in here_s),
                frame_vectors=pack(here),
                thumbnails=thumbnails.between(span),
                content=fingerprint.content,
                pictures=fingerprint.pack(),
            )
        )
    return VideoAnalysis(
        info, embedder.model_id, tuple(shots), tuple(rows), tuple(too_short), tuple(gaps), sampled.seconds
    )


class _FrameVectors:
    """Collects pictures and hands them to the model when a batch is full; decoding goes on while it works."""

    def __init__(self, embedder: PictureEmbedder, batch: int) -> None:
        self._embedder, self._batch = embedder, batch
        self._times_s: list[float] = []
        self._waiting: list[np.ndarray] = []
        self._under_way: deque[Pending] = deque()
        self._vectors: list[np.ndarray] = [np.zeros((0, embedder.dim), np.float32)]
        self.seconds = 0.0

    def add(self, time_s: float, image: np.ndarray) -> None:
        self._times_s.append(time_s)
        self._waiting.append(image)
        if len(self._waiting) >= self._batch:
            self._embed(_UNDER_WAY)

    def finish(self) -> tuple[np.ndarray, np.ndarray]:
        """(times [n], vectors float32 [n, dim])."""
        self._embed(0)
        return np.array(self._times_s), np.concatenate(self._vectors)

    def _embed(self, leave: int) -> None:
        started = time.monotonic()
        if self._waiting:
            self._under_way.append(self._embedder.submit(np.stack(self._waiting)))
            self._waiting.clear()
        while len(self._under_way) > leave:
            heartbeat()
            self._vectors.append(self._under_way.popleft().result())
        self.seconds += time.monotonic() - started


def _middle_frame(
    path: Path | str, span: Span, info: VideoInfo, embedder: PictureEmbedder
) -> tuple[np.ndarray, np.ndarray]:
    """The frame on screen in the middle of a clip that lies between two grid times: those belong to other shots."""
    middle_s = (span[0] + span[1]) / 2
    branch = embedder.branch(info.width, info.height)
    for time_s, stored, stretch in shown_frames(path, middle_s, lead=True):
        image = picture(stored, branch.width, branch.height, stretch)
        return np.array([max(time_s, span[0])]), embedder.images(image[None])
    raise DecodeError(f"no frame at {middle_s:.2f} s", where=path)


def _as_decoded(info: VideoInfo, meter: SignalMeter, gaps: list[Gap]) -> VideoInfo:
    """Probed data with the frames that were really shown; packets may hold hidden ones, and others are lost."""
    lost_s = info.duration_s - meter.last_s()
    if not gaps and meter.frames < _SHORTFALL_SHARE * info.frames and lost_s > _SHORTFALL_S:
        gaps.append(Gap(meter.last_s() + info.duration_s / info.frames, info.duration_s, "damaged"))
    duration_s = gaps[-1].start_s if gaps and gaps[-1].end_s > info.duration_s - _SHORTFALL_S else info.duration_s
    if duration_s <= meter.last_s():  # damage hides packets from the probe, and the last frame is there all the same
        duration_s = meter.last_s() + 1 / info.fps
    return replace(info, frames=meter.frames, fps=meter.frames / duration_s, duration_s=duration_s)
