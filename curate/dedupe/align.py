"""Do two clips show the same footage? One laid over the other in space and in time, and compared three times.

1. The likest pictures of the two, by their descriptors, are found; where none are alike, nothing can be.
2. The whole pictures are compared first, and if that does not do, what `register` finds of one within the other, so
   that a crop, a border and a larger canvas are compared in what they have in common.
3. All offsets on the fingerprints' grid are tried at speeds from 0.75 to 1.33, and the best refined to a quarter of
   the grid and a hundredth of the speed. Then the place is settled on pictures that belong together, and so on.
4. Pictures that belong together are compared (`agreement`).

Two clips are the same where appearance, motion and detail reach their thresholds, and no part of the picture differs
altogether; the score is the smaller of the first two. Thresholds were set on copies of seven real files and of sample
worlds. On five worlds looked at (262 videos, 6,141 candidate pairs) 298 of 311 right pairs pass, and two wrong ones; on
a sixth, not looked at (seed 4242), 73 of 75, and none of 537 wrong candidates. `benchmarks/copies.py` has each
transformation at three strengths.

Missed are captions on a box of a third of the picture, captions that change over stills, bars on dark scenes, and clips
whose cut was found in one copy alone. A right pair takes 7 ms of one core (median; 30 at the 95th percentile), a wrong
candidate 6 ms (37).

After Douze et al., "An image-based approach to video copy detection with spatio-temporal post-filtering", 2010.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch

from curate.dedupe.agreement import SIDE, Agreement, agree, agreement, quick_agreement, unit
from curate.dedupe.descriptor import DESCRIPTOR_DIM, MIRROR, WINDOWS, describe
from curate.dedupe.fingerprint import LEAST_CONTRAST, PICTURES_PER_S, WHOLE, Fingerprint, interpolate, resample
from curate.dedupe.register import Place, find_place, settle

MOTION = 0.8


@dataclass(frozen=True)
class Least:
    """What two clips must reach to be the same."""

    appearance: float
    detail: float
    motion: float
    plain_appearance: float = 0.0


_NEARLY_ALL = Least(0.97, 0.95, 0.95, plain_appearance=0.95)
LEAST = (Least(0.8, 0.8, MOTION), Least(0.9, 0.85, 0.9), Least(0.95, 0.9, 0.88), _NEARLY_ALL)
"""By how many liberties an alignment takes: another speed, a mirror image, a part of the picture. Where pictures may be
bent at will, something like them is found in the end."""
LEAST_OF_A_PART = _NEARLY_ALL
PART = 0.4
"""Share of the longer clip below which an alignment that takes liberties matches a part alone."""
MOST, OF_SOME, LIKELY = 0.8, 0.95, 0.965
"""Least motion where less than most of a clip is in the overlap, unless it looks as like as LIKELY: of two movements
some moments are always alike."""
_PART_OF_PICTURE = 0.85
SHOWN = 0.5
"""Least share of the overlap in which both clips show something: that two clips are blank links no videos."""
APART = 0.03
"""Most of the picture in which the two may show something else: two things before one background differ in no more."""
UNTOLD, UNTOLD_DETAIL = 0.985, 0.95
"""Appearance, with nothing left out, and detail from which a still stretch of a longer clip is the same as another one,
or a still clip the same as its mirror image or a part: of two moments of a person who sits and talks, nothing else
tells them apart."""
SPEEDS = (1.0, 0.8, 1.25, 0.96, 1.04, 0.9, 1.1, 0.75, 1.33)
_FIRST_SPEEDS, _PROMISING = 3, 0.25
"""After so many speeds, a best score below this is not worth the others."""
LEAST_OVERLAP_S = 1.0
LEAST_OVERLAP_SHARE = 0.5
_DESCRIBED_PER_S = 2.0
_HOPELESS = 0.4
_AS_LIKE = 0.15
"""The mirror image is tried too where it is as like but for this much."""
_LEAST_CORRELATION = 0.5
_LEAST_SCORE = 0.4
_CERTAIN = 0.97
_PAIRS = 2
_ROUNDS = 3
_BEST = 3
_SAME_SPEED = 0.005
_WHOLE = 0.06
_PLAIN = 0.01
_MATCHED = 4
_REMEMBERED = 64
"""Clips whose prepared pictures are kept: 1 MB for one of 20 s."""


@dataclass(frozen=True)
class Alignment:
    """How `b` shows what `a` shows: b's time = offset_s + speed * a's time, both from the clips' starts.

    mirrored: b is mirrored left to right.
    share_a, share_b: how much of each clip lies in the overlap, in time.
    start_a_s, end_a_s, start_b_s, end_b_s: the overlap, in seconds from each clip's start.
    place: the common area, in shares of what each clip shows between its bars, b mirrored where it is.
    """

    agreement: Agreement
    speed: float
    offset_s: float
    mirrored: bool
    share_a: float
    share_b: float
    start_a_s: float
    end_a_s: float
    start_b_s: float
    end_b_s: float
    place: Place

    @property
    def score(self) -> float:
        return min(self.agreement.appearance, self.agreement.motion)

    @property
    def same(self) -> bool:
        return self.same_at(MOTION)

    def same_at(self, motion: float) -> bool:
        """Whether the two show the same footage, where the least motion were another one than MOTION."""
        seen, share = self.agreement, min(self.share_a, self.share_b)
        least = LEAST_OF_A_PART if self.liberties and share < PART else LEAST[self.liberties]
        alike = seen.appearance >= least.appearance and seen.detail >= least.detail
        alike = alike and seen.plain_appearance >= least.plain_appearance
        doubtful = seen.moving and share < MOST and seen.plain_appearance < LIKELY
        least_motion = max(least.motion, OF_SOME) if doubtful else least.motion
        moves_alike = seen.motion >= (motion if least_motion == MOTION else max(motion, least_motion))
        return alike and moves_alike and self._told and seen.shown >= SHOWN and seen.apart <= APART

    @property
    def _told(self) -> bool:
        """Whether there is enough to tell the clips by: where nothing moves, one picture is all there is."""
        seen, half = self.agreement, min(self.share_a, self.share_b) >= LEAST_OVERLAP_SHARE
        if seen.moving:
            return True
        untold = seen.plain_appearance >= UNTOLD and seen.detail >= UNTOLD_DETAIL
        return half and untold if self.liberties else half or untold

    @property
    def liberties(self) -> int:
        """How many ways the two are bent to fit each other; where nothing moves, any speed fits and bends nothing."""
        other_speed = self.agreement.moving and abs(self.speed - 1) > _SAME_SPEED
        return int(other_speed) + int(self.mirrored) + int(self.place.area < _PART_OF_PICTURE)

    @property
    def preference(self) -> float:
        """The score; of alignments alike in it, as of clips that stand still, the plain and whole one is preferred."""
        plain = self.speed == 1 and not self.mirrored
        return (
            self.score * (self.agreement.shown >= SHOWN) + _WHOLE * (self.share_a + self.share_b) / 2 + _PLAIN * plain
        )


@dataclass(frozen=True)
class _Film:
    """Pictures of a clip on the grid k / PICTURES_PER_S from its first one.

    start_s: of the first, from the clip's start. length_s: of the clip.
    some: numbers of the pictures that are described, and `vectors` their descriptors.
    """

    pictures: np.ndarray  # float32 [n, 32, 32]
    start_s: float
    length_s: float
    some: np.ndarray  # int64 [k]
    vectors: np.ndarray  # float32 [k, 10, DESCRIPTOR_DIM]


@dataclass(frozen=True)
class _Hypothesis:
    score: float
    speed: float
    offset_s: float


def align(a: Fingerprint, b: Fingerprint) -> Alignment | None:
    """The best alignment of two clips; None where their pictures differ so much that none can be good, or where none
    overlaps long enough (1 s and half of the shorter clip)."""
    best: Alignment | None = None
    film_a = _film(a)
    for mirrored, pairs in _likest(film_a, _film(b)):
        film_b = _mirrored(b) if mirrored else _film(b)
        for place in _places(film_a, film_b, pairs):
            found = _in_place(film_a, film_b, place, mirrored)
            if found is not None and (best is None or found.preference > best.preference):
                best = found
            if best is not None and best.same:
                return best
    return best


def _places(a: _Film, b: _Film, pairs: list[tuple[int, int]]) -> Iterator[Place]:
    """Where to compare: the whole of both, and where the likest pictures lie within each other."""
    yield Place(WHOLE, WHOLE, 0.0)
    places = [find_place(a.pictures[at : at + 1], b.pictures[to : to + 1]) for at, to in pairs]
    best = max(places, key=lambda one: one.rank)
    if best.correlation >= _LEAST_CORRELATION and (best.box_a, best.box_b) != (WHOLE, WHOLE):
        yield best


def products(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a @ b.T through torch, whose threads can be set where numpy's cannot."""
    return np.asarray(torch.from_numpy(a) @ torch.from_numpy(b).T)


@lru_cache(maxsize=_REMEMBERED)
def _film(clip: Fingerprint) -> _Film:
    """A clip's pictures at even times, and the descriptors of some."""
    times_s = clip.times_s.astype(np.float64)
    wanted_s = times_s[0] + np.arange(int((times_s[-1] - times_s[0]) * PICTURES_PER_S + 1e-3) + 1) / PICTURES_PER_S
    flat = interpolate(clip.shown.reshape(len(times_s), -1), times_s, wanted_s)
    pictures = flat.reshape(len(flat), *clip.shown.shape[1:])
    some = _some(pictures)
    return _Film(pictures, float(times_s[0]), clip.length_s, some, describe(pictures[some]))


@lru_cache(maxsize=_REMEMBERED)
def _mirrored(clip: Fingerprint) -> _Film:
    film = _film(clip)
    return replace(film, pictures=np.ascontiguousarray(film.pictures[:, :, ::-1]))


def _likest(a: _Film, b: _Film) -> list[tuple[bool, list[tuple[int, int]]]]:
    """Pairs of pictures (numbers on the grid) that are most alike, as they are and mirrored; the better of the two
    first, none where all pictures differ."""
    if not len(a.some) or not len(b.some):
        return []
    found = []
    for mirrored in (False, True):
        theirs = b.vectors * MIRROR if mirrored else b.vectors
        one, other = a.vectors.reshape(-1, DESCRIPTOR_DIM), theirs.reshape(-1, DESCRIPTOR_DIM)
        alike = products(one, other).reshape(len(a.some), -1, len(b.some), len(WINDOWS)).max(axis=(1, 3))
        if alike.max() >= _HOPELESS:
            best = np.argsort(-alike, axis=None, kind="stable")[:_PAIRS]
            rows, columns = np.unravel_index(best, alike.shape)
            pairs = list(zip(a.some[rows].tolist(), b.some[columns].tolist(), strict=True))
            found.append((float(alike.max()), mirrored, pairs))
    found.sort(key=lambda one: (-one[0], one[1]))
    return [(mirrored, pairs) for likeness, mirrored, pairs in found if likeness >= found[0][0] - _AS_LIKE]


def _some(pictures: np.ndarray) -> np.ndarray:
    """Numbers of the pictures that are compared first: of those that show something, two each second."""
    showing = np.flatnonzero(pictures.std(axis=(1, 2)) >= LEAST_CONTRAST)
    count = min(max(round(len(showing) / PICTURES_PER_S * _DESCRIBED_PER_S), 2), len(showing))
    return showing[((np.arange(count) + 0.5) * len(showing) / max(count, 1)).astype(int)]


def _in_place(a: _Film, b: _Film, place: Place, mirrored: bool) -> Alignment | None:
    """The best alignment in time of what lies in a place, and in the place that is settled on pictures that belong
    together then."""
    best: Alignment | None = None
    for _ in range(_ROUNDS):
        ours, theirs = _cells(a, place.box_a), _cells(b, place.box_b)
        first = _in_time(unit(ours), unit(theirs))
        if first is None or first.score < _LEAST_SCORE:
            break
        found = _compare(a, b, ours, theirs, first, mirrored, place)
        if best is not None and found.preference <= best.preference:
            break
        best = found
        if best.score >= _CERTAIN:
            break
        inside, wanted_s = _overlap(len(ours), len(theirs), first.speed, first.offset_s)
        some = np.linspace(0, len(inside) - 1, min(len(inside), _MATCHED)).astype(int)
        to = np.round(wanted_s[some] * PICTURES_PER_S).astype(int)
        settled = settle(a.pictures[inside[some]], b.pictures[to], place)
        if settled == place:
            break
        place = settled
    return best


def _in_time(ours: np.ndarray, theirs: np.ndarray) -> _Hypothesis | None:
    """The best speed and offset of pictures of unit norm, [n, 256] and [m, 256]."""
    hypotheses: list[_Hypothesis] = []
    totals = _totals(ours)
    for tried, speed in enumerate(SPEEDS):
        hypotheses += _at_speed(ours, totals, theirs, speed)
        score = max((one.score for one in hypotheses), default=-np.inf)
        if score >= _CERTAIN or (tried + 1 == _FIRST_SPEEDS and score < _PROMISING):
            break
    best = sorted(hypotheses, key=lambda one: -one.score)[:_BEST]
    if not best or best[0].score < _LEAST_SCORE:
        return None
    return _refined(ours, theirs, best)


def _refined(ours: np.ndarray, theirs: np.ndarray, hypotheses: list[_Hypothesis]) -> _Hypothesis | None:
    """The best of some hypotheses, its offset to a quarter of the grid and its speed to a hundredth."""
    scores: dict[tuple[float, float], float] = {}

    def score(speed: float, offset_s: float) -> float:
        key = speed, offset_s
        if key not in scores:
            scores[key] = _quick_score(ours, theirs, *key)
        return scores[key]

    for one in hypotheses:
        for part in (0.0, -0.5, -0.25, 0.25, 0.5):
            score(one.speed, one.offset_s + part / PICTURES_PER_S)
    best = max(scores, key=lambda key: scores[key])
    if scores[best] < _CERTAIN:
        middle_s = len(ours) / 2 / PICTURES_PER_S
        for change in (-0.02, -0.01, 0.01, 0.02):
            speed, offset_s = best[0] * (1 + change), best[1] - best[0] * change * middle_s
            for part in (-0.25, 0.0, 0.25):
                score(speed, offset_s + part / PICTURES_PER_S)
        best = max(scores, key=lambda key: scores[key])
    return _Hypothesis(scores[best], *best) if scores[best] > -np.inf else None


def _quick_score(ours: np.ndarray, theirs: np.ndarray, speed: float, offset_s: float) -> float:
    """Appearance and motion under a speed and offset, of pictures of unit norm; what is plain and whole gains a bit."""
    inside, wanted_s = _overlap(len(ours), len(theirs), speed, offset_s)
    if len(inside) < LEAST_OVERLAP_S * PICTURES_PER_S - 2:
        return -np.inf
    a, b = ours[inside], _stretched(theirs, wanted_s)
    return quick_agreement(a, b) + _WHOLE * len(inside) / max(len(ours), len(theirs) / speed) + _PLAIN * (speed == 1)


def _overlap(ours: int, theirs: int, speed: float, offset_s: float) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of a's pictures that b has, too, and their times in b."""
    wanted_s = offset_s + speed * np.arange(ours) / PICTURES_PER_S
    inside = np.flatnonzero((wanted_s >= -1e-6) & (wanted_s <= (theirs - 1) / PICTURES_PER_S + 1e-6))
    return inside, wanted_s[inside]


def _cells(film: _Film, box: tuple[float, float, float, float]) -> np.ndarray:
    """Luma of an area in 16 x 16 cells, float32 [n, 256]."""
    return resample(film.pictures, box, (SIDE, SIDE)).reshape(len(film.pictures), -1)


def _at_speed(
    a: np.ndarray, totals_a: tuple[np.ndarray, np.ndarray], b: np.ndarray, speed: float
) -> Iterator[_Hypothesis]:
    """The best two offsets at one speed.

    Args:
        a, b: pictures on the grid, [n, 256] and [m, 256].
        totals_a: `_totals` of a.
    """
    b = _stretched(b, np.arange(int((len(b) - 1) / speed) + 1) / PICTURES_PER_S * speed)
    n, m = len(a), len(b)
    # Of a second's eight pictures seven are in common where the clips' grids interleave.
    least = max(LEAST_OVERLAP_S * PICTURES_PER_S - 1, LEAST_OVERLAP_SHARE * min(n, m))
    steps = np.arange(1 - n, m)
    first_a, first_b = np.maximum(0, -steps), np.maximum(0, steps)
    overlaps = np.minimum(n - first_a, m - first_b)
    padded = np.zeros((n, n + m), dtype=np.float32)
    padded[:, :m] = products(a, b)[::-1]
    # Rows one shorter than they were written move each row one further right: diagonals become columns.
    shared = padded.ravel()[: n * (n + m - 1)].reshape(n, n + m - 1).sum(axis=0)
    long_enough = np.flatnonzero(overlaps >= least)
    counts, shared = overlaps[long_enough], shared[long_enough]
    (sums_a, energy_a), (sums_b, energy_b) = (
        [total[first[long_enough] + counts] - total[first[long_enough]] for total in totals]
        for totals, first in ((totals_a, first_a), (_totals(b), first_b))
    )
    energy = energy_a + energy_b
    appearance = agreement(shared, energy, counts)
    # The same of the pictures less their mean in the overlap.
    changes = energy - ((sums_a**2).sum(axis=1) + (sums_b**2).sum(axis=1)) / counts
    motion = agreement(shared - (sums_a * sums_b).sum(axis=1) / counts, changes, counts)
    score = np.minimum(appearance, motion) + _WHOLE * counts / max(n, m)
    for at in np.argsort(-score, kind="stable")[:2]:
        yield _Hypothesis(float(score[at]) - _WHOLE, speed, float(steps[long_enough[at]]) / PICTURES_PER_S * speed)


def _totals(pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums of the pictures before each, [n + 1, 256], and of their energies, [n + 1]."""
    energies = (pictures**2).sum(axis=1, dtype=np.float64)
    zero = np.zeros((1, pictures.shape[1]), pictures.dtype)
    return np.concatenate([zero, np.cumsum(pictures, axis=0)]), np.concatenate([[0.0], np.cumsum(energies)])


def _compare(
    a: _Film, b: _Film, ours: np.ndarray, theirs: np.ndarray, best: _Hypothesis, mirrored: bool, place: Place
) -> Alignment:
    """What agrees under one alignment.

    Args:
        ours, theirs: luma of the films in the place, [n, 256] and [m, 256].
    """
    speed, offset_s = best.speed, best.offset_s
    inside, wanted_s = _overlap(len(ours), len(theirs), speed, offset_s)
    start_a_s, end_a_s = _span(a, inside[0], inside[-1])
    start_b_s, end_b_s = _span(b, wanted_s[0] * PICTURES_PER_S, wanted_s[-1] * PICTURES_PER_S)
    return Alignment(
        agreement=agree(ours[inside], _stretched(theirs, wanted_s)),
        speed=speed,
        offset_s=float(offset_s + b.start_s - speed * a.start_s),
        mirrored=mirrored,
        share_a=(end_a_s - start_a_s) / a.length_s,
        share_b=(end_b_s - start_b_s) / b.length_s,
        start_a_s=start_a_s,
        end_a_s=end_a_s,
        start_b_s=start_b_s,
        end_b_s=end_b_s,
        place=place,
    )


def _span(film: _Film, first: float, last: float) -> tuple[float, float]:
    """What lies between two pictures of a film, these included, in seconds from the clip's start; to the very start
    and end of the clip where they are its first and last, but for half a step."""
    start_s = film.start_s + first / PICTURES_PER_S if first > 0.5 else 0.0
    end_s = film.start_s + (last + 1) / PICTURES_PER_S if last < len(film.pictures) - 1.5 else film.length_s
    return float(start_s), float(min(end_s, film.length_s))


def _stretched(pictures: np.ndarray, wanted_s: np.ndarray) -> np.ndarray:
    return interpolate(pictures, np.arange(len(pictures)) / PICTURES_PER_S, wanted_s)
