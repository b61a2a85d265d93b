"""Segments of a video: time-based, structured metadata in the shape that the product answers in.

A video is decoded once at the embedding's frame rate, in batches, and one vector is kept of each frame: 30 MB for two
hours at 512 dimensions, whatever the resolution.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.errors import InputError
from curate.model import zero_shot
from curate.model.definitions import Definition, Segment, as_definitions, bounded, encode, read_definitions
from curate.model.predict import Predictor, Track, trained
from curate.model.segmenter import load_model

if TYPE_CHECKING:
    from curate.analyze.embed import Embedder
    from curate.specs.analysis import Embedding

__all__ = ["newest_model", "predictor_of", "read_definitions", "segment", "track_of"]


def segment(
    video: Path | str,
    definitions: Sequence[Definition | Mapping[str, Any]],
    *,
    model: Path | str | None = None,
    embedding: Embedding,
    min_segment_duration: float | None = None,
    max_segment_duration: float | None = None,
    device: str = "auto",
) -> dict[str, list[dict[str, Any]]]:
    """Finds segments of each definition in a video.

    Args:
        definitions: see `definitions.as_definition`.
        model: a trained model's directory; None finds segments by similarity alone (zero-shot).
        embedding: how frames become vectors; a trained model needs the one it was trained with.
        min_segment_duration, max_segment_duration: seconds, for every definition, over what a definition says itself.
        device: where the segmenter runs: auto, cpu or cuda.

    Returns:
        For each definition id its segments in time order, without overlap:
        `{"start_time": s, "end_time": s, "metadata": {field: value}}`, in seconds from the first shown frame, to the
        millisecond. Fields that the segmenter cannot fill (free text, numbers, arrays, timestamps) are left out.

    Raises:
        InputError: a definition, the model or the embedding cannot be used.
        DecodeError: the video cannot be decoded.
    """
    from curate.analyze.embed import load_embedder

    asked = [
        bounded(definition, min_segment_duration, max_segment_duration) for definition in as_definitions(definitions)
    ]
    if not Path(video).is_file():
        raise InputError("no such video", where=video)
    embedder = load_embedder(embedding)
    predict = predictor_of(model, embedder.model_id, device)
    track = track_of(video, embedder, frames_per_s=embedding.frames_per_s, batch=embedding.batch)
    return {
        encoded.definition.id: [_answer(found) for found in predict([track], encoded)[0]]
        for encoded in encode(asked, embedder.texts)
    }


def predictor_of(model: Path | str | None, embedding_model: str, device: str = "auto") -> Predictor:
    """The trained model in a directory as a predictor; the zero-shot one for None.

    Raises:
        InputError: no model there, or it was trained on another embedding's vectors.
    """
    if model is None:
        return zero_shot.predict
    network, config = load_model(model, device)
    if config.get("embedding_model") != embedding_model:
        raise InputError(
            f"the model was trained on vectors of {config.get('embedding_model')}, not of {embedding_model}",
            where=model,
            fix="Use the embedding it was trained with, or train again",
        )
    return trained(network)


def track_of(video: Path | str, embedder: Embedder, *, frames_per_s: float, batch: int = 64) -> Track:
    """Decodes a video at `frames_per_s` and embeds its frames, `batch` at a time.

    Raises:
        DecodeError: the video cannot be decoded.
    """
    from curate.media.decode import decode
    from curate.media.probe import probe

    info = probe(Path(video))
    branch = embedder.branch(info.width, info.height, every_s=1 / frames_per_s)
    times_s: list[float] = []
    vectors: list[np.ndarray] = []
    waiting: list[np.ndarray] = []
    for frame in decode(Path(video), {"embed": branch}):
        times_s.append(frame.time_s)
        waiting.append(frame.image)
        if len(waiting) == batch:
            vectors.append(embedder.images(np.stack(waiting)))
            waiting.clear()
    if waiting:
        vectors.append(embedder.images(np.stack(waiting)))
    stacked = np.concatenate(vectors) if vectors else np.zeros((0, embedder.dim), dtype=np.float32)
    return Track(np.array(times_s), stacked, info.duration_s)


def newest_model(models: Path) -> Path:
    """The model that was trained last among a workspace's models.

    Raises:
        InputError: there is none.
    """
    finished = sorted(models.glob("*/config.json"), key=lambda path: (path.stat().st_mtime_ns, path))
    if not finished:
        raise InputError("no trained model yet", where=models, fix="`curate train MIX` makes one; or use --zero-shot")
    return finished[-1].parent


def _answer(found: Segment) -> dict[str, Any]:
    return {
        "start_time": round(found.start_s, 3),
        "end_time": round(found.end_s, 3),
        "metadata": dict(found.fields),
    }
