"""Cuts a span of a video to an mp4 that every browser plays and whose frames stand on a known grid.

An annotator's tool and a training set both need "frame k" to mean one time, so a cut has a constant rate: frame k
shows what the source shows at start_s + k / fps, whatever the source's own timing. When the picture that a frame shows
began in the source is known too (`Cut.edges_s`): a cut that begins between two pictures, or whose source has a variable
rate, shows each of them up to a frame late. H.264 yuv420p without B-frames (so
that the pictures need no edit list and start at zero), AAC where there is sound, index in front. One thread, no dates
and no versions in it: the same span of the same file is the same bytes on every run.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from curate.errors import InputError
from curate.media.encode import Upright, add_aac, add_h264, even_size, new_mp4, sound_of, write_sound
from curate.media.frames import shown_frames
from curate.media.probe import VideoInfo, probe_times

_RATES = (
    *(Fraction(whole) for whole in (10, 12, 15, 20, 24, 25, 30, 48, 50, 60)),
    *(Fraction(whole * 1000, 1001) for whole in (24, 30, 60)),
)
_FASTER = (Fraction(60), Fraction(120))
"""Tried in turn where the usual rate would skip pictures of the source. Chromium plays 120 in step on two busy cores
(8 of 720 frames dropped), and every frame that Label Studio goes to is that one."""
_TICK_S = 0.001
"""Containers that count milliseconds put frames this much beside their rate; a picture due so soon is shown now."""


@dataclass(frozen=True)
class Cut:
    """What was written: constant rate, number of frames, and frames / fps.

    Attributes:
        edges_s: [frames + 1], source seconds, rising: where what frame i shows begins, and where the last one ends. A
            frame that is the first to show a picture begins when the source shows it; one that repeats it, at its own
            place on the grid. The span's own ends bound them.
    """

    fps: Fraction
    frames: int
    duration_s: float
    edges_s: tuple[float, ...]


def cut(
    path: Path | str,
    start_s: float,
    end_s: float,
    target: Path,
    *,
    fps: Fraction | None = None,
    min_height: int | None = None,
    max_height: int | None = None,
    every_picture: bool = False,
) -> Cut:
    """Writes [start_s, end_s) of a video, in seconds from its first shown frame, as an mp4 at `target`.

    Args:
        path: the source.
        start_s: shown first; the end of the video bounds the span.
        end_s: not shown.
        target: replaced in one step when the whole file is written.
        fps: rate of the cut; where not given, the source's, at its nearest usual value and at most 60. Of a variable
            rate the next higher of 30 and 60, which moves no frame by more than one interval.
        min_height: pictures lower than this are scaled up.
        max_height: pictures higher than this are scaled down. Sides are rounded to even numbers.
        every_picture: take a higher rate, of 60 or 120, where fewer pictures of the span are skipped at it, and a frame
            more where the last one would be.

    Raises:
        DecodeError: the source is damaged within the span.
        InputError: the span is empty or begins after the end of the video.
    """
    info, times_s = probe_times(path)
    stop_s = min(end_s, info.duration_s)
    if not 0 <= start_s < stop_s:
        raise InputError(f"no span from {start_s:g} to {end_s:g} s in a video of {info.duration_s:.3f} s", where=path)
    rate = fps or usual_rate(info)
    if every_picture:
        grid = _grid_for_all(times_s, start_s, stop_s, rate)
    else:
        grid = _Grid(start_s, rate, max(round((stop_s - start_s) * rate), 1))
    until_s = max(stop_s - _TICK_S, start_s + _TICK_S) if every_picture else float("inf")
    edges_s: list[float] = []
    sound = sound_of(path, info, start_s, grid.length_s)
    with new_mp4(target) as container:
        video = add_h264(container, even_size(info, _height(info, min_height, max_height)), grid.rate)
        audio = add_aac(container, sound) if sound is not None else None
        for edge_s, picture in _on_grid(path, grid, until_s, video):
            edges_s.append(edge_s)
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
        if sound is not None and audio is not None:
            write_sound(container, audio, sound)
    return Cut(grid.rate, grid.frames, float(grid.length_s), (*edges_s, stop_s))


def usual_rate(info: VideoInfo) -> Fraction:
    """The rate at which a cut of this video is made."""
    if info.variable_rate:
        return Fraction(30) if info.fps <= 30 else Fraction(60)
    nearest = min(_RATES, key=lambda rate: abs(float(rate) - info.fps))
    if abs(float(nearest) - info.fps) / info.fps < 0.0005:
        return nearest
    return min(Fraction(info.fps).limit_denominator(1000), Fraction(60))


@dataclass(frozen=True)
class _Grid:
    """When the frames of a cut are shown, in source seconds."""

    start_s: float
    rate: Fraction
    frames: int

    @property
    def length_s(self) -> Fraction:
        return self.frames / self.rate

    def time_s(self, index: int) -> float:
        return self.start_s + index * self.rate.denominator / self.rate.numerator

    def first_shown(self, times_s: np.ndarray) -> np.ndarray:
        """The first frame at whose time each picture is due: int64 like `times_s`, `frames` for those after the end."""
        grid_s = self.start_s + np.arange(self.frames) * self.rate.denominator / self.rate.numerator
        return np.searchsorted(grid_s, times_s - _TICK_S)


def _grid_for_all(times_s: np.ndarray, start_s: float, stop_s: float, usual: Fraction) -> _Grid:
    """The slowest grid of those that skip fewest of the pictures that begin within the span."""
    inside = times_s[(times_s > start_s) & (times_s < stop_s - _TICK_S)]
    best, fewest = None, len(inside) + 1
    for rate in (usual, *(faster for faster in _FASTER if faster > usual)):
        usual_length = max(round((stop_s - start_s) * rate), 1)
        first = _Grid(start_s, rate, usual_length + 2).first_shown(inside)
        skipped = len(first) - len(np.unique(first))
        if skipped < fewest:
            best, fewest = _Grid(start_s, rate, max(usual_length, int(first.max(initial=0)) + 1)), skipped
    assert best is not None
    return best


def _on_grid(path: Path | str, grid: _Grid, until_s: float, video: VideoStream) -> Iterator[tuple[float, VideoFrame]]:
    """The picture on screen at each grid time, in the stream's size, upright, and where what it shows begins.

    Pictures of `until_s` and later are not shown.
    """
    scaler = Upright(video.width, video.height)
    index, on_screen, began_s = 0, None, grid.start_s

    def repeat_until(time_s: float) -> Iterator[tuple[float, VideoFrame]]:
        nonlocal index, began_s
        while on_screen is not None and index < grid.frames and grid.time_s(index) < time_s - _TICK_S:
            on_screen.pts, on_screen.time_base = index, 1 / grid.rate
            yield began_s if index else grid.start_s, on_screen
            index += 1
            began_s = grid.time_s(index)

    last_s = grid.time_s(grid.frames - 1)
    for time_s, stored, stretch in shown_frames(path, grid.start_s, min(last_s + _TICK_S, until_s), lead=True):
        yield from repeat_until(time_s)
        on_screen, began_s = scaler.picture(stored, stretch), time_s
    yield from repeat_until(float("inf"))


def _height(info: VideoInfo, least: int | None, most: int | None) -> int:
    return min(max(info.height, least or 0), most or info.height)
