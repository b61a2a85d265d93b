"""Items for the index's tests."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from curate.index import Batch
from curate.index.cosine import exact, halved

DIM = 24


@dataclass(frozen=True)
class World:
    """Items in memory, and what brute force says of them."""

    keys: np.ndarray
    vectors: list[np.ndarray]

    def load(self, size: int = 7) -> Callable[[np.ndarray], Iterator[Batch]]:
        """As `Index.update` wants it, a few items at a time."""
        at = {key: row for row, key in enumerate(self.keys.tolist())}

        def loaded(missing: np.ndarray) -> Iterator[Batch]:
            for start in range(0, len(missing), size):
                keys = missing[start : start + size]
                mine = [self.vectors[at[key]] for key in keys.tolist()]
                owner = np.repeat(np.arange(len(keys)), [len(some) for some in mine])
                yield Batch(keys, np.concatenate(mine), owner, [b"about " + key for key in keys.tolist()])

        return loaded

    def above(self, queries: np.ndarray, threshold: float, among: Sequence[bytes]) -> dict[tuple[int, bytes], float]:
        """The score of each (query row, key) that reaches the threshold."""
        allowed, found = set(among), {}
        for key, own in zip(self.keys.tolist(), self.vectors, strict=True):
            if key in allowed and len(own):
                scores = scored(queries, own).max(axis=1)
                found |= {
                    (int(row), key): float(scores[row]) for row in np.flatnonzero(scores >= np.float32(threshold))
                }
        return found


def scored(queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Exact cosines float32 [q, v]."""
    rows, columns = np.indices((len(queries), len(vectors))).reshape(2, -1)
    return exact(halved(queries), rows, halved(vectors), columns).reshape(len(queries), len(vectors))


def world(count: int, seed: int = 0, *, most: int = 1, dim: int = DIM) -> World:
    """Items with up to `most` vectors each: some near others, some equal, some zero; where several, some have none."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((max(1, count // 4), dim)).astype(np.float32)
    vectors = []
    for _ in range(count):
        own = int(rng.integers(0, most + 1)) if most > 1 else 1
        noise = rng.choice([0.0, 0.05, 0.3, 1.0])
        made = centres[rng.integers(0, len(centres), own)] + noise * rng.standard_normal((own, dim))
        vectors.append((made * (rng.random((own, 1)) > 0.02)).astype(np.float32))
    names = rng.permutation(np.array([f"clip-{at:05d}" for at in range(count)], dtype="S"))
    return World(names, vectors)
