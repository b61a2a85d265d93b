"""Which pairs of clips are worth comparing: each new clip against the standing indexes, which hold the new ones too.

Candidates are pairs of equal content, pairs with a picture in common by its descriptor, and pairs whose clip vectors
are near: each of the last two finds copies that the other misses (`benchmarks/copies.py`).

A pair is found from either side alone (see `curate.dedupe.descriptor`), so clips that come later make the same pairs as
clips that come at once, as long as no clip has more than `limit` neighbours; how many do is counted.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from curate.catalog import Catalog
from curate.dedupe.descriptor import DESCRIPTOR_DIM, MATCH, VERSION, descriptors, questions
from curate.dedupe.fingerprint import Fingerprint
from curate.index import Run
from curate.progress import Progress
from curate.standing.indexes import Kind, Standing

_CLIPS_AT_ONCE = 512
_PAIR = {"clip_id": pl.String, "other_id": pl.String}


def _held(rows: pl.DataFrame) -> tuple[np.ndarray, np.ndarray, list[bytes]]:
    packed = rows["pictures"].to_list()
    made = [descriptors(Fingerprint.unpack(one)) for one in packed]
    owner = np.repeat(np.arange(len(made)), [len(one) for one in made])
    return np.concatenate([np.zeros((0, DESCRIPTOR_DIM), np.float32), *made]), owner, packed


FRAMES = Kind("frames", "fingerprints", ("pictures",), _held, model=VERSION, dim=DESCRIPTOR_DIM)
"""Copy descriptors of each clip; its blob is its packed fingerprint."""


@dataclass(frozen=True)
class Candidates:
    """Pairs to compare, clip_id < other_id, each once.

    Attributes:
        pairs: clip_id, other_id, and `semantic`: whether their clip vectors are near.
        capped: new clips with more neighbours than the limit.
    """

    pairs: pl.DataFrame
    capped: int


def candidates(
    new: pl.Series,
    frames: Standing,
    means: Standing,
    contents: pl.DataFrame,
    *,
    near: float,
    semantic: float,
    limit: int,
    run: Run,
    progress: Progress,
) -> Candidates:
    """What the new clips are to be compared with.

    Args:
        new: clip ids.
        frames: the index of FRAMES.
        means: the index of clip vectors.
        contents: clip_id and `content` of every clip.
        near: least cosine of clip vectors.
        semantic: cosine of clip vectors from which a pair may be two takes.
        limit: most neighbours of each vector that is asked about.
        run: runs the searches.
    """
    found, capped = [_equal(new, contents)], set[str]()
    for standing, least in ((frames, MATCH), (means, min(near, semantic))):
        numbers = standing.numbers(new)
        for first in range(0, len(numbers), _CLIPS_AT_ONCE):
            asked = numbers[first : first + _CLIPS_AT_ONCE]
            queries, owner = _questions(standing, asked) if standing is frames else standing.index.vectors(asked)
            matches = standing.index.above(queries, least, limit=limit, run=run)
            clip = owner[matches.query]
            per_row = np.bincount(matches.query, minlength=len(queries))
            capped |= set(standing.clip_ids(asked[np.unique(owner[per_row >= limit])]))
            pairs = pl.DataFrame(
                {
                    "clip_id": standing.clip_ids(asked[clip]),
                    "other_id": standing.clip_ids(matches.number),
                    "semantic": (matches.score >= semantic) & (standing is means),
                },
                schema={**_PAIR, "semantic": pl.Boolean},
            )
            found.append(_ordered(pairs).unique())
            progress("candidates", min(first + _CLIPS_AT_ONCE, len(numbers)), len(numbers))
    pairs = pl.concat(found).group_by("clip_id", "other_id").agg(pl.col("semantic").any())
    return Candidates(pairs.sort("clip_id", "other_id"), len(capped))


def contents(catalog: Catalog, clips: pl.DataFrame) -> pl.DataFrame:
    """clip_id and `content` of the clips (clip_id, work_key) that have a fingerprint."""
    rows = catalog.scan("fingerprints").select("clip_id", "work_key", "content")
    return rows.join(clips.lazy(), on=["clip_id", "work_key"], how="semi").select("clip_id", "content").collect()


def _questions(frames: Standing, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Questions of these items, and the position in `numbers` of each."""
    asked = [questions(one) for one in _fingerprints(frames, numbers)]
    owner = np.repeat(np.arange(len(asked)), [len(one) for one in asked])
    return np.concatenate([np.zeros((0, DESCRIPTOR_DIM), np.float32), *asked]), owner


def _fingerprints(frames: Standing, numbers: np.ndarray) -> Iterator[Fingerprint]:
    return (Fingerprint.unpack(blob) for blob in frames.index.blobs(numbers))


def _equal(new: pl.Series, contents: pl.DataFrame) -> pl.DataFrame:
    """Pairs of equal content with a new clip in them."""
    ours = contents.filter(pl.col("clip_id").is_in(new.implode()))
    equal = ours.join(contents.rename({"clip_id": "other_id"}), on="content")
    return _ordered(equal.select(*_PAIR, semantic=pl.lit(value=False))).unique()


def _ordered(pairs: pl.DataFrame) -> pl.DataFrame:
    """Without pairs of one clip, the smaller id first."""
    smaller, larger = pl.min_horizontal(*_PAIR), pl.max_horizontal(*_PAIR)
    return pairs.filter(pl.col("clip_id") != pl.col("other_id")).select("semantic", clip_id=smaller, other_id=larger)
