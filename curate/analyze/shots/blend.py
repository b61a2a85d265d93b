"""Cuts, dissolves and fades from tiny pictures: the default detector, for a twentieth of the time that decoding takes.

Every frame is shrunk to 24 x 14 pixels. Two measures of how two such pictures differ carry everything:

- their *share* of change: the mean over all values of min(difference, 12) / 12. It says how much of the picture is
  another one, whatever the contrast: a caption, an inset or a moving thing changes a part of it, a cut nearly all.
- their mean absolute difference.

**A cut** is a frame whose share of change from the frame before is at least 0.40 and whose difference is twice that of
each of the four frames on either side, so that motion, however fast, does not cut. Where a picture of up to eight
frames before comes back, that was a flash, and where one fits the other when it is moved by up to an eighth of the
width, the camera was jerked: no cuts.

**A gradual transition** is a span in which the middle frame is close to the mean of the two ends while the ends differ:
a dissolve or fade blends linearly, and nothing else does. With the ends `a` and `b` a window's residual is
|middle - (a + b) / 2| over |a - b| / 2: 0 for a blend, 1 for a cut, and above 0.6 for the motion of all real footage
looked at, because on such pictures what moves is in neither end. Where both shots of a dissolve move, the residual may
be 0.6 too; but mixing two pictures takes contrast away (the variance of the middle is 0.4 to 0.8 of the ends' mean;
motion leaves 0.97 or more), so with such a dip up to 0.65 passes. A pan over smooth pictures blends as well: where one
end fits the other when it is moved a little, it is none. Windows of 8 to 64 frames are tried. The extent then follows
from the projection of the frames onto the line from `a` to `b`, which climbs from 0 to 1 within the transition and
stands still outside; the ends of a straight line through its middle are the transition's ends. A fade out and the fade
in after it are one transition. So is a single frame that mixes the shots around a cut.

Frames are kept for 512 at a time, so memory is bounded: 0.5 MB of tiny pictures. Longer ramps are found in parts and
joined.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from curate.analyze.shots import Transition

_WIDTH, _HEIGHT = 24, 14
_LEVELS = 12
_CHUNK, _OVERLAP = 512, 192

_CUT_SHARE = 0.40
_CUT_RISE = 2.0
_CUT_NEIGHBOURS = 4
_MIN_UNLIKENESS = 0.02
_SLACK = 6  # of pictures twice as large as the tiny ones
_FLASH_FRAMES = 8

_HALF_WINDOWS = (4, 8, 16, 32)
_MIN_DISTANCE = 10.0
_MIN_SHARE = 0.6
_MIN_SHARE_OF_EMPTY = 0.25  # a dark picture that fades changes in its lighter part alone
_MAX_RESIDUAL = 0.35
_MIN_DISTANCE_MOVING, _MAX_RESIDUAL_MOVING, _MAX_DIP = 25.0, 0.65, 0.8
_MAX_SPREAD = 0.7
_MAX_STEP = 0.7  # of the way, in one frame: more is a cut with motion beside it
_REACH = 40
_FLAT = 8.0
_MAX_HOLD_S = 1.0


@dataclass(frozen=True)
class _Ramp:
    """A gradual transition in frames: the last one before it, the first one after it, and |a - b|, 0 to 255."""

    before: int
    after: int
    distance: float


class Blend:
    """The detector; `threshold` is the least rise of a cut's difference over its neighbours'."""

    def __init__(self, threshold: float | None = None) -> None:
        self._rise = threshold or _CUT_RISE
        self._tiny = np.zeros((_CHUNK, _HEIGHT * _WIDTH * 3), np.uint8)
        self._half_way = np.zeros((2 * _HEIGHT, 2 * _WIDTH, 3), np.uint8)
        self._times_s = np.zeros(_CHUNK)
        self._filled = 0
        self._decided = 0
        self._found: list[Transition] = []

    def process(self, time_s: float, image: np.ndarray) -> None:
        if self._filled == _CHUNK:
            self._decide(_CHUNK - _OVERLAP // 2)
            self._tiny[:_OVERLAP] = self._tiny[-_OVERLAP:]
            self._times_s[:_OVERLAP] = self._times_s[-_OVERLAP:]
            self._filled, self._decided = _OVERLAP, _OVERLAP // 2
        row = self._tiny[self._filled].reshape(_HEIGHT, _WIDTH, 3)
        # In two steps of which the second is by exactly a half: twice as fast as one, and as good.
        cv2.resize(image, (2 * _WIDTH, 2 * _HEIGHT), dst=self._half_way)
        cv2.resize(self._half_way, (_WIDTH, _HEIGHT), dst=row, interpolation=cv2.INTER_AREA)
        self._times_s[self._filled] = time_s
        self._filled += 1

    def finish(self) -> list[Transition]:
        self._decide(self._filled)
        self._filled = self._decided = 0
        return _joined(sorted(self._found, key=lambda found: found.start_s))

    def _decide(self, until: int) -> None:
        """Adds the transitions of the frames in the buffer whose middle lies in the part that is due."""
        tiny, times_s = self._tiny[: self._filled], self._times_s[: self._filled]
        if len(tiny) < 2:
            return
        step = cv2.absdiff(tiny[1:], tiny[:-1])
        difference = np.concatenate([[0.0], _mean(step)])
        share = np.concatenate([[0.0], _share(step)])
        ramps = _with_holds(_ramps(tiny, times_s, share), tiny, times_s)
        for ramp in ramps:
            if self._decided <= (ramp.before + ramp.after) // 2 < until:
                self._add(times_s[ramp.before], times_s[ramp.after], ramp.distance / 255)
        cuts = _cuts(tiny, share, difference, self._rise)
        blended = _blended_cuts(tiny, share, difference, self._rise)
        for at, length in [*((at, 0) for at in cuts), *((at, 2) for at in blended if not {at, at + 1} & set(cuts))]:
            inside = any(ramp.before <= at <= ramp.after for ramp in ramps)
            if self._decided <= at < until and not inside:
                self._found.append(_transition(times_s, at - length // 2, at + length // 2, float(share[at])))

    def _add(self, start_s: float, end_s: float, strength: float) -> None:
        """Adds a gradual transition, without what one of the buffer before has of it."""
        earlier = [found.end_s for found in self._found if found.kind == "gradual"]
        start_s = max([start_s, *(earlier_s for earlier_s in earlier[-4:] if earlier_s > start_s)])
        if start_s < end_s:
            self._found.append(Transition(float(start_s), float(end_s), "gradual", strength))


def _transition(times_s: np.ndarray, start: int, end: int, strength: float) -> Transition:
    return Transition(float(times_s[start]), float(times_s[end]), "cut" if start == end else "gradual", strength)


def _joined(found: list[Transition]) -> list[Transition]:
    """With gradual transitions that touch made one: a fade out and in, or the parts of a long one."""
    joined: list[Transition] = []
    last_s = -1.0  # end of the last gradual one
    for each in found:
        if each.kind == "gradual" and each.start_s <= last_s:
            at = max(index for index, other in enumerate(joined) if other.kind == "gradual")
            strength = max(joined[at].strength, each.strength)
            joined[at] = Transition(joined[at].start_s, each.end_s, "gradual", strength)
        else:
            joined.append(each)
        if each.kind == "gradual":
            last_s = each.end_s
    return joined


def _mean(pictures: np.ndarray) -> np.ndarray:
    """Mean of each row of uint8 [n, values]."""
    return cv2.reduce(pictures, 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S)[:, 0] / pictures.shape[1]


def _share(differences: np.ndarray) -> np.ndarray:
    """Share of change of each row of absolute differences, uint8 [n, values]: 0 none of it, 1 all."""
    return _mean(cv2.threshold(differences, _LEVELS, 0, cv2.THRESH_TRUNC)[1]) / _LEVELS


def _share_between(tiny: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Share of change between pairs of frames."""
    return _share(cv2.absdiff(tiny[first], tiny[second])) if len(first) else np.zeros(0)


def _cuts(tiny: np.ndarray, share: np.ndarray, difference: np.ndarray, rise: float) -> list[int]:
    """First frames of later shots."""
    found = []
    for at in np.flatnonzero(share >= _CUT_SHARE):
        around = difference[max(at - _CUT_NEIGHBOURS, 1) : at + _CUT_NEIGHBOURS + 1]
        others = np.delete(around, at - max(at - _CUT_NEIGHBOURS, 1))
        sudden = difference[at] >= rise * (others.max(initial=0.0) + 1)
        if sudden and _unlikeness(tiny[at - 1], tiny[at]) >= _MIN_UNLIKENESS and not _is_flash(tiny, share, int(at)):
            found.append(int(at))
    return found


def _blended_cuts(tiny: np.ndarray, share: np.ndarray, difference: np.ndarray, rise: float) -> list[int]:
    """Single frames that mix the shots before and after them, as a change of the frame rate leaves at cuts."""
    found = []
    for at in np.flatnonzero((share[:-1] >= _CUT_SHARE / 2) & (share[1:] >= _CUT_SHARE / 2) & (share[:-1] > 0)):
        first = max(at - _CUT_NEIGHBOURS, 1)
        others = np.delete(difference[first : at + 2 + _CUT_NEIGHBOURS], [at - first, at + 1 - first])
        if min(difference[at], difference[at + 1]) < rise * (others.max(initial=0.0) + 1):
            continue
        before, mix, after = tiny[at - 1 : at + 2].astype(np.float32)
        along = _progress(mix[None], before, after)[0]
        off = np.abs(mix - before - along * (after - before)).mean() / max(np.abs(after - before).mean(), 1e-6)
        if off <= _MAX_RESIDUAL / 2 and _unlikeness(tiny[at - 1], tiny[at + 1]) >= _MIN_UNLIKENESS:
            found.append(int(at))
    return found


def _unlikeness(before: np.ndarray, after: np.ndarray) -> float:
    """How unlike two pictures are when one is moved by up to an eighth of its longer side to fit the other best.

    Mean square of the difference over the sum of the variances: 0 where it was the camera that moved, 1 where the two
    have nothing in common.
    """
    one, other = (
        cv2.resize(row.reshape(_HEIGHT, _WIDTH, 3), None, fx=2, fy=2).astype(np.float32) for row in (before, after)
    )
    middle = one[_SLACK:-_SLACK, _SLACK:-_SLACK]
    misfits = cv2.matchTemplate(other, middle, cv2.TM_SQDIFF)
    top, left = np.unravel_index(int(misfits.argmin()), misfits.shape)
    fitting = other[top : top + middle.shape[0], left : left + middle.shape[1]]
    return max(float(misfits.min()), 0.0) / middle.size / float(middle.var() + fitting.var() + 1)


def _is_flash(tiny: np.ndarray, share: np.ndarray, at: int) -> bool:
    """Whether what was shown before a change comes back soon, or what is shown after it was there shortly before."""
    after = np.arange(at + 1, min(at + 1 + _FLASH_FRAMES, len(tiny)))
    before = np.arange(max(at - 1 - _FLASH_FRAMES, 0), at - 1)
    back = _share_between(tiny, np.full(len(after), at - 1), after)
    gone = _share_between(tiny, before, np.full(len(before), at))
    return bool(min(back.min(initial=1.0), gone.min(initial=1.0)) < share[at] / 2)


def _ramps(tiny: np.ndarray, times_s: np.ndarray, share: np.ndarray) -> list[_Ramp]:
    """The gradual transitions among some frames, which do not overlap, in order."""
    frames = tiny.astype(np.float32)
    found: list[_Ramp] = []
    taken = np.zeros(len(tiny), bool)
    variance = np.einsum("ij,ij->i", frames, frames) / frames.shape[1] - _mean(tiny) ** 2
    flat = variance < _FLAT**2
    for first, last in _windows(tiny, frames, times_s, share, variance):
        if taken[(first + last) // 2]:
            continue
        ramp = _extent(frames, times_s, first, last)
        if ramp is None or taken[ramp.before : ramp.after + 1].mean() > 0.5:
            continue
        ends = _share_between(tiny, np.array([ramp.before]), np.array([ramp.after]))[0]
        enough = _MIN_SHARE_OF_EMPTY if flat[ramp.before] or flat[ramp.after] else _MIN_SHARE
        unlike = _unlikeness(tiny[ramp.before], tiny[ramp.after]) >= _MIN_UNLIKENESS
        if ramp.distance >= _MIN_DISTANCE and ends >= enough and unlike:
            found.append(ramp)
            taken[max(ramp.before - 2, 0) : ramp.after + 3] = True
    return sorted(found, key=lambda ramp: ramp.before)


def _with_holds(ramps: list[_Ramp], tiny: np.ndarray, times_s: np.ndarray) -> list[_Ramp]:
    """Ramps with a fade out and the fade in after it made one, where the picture between them is empty, if not long."""
    joined: list[_Ramp] = []
    for ramp in ramps:
        if joined:
            earlier = joined[-1]
            between = tiny[earlier.after : ramp.before + 1]
            empty = len(between) <= 5 or float(between.std(axis=1).max()) < _FLAT
            if empty and times_s[ramp.before] - times_s[earlier.after] <= _MAX_HOLD_S:
                joined[-1] = _Ramp(earlier.before, ramp.after, max(earlier.distance, ramp.distance))
                continue
        joined.append(ramp)
    return joined


def _windows(
    tiny: np.ndarray, frames: np.ndarray, times_s: np.ndarray, share: np.ndarray, variance: np.ndarray
) -> list[tuple[int, int]]:
    """Windows that look like a blend of their ends, the clearest first. Long ones are tried at every few frames."""
    so_far = np.cumsum(share)
    flat = variance < _FLAT**2
    found = []
    for half in _HALF_WINDOWS:
        middle = np.arange(half, len(tiny) - half, max(half // 4, 1))
        # The share of change is subadditive: where the steps do not sum to enough, the ends cannot differ enough.
        enough = np.where(flat[middle + half] | flat[middle - half], _MIN_SHARE_OF_EMPTY, _MIN_SHARE)
        likely = so_far[middle + half] - so_far[middle - half] >= enough
        middle, enough = middle[likely], enough[likely]
        middle = middle[_share_between(tiny, middle - half, middle + half) >= enough]
        start, end = frames[middle - half], frames[middle + half]
        distance = _root_mean_square(end - start)
        length_s = np.maximum(times_s[middle + half] - times_s[middle - half], 1e-6)
        progress = np.clip((times_s[middle] - times_s[middle - half]) / length_s, 0.25, 0.75)[:, None]
        off = _root_mean_square(frames[middle] - start - progress * (end - start))
        residual = 2 * off / np.maximum(distance, 1e-6)
        dip = variance[middle] / np.maximum((variance[middle - half] + variance[middle + half]) / 2, 1)
        clear = (distance >= _MIN_DISTANCE) & (residual <= _MAX_RESIDUAL)
        moving = (distance >= _MIN_DISTANCE_MOVING) & (residual <= _MAX_RESIDUAL_MOVING) & (dip <= _MAX_DIP)
        for index in np.flatnonzero(clear | moving):
            clearness = float(distance[index] * (1 - residual[index]))
            found.append((-clearness, int(middle[index]), half))
    return [(middle - half, middle + half) for _, middle, half in sorted(found)]


def _root_mean_square(rows: np.ndarray) -> np.ndarray:
    return np.sqrt(np.einsum("ij,ij->i", rows, rows) / rows.shape[1])


def _extent(frames: np.ndarray, times_s: np.ndarray, first: int, last: int) -> _Ramp | None:
    """The transition that a window lies in or holds, None where its frames are no blend of two."""
    low, high = max(first - _REACH, 0), min(last + _REACH, len(frames) - 1)
    steps_s = np.diff(times_s[low : high + 1])
    steps_s = np.maximum(steps_s, max(float(np.median(steps_s)) / 4, 1e-6))
    for _ in range(2):  # the second time from ends that lie outside
        along = _progress(frames[low : high + 1], frames[first], frames[last])
        # Of the step into frame low + 1 + index, smoothed more where the window is long.
        smooth = np.ones(max(3, (last - first) // 6 | 1))
        pace = np.convolve(np.diff(along), smooth, "same") / np.convolve(steps_s, smooth, "same")
        inside = pace[first - low : last - low]
        top = float(inside.max(initial=0.0))
        if top <= 0:
            return None
        still = 0.3 * float(np.median(inside[inside > top / 2]))
        begin = end = first - low + int(inside.argmax())
        while begin > 0 and pace[begin - 1] > still:
            begin -= 1
        while end < len(pace) - 1 and pace[end + 1] > still:
            end += 1
        first, last = low + begin, low + end + 1
    along = _progress(frames[first : last + 1], frames[first], frames[last])
    distance = float(_root_mean_square((frames[last] - frames[first])[None])[0])
    blended = frames[first] + along[:, None] * (frames[last] - frames[first])
    spread = _root_mean_square(frames[first : last + 1] - blended).max() / max(distance, 1e-6)
    if spread > _MAX_SPREAD:
        return None
    clear = np.flatnonzero((along > 0.15) & (along < 0.85))
    if len(clear) >= 3:
        clear_s = times_s[first : last + 1][clear]
        slope, offset = np.polyfit(clear_s - times_s[first], along[clear], 1)
        if slope > 0:
            ends_s = times_s[first] - offset / slope, times_s[first] + (1 - offset) / slope
            begin, end = np.abs(times_s[low : high + 1, None] - ends_s).argmin(axis=0) + low
            first, last = max(int(begin), first - 3), min(int(end), last + 3)
    if last - first < 2 or np.diff(_progress(frames[first : last + 1], frames[first], frames[last])).max() > _MAX_STEP:
        return None
    return _Ramp(first, last, distance)


def _progress(frames: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Where each frame [n, values] lies on the line between two: 0 at `start`, 1 at `end`."""
    line = end - start
    return np.asarray((frames - start) @ line / max(float(line @ line), 1e-6))
