"""From a stored picture to the one that is shown: upright, in square pixels, one field of two, BT.709, at any size.

Everything happens in libav while it scales, or afterwards on the small picture, where it costs next to nothing:

- Matrix and range are those that the picture states. Where it states no matrix, BT.709 for HD and BT.601 below, as
  players do.
- PQ, HLG and BT.2020 are mapped to BT.709 (`curate.media.color`).
- Of an interlaced picture the upper field is taken: half the lines, which are more than the small pictures have, and
  no comb; and times stay one to one, which they do not with filters that make two frames of one.
- Rotation and mirroring turn the small picture.
- A picture of another shape than the video's first, in mid-stream, is fitted into the frame between black bars.
"""

from fractions import Fraction
from typing import Any, Literal

import av
import av.filter
import numpy as np
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from curate.errors import DecodeError
from curate.media.color import BT2020, needs_mapping, to_bt709

PixelFormat = Literal["rgb24", "bgr24"]
Scaling = Literal["fast_bilinear", "area", "bilinear", "bicubic"]

_EXACT = "accurate_rnd+full_chroma_int"  # without them 4:4:4 footage comes out two levels darker
_FLAGS = {
    "fast_bilinear": "fast_bilinear",
    "area": f"area+{_EXACT}",
    "bilinear": f"bilinear+{_EXACT}",
    "bicubic": f"bicubic+{_EXACT}",
}
_UNSTATED = (2, 3)
_SAME_SHAPE = 0.02
_MOST_ANAMORPHIC = 10.0
_GRAPHS = 8
"""A stream that goes back and forth between formats, or between frames and fields, finds its graphs again."""

_Shape = tuple[int, int, str, int, int, int, int, bool, int, float]


def rotation_of(frame: VideoFrame) -> int:
    """Degrees clockwise that a player turns the stored picture: 0, 90, 180 or 270."""
    return -90 * round(frame.rotation / 90) % 360


def shown_size(stream: VideoStream, frame: VideoFrame, pixel_aspect: Fraction | None = None) -> tuple[int, int]:
    """Width and height as a player shows a frame of `stream`: rotated, in square pixels.

    `pixel_aspect` is taken in place of what the container says, or the codec where that says nothing.
    """
    aspect = float(pixel_aspect or stream.sample_aspect_ratio or 0)
    aspect = aspect if 1 / _MOST_ANAMORPHIC <= aspect <= _MOST_ANAMORPHIC else 1.0
    size = (max(round(frame.width * aspect), 1), frame.height)
    return size if rotation_of(frame) % 180 == 0 else (size[1], size[0])


def is_mirrored(frame: VideoFrame) -> bool:
    """Whether a player mirrors the stored picture top to bottom before it turns it."""
    matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return False
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].astype(float)
    return bool(a * d - b * c < 0)


def is_plain(frame: VideoFrame, stretch: float = 1.0) -> bool:
    """Whether scaling and turning is all that a picture needs to be shown right."""
    mapped = needs_mapping(frame.color_trc, frame.color_primaries)
    return not (mapped or frame.interlaced_frame or abs(stretch - 1) > _SAME_SHAPE or is_mirrored(frame))


class Scaler:
    """Makes pictures of one size from stored ones, in a filter graph for each kind of them that comes."""

    def __init__(self, width: int, height: int, pixel_format: PixelFormat, scaling: Scaling) -> None:
        self._width, self._height, self._pixel_format, self._flags = width, height, pixel_format, _FLAGS[scaling]
        self._graphs: dict[_Shape, _Graph] = {}

    def picture(self, stored: VideoFrame, stretch: float = 1.0) -> np.ndarray:
        """A stored picture as it is shown: uint8 [height, width, 3].

        Args:
            stored: as it was decoded.
            stretch: how much wider in shape it is than the pictures this size is meant for.

        Raises:
            DecodeError: libav has no conversion for it.
        """
        shape = (
            stored.width,
            stored.height,
            stored.format.name,
            stored.colorspace,
            stored.color_range,
            stored.color_trc,
            stored.color_primaries,
            stored.interlaced_frame,
            stored.rotation,
            stretch,
        )
        graph = self._graphs.get(shape)
        if graph is None:
            if len(self._graphs) >= _GRAPHS:
                self._graphs.pop(next(iter(self._graphs)))
            graph = self._graphs[shape] = _Graph(stored, self._inside(stored, stretch), self._pixel_format, self._flags)
        return graph.picture(stored)

    def _inside(self, stored: VideoFrame, stretch: float) -> tuple[int, int, int, int]:
        """Width and height of the frame to make, and of the picture in it, before it is turned."""
        width, height = self._width, self._height
        fitted = (width, height)
        if abs(stretch - 1) > _SAME_SHAPE:
            fitted = max(round(width * min(stretch, 1.0)), 1), max(round(height / max(stretch, 1.0)), 1)
        if rotation_of(stored) % 180:
            return height, width, fitted[1], fitted[0]
        return width, height, *fitted


class _Graph:
    """One filter graph, and what is done after it."""

    def __init__(self, stored: VideoFrame, inside: tuple[int, int, int, int], pixel_format: str, flags: str) -> None:
        self._transfer = stored.color_trc
        self._mapped = needs_mapping(stored.color_trc, stored.color_primaries)
        self._reversed = self._mapped and pixel_format == "bgr24"
        self._quarters, self._mirrored = rotation_of(stored) // 90, is_mirrored(stored)
        width, height, fitted_width, fitted_height = inside
        graph = av.filter.Graph()
        graph.threads = 1
        try:
            source = graph.add_buffer(
                width=stored.width,
                height=stored.height,
                format=stored.format,
                time_base=stored.time_base or Fraction(1, 1000),
            )
            nodes = [source]
            if stored.interlaced_frame and stored.height > 3:
                nodes.append(graph.add("field", "top"))
            matrix = _matrix(stored)
            nodes.append(graph.add("scale", f"{fitted_width}:{fitted_height}:flags={flags}{matrix}"))
            nodes.append(graph.add("format", "rgb48" if self._mapped else pixel_format))
            if (fitted_width, fitted_height) != (width, height):
                nodes.append(graph.add("pad", f"{width}:{height}:-1:-1"))
            self._sink = graph.add("buffersink")
            graph.link_nodes(*nodes, self._sink).configure()
        except (av.FFmpegError, ValueError) as error:
            raise DecodeError(f"pictures of format {stored.format.name} cannot be converted") from error
        self._graph, self._source = graph, source

    def picture(self, stored: VideoFrame) -> np.ndarray:
        self._source.push(stored)
        image = self._sink.pull().to_ndarray()
        if self._mapped:
            image = to_bt709(image, self._transfer)
        if not (self._reversed or self._mirrored or self._quarters):
            return image
        if self._reversed:
            image = image[..., ::-1]
        if self._mirrored:
            image = image[::-1]
        return np.ascontiguousarray(np.rot90(image, -self._quarters))


def _matrix(stored: VideoFrame) -> str:
    if stored.colorspace not in _UNSTATED:
        return ""
    if stored.color_primaries == BT2020:
        return ":in_color_matrix=bt2020"
    short, long = sorted((stored.width, stored.height))  # a phone's upright picture is no larger than a lying one
    return ":in_color_matrix=bt709" if long >= 1280 or short > 576 else ":in_color_matrix=bt601"
