"""The frame vectors of many clips as flat arrays, so that what is computed of them has no loop over clips."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from curate.vectors import unit


@dataclass(frozen=True)
class Frames:
    """Frames of n clips, one clip after the other; every clip has one at least.

    Attributes:
        times_s: float64 [frames], source seconds.
        vectors: float16 [frames, dim], unit norm.
        counts: int64 [n], frames of each clip.
    """

    times_s: np.ndarray
    vectors: np.ndarray
    counts: np.ndarray

    @property
    def first(self) -> np.ndarray:
        """int64 [n]: where each clip begins."""
        return np.cumsum(self.counts) - self.counts

    @property
    def owner(self) -> np.ndarray:
        """int64 [frames]: the clip of each frame."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    @classmethod
    def of_rows(cls, embeddings: pl.DataFrame) -> "Frames":
        """From rows of the catalog, with `frame_times_s` and `frame_vectors`."""
        counts = embeddings["frame_times_s"].list.len().to_numpy().astype(np.int64)
        times_s = embeddings["frame_times_s"].explode().to_numpy().astype(np.float64)
        flat = np.frombuffer(b"".join(embeddings["frame_vectors"]), np.float16)
        return cls(times_s, flat.reshape(len(times_s), -1 if len(times_s) else 0), counts)

    @classmethod
    def of_blobs(cls, blobs: Sequence[bytes], dim: int) -> "Frames":
        """The inverse of `blobs`."""
        layout = _layout(dim)
        records = np.frombuffer(b"".join(blobs), layout)
        counts = np.fromiter((len(blob) // layout.itemsize for blob in blobs), np.int64, len(blobs))
        return cls(records["time_s"], records["vector"], counts)

    def means(self) -> np.ndarray:
        """float32 [n, dim]: the mean frame vector of each clip, at unit norm."""
        if not len(self.counts):
            return np.zeros((0, self.vectors.shape[1]), np.float32)
        return unit(np.add.reduceat(self.vectors.astype(np.float32), self.first, axis=0))

    def blobs(self) -> list[bytes]:
        """The frames of each clip as bytes: for each frame its time and its vector."""
        records = np.empty(len(self.times_s), _layout(self.vectors.shape[1]))
        records["time_s"], records["vector"] = self.times_s, self.vectors
        return [records[first : first + count].tobytes() for first, count in zip(self.first, self.counts, strict=True)]


def _layout(dim: int) -> np.dtype:
    return np.dtype([("time_s", "<f8"), ("vector", "<f2", (dim,))])
