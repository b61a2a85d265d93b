"""What SQL conditions can ask of every clip: measured on the small frames that shot detection gets, and on the sound.

Pictures are 96 pixels on the longer side, so resolution does not enter, and times are presentation times, so the frame
rate does not either. What needs every frame is measured on every frame; movement twice a second; the rest on looks,
the first frame of each quarter of a second. Shares are of the full range of luma, of the picture's area, or of the
clip's time.

- motion: mean absolute change of luma between consecutive frames, for each 1/25 s. The change at a cut does not count.
  0 is a still picture; a talking head is about 0.005, a busy street 0.03.
- camera_motion, object_motion: mean speed of the picture as a whole, and of what moves against it, in longer sides of
  the picture a second; curate/analyze/signals/movement.py. Null where none was measured inside the clip.
- brightness: mean luma, 0 black to 1 white. contrast: standard deviation of luma over half the range, 0 flat to 1.
  sharpness: mean absolute Laplacian of luma, 0 blurred or flat.
- underexposed, overexposed: share of pixels with luma up to 5%, and from 95% on: a camera's zebra. Bars do not count.
- black: share of the time in which at least 98% of the pixels have luma up to 10%: FFmpeg's blackdetect.
- freeze: share of the time in stretches of at least 2 s in which no frame differs from the first by more than 0.1% of
  the range in the mean: FFmpeg's freezedetect, on luma.
- letterbox: share of the area in black bars: rows and columns at the edges in which no pixel of any look has a luma
  above 24, the limit of FFmpeg's cropdetect. 0 where all is black.
- static_border: share of the area at the edges in which no pixel changes by more than 2% from one look to the next,
  while the inside does. Bars, frames and channel graphics, and also what a still camera shows around a small movement.
  0 where nothing changes. Null where the clip has fewer than two looks.
- loudness_lufs, silence: curate/media/loudness.py. Null where there is no sound or it cannot be read.

One core takes 12 microseconds for each frame and 0.25 ms for each look.
"""

from array import array
from dataclasses import dataclass

import cv2
import numpy as np

from curate.analyze.clips import Span
from curate.analyze.signals.borders import EMPTY, Box, changed_box, content_box, share_outside
from curate.analyze.signals.movement import movement
from curate.media.loudness import Loudness

_MOTION_STEP_S = 1 / 25
_LOOK_EVERY_S, _FLOW_EVERY_S = 0.25, 0.5
_FLOW_S = (0.18, 1.0)
"""Movement is measured between a frame and the first one this much later, but not over more time than this."""

_BLACK_LEVEL, _BLACK_SHARE = 25, 0.98
_FREEZE_CHANGE, _FREEZE_S = 0.001, 2.0
_UNDER_LEVEL, _OVER_LEVEL = 12, 242
_EPSILON_S = 1e-9


@dataclass(frozen=True)
class Signals:
    """The signal columns of the `clips` table."""

    motion: float
    camera_motion: float | None
    object_motion: float | None
    brightness: float
    contrast: float
    sharpness: float
    underexposed: float
    overexposed: float
    black: float
    freeze: float
    letterbox: float
    static_border: float | None
    loudness_lufs: float | None
    silence: float | None


class SignalMeter:
    """Measures frames as they pass. Keeps 17 bytes for each, and 32 for each look: 5 MB for two hours."""

    def __init__(self) -> None:
        self._times_s, self._changes, self._means, self._black = array("d"), array("f"), array("f"), array("b")
        self._looks_s, self._looks, self._boxes = array("d"), array("f"), array("B")
        self._flows_s, self._flows = array("d"), array("f")
        self._freezes_s: list[Span] = []
        self._shape = (1, 1)
        self._previous: np.ndarray | None = None
        self._still: tuple[float, np.ndarray] | None = None
        self._last_look: np.ndarray | None = None
        self._awaiting_flow: tuple[float, np.ndarray] | None = None
        self._next_look_s = self._next_flow_s = 0.0

    def process(self, time_s: float, image: np.ndarray) -> None:
        """Takes the next frame: seconds from the first one, uint8 BGR [height, width, 3]."""
        luma = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        mean = cv2.mean(luma)[0]
        self._times_s.append(time_s)
        self._means.append(mean / 255)
        self._changes.append(0.0 if self._previous is None else _difference(luma, self._previous))
        # The mean of a black frame is at most this; most frames need no count.
        may_be_black = mean <= _BLACK_SHARE * _BLACK_LEVEL + (1 - _BLACK_SHARE) * 255
        self._black.append(may_be_black and _share_up_to(luma, _BLACK_LEVEL) >= _BLACK_SHARE)
        self._follow_freeze(time_s, luma)
        if self._awaiting_flow is not None and time_s - self._awaiting_flow[0] >= _FLOW_S[0] - _EPSILON_S:
            self._measure_flow(time_s, luma)
        if time_s >= self._next_look_s - _EPSILON_S:
            self._look(time_s, luma)
            self._next_look_s = _next_on_grid(time_s, _LOOK_EVERY_S)
        if time_s >= self._next_flow_s - _EPSILON_S:
            self._awaiting_flow = time_s, luma
            self._next_flow_s = _next_on_grid(time_s, _FLOW_EVERY_S)
        self._previous = luma

    @property
    def frames(self) -> int:
        """How many frames have passed."""
        return len(self._times_s)

    def last_s(self) -> float:
        """The time of the last frame, 0 where there was none."""
        return self._times_s[-1] if self.frames else 0.0

    def changes(self) -> tuple[np.ndarray, np.ndarray]:
        """Times of the frames [n], and how much the luma of each differs from the one before [n]."""
        return np.array(self._times_s), np.array(self._changes)

    def between(self, span: Span, *, begins_with_cut: bool = True, sound: Loudness | None = None) -> Signals:
        """Signals of a span, over the frames that begin in it; of the one on screen where none begins.

        Args:
            span: in seconds from the first frame.
            begins_with_cut: the change into the span's first frame is left out.
            sound: of the same video.
        """
        times_s, changes, black = (
            np.frombuffer(self._times_s),
            np.frombuffer(self._changes, np.float32),
            np.frombuffer(self._black, np.int8),
        )
        first, last = _inside(times_s, span)
        skip = first + 1 if begins_with_cut or first == 0 else first
        elapsed_s = float(times_s[last - 1] - times_s[skip - 1]) if last > skip else 0.0
        motion = float(changes[skip:last].sum()) * _MOTION_STEP_S / elapsed_s if elapsed_s > 0 else 0.0
        shown_s = np.diff(np.append(np.maximum(times_s[first:last], span[0]), span[1]))
        camera, thing = self._movement_between(span)
        contrast, sharpness, under, over, letterbox, static_border = self._looks_between(span)
        picture = max(1 - letterbox, 1e-9)
        return Signals(
            motion=motion,
            camera_motion=camera,
            object_motion=thing,
            brightness=float(np.frombuffer(self._means, np.float32)[first:last].mean()),
            contrast=contrast,
            sharpness=sharpness,
            underexposed=max(under - letterbox, 0.0) / picture,
            overexposed=min(over / picture, 1.0),
            black=float((shown_s * black[first:last]).sum() / shown_s.sum()),
            freeze=self._frozen_share(span),
            letterbox=letterbox,
            static_border=static_border,
            loudness_lufs=sound.lufs(span) if sound else None,
            silence=sound.silence(span) if sound else None,
        )

    def _follow_freeze(self, time_s: float, luma: np.ndarray) -> None:
        if self._still is not None:
            since_s, still = self._still
            change = self._changes[-1] if still is self._previous else _difference(luma, still)
            if change <= _FREEZE_CHANGE:
                return
            if time_s - since_s >= _FREEZE_S - _EPSILON_S:
                self._freezes_s.append((since_s, time_s))
        self._still = time_s, luma

    def _frozen_share(self, span: Span) -> float:
        freezes_s = list(self._freezes_s)
        if self._still is not None:
            last_length_s = self._times_s[-1] - self._times_s[-2] if self.frames > 1 else 0.0
            if self.last_s() + last_length_s - self._still[0] >= _FREEZE_S - _EPSILON_S:
                freezes_s.append((self._still[0], span[1]))
        frozen_s = sum(max(min(end_s, span[1]) - max(start_s, span[0]), 0.0) for start_s, end_s in freezes_s)
        return frozen_s / (span[1] - span[0])

    def _measure_flow(self, time_s: float, luma: np.ndarray) -> None:
        assert self._awaiting_flow is not None
        since_s, before = self._awaiting_flow
        self._awaiting_flow = None
        elapsed_s = time_s - since_s
        if elapsed_s <= _FLOW_S[1]:
            self._flows_s.extend((since_s, time_s))
            self._flows.extend(pixels / max(luma.shape) / elapsed_s for pixels in movement(before, luma))

    def _movement_between(self, span: Span) -> tuple[float | None, float | None]:
        pairs_s = np.frombuffer(self._flows_s).reshape(-1, 2)
        inside = (pairs_s[:, 0] >= span[0] - _EPSILON_S) & (pairs_s[:, 1] < span[1] - _EPSILON_S)
        if not inside.any():
            return None, None
        camera, thing = np.frombuffer(self._flows, np.float32).reshape(-1, 2)[inside].mean(axis=0)
        return float(camera), float(thing)

    def _look(self, time_s: float, luma: np.ndarray) -> None:
        _, deviation = cv2.meanStdDev(luma)
        edges = cv2.Laplacian(luma, cv2.CV_16S)
        sharpness = cv2.norm(edges, cv2.NORM_L1) / luma.size / 255
        under, over = _share_up_to(luma, _UNDER_LEVEL), 1 - _share_up_to(luma, _OVER_LEVEL)
        changed: Box = EMPTY if self._last_look is None else changed_box(self._last_look, luma)
        self._looks_s.append(time_s)
        self._looks.extend((float(deviation[0, 0]) / 127.5, sharpness, under, over))
        self._boxes.extend((*content_box(luma), *changed))
        self._shape = luma.shape
        self._last_look = luma

    def _looks_between(self, span: Span) -> tuple[float, float, float, float, float, float | None]:
        """Contrast, sharpness, underexposed, overexposed (bars counted), letterbox, static border."""
        first, last = _inside(np.frombuffer(self._looks_s), span)
        means = np.frombuffer(self._looks, np.float32).reshape(-1, 4)[first:last].mean(axis=0)
        boxes = np.frombuffer(self._boxes, np.uint8).reshape(-1, 8)[first:last]
        letterbox = share_outside(boxes[:, :4], *self._shape)
        static = share_outside(boxes[1:, 4:], *self._shape) if last - first > 1 else None
        contrast, sharpness, under, over = (float(mean) for mean in means)
        return contrast, sharpness, under, over, letterbox, static


def _next_on_grid(time_s: float, every_s: float) -> float:
    return ((time_s + _EPSILON_S) // every_s + 1) * every_s


def _difference(one: np.ndarray, other: np.ndarray) -> float:
    return cv2.norm(one, other, cv2.NORM_L1) / one.size / 255


def _share_up_to(luma: np.ndarray, level: int) -> float:
    above = cv2.countNonZero(cv2.threshold(luma, level, 255, cv2.THRESH_BINARY)[1])
    return 1 - above / luma.size


def _inside(times_s: np.ndarray, span: Span) -> tuple[int, int]:
    """First and last index (not in it) of what begins in the span; of the one before it where nothing does."""
    first, last = (int(at) for at in np.searchsorted(times_s, np.array(span) - _EPSILON_S))
    return (first, last) if last > first else (max(first - 1, 0), max(first, 1))
