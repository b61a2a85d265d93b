"""Search finds the ten best of a million clips, with a filter and without: recall@10 at the worst, and latency.

    python -m benchmarks.search [--quick] [--json]

One query at a time against 1,000,000 vectors of 512 dimensions (see `clip_vectors`), from the index on disk: queries
that are like a clip (a cosine of 0.8 to one), and queries that are near to nothing (0.25), as the vectors of texts are;
each among all clips and among a hundredth of them, drawn at random. Truth is brute force on the same half-precision
vectors, whose latency stands beside (FAISS flat, float32).
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from benchmarks import clip_vectors
from benchmarks.claim import Result, main
from curate.index import Batch, Index

_K = 10
_FILTER = 0.01
_BRUTE_FORCE_QUERIES = 20


def measure(quick: bool) -> Result:
    count, asked = (30_000, 50) if quick else (1_000_000, 300)
    vectors = clip_vectors.draw(count).vectors
    random = np.random.default_rng(1)
    near_to = vectors[random.integers(0, count, asked)]
    queries = {
        "like a clip": clip_vectors.near(near_to, np.full(asked, 0.8), random),
        "like a text": clip_vectors.text_like(near_to, random),
    }
    some = np.sort(random.choice(count, round(_FILTER * count), replace=False))
    with tempfile.TemporaryDirectory() as temporary:
        index = _built(vectors, Path(temporary))
        rows = [_row(index, vectors, name, own, among) for name, own in queries.items() for among in (None, some)]
    return Result(min(row["recall@10"] for row in rows), "recall@10 at the worst", 0.99, at_most=False, rows=rows)


def _built(vectors: np.ndarray, directory: Path) -> Index:
    def load(missing: np.ndarray) -> Iterator[Batch]:
        for at in range(0, len(missing), 4096):
            keys = missing[at : at + 4096]
            yield Batch(keys, vectors[keys.astype(np.int64)], np.arange(len(keys)))

    index = Index.open(directory, dim=clip_vectors.DIM, model="drawn")
    index.update(np.char.zfill(np.arange(len(vectors)).astype("S16"), 16), load, version="1")
    return index


def _row(index: Index, vectors: np.ndarray, name: str, queries: np.ndarray, among: np.ndarray | None) -> dict[str, Any]:
    clip = np.empty(int(index.numbers.max()) + 1, np.int64)
    clip[index.numbers] = index.keys.astype(np.int64)
    allowed = None if among is None else index.numbers[np.isin(clip[index.numbers], among)]
    wide = (vectors if among is None else vectors[among]).astype(np.float32)
    brute = faiss.IndexFlatIP(clip_vectors.DIM)
    brute.add(wide)
    del wide
    true = brute.search(queries, _K)[1]
    true = true if among is None else among[true]
    index.search(queries[:1], _K, among=allowed)
    took, found = _one_by_one(lambda query: index.search(query, _K, among=allowed)[0], queries)
    brute_took, _ = _one_by_one(lambda query: brute.search(query, _K)[1], queries[:_BRUTE_FORCE_QUERIES])
    hits = [len(np.intersect1d(clip[own], best)) for own, best in zip(found, true, strict=True)]
    return {
        "queries": name,
        "vectors": len(vectors),
        "among": len(vectors) if among is None else len(among),
        "p50_ms": float(np.percentile(took, 50)) * 1e3,
        "p99_ms": float(np.percentile(took, 99)) * 1e3,
        "recall@10": float(np.mean(hits)) / _K,
        "brute_force_p50_ms": float(np.percentile(brute_took, 50)) * 1e3,
    }


def _one_by_one(
    search: Callable[[np.ndarray], np.ndarray], queries: np.ndarray
) -> tuple[list[float], list[np.ndarray]]:
    seconds, found = [], []
    for query in queries:
        started = time.perf_counter()
        found.append(search(query[None])[0])
        seconds.append(time.perf_counter() - started)
    return seconds, found


if __name__ == "__main__":
    main("search", measure)
