"""Small clips whose pictures say which frame they are, in the kinds that a mix may hold."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np

from tests.media.conftest import numbered

TICK = Fraction(1, 30_000)


@dataclass(frozen=True)
class Film:
    """Pictures 0, 1, 2 ... at `ticks` of TICK; the last tick is the end of the last picture."""

    ticks: Sequence[int]
    codec: str = "libx264"
    bf: int = 0
    gop: int = 8
    open_gop: bool = False
    size: tuple[int, int] = (64, 48)
    rotation_deg: int = 0
    container: str = "mp4"

    @property
    def times_s(self) -> np.ndarray:
        return (np.array(self.ticks[:-1]) - self.ticks[0]) / 30_000

    @property
    def duration_s(self) -> float:
        return (self.ticks[-1] - self.ticks[0]) / 30_000

    def encode(self) -> bytes:
        written = io.BytesIO()
        with av.open(written, "w", format=self.container) as container:
            stream = container.add_stream(self.codec, rate=30)
            stream.width, stream.height, stream.pix_fmt = *self.size, "yuv420p"
            stream.codec_context.time_base, stream.codec_context.thread_count = TICK, 1
            x264 = f"open-gop={int(self.open_gop)}:bframes={self.bf}:keyint={self.gop}:min-keyint=2"
            stream.options = {
                "libx264": {"preset": "veryfast", "crf": "15", "x264-params": x264},
                "libx265": {"preset": "ultrafast", "x265-params": f"log-level=none:pools=1:frame-threads=1:{x264}"},
                "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "g": str(self.gop)},
            }[self.codec]
            if self.rotation_deg:
                stream.set_display_rotation(-self.rotation_deg)
            for index, tick in enumerate(self.ticks[:-1]):
                frame = av.VideoFrame.from_ndarray(numbered(index, *self.size), format="rgb24")
                frame.pts, frame.time_base = tick, TICK
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return written.getvalue()
