"""Small real videos whose pixels say which frame they are: its number stands in it as eight black or white bars."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

Maker = Callable[..., Path]
BARS = 8


def numbered(index: int, width: int, height: int) -> np.ndarray:
    """Grey below; above, bar b is white where bit b of the index is set, brightest first."""
    image = np.full((height, width, 3), 90, np.uint8)
    for bar in range(BARS):
        value = 255 if index >> bar & 1 else 0
        image[: height // 2, bar * width // BARS : (bar + 1) * width // BARS] = value
    return image


def number_of(image: np.ndarray) -> int:
    """The number in a picture, at any size."""
    height, width = image.shape[:2]
    row = image[height // 4, :, 0]
    return sum(int(row[int((bar + 0.5) * width / BARS)] > 128) << bar for bar in range(BARS))


@pytest.fixture(scope="session")
def make_video(tmp_path_factory: pytest.TempPathFactory) -> Maker:
    """Writes frames 0, 1, 2... at the given ticks of `tick`; the last one ends at the last tick."""

    def make(
        name: str = "video.mp4",
        *,
        ticks: Sequence[int] = tuple(range(61)),
        tick: Fraction = Fraction(1, 30),
        size: tuple[int, int] = (320, 180),
        codec: str = "libx264",
        rotation_deg: int = 0,
        audio_from_s: float | None = None,
        options: dict[str, str] | None = None,
        container_options: dict[str, str] | None = None,
        container_format: str | None = None,
    ) -> Path:
        path = tmp_path_factory.mktemp("media") / name
        with av.open(str(path), "w", format=container_format, options=container_options or {}) as container:
            stream = container.add_stream(codec, rate=round(1 / tick) if tick >= Fraction(1, 60) else 30)
            stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
            stream.codec_context.time_base = tick
            stream.options = options or {"bf": "2", "g": "12"}
            if rotation_deg:
                stream.set_display_rotation(-rotation_deg)
            lengths = {start: end - start for start, end in pairwise(ticks)}
            if audio_from_s is not None:
                _add_tone(container, audio_from_s)
            for index, start in enumerate(ticks[:-1]):
                image = numbered(index, *(size if rotation_deg % 180 == 0 else size[::-1]))
                stored = np.ascontiguousarray(np.rot90(image, rotation_deg // 90))
                frame = av.VideoFrame.from_ndarray(stored, format="rgb24")
                frame.pts, frame.time_base = start, tick
                _mux(container, stream.encode(frame), lengths)
            _mux(container, stream.encode(None), lengths)
        return path

    return make


def _mux(container: av.container.OutputContainer, packets: list[av.Packet], lengths: dict[int, int]) -> None:
    for packet in packets:
        packet.duration = lengths.get(packet.pts, packet.duration)
        container.mux(packet)


def _add_tone(
    container: av.container.OutputContainer, from_s: float, seconds: float = 2.0, rate_hz: int = 48_000
) -> None:
    stream = container.add_stream("aac", rate=rate_hz, layout="mono")
    times = np.arange(round(seconds * rate_hz)) / rate_hz
    samples = (0.3 * np.sin(2 * np.pi * 440 * times) * (times >= from_s)).astype(np.float32)
    for start in range(0, len(samples), 1024):
        frame = av.AudioFrame.from_ndarray(samples[None, start : start + 1024], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate_hz, start, Fraction(1, rate_hz)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
