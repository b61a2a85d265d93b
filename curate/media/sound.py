"""The samples of a video's sound on its own time line: for cuts, and for who must listen.

Timestamps decide where sound lies: gaps between them are silence, and what lies outside the wanted span is left out. It
is decoded apart from the pictures, so what is wrong with it costs them nothing.
"""

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from av.audio.resampler import AudioResampler

from curate.media.container import open_video

JITTER_S = 0.002
"""Timestamps of sound in millisecond containers are rounded; a gap or overlap this small is none."""

_EARLY_S = 1.0
"""A decoder entered in mid-stream needs a little before what it gives is right."""


def read_sound(
    path: Path | str, from_s: float, samples: int, rate_hz: int, layout: str = "mono"
) -> Iterator[np.ndarray]:
    """Yields the first audio stream in blocks of float32 [channels, n], `samples` of them in all.

    Args:
        path: a file with sound.
        from_s: where to begin, in the file's own time: `VideoInfo.start_offset_s` plus seconds from the first frame.
        samples: how many, at `rate_hz`.
        rate_hz: to resample to.
        layout: `mono` or `stereo`, to mix to.

    Raises:
        DecodeError: the sound is damaged within the span.
    """
    channels = 1 if layout == "mono" else 2
    position = 0
    for start, block in _decoded(path, from_s, rate_hz, layout):
        if position and abs(start - position) < JITTER_S * rate_hz:
            start = position
        if start > position:
            gap = min(start, samples) - position
            for begin in range(0, gap, rate_hz):
                yield np.zeros((channels, min(rate_hz, gap - begin)), np.float32)
            position += gap
        piece = block[:, max(position - start, 0) : max(samples - start, 0)]
        if piece.shape[1]:
            yield piece
            position += piece.shape[1]
        if position >= samples:
            return
    if position < samples:
        yield np.zeros((channels, samples - position), np.float32)


def _decoded(path: Path | str, from_s: float, rate_hz: int, layout: str) -> Iterator[tuple[int, np.ndarray]]:
    """(first sample, float32 [channels, samples]), counted from `from_s`."""
    resampler = AudioResampler(format="fltp", layout=layout, rate=rate_hz)

    def placed(frames: list[av.AudioFrame]) -> Iterator[tuple[int, np.ndarray]]:
        for frame in frames:
            if frame.pts is not None and frame.time_base is not None:
                yield round((float(frame.pts * frame.time_base) - from_s) * rate_hz), frame.to_ndarray()

    with open_video(path) as (container, _):
        stream = container.streams.audio[0]
        stream.codec_context.thread_count = 1
        if from_s > _EARLY_S:
            container.seek(int((from_s - _EARLY_S) * av.time_base))
        for frame in container.decode(stream):
            if frame.pts is not None:
                yield from placed(resampler.resample(frame))
        yield from placed(resampler.resample(None))
