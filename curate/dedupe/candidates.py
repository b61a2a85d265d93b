"""Which pairs of clips are worth comparing: each new clip against the standing indexes, which hold the new ones too.

Candidates are pairs of equal content, pairs with a picture in common by its descriptor, and pairs whose clip vectors
are near: each of the last two finds copies that the other misses (`benchmarks/copies.py`).

A pair is found from either side alone (see `curate.dedupe.descriptor`), so clips that come later make the same pairs as
clips that come at once, as long as no clip has more than `limit` neighbours; how many do is counted. The limit bounds
what a run compares: in footage of few scenes, a share of all pairs have a picture nearly in common.
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
        capped: new clips that have more neighbours than the limit.
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
        limit: most neighbours of each new clip, the nearest, by pictures and by clip vectors each.
        run: runs the searches.
    """
    found, capped = [_equal(new, contents)], set[str]()
    for standing, least in ((frames, MATCH), (means, min(near, semantic))):
        numbers = standing.numbers(new)
        for first in range(0, len(numbers), _CLIPS_AT_ONCE):
            asked = numbers[first : first + _CLIPS_AT_ONCE]
            queries, owner = _questions(standing, asked) if standing is frames else standing.index.vectors(asked)
            matches = standing.index.above(queries, least, limit=limit + 1, run=run)  # each finds itself, too
            ranked = _ranked(asked, owner[matches.query], matches.number, matches.score)
            capped |= set(standing.clip_ids(ranked.filter(pl.col("place") >= limit)["asked"].unique().to_numpy()))
            nearest = ranked.filter(pl.col("place") < limit)
            pairs = nearest.select(
                clip_id=standing.clip_ids(nearest["asked"].to_numpy()),
                other_id=standing.clip_ids(nearest["number"].to_numpy()),
                semantic=(pl.col("score") >= semantic) & pl.lit(standing is means),
            )
            found.append(_ordered(pairs))
            progress("candidates", min(first + _CLIPS_AT_ONCE, len(numbers)), len(numbers))
    pairs = pl.concat(found).group_by("clip_id", "other_id").agg(pl.col("semantic").any())
    return Candidates(pairs.sort("clip_id", "other_id"), len(capped))


def _ranked(asked: np.ndarray, clip: np.ndarray, number: np.ndarray, score: np.ndarray) -> pl.DataFrame:
    """The others that each item asked about is near to: `asked`, `number`, the best `score`, and its `place` from 0."""
    found = pl.DataFrame({"asked": asked[clip], "number": number, "score": score})
    best = found.filter(pl.col("asked") != pl.col("number")).group_by("asked", "number").agg(pl.col("score").max())
    place = pl.int_range(pl.len()).over("asked")
    return best.sort("asked", -pl.col("score"), "number").with_columns(place=place)


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
