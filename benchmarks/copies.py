"""Copies are found whatever was done to them, and other footage is not taken for one.

Every original of benchmarks.copies_footage is copied by ten transformations at three strengths, and all are cut into
clips by the real analysis. A pair of a copy's clip and an original's is right where they share at least half of the
shorter one and a second, and wrong where they share nothing: other videos, and the hard ones, other clips of the same
video and other actions before one background. Recall is of the right pairs, those that were no candidates among them;
precision is of what is found among the pairs of that transformation. The worlds' seeds set no threshold.

Against it, on the same pairs and at the threshold that serves each best, the lowest with a precision of 0.99: the
cosine of the clips' mean CLIP vectors, and the SemDeDup rule, the same cosine within cells of k-means.

The value is the worst of each targeted transformation's recall, weak and medium, and of the precision over all of them,
each over its target, so 1 is just met.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from benchmarks.claim import Result, main
from benchmarks.copies_footage import (
    LEAST_COMMON,
    LEAST_COMMON_S,
    STRENGTHS,
    TRANSFORMS,
    Clip,
    clips,
    copies,
    drawn_originals,
    real_originals,
    shared,
)
from curate.dedupe.align import MOTION, Alignment, align
from curate.dedupe.descriptor import MATCH, descriptors, questions
from curate.specs.analysis import Duplicates
from curate.threads import one_thread

RECALL = {
    "re-encode": 0.95, "scale": 0.95, "letterbox": 0.95, "logo": 0.95, "trim": 0.95,
    "crop": 0.8, "mirror": 0.8, "speed": 0.8,
}  # fmt: skip
PRECISION = 0.99
_AT = ("weak", "medium")
"""Strengths that the targets are for: a crop of 20% and a speed of 1.25 are the medium ones."""
_SEEDS, _DRAWN, _LENGTH_S = (31337, 4321), 5, 12.0
_CURVE = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
_PER_CELL = 50


@dataclass(frozen=True)
class Pair:
    """A copy's clip and an original's.

    right: whether they share enough; else they share nothing.
    """

    transform: str
    strength: str
    right: bool
    candidate: bool
    cosine: float
    same_cell: bool
    found: Alignment | None


def measure(quick: bool) -> Result:
    with tempfile.TemporaryDirectory() as directory, one_thread():
        made = _clips(Path(directory), quick)
        shown = [clip for clip in made if not clip.fingerprint.blank]
        pairs = _pairs(shown)
    cosine = _best_threshold(pairs, lambda pair: pair.cosine)
    cell = _best_threshold([pair for pair in pairs if pair.same_cell], lambda pair: pair.cosine)
    ways: dict[str, Callable[[Pair], bool]] = {
        "": lambda pair: pair.found is not None and pair.found.same,
        "clip_": lambda pair: pair.cosine >= cosine,
        "semdedup_": lambda pair: pair.same_cell and pair.cosine >= cell,
    }
    rows: list[dict[str, Any]] = []
    for transform in TRANSFORMS:
        for strength in STRENGTHS:
            some = [pair for pair in pairs if (pair.transform, pair.strength) == (transform, strength)]
            if some:
                rows.append(_row(transform, strength, some, ways, RECALL.get(transform) if strength in _AT else None))
    asked = [pair for pair in pairs if pair.transform in RECALL and pair.strength in _AT]
    for least in _CURVE:
        rows.append(_row("targeted", f"motion >= {least:g}", asked, {**ways, "": partial(_found_at, least)}, None))
    recalls = [_recall([pair for pair in asked if pair.transform == name], ways[""]) / RECALL[name] for name in RECALL]
    hits = [pair.right for pair in asked if ways[""](pair)]
    worst = min(*recalls, sum(hits) / max(len(hits), 1) / PRECISION)
    candidates = sum(pair.candidate for pair in pairs if not pair.right) / max(sum(not pair.right for pair in pairs), 1)
    notes = (
        f"{len(shown)} clips, {len(made) - len(shown)} blank ones left out; {sum(p.right for p in pairs)} right and"
        f" {sum(not p.right for p in pairs)} wrong pairs, {candidates:.2%} of the wrong ones candidates. The default is"
        f" motion >= {MOTION:g}. CLIP is the sample world's own."
    )
    return Result(worst, "of the target", 1.0, at_most=False, rows=rows, notes=notes)


def _clips(directory: Path, quick: bool) -> list[Clip]:
    originals = [*real_originals(directory, 6.0 if quick else _LENGTH_S)][: 3 if quick else None]
    for seed in _SEEDS[: 1 if quick else None]:
        (directory / str(seed)).mkdir()
        originals += drawn_originals(directory / str(seed), seed, 2 if quick else _DRAWN)
    made = []
    for at, original in enumerate(originals):
        made += clips(original, str(original))
        for some in copies(original, original.parent, at, lambda _, strength: not quick or strength == "medium"):
            made += some
    return made


def _pairs(made: Sequence[Clip]) -> list[Pair]:
    originals = [at for at, clip in enumerate(made) if not clip.transform]
    vectors = np.stack([clip.vector for clip in made])
    cosines = vectors @ vectors[originals].T
    near = _nearest(made, [made[at] for at in originals])
    cells = _cells(vectors)
    pairs = []
    for at, clip in enumerate(made):
        for column, to in enumerate(originals):
            both_s, share = shared(clip, made[to])
            right = share >= LEAST_COMMON and both_s >= LEAST_COMMON_S
            if not clip.transform or (both_s > 0 and not right):
                continue
            candidate = bool(near[at, column] >= MATCH or cosines[at, column] >= Duplicates().near)
            found = align(made[to].fingerprint, clip.fingerprint) if candidate else None
            pairs.append(
                Pair(
                    clip.transform,
                    clip.strength,
                    right,
                    candidate,
                    float(cosines[at, column]),
                    bool(cells[at] == cells[to]),
                    found,
                )
            )
    return pairs


def _nearest(made: Sequence[Clip], others: Sequence[Clip]) -> np.ndarray:
    """The best cosine of a question of each clip with a descriptor of each other one, float32 [made, others]."""
    held = [descriptors(other.fingerprint) for other in others]
    starts = np.concatenate([[0], np.cumsum([len(one) for one in held])[:-1]])
    every = np.concatenate(held)
    return np.stack([np.maximum.reduceat((questions(clip.fingerprint) @ every.T).max(axis=0), starts) for clip in made])


def _cells(vectors: np.ndarray) -> np.ndarray:
    """The k-means cell of each vector."""
    means = faiss.Kmeans(vectors.shape[1], max(len(vectors) // _PER_CELL, 2), niter=20, spherical=True, seed=0)
    means.train(vectors)
    return np.asarray(means.index.search(vectors, 1)[1][:, 0])


def _recall(pairs: Sequence[Pair], says: Callable[[Pair], bool]) -> float:
    return float(np.mean([says(pair) for pair in pairs if pair.right] or [False]))


def _found_at(motion: float, pair: Pair) -> bool:
    return pair.found is not None and pair.found.same_at(motion)


def _best_threshold(pairs: Sequence[Pair], score: Callable[[Pair], float]) -> float:
    """The lowest score from which PRECISION of the pairs are right."""
    ranked = sorted(pairs, key=score, reverse=True)
    right = np.cumsum([pair.right for pair in ranked])
    good = np.flatnonzero(right / np.arange(1, len(ranked) + 1) >= PRECISION)
    return score(ranked[good[-1]]) if len(good) else np.inf


def _row(
    transform: str, strength: str, pairs: Sequence[Pair], ways: dict[str, Callable[[Pair], bool]], target: float | None
) -> dict[str, Any]:
    right = [pair for pair in pairs if pair.right]
    row: dict[str, Any] = {"transform": transform, "strength": strength, "pairs": len(right), "target": target}
    row["candidates"] = sum(pair.candidate for pair in right) / max(len(right), 1)
    for name, says in ways.items():
        hits, wrong = sum(says(pair) for pair in right), sum(says(pair) for pair in pairs if not pair.right)
        row[f"{name}recall"] = hits / max(len(right), 1)
        row[f"{name}precision"] = hits / max(hits + wrong, 1)
    return row


if __name__ == "__main__":
    main("copies", measure)
