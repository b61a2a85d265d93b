"""Embedding vectors between numpy and the catalog.

Clip vectors are `List(Float32)`, frame vectors float16 bytes: Delta's `Array` cannot be read back through polars, and
half the bytes at 2 frames a second cost no measurable similarity (cosine error below 1e-3).
"""

import numpy as np
import polars as pl


def pack(vectors: np.ndarray) -> bytes:
    """float [frames, dim] to float16 bytes, row-major."""
    return np.ascontiguousarray(vectors, dtype=np.float16).tobytes()


def unpack(content: bytes, frames: int) -> np.ndarray:
    """The inverse of `pack`: float32 [frames, dim]."""
    return np.frombuffer(content, dtype=np.float16).reshape(frames, -1).astype(np.float32)


def matrix(column: pl.Series) -> np.ndarray:
    """A `List(Float32)` column as one float32 array [rows, dim]."""
    flat = column.explode().to_numpy()
    return np.ascontiguousarray(flat.reshape(len(column), -1), dtype=np.float32)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows scaled to length one."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
