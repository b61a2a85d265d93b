"""What is asked for, in words and by example, as one direction in embedding space.

The direction is the mean of the texts (a prompt ensemble) and the mean of the exemplars, averaged where both are given,
minus NOT_WEIGHT times the mean of the texts it must not be mistaken for. A frame's score is its dot product with it;
`curate.search.windows` makes a clip's score of those.

With the sample CLIP, mean average precision over its nine capabilities is 1.00 at a weight of 0 to 0.25, 0.996 at 0.5
and 0.86 at 1 (81 clips of 20 videos, seed 5).
"""

from collections.abc import Sequence
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
from curate.vectors import matrix, unit

NOT_WEIGHT = 0.25
_FILE_FRAMES = 64


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
