"""What vectors let one expect of a clip that nobody has labelled: what it is mistaken for, and which slices it is in.

Both are hints for choosing, never counted as supply. They are made of the spec's texts, and of labels as these arrive.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from curate.analyze.embed import Embedder
from curate.model.definitions import as_definition, encode
from curate.slices import Slice, is_known
from curate.specs import Capability
from curate.targets.scoring.calibrate import logistic
from curate.vectors import unit

NEIGHBOURS = 5
"""Labelled positives that vote on a clip's slices."""

TRUSTED = 20
"""Labelled positives from which their votes count as much as the texts of a field's values."""

_SHARPNESS = 20.0
"""How a difference in similarity becomes one in log odds between a field's values, as the segmenter's head begins."""


@dataclass(frozen=True)
class Contrast:
    """How much more each clip looks like what it is mistaken for than like the capability.

    Attributes:
        strength: float [n] in 0 to 1; one half where nothing is known.
        nearest: for each clip, in words, what it is mistaken for; "" where nothing is known.
    """

    strength: np.ndarray
    nearest: list[str]


def contrast(
    spec: Capability,
    others: Mapping[str, Capability],
    vectors: np.ndarray,
    positives: np.ndarray,
    confusing: Mapping[str, np.ndarray],
    embedder: Embedder | None,
) -> Contrast:
    """What each clip is mistaken for: by the spec's texts, and by labelled clips of other capabilities.

    Args:
        others: the other capabilities; their texts contrast as `not_text` and `non_examples` do.
        vectors: float32 [n, dim], what the clips look like.
        positives: float32 [p, dim], clips labelled present.
        confusing: by capability, float32 [k, dim]: clips labelled present for another capability alone.
        embedder: of the texts; None where there are none to embed.
    """
    parts: list[np.ndarray] = []
    nearest = [""] * len(vectors)
    names = [name for name, some in confusing.items() if len(some)]
    if names:
        own = (vectors @ positives.T).max(axis=1) if len(positives) else np.zeros(len(vectors), np.float32)
        of_each = np.stack([(vectors @ confusing[name].T).max(axis=1) for name in names], axis=1)
        parts.append(of_each.max(axis=1) - own)
        nearest = [f"clips of {names[at]}" for at in of_each.argmax(axis=1)]
    if embedder is not None and spec.match.text:
        said = [*spec.match.not_text, *spec.non_examples]
        said += [text for name, other in others.items() if name != spec.id for text in other.match.text]
        said = [text for text in dict.fromkeys(said) if text not in spec.match.text]
        if said:
            own = (vectors @ embedder.texts(list(spec.match.text)).T).max(axis=1)
            of_each = vectors @ embedder.texts(said).T
            parts.append(of_each.max(axis=1) - own)
            nearest = [repr(said[at]) for at in of_each.argmax(axis=1)]
    if not parts or not len(vectors):
        return Contrast(np.full(len(vectors), 0.5), nearest)
    scaled = [(part - part.mean()) / max(float(part.std()), 1e-6) for part in parts]
    return Contrast(logistic(np.mean(scaled, axis=0)), nearest)


def expected_slices(
    spec: Capability,
    wanted: Sequence[Slice],
    clip_ids: Sequence[str],
    vectors: np.ndarray,
    known: pl.DataFrame,
    labelled: tuple[Sequence[str], np.ndarray, pl.DataFrame],
    embedder: Embedder | None,
) -> np.ndarray:
    """How sure each clip is to be in each slice, should it show the capability: float [n, len(wanted)].

    Source, licence and conditions are known. The value of a segment field is expected from the likeness of the clip to
    the texts of the values, and from the values of the labelled positives nearest to it, which count as much as the
    texts from TRUSTED positives on. A field without an enum has the latter only.

    Args:
        known: clip_id, slice, value: `curate.slices.clip_slices` of these clips.
        labelled: clip ids and vectors [p, dim] of labelled positives (a clip for each of its segments), and their
            slices by `curate.slices.label_slices`.
    """
    found = np.zeros((len(clip_ids), len(wanted)))
    positive_ids, positive_vectors, positive_slices = labelled
    near, share = _neighbours(vectors, positive_vectors)
    by_text: dict[tuple[str, str], np.ndarray] = {}
    if any(not is_known(spec, slice_.name) for slice_ in wanted):
        by_text = _by_text(spec, vectors, embedder)
    for at, slice_ in enumerate(wanted):
        if is_known(spec, slice_.name):
            inside = known.filter(slice=slice_.name, value=slice_.value)["clip_id"].implode()
            found[:, at] = pl.Series(clip_ids, dtype=pl.String).is_in(inside).to_numpy()
            continue
        text = by_text.get((slice_.name, slice_.value))
        holding = set(positive_slices.filter(slice=slice_.name, value=slice_.value)["clip_id"])
        votes = np.array([clip_id in holding for clip_id in positive_ids], dtype=float)
        voted = votes[near].mean(axis=1) if near.size else np.zeros(len(clip_ids))
        found[:, at] = voted if text is None else (1 - share) * text + share * voted
    return found


def _neighbours(vectors: np.ndarray, positives: np.ndarray) -> tuple[np.ndarray, float]:
    """The labelled positives nearest to each clip, int [n, k], and how far their votes are to be trusted."""
    if not len(positives) or not len(vectors):
        return np.zeros((len(vectors), 0), np.int64), 0.0
    unlike = -(vectors @ positives.T)
    near = np.argpartition(unlike, NEIGHBOURS, axis=1) if len(positives) > NEIGHBOURS else np.argsort(unlike, axis=1)
    return near[:, :NEIGHBOURS], len(positives) / (len(positives) + TRUSTED)


def _by_text(spec: Capability, vectors: np.ndarray, embedder: Embedder | None) -> dict[tuple[str, str], np.ndarray]:
    """For each field and value that texts can tell, how sure each clip is of it: those of a field add up to one."""
    if embedder is None or not len(vectors):
        return {}
    found = {}
    for field in encode([as_definition(spec.model_dump())], embedder.texts)[0].fields:
        logits = _SHARPNESS * (vectors @ field.value_vectors.T)
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        sure = odds / odds.sum(axis=1, keepdims=True)
        for at, value in enumerate(field.values):
            found[field.name, value if isinstance(value, str) else json.dumps(value)] = sure[:, at]
    return found


def centred(vectors: np.ndarray, about: np.ndarray) -> np.ndarray:
    """Vectors less what all of them share, unit norm: cosines of pictures are all near one before that."""
    return unit(vectors - about).astype(np.float32)
