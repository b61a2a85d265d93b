"""Does one video show what another shows? Judged by the vectors of a few frames of each, before anything is decoded.

A vector says what a picture is about, so two takes of one scene look alike. What sets a copy apart is that all of its
frames find their like in the other video, in the same order and at the same distances. Copies that run at another speed
are not found; nor is a video of one scene, whose frames agree with any order.

With the sample CLIP, keyframes against keyframes and against frames at 2 a second (75 videos of seed 21): copies of a
whole video (remux, re-encode, resize, letterbox, colour, mirror, crop) have 0.989 or more; of 11,028 other pairs none
has more than 0.89. One with a logo (0.76 to 0.82), one faster (0 to 0.86), a trim (0.84 to 1) and one whose three
keyframes include two in dissolves (0 to 1) were missed.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from curate.vectors import unit

LEAST_FRAMES = 3
"""Fewer agreeing frames say nothing about an order."""
APART_S = 0.55
"""Of the frames this near in time the likest counts: a keyframe stands on a cut, where a grid's frames are before and
after."""
BLENDS = 1 / 3
"""The worst of a video's frames that do not count: encoders put keyframes into dissolves, which show two scenes."""
CONTRAST = 0.1
"""How much better frames must agree with their like than with the rest of the video on average."""
CANDIDATES = 8
"""Videos of the most similar content that each one is compared with, collected and pending ones each."""
_ALIKE = 0.8
_STEP_S, _OFFSETS = 0.25, 8
_EDGE_S = 0.5


@dataclass(frozen=True)
class Frames:
    """Frames of one video: `times_s` float64 [n] rising, `vectors` float32 [n, dim] of unit norm."""

    duration_s: float
    times_s: np.ndarray
    vectors: np.ndarray


@dataclass(frozen=True)
class Known:
    """Videos that are collected: the mean vector of each, and how to get the frames of some, in one or more forms."""

    means: Mapping[str, np.ndarray]
    frames_of: Callable[[Iterable[str]], Mapping[str, Sequence[Frames]]]


def find_copies(ranked: Sequence[tuple[str, Frames]], known: Known, least: float) -> dict[str, tuple[str, float]]:
    """The videos that another one stands for, with that one and the agreement.

    Args:
        ranked: id and frames, first first: of two that show the same the earlier one stands for the other.
        known: videos that stand for any.
        least: agreement from which one is a copy.
    """
    if not ranked:
        return {}
    means = _unit_means(frames.vectors.mean(axis=0) for _, frames in ranked)
    names = [name for name in known.means if name not in dict(ranked)]
    near = _nearest(means, _unit_means(known.means[name] for name in names)) if names else [[] for _ in ranked]
    collected = known.frames_of({names[at] for some in near for at in some})
    among = means @ means.T
    copies: dict[str, tuple[str, float]] = {}
    kept: list[int] = []
    for at, (name, frames) in enumerate(ranked):
        others = [(names[one], form) for one in near[at] for form in collected[names[one]]]
        nearest = sorted(kept, key=lambda one: -among[at, one])[:CANDIDATES]
        others += [ranked[one] for one in nearest]
        best = max(((agreement(frames, form), other) for other, form in others), default=(0.0, ""))
        if best[0] >= least:
            copies[name] = (best[1], best[0])
        else:
            kept.append(at)
    return copies


def _unit_means(means: Iterable[np.ndarray]) -> np.ndarray:
    return np.asarray(unit(np.stack(list(means))), dtype=np.float32)


def _nearest(means: np.ndarray, others: np.ndarray) -> list[list[int]]:
    """For each mean, the CANDIDATES most similar of the others."""
    return [np.argsort(-(others @ mean), kind="stable")[:CANDIDATES].tolist() for mean in means]


def agreement(video: Frames, other: Frames) -> float:
    """How well `other` shows all that `video` shows, in its order: mean cosine of frames with their like, 0 to 1.

    Every frame of `video` counts whose like lies within `other`, or outside of it (with 0); of frames whose like lies
    between two known frames of `other` nothing is known, and most must not be such.
    """
    alike = video.vectors @ other.vectors.T
    rows, columns = np.nonzero(alike >= _ALIKE)
    if len(np.unique(rows)) < LEAST_FRAMES:
        return 0.0
    offsets, votes = np.unique(np.round((other.times_s[columns] - video.times_s[rows]) / _STEP_S), return_counts=True)
    likely = offsets[np.argsort(-votes, kind="stable")[:_OFFSETS]] * _STEP_S
    best = max(_at_offset(alike, video, other, float(offset_s)) for offset_s in likely)
    return best if best - float(alike.mean()) >= CONTRAST else 0.0


def _at_offset(alike: np.ndarray, video: Frames, other: Frames, offset_s: float) -> float:
    wanted_s = video.times_s + offset_s
    inside = (wanted_s >= -_EDGE_S) & (wanted_s <= other.duration_s + _EDGE_S)
    near = inside[:, None] & (np.abs(other.times_s[None, :] - wanted_s[:, None]) <= APART_S)
    paired = near.any(axis=1)
    if paired.sum() < max(LEAST_FRAMES, inside.sum() / 2):
        return 0.0
    like = np.where(near, alike, -1.0).max(axis=1)
    counted = np.sort(np.where(paired, like, 0.0)[paired | ~inside])
    return float(counted[int(len(counted) * BLENDS) :].mean())
