"""Vectors that lie as those of clips do, with near-duplicates planted among them, for the index's benchmarks.

CLIP's image vectors share a direction (two clips at random have a cosine near 0.44 here), gather in topics of very
unequal size, are alike within a video (median 0.79) and spend most of their variance in few of 512 directions. So a
vector here is

    sqrt(.45) common + sqrt(.15) topic + sqrt(.2) video + sqrt(.2) own,   of unit norm,

each part drawn with standard deviation i^-0.5 along the i-th of 512 random axes: n / 200 topics, chosen with weights
r^-0.8; videos of 1 to 300 clips, 20 on average. A twentieth of the clips are then replaced by near-duplicates of
others, at a cosine drawn from 0.901 to 0.995, in a direction of their own.
"""

from dataclasses import dataclass

import numpy as np

DIM = 512

_BLOCK = 1 << 15
_SHARES = {"common": 0.45, "topic": 0.15, "video": 0.2, "own": 0.2}


@dataclass(frozen=True)
class Clips:
    """Attributes:
    vectors: float16 [n, 512].
    planted: int64 [n / 20, 2], clips and the near-duplicates of them.
    """

    vectors: np.ndarray
    planted: np.ndarray


def draw(count: int, seed: int = 0) -> Clips:
    """Clips; the same for the same arguments."""
    random = np.random.default_rng(seed)
    sizes = np.minimum(random.geometric(1 / 20, size=count), 300)
    videos = int(np.searchsorted(np.cumsum(sizes), count)) + 1
    video = random.permutation(np.repeat(np.arange(videos), sizes[:videos])[:count])
    topics = max(20, count // 200)
    weights = np.arange(1, topics + 1) ** -0.8
    topic = random.choice(topics, size=videos, p=weights / weights.sum())
    common, of_topic, of_video = directions(1, random), directions(topics, random), directions(videos, random)
    vectors = np.empty((count, DIM), np.float16)
    for at in range(0, count, _BLOCK):
        mine = video[at : at + _BLOCK]
        parts = {
            "common": common,
            "topic": of_topic[topic[mine]],
            "video": of_video[mine],
            "own": directions(len(mine), random),
        }
        vectors[at : at + _BLOCK] = unit(sum(np.sqrt(_SHARES[name]) * part for name, part in parts.items()))
    planted = random.permutation(count)[: count // 20 * 2].reshape(-1, 2)
    for at in range(0, len(planted), _BLOCK):
        some = planted[at : at + _BLOCK]
        cosines = random.uniform(0.901, 0.995, size=len(some))
        vectors[some[:, 1]] = near(vectors[some[:, 0]], cosines, random)
    return Clips(vectors, planted)


def text_like(vectors: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Queries float32 [n, 512] that are near to nothing, as vectors of texts are: a cosine of 0.25 to one of these."""
    return near(vectors, np.full(len(vectors), 0.25), random)


def near(vectors: np.ndarray, cosines: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Unit vectors float32 [n, 512] with the given cosines to these."""
    to = unit(vectors.astype(np.float32))
    away = directions(len(to), random)
    away = unit(away - (away * to).sum(axis=1, keepdims=True) * to)
    return (cosines[:, None] * to + np.sqrt(1 - cosines[:, None] ** 2) * away).astype(np.float32)


def directions(count: int, random: np.random.Generator) -> np.ndarray:
    """Unit vectors float32 [count, 512] with most of their length along few axes, the same axes for all."""
    axes = np.linalg.qr(np.random.default_rng(7).standard_normal((DIM, DIM)))[0].astype(np.float32)
    spread = (np.arange(1, DIM + 1) ** -0.5).astype(np.float32)
    return unit((random.standard_normal((count, DIM), dtype=np.float32) * spread) @ axes)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows scaled to length one."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), dtype=np.float32)
