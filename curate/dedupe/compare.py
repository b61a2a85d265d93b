"""Compares candidate pairs: do they show the same pictures, the same footage, or the same thing?

- exact: every decoded frame is the same (`Fingerprint.content`), as after a remux;
- copy: the same footage under one alignment in time and picture (`curate.dedupe.align`), as after a re-encode, crop,
  logo, trim or change of speed;
- semantic: another take of the same thing (`curate.dedupe.semantic`).

A pair has the first of these that holds. Pairs are compared in batches, in worker processes where there are many.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import polars as pl

from curate.dedupe.align import align
from curate.dedupe.fingerprint import Fingerprint
from curate.dedupe.semantic import MOTION, agreement, motion_agreement, movement
from curate.index import Run
from curate.progress import Progress
from curate.standing.frames import Frames
from curate.standing.indexes import Standing
from curate.threads import one_thread

EDGES: dict[str, Any] = {
    "clip_id": pl.String,
    "other_id": pl.String,
    "kind": pl.String,
    "score": pl.Float32,
    "start_s": pl.Float64,
    "end_s": pl.Float64,
    "other_start_s": pl.Float64,
    "other_end_s": pl.Float64,
    "speed": pl.Float32,
    "mirrored": pl.Boolean,
}
_PAIRS_AT_ONCE = 128
"""A few seconds of work: 27 ms for each near pair of the sample world."""

Span = tuple[float, float]


@dataclass(frozen=True)
class Batch:
    """Some pairs, and what is needed of their clips.

    Attributes:
        pairs: clip_id, other_id, and whether their clip vectors are near.
        spans: start and end of each clip in its video, seconds.
        fingerprints: packed.
        frames: frame vectors float32 [n, dim] of the clips of near pairs.
        semantic: least agreement of frame vectors.
    """

    pairs: Sequence[tuple[str, str, bool]]
    spans: Mapping[str, Span]
    fingerprints: Mapping[str, bytes]
    frames: Mapping[str, np.ndarray] = field(repr=False)
    semantic: float


def compare(
    pairs: pl.DataFrame,
    clips: pl.DataFrame,
    frames: Standing,
    moments: Standing,
    *,
    semantic: float,
    run: Run,
    progress: Progress,
) -> pl.DataFrame:
    """The edges among candidate pairs.

    Args:
        pairs: clip_id < other_id, `semantic`; pairs with a clip that has no fingerprint are passed over.
        clips: clip_id, start_s, end_s of each.
        frames: index whose blobs are fingerprints.
        moments: index whose blobs are frame vectors.
        semantic: least agreement of the frames of two takes.
        run: runs the batches.

    Returns:
        Columns of EDGES, sorted by clip_id and other_id; times in source seconds, null for semantic edges.
    """
    known = pl.Series("clip_id", frames.items["clip_id"])
    pairs = pairs.filter(pl.col("clip_id").is_in(known.implode()), pl.col("other_id").is_in(known.implode()))
    batches = _Batches(pairs, clips, frames, moments, semantic)
    rows: list[tuple] = []
    for done, found in enumerate(run(edges_of, batches), start=1):
        rows += found
        progress("pairs", min(done * _PAIRS_AT_ONCE, len(pairs)), len(pairs))
    return pl.DataFrame(rows, schema=EDGES, orient="row").sort("clip_id", "other_id")


def edges_of(batch: Batch) -> list[tuple]:
    """The edges of one batch, as rows of EDGES."""

    @cache
    def fingerprint(clip_id: str) -> Fingerprint:
        return Fingerprint.unpack(batch.fingerprints[clip_id])

    @cache
    def moves(clip_id: str) -> np.ndarray:
        return movement(fingerprint(clip_id).luma)

    rows: list[tuple] = []
    with one_thread():
        for clip_id, other_id, near in batch.pairs:
            one, other = fingerprint(clip_id), fingerprint(other_id)
            (start_s, end_s), (other_start_s, other_end_s) = batch.spans[clip_id], batch.spans[other_id]
            if one.content == other.content and not one.blank:
                whole = (start_s, end_s, other_start_s, other_end_s)
                rows.append((clip_id, other_id, "exact", 1.0, *whole, 1.0, False))
                continue
            found = align(one, other)
            if found is not None and found.same:
                span_s = (start_s + found.start_a_s, min(start_s + found.end_a_s, end_s))
                other_s = (other_start_s + found.start_b_s, min(other_start_s + found.end_b_s, other_end_s))
                rows.append((clip_id, other_id, "copy", found.score, *span_s, *other_s, found.speed, found.mirrored))
            elif near:
                score = agreement(batch.frames[clip_id], batch.frames[other_id])
                if score >= batch.semantic and motion_agreement(moves(clip_id), moves(other_id)) >= MOTION:
                    rows.append((clip_id, other_id, "semantic", score, *[None] * 6))
    return rows


@dataclass(frozen=True)
class _Batches(Sequence[Batch]):
    """The pairs in batches; what a batch needs is read when it is asked for."""

    pairs: pl.DataFrame
    clips: pl.DataFrame
    fingerprints: Standing
    moments: Standing
    semantic: float

    def __len__(self) -> int:
        return -(-len(self.pairs) // _PAIRS_AT_ONCE)

    def __getitem__(self, at: Any) -> Any:
        pairs = self.pairs[at * _PAIRS_AT_ONCE : (at + 1) * _PAIRS_AT_ONCE]
        if not len(pairs):
            raise IndexError(at)
        clips, near = _ends(pairs), _ends(pairs.filter("semantic"))
        spans = self.clips.join(clips.to_frame(), on="clip_id", how="semi").select("clip_id", "start_s", "end_s")
        moments = _blobs(self.moments, near)
        frames = Frames.of_blobs(list(moments.values()), self.moments.dim)
        vectors = np.split(frames.vectors.astype(np.float32), frames.first[1:]) if len(near) else []
        return Batch(
            pairs.select("clip_id", "other_id", "semantic").rows(),
            {clip_id: (start_s, end_s) for clip_id, start_s, end_s in spans.iter_rows()},
            _blobs(self.fingerprints, clips),
            dict(zip(moments, vectors, strict=True)),
            self.semantic,
        )


def _ends(pairs: pl.DataFrame) -> pl.Series:
    return pl.concat([pairs["clip_id"], pairs["other_id"]]).unique().alias("clip_id")


def _blobs(standing: Standing, clip_ids: pl.Series) -> dict[str, bytes]:
    numbers = standing.numbers(clip_ids)
    return dict(zip(standing.clip_ids(numbers), standing.index.blobs(numbers), strict=True))
