"""What is asked for, in words and by example, as one direction in embedding space.

The direction is the mean of the texts (a prompt ensemble) and the mean of the exemplars, averaged where both are given,
minus NOT_WEIGHT times the mean of the texts it must not be mistaken for. A frame's score is its dot product with it;
`curate.standing.windows` makes a clip's score of those.

An exemplar is a clip id, or the path of an image or a video; `NAME@12.5-15` means that span of a clip or a video, in
seconds of the video.

With the sample CLIP, mean average precision over its nine capabilities is 1.00 at a weight of 0 to 0.25, 0.996 at 0.5
and 0.86 at 1 (81 clips of 20 videos, seed 5).
"""

import math
import re
from collections.abc import Collection, Sequence
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
from curate.standing.frames import Frames
from curate.vectors import unit

NOT_WEIGHT = 0.25
_FILE_FRAMES = 64
_SPAN = re.compile(r"(?P<name>.+)@(?P<start>\d+(?:\.\d+)?)-(?P<end>\d+(?:\.\d+)?)")


@dataclass(frozen=True)
class Exemplar:
    """Something that shows what is asked for: `name` is a clip id or a path; the span is in seconds of the video."""

    name: str
    start_s: float = 0.0
    end_s: float = math.inf

    @classmethod
    def parse(cls, said: str, *, root: Path = Path()) -> "Exemplar":
        """`NAME` or `NAME@START-END`; a file whose own name ends so is taken as the file.

        Args:
            root: where a relative path begins.

        Raises:
            InputError: the span ends before it starts.
        """
        match = None if (root / said).is_file() else _SPAN.fullmatch(said)
        if not match:
            return cls(said)
        found = cls(match["name"], float(match["start"]), float(match["end"]))
        if found.end_s <= found.start_s:
            raise InputError(
                f"the span of {said!r} is empty", fix="Give its start and its end in seconds: NAME@12.5-15"
            )
        return found


def direction(
    embedding: Embedding,
    embeddings: pl.LazyFrame,
    *,
    text: Sequence[str] = (),
    not_text: Sequence[str] = (),
    like: Sequence[str] = (),
    root: Path = Path(),
) -> np.ndarray:
    """The direction that a question asks for, float32 [dim]; not of unit norm.

    Args:
        embedding: the model that made `embeddings`.
        embeddings: rows of the current clips with clip_id, model_id, frame_times_s and frame_vectors; read as needed.
        text: what a frame shows.
        not_text: what it is mistaken for.
        like: exemplars: clip ids, or paths of images and videos, with a span or without.
        root: where a relative path begins.

    Raises:
        InputError: nothing is asked for, an exemplar is neither a clip nor a readable file, or the clips were embedded
            by another model.
    """
    parts = []
    if text:
        parts.append(_mean(_embedder(embedding, embeddings).texts(list(text))))
    if like:
        examples = [Exemplar.parse(said, root=root) for said in like]
        parts.append(_mean(np.stack([_exemplar(example, embedding, embeddings, root) for example in examples])))
    if not parts:
        raise InputError("nothing to search for", fix="Give a text, or an example")
    asked = np.mean(parts, axis=0)
    if not_text:
        asked = asked - NOT_WEIGHT * _mean(_embedder(embedding, embeddings).texts(list(not_text)))
    return np.asarray(asked, dtype=np.float32)


def require_model(embedding: Embedding, found: Collection[str]) -> None:
    """Checks that the configured model is the one that embedded the clips.

    Raises:
        InputError: it is not.
    """
    wanted = model_id(embedding)
    if found and set(found) != {wanted}:
        raise InputError(
            f"clips are embedded by {', '.join(sorted(found))}, but the model is {wanted}",
            where="configs/analysis.yaml",
            fix="Run `curate collect`, or set the model back",
        )


def _mean(vectors: np.ndarray) -> np.ndarray:
    return unit(vectors.mean(axis=0))


def _embedder(embedding: Embedding, embeddings: pl.LazyFrame) -> Embedder:
    """The configured model, if it is the one that made the clips' vectors."""
    require_model(embedding, embeddings.select(pl.col("model_id").unique()).collect()["model_id"].to_list())
    return load_embedder(embedding)


def _exemplar(example: Exemplar, embedding: Embedding, embeddings: pl.LazyFrame, root: Path) -> np.ndarray:
    rows = embeddings.filter(pl.col("clip_id") == example.name).select("frame_times_s", "frame_vectors").collect()
    if len(rows):
        frames = Frames.of_rows(rows)
        inside = (frames.times_s >= example.start_s) & (frames.times_s < example.end_s)
        if not inside.any():
            raise _no_frame(example, fix=f"It has frames from {frames.times_s[0]:g} to {frames.times_s[-1]:g} s")
        return _mean(frames.vectors[inside].astype(np.float32))
    path = root / example.name
    if not path.is_file():
        raise InputError(f"{example.name!r} is neither a clip nor a file", fix="Give a clip id, an image or a video")
    embedder = _embedder(embedding, embeddings)
    try:
        with Image.open(path) as image:
            pictures = np.array(image.convert("RGB"))[np.newaxis]
        if example != Exemplar(example.name):
            raise InputError("an image has no span of time", where=path, fix=f"Give {example.name} alone")
    except UnidentifiedImageError:
        pictures = _video_pictures(path, example, embedder, embedding.frames_per_s)
    except (OSError, Image.DecompressionBombError) as error:
        raise InputError(f"cannot be read: {error}", where=path) from None
    return _mean(embedder.images(pictures))


def _video_pictures(path: Path, example: Exemplar, embedder: Embedder, frames_per_s: float) -> np.ndarray:
    """At most _FILE_FRAMES pictures, spread over the span."""
    try:
        info = probe(path)
        span_s = min(example.end_s, info.duration_s) - example.start_s
        every_s = max(1 / frames_per_s, span_s / _FILE_FRAMES) if span_s > 1 / frames_per_s else None
        branch = embedder.branch(info.width, info.height, every_s=every_s)
        decoded = decode(path, {"embed": branch}, example.start_s, example.end_s, gaps=[])
        pictures = [frame.image for frame in islice(decoded, _FILE_FRAMES)]
    except DecodeError as error:
        raise InputError(f"neither an image nor a video: {error.what}", where=path) from None
    if not pictures:
        raise _no_frame(example, fix=f"The video has {info.duration_s:.2f} s")
    return np.stack(pictures)


def _no_frame(example: Exemplar, *, fix: str) -> InputError:
    return InputError(f"{example.name!r} has no frame from {example.start_s:g} to {example.end_s:g} s", fix=fix)
