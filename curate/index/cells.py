"""Cells: vectors in groups of near ones, so that a query is compared with few of them, in few dimensions.

- **Sketch.** A vector is projected on the leading directions of the data, with the length of what is left over as one
  more dimension. By Cauchy-Schwarz the product of two sketches is never below the cosine of the vectors: what it rules
  out is ruled out for certain, at a quarter of the work, and what passes is scored exactly.
- **Cells.** An inverted file over k-means in two levels (cells within coarse cells), whose training grows as n^1.5,
  not as n^2. A query looks at the cells nearest to it (PROBES), and all queries at one cell together, as one matrix
  product.
- **Codes.** For the k best of a query that is near to nothing, as a text is, cells say little. Product quantisation of
  4 bits for 4 dimensions ranks all vectors (FAISS fast scan), and the best are scored exactly.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import faiss
import numpy as np

from curate.index import cosine, files
from curate.index.flat import Candidates

SKETCH = 128
"""Dimensions of a sketch, the left-over length among them."""

CELL = 256
"""Vectors in a cell, on average."""

PROBES = 128
"""Cells a query looks at, where all vectors are asked about: each pair is then met from both its sides.

Of few cells a quarter does: of planted pairs at a cosine of 0.9 to 0.995 among 30,000 vectors, 32 of 117 cells found
all, and among 100,000, 64 of 390 cells 99.96%, in 19 core-seconds; FAISS's IVF took 44 for 99.92%, with 32 of 1,264.
"""

_LEAST_PROBES = 32

PROBES_OF_FEW = 512
"""Cells a query looks at where queries are few, as when clips are added: these meet a pair from one side only.

Of pairs at a cosine of 0.9 to 0.995 among 1,000,000 vectors as clips have them, a query found 94% with 64 probes, 98%
with 128 and 99.8% with 512.
"""

_DTYPES = {
    "basis": np.float32,
    "centroids": np.float32,
    "cell_ends": np.int64,
    "members": np.int64,
    "sketches": np.float16,
    "codes": np.uint8,
}
FILES = tuple(_DTYPES)

_SAMPLE = 1 << 17
_ITERATIONS = 8
_BLOCK = 1 << 13
_QUERIES = 1 << 16
_FEW = 1 / 8
_SCORES = 1 << 22
_ROUNDING = 1e-3
_CODE_DIMENSIONS = 4


@dataclass(frozen=True, eq=False)
class Cells:
    """The cells over the rows of a segment.

    Attributes:
        basis: float32 [dim, s - 1], orthonormal columns.
        centroids: float32 [c, s], of sketches.
        cell_ends: int64 [c], where the members of each cell end.
        members: int64 [v], the segment's rows, cell by cell.
        sketches: float16 [v, s], of the members in their order.
        codes: uint8, the FAISS index over all rows, serialised.
    """

    basis: np.ndarray
    centroids: np.ndarray
    cell_ends: np.ndarray
    members: np.ndarray
    sketches: np.ndarray
    codes: np.ndarray

    @cached_property
    def ranking(self) -> faiss.Index:
        """The codes, ready to be searched; 64 bytes a vector of 512 dimensions, in memory from its first use."""
        return faiss.deserialize_index(np.asarray(self.codes))

    def above(self, queries: np.ndarray, threshold: float) -> Iterator[Candidates]:
        """Rows that may reach `threshold`, some at a time, with an upper bound of their cosines.

        Args:
            queries: float16 [q, dim].
        """
        few = len(queries) < _FEW * len(self.members)
        probes = PROBES_OF_FEW if few else min(PROBES, max(_LEAST_PROBES, len(self.centroids) // 4))
        for first in range(0, len(queries), _QUERIES):
            sketches = sketched(queries[first : first + _QUERIES], self.basis)
            query, ends = self._visits(sketches, probes)
            for cell, (begin, end) in enumerate(zip(np.r_[0, ends[:-1]], ends, strict=True)):
                if begin == end:
                    continue
                start, stop = int(self.cell_ends[cell - 1]) if cell else 0, int(self.cell_ends[cell])
                theirs = self.sketches[start:stop].astype(np.float32).T
                at_once = max(1, _SCORES // max(1, stop - start))
                for at in range(begin, end, at_once):
                    some = query[at : min(at + at_once, end)]
                    bounds = sketches[some] @ theirs
                    row, column = np.nonzero(bounds >= threshold - _ROUNDING)
                    yield some[row] + first, self.members[start + column], bounds[row, column]

    def nearest(self, queries: np.ndarray, count: int) -> np.ndarray:
        """About the `count` nearest rows of each query, int64 [q, at most count]; -1 where the codes gave fewer."""
        wide = cosine.widened(queries)
        return self.ranking.search(wide, min(count, len(self.members)))[1]

    def _visits(self, sketches: np.ndarray, probes: int) -> tuple[np.ndarray, np.ndarray]:
        """Which queries look at each cell: their rows int64, cell by cell, and int64 [c] where those of a cell end."""
        probes = min(probes, len(self.centroids))
        cells = np.empty((len(sketches), probes), np.uint32)
        for start, nearness in _nearness(sketches, self.centroids):
            chosen = np.argpartition(-nearness, probes - 1, axis=1)[:, :probes]
            cells[start : start + len(chosen)] = chosen
        order = np.argsort(cells.ravel(), kind="stable")
        return order // probes, np.cumsum(np.bincount(cells.ravel(), minlength=len(self.centroids)))


def opened(directory: Path, shapes: dict[str, list[int]]) -> Cells:
    """The cells in a directory, memory-mapped."""
    return Cells(**{name: files.mapped(directory / name, _DTYPES[name], tuple(shapes[name])) for name in FILES})


def build(directory: Path, vectors: np.ndarray) -> dict[str, tuple[files.Writer, tuple[int, ...]]]:
    """Writes the files of cells over `vectors`, float16 [v, dim], into a directory.

    In memory are the sketches (256 bytes a vector), the codes twice (64 bytes a vector of 512 dimensions), and a sample
    of at most 2^17 vectors; the vectors themselves stay on disk.

    Returns:
        The writer, closed, and the shape of each file.
    """
    count, dim = vectors.shape
    chosen = np.sort(np.random.default_rng(0).choice(count, min(count, _SAMPLE), replace=False))
    sample = cosine.widened(vectors[chosen])
    basis = _directions(sample, min(SKETCH - 1, dim))
    centroids = _two_levels(_sketch(sample, basis), max(1, count // CELL))
    pieces = next(some for some in range(math.ceil(dim / _CODE_DIMENSIONS), dim + 1) if dim % some == 0)
    codes = faiss.IndexPQFastScan(dim, pieces, 4, faiss.METRIC_INNER_PRODUCT)
    codes.train(sample[: 1 << 16])
    del sample
    sketches = np.empty((count, centroids.shape[1]), np.float16)
    cell = np.empty(count, np.int64)
    for start in range(0, count, _BLOCK):
        wide = cosine.widened(vectors[start : start + _BLOCK])
        codes.add(wide)
        flat = _sketch(wide, basis)
        sketches[start : start + len(flat)] = flat
        for at, nearness in _nearness(flat, centroids):
            cell[start + at : start + at + len(nearness)] = nearness.argmax(axis=1)
    members = np.argsort(cell, kind="stable")
    made = {
        "basis": basis,
        "centroids": centroids,
        "cell_ends": np.cumsum(np.bincount(cell, minlength=len(centroids))),
        "members": members,
        "sketches": sketches,
        "codes": faiss.serialize_index(codes),
    }
    written = {}
    for name, values in made.items():
        writer = files.Writer(directory / name)
        if name == "sketches":
            for start in range(0, count, _BLOCK):
                writer.array(values[members[start : start + _BLOCK]])
        else:
            writer.array(values)
        writer.close()
        written[name] = (writer, values.shape)
    return written


def sketched(vectors: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Sketches float32 [v, s] of float16 vectors [v, dim]."""
    parts = [_sketch(cosine.widened(vectors[at : at + _BLOCK]), basis) for at in range(0, len(vectors), _BLOCK)]
    return np.concatenate([np.zeros((0, basis.shape[1] + 1), np.float32), *parts])


def _sketch(wide: np.ndarray, basis: np.ndarray) -> np.ndarray:
    kept = wide @ basis
    left = np.einsum("ij,ij->i", wide, wide) - np.einsum("ij,ij->i", kept, kept)
    return np.column_stack([kept, np.sqrt(np.maximum(left, 0))])


def _directions(sample: np.ndarray, count: int) -> np.ndarray:
    """The leading `count` eigenvectors of the second moment, float32 [dim, count]."""
    _, vectors = np.linalg.eigh((sample.T @ sample).astype(np.float64))
    return np.ascontiguousarray(vectors[:, ::-1][:, :count], dtype=np.float32)


def _two_levels(sample: np.ndarray, count: int) -> np.ndarray:
    """About `count` centroids: those of coarse cells, each split in proportion to what is in it."""
    coarse = _centroids(sample, round(math.sqrt(count)))
    home = np.concatenate([nearness.argmax(axis=1) for _, nearness in _nearness(sample, coarse)])
    share = len(sample) / count
    parts = [sample[home == cell] for cell in range(len(coarse))]
    return np.concatenate([_centroids(part, max(1, round(len(part) / share))) for part in parts if len(part)])


def _centroids(sample: np.ndarray, count: int) -> np.ndarray:
    if count >= len(sample):
        return sample
    means = faiss.Kmeans(sample.shape[1], count, niter=_ITERATIONS, seed=1, min_points_per_centroid=1)
    means.train(np.ascontiguousarray(sample))
    return np.asarray(means.centroids)


def _nearness(vectors: np.ndarray, centroids: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """For some vectors at a time: the first of them, and float32 [.., c], larger where the centroid is nearer."""
    half = np.einsum("ij,ij->i", centroids, centroids) / 2
    for start in range(0, len(vectors), _BLOCK):
        yield start, vectors[start : start + _BLOCK] @ centroids.T - half
