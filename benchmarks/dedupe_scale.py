"""Near-duplicates among N clips cost little more than N: the exponent of time between two sizes ten apart.

    python -m benchmarks.dedupe_scale [--quick] [--json]

All pairs with a cosine of at least 0.9 among 100,000 and 1,000,000 vectors of 512 dimensions (see `clip_vectors`:
clusters of unequal size, near-duplicates planted), index built and asked about each vector. A time counts only if 99%
of the planted pairs were found. Beside it, on the same vectors: brute force (FAISS flat range search), FAISS's IVF (4
sqrt(n) cells, 32 probed), and what SemDeDup and NeMo Curator do (scikit-learn's MiniBatchKMeans with a cell for each
1,000 vectors, then all pairs within a cell). The last column adds 1,000 clips to the standing index and asks about
those. Below 100,000 vectors, as with --quick, the index looks at a quarter of its cells, and the exponent is larger.

Each row is measured in a process of its own, one run each: the times are minutes. Peak memory counts pages of mapped
files.
"""

import math
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import clip_vectors
from benchmarks.claim import Result, main
from curate.index import Batch, Index

THRESHOLD = 0.9
RECALL = 0.99
_LIMIT = 100
_ADDED = 1000
_CELL = 1000
_IVF_PROBES = 32
_PEERS_UP_TO = {"brute force": 100_000, "FAISS IVF": 100_000, "k-means cells": 1_000_000}
"""Where brute force and IVF take over an hour, they are left out."""


@dataclass(frozen=True)
class Found:
    """Pairs int64 [m, 2] that one way found, and seconds."""

    pairs: np.ndarray
    build_s: float
    search_s: float
    add_1000_s: float | None = None


def by_index(vectors: np.ndarray, directory: Path) -> Found:
    count = len(vectors) - _ADDED
    started = time.perf_counter()
    index = Index.open(directory / "index", dim=clip_vectors.DIM, model="drawn")
    index.update(_keys(np.arange(count)), _load(vectors), version="1")
    built = time.perf_counter()
    matches = index.above(vectors[:count], THRESHOLD, limit=_LIMIT)
    searched = time.perf_counter()
    clip = np.empty(int(index.numbers.max(initial=0)) + 1, np.int64)
    clip[index.numbers] = index.keys.astype(np.int64)
    pairs = np.stack([matches.query, clip[matches.number]], axis=1)
    again = time.perf_counter()
    index.update(_keys(np.arange(len(vectors))), _load(vectors), version="2")
    index.above(vectors[count:], THRESHOLD, limit=_LIMIT)
    return Found(pairs, built - started, searched - built, time.perf_counter() - again)


def by_brute_force(vectors: np.ndarray, directory: Path) -> Found:
    import faiss

    started = time.perf_counter()
    index = faiss.IndexFlatIP(clip_vectors.DIM)
    wide = vectors[:-_ADDED].astype(np.float32)
    index.add(wide)
    built = time.perf_counter()
    limits, _, other = index.range_search(wide, THRESHOLD)
    pairs = np.stack([np.repeat(np.arange(len(wide)), np.diff(limits.astype(np.int64))), other], axis=1)
    return Found(pairs, built - started, time.perf_counter() - built)


def by_kmeans(vectors: np.ndarray, directory: Path) -> Found:
    from sklearn.cluster import MiniBatchKMeans

    started = time.perf_counter()
    wide = vectors[:-_ADDED].astype(np.float32)
    cell = MiniBatchKMeans(max(2, len(wide) // _CELL), random_state=0, n_init=1, batch_size=4096).fit_predict(wide)
    built = time.perf_counter()
    pairs = [np.zeros((0, 2), np.int64)]
    order = np.argsort(cell, kind="stable")
    for members in np.split(order, np.cumsum(np.bincount(cell))[:-1]):
        first, second = np.nonzero(wide[members] @ wide[members].T >= THRESHOLD)
        pairs.append(np.stack([members[first], members[second]], axis=1))
    return Found(np.concatenate(pairs), built - started, time.perf_counter() - built)


def by_ivf(vectors: np.ndarray, directory: Path) -> Found:
    import faiss

    started = time.perf_counter()
    wide = vectors[:-_ADDED].astype(np.float32)
    cells = round(4 * math.sqrt(len(wide)))
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(clip_vectors.DIM), clip_vectors.DIM, cells, faiss.METRIC_INNER_PRODUCT)
    index.train(wide)
    index.add(wide)
    index.nprobe = _IVF_PROBES
    built = time.perf_counter()
    cosines, other = index.search(wide, _LIMIT)
    first, at = np.nonzero(cosines >= THRESHOLD)
    return Found(np.stack([first, other[first, at]], axis=1), built - started, time.perf_counter() - built)


WAYS: dict[str, Callable[[np.ndarray, Path], Found]] = {
    "index": by_index,
    "brute force": by_brute_force,
    "FAISS IVF": by_ivf,
    "k-means cells": by_kmeans,
}


def measure(quick: bool) -> Result:
    sizes = (15_000, 50_000) if quick else (100_000, 1_000_000)
    rows = []
    for count in sizes:
        with tempfile.TemporaryDirectory() as temporary:
            _apart(_write_clips, count, Path(temporary))
            for way in WAYS:
                if way == "index" or count <= (sizes[0] if quick else _PEERS_UP_TO[way]):
                    rows.append(_apart(_row, way, count, Path(temporary)))
    small, large = (row for row in rows if row["way"] == "index")
    for row in (small, large):
        if row["recall"] < RECALL:
            raise SystemExit(
                f"recall of planted pairs at {row['vectors']} vectors is {row['recall']:.4f}, below {RECALL}"
            )
    exponent = math.log(large["total_s"] / small["total_s"]) / math.log(large["vectors"] / small["vectors"])
    notes = "" if quick else "Brute force and IVF take over an hour at 1,000,000 and are left out there."
    return Result(exponent, "exponent of time in N", 1.25, at_most=True, rows=rows, notes=notes)


def _row(way: str, count: int, directory: Path) -> dict[str, Any]:
    vectors = np.load(directory / "vectors.npy", mmap_mode="r")
    planted = np.load(directory / "planted.npy")
    found = WAYS[way](vectors, directory)
    known = np.unique(found.pairs[:, 0] * count + found.pairs[:, 1])
    first, second = planted.T
    hit = np.isin(first * count + second, known), np.isin(second * count + first, known)
    return {
        "way": way,
        "vectors": count,
        "build_s": found.build_s,
        "search_s": found.search_s,
        "total_s": found.build_s + found.search_s,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
        "recall": float((hit[0] | hit[1]).mean()),
        "recall_one_way": float((hit[0].mean() + hit[1].mean()) / 2),
        "add_1000_s": found.add_1000_s,
    }


def _write_clips(count: int, directory: Path) -> None:
    clips = clip_vectors.draw(count)
    more = clip_vectors.near(clips.vectors[:_ADDED], np.full(_ADDED, 0.95), np.random.default_rng(1))
    np.save(directory / "vectors.npy", np.concatenate([clips.vectors, more.astype(np.float16)]))
    np.save(directory / "planted.npy", clips.planted)


def _apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """Calls a function in a new process, so that peak memory is its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def _keys(clips: np.ndarray) -> np.ndarray:
    return np.char.zfill(clips.astype("S16"), 16)


def _load(vectors: np.ndarray) -> Callable[[np.ndarray], Iterator[Batch]]:
    def load(missing: np.ndarray) -> Iterator[Batch]:
        for at in range(0, len(missing), 4096):
            keys = missing[at : at + 4096]
            yield Batch(keys, vectors[keys.astype(np.int64)], np.arange(len(keys)))

    return load


if __name__ == "__main__":
    main("dedupe_scale", measure)
