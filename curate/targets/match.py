"""How well a clip shows what is asked for in words and by example: the one place where that is computed.

A question becomes one direction in embedding space: the mean of its texts (a prompt ensemble) and the mean of its
exemplars, averaged where both are given, minus NOT_WEIGHT times the mean of the texts it must not be mistaken for.
A frame's score is its dot product with it, and a clip's is the mean of its best WINDOW frames in a row, so that a
short event in a long clip counts and a single odd frame does not.

With the sample CLIP, mean average precision over its nine capabilities is 1.00 at a weight of 0 to 0.25, 0.996 at 0.5
and 0.86 at 1 (81 clips of 20 videos, seed 5); windows of 1 to 3 frames make no difference there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image, UnidentifiedImageError

from curate.analyze.embed import Embedder, load_embedder, model_id
from curate.errors import DecodeError, InputError
from curate.media.decode import decode
from curate.media.probe import probe
from curate.specs.analysis import Embedding
from curate.vectors import matrix, unit, unpack

NOT_WEIGHT = 0.25
WINDOW = 2
_FILE_FRAMES = 64


@dataclass(frozen=True)
class Best:
    """For each clip: float32 `similarity` [n], and where it is best, in source seconds, float64 [n] each."""

    similarity: np.ndarray
    start_s: np.ndarray
    end_s: np.ndarray


def direction(
    embedding: Embedding,
    embeddings: pl.DataFrame,
    *,
    text: Sequence[str] = (),
    not_text: Sequence[str] = (),
    like: Sequence[str] = (),
) -> np.ndarray:
    """The direction that a question asks for, float32 [dim]; not of unit norm.

    Args:
        embedding: the model that made `embeddings`.
        embeddings: rows of the current clips with clip_id, model_id and vector.
        text: what a frame shows.
        not_text: what it is mistaken for.
        like: clip ids, or paths of images and videos.

    Raises:
        InputError: nothing is asked for, an exemplar is neither a clip nor a readable file, or the clips were embedded
            by another model.
    """
    parts = []
    if text:
        parts.append(_mean(_embedder(embedding, embeddings).texts(list(text))))
    if like:
        parts.append(_mean(np.stack([_exemplar(name, embedding, embeddings) for name in like])))
    if not parts:
        raise InputError("nothing to search for", fix="Give a text, or an example")
    asked = np.mean(parts, axis=0)
    if not_text:
        asked = asked - NOT_WEIGHT * _mean(_embedder(embedding, embeddings).texts(list(not_text)))
    return np.asarray(asked, dtype=np.float32)


def best_windows(embeddings: pl.DataFrame, directions: np.ndarray, *, frames_per_s: float) -> list[Best]:
    """The best window of each clip for each direction.

    Args:
        embeddings: rows with `frame_times_s`, `frame_vectors`, and the clip's `end_s`.
        directions: float32 [d, dim].
        frames_per_s: at which the frames were embedded: a window ends when its last frame does.

    Returns:
        One for each direction, its arrays in the order of the rows.
    """
    kept: list[list[tuple[float, float, float]]] = [[] for _ in directions]
    for times, packed, clip_end_s in embeddings.select("frame_times_s", "frame_vectors", "end_s").iter_rows():
        scores = unpack(packed, len(times)) @ directions.T
        width = min(WINDOW, len(times))
        sums = np.concatenate([np.zeros((1, len(directions))), np.cumsum(scores, axis=0, dtype=np.float64)])
        means = (sums[width:] - sums[:-width]) / width
        for at, first in enumerate(means.argmax(axis=0)):
            end_s = min(times[first + width - 1] + 1 / frames_per_s, clip_end_s)
            kept[at].append((float(means[first, at]), times[first], end_s))
    columns = (np.array(rows, dtype=np.float64).reshape(-1, 3) for rows in kept)
    return [Best(rows[:, 0].astype(np.float32), rows[:, 1], rows[:, 2]) for rows in columns]


def _mean(vectors: np.ndarray) -> np.ndarray:
    return unit(vectors.mean(axis=0))


def _embedder(embedding: Embedding, embeddings: pl.DataFrame) -> Embedder:
    """The configured model, if it is the one that made the clips' vectors."""
    found, wanted = embeddings["model_id"].unique().to_list(), model_id(embedding)
    if found and found != [wanted]:
        raise InputError(
            f"clips are embedded by {', '.join(sorted(found))}, but the model is {wanted}",
            where="configs/analysis.yaml",
            fix="Run `curate collect`, or set the model back",
        )
    return load_embedder(embedding)


def _exemplar(name: str, embedding: Embedding, embeddings: pl.DataFrame) -> np.ndarray:
    row = embeddings.filter(pl.col("clip_id") == name)
    if len(row):
        return matrix(row["vector"])[0]
    path = Path(name)
    if not path.is_file():
        raise InputError(f"{name!r} is neither a clip nor a file", fix="Give a clip id, an image or a video")
    embedder = _embedder(embedding, embeddings)
    try:
        with Image.open(path) as image:
            pictures = np.array(image.convert("RGB"))[np.newaxis]
    except UnidentifiedImageError:
        pictures = _video_pictures(path, embedder, embedding.frames_per_s)
    return _mean(embedder.images(pictures))


def _video_pictures(path: Path, embedder: Embedder, frames_per_s: float) -> np.ndarray:
    """At most _FILE_FRAMES pictures, from the video's start."""
    try:
        info = probe(path)
        branch = embedder.branch(info.width, info.height, every_s=1 / frames_per_s)
        frames = islice(decode(path, {"embed": branch}, gaps=[]), _FILE_FRAMES)
        return np.stack([frame.image for frame in frames])
    except DecodeError as error:
        raise InputError(f"neither an image nor a video: {error.what}", where=path) from None
