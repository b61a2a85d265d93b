"""Segments of a video: time-based, structured metadata in the shape that the product answers in.

A video is decoded once at the embedding's frame rate by a thread of its own, while the frames before are embedded and
read (`curate.model.stream`). Segments come as they are found, and start and end exactly with pictures of the source:
when each is shown is known from its packets (8 bytes for each, 5 MB for three hours at 60 a second).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.ahead import ahead
from curate.errors import InputError
from curate.model import ZERO_SHOT, zero_shot
from curate.model.definitions import Definition, Segment, as_definitions, bounded, encode
from curate.model.predict import trained
from curate.model.segmenter import Segmenter, load_model
from curate.model.stream import Found, Opener, trained_stream, zero_shot_stream
from curate.model.track import Predictor
from curate.worker import heartbeat

if TYPE_CHECKING:
    from curate.analyze.embed import Embedder
    from curate.media.gaps import Gap
    from curate.media.probe import VideoInfo
    from curate.specs.analysis import Embedding, Limits

__all__ = ["Answerer", "Reading", "load_answerer", "predictor_of", "segment"]

_BATCHES_AHEAD = 2
"""Batches of pictures that wait to be embedded: 64 of 224 x 224 are 10 MB."""


@dataclass(frozen=True)
class Reading:
    """A video being answered for.

    Attributes:
        info: what the file is; `start_offset_s` is the source's own time of what is 0 here.
        found: segments as they become final: of each definition in time order and without overlap, in seconds from
            the first shown frame. Drawing from it reads the video.
        gaps: what damage took, known once `found` is exhausted; what is there around it is answered for.
    """

    info: VideoInfo
    found: Iterator[Found]
    gaps: list[Gap]


@dataclass(frozen=True)
class Answerer:
    """A model that is ready: its embedder, and what finds segments in vectors.

    Attributes:
        model: its name, `zero-shot` for the baseline.
    """

    model: str
    embedding: Embedding
    embedder: Embedder
    opener: Opener

    def read(self, video: Path | str, definitions: Sequence[Definition], limits: Limits | None = None) -> Reading:
        """Begins to answer for a video.

        Args:
            limits: larger footage is refused; the defaults of `Limits` where not given.

        Raises:
            InputError: no such file.
            DecodeError: it cannot be decoded; drawing segments may raise it too.
        """
        from curate.media.probe import probe_times
        from curate.specs.analysis import Limits

        limits = limits or Limits()
        if not Path(video).is_file():
            raise InputError("no such video", where=video)
        info, shown_s = probe_times(video, limits)
        stream = self.opener(encode(definitions, self.embedder.texts), np.append(shown_s, info.duration_s))
        gaps: list[Gap] = []

        def found() -> Iterator[Found]:
            rate = self.embedding.frames_per_s
            for times_s, vectors in frame_vectors(video, self.embedder, info, rate, self.embedding.batch, gaps, limits):
                yield from stream.feed(times_s, vectors)
            yield from stream.finish(info.duration_s)

        return Reading(info, found(), gaps)


def load_answerer(model: Path | str | None, embedding: Embedding, device: str = "auto") -> Answerer:
    """Loads a trained model's directory, or the zero-shot baseline for None, with its embedding.

    Raises:
        InputError: no model there, it was trained on another embedding's vectors, or the embedding cannot be had.
    """
    from curate.analyze.embed import load_embedder

    embedder = load_embedder(embedding)
    if model is None:
        return Answerer(ZERO_SHOT, embedding, embedder, zero_shot_stream)
    network = _load(model, embedder.model_id, device)
    return Answerer(Path(model).resolve().name, embedding, embedder, trained_stream(network))


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
        See `as_response`.

    Raises:
        InputError: a definition, the model or the embedding cannot be used.
        DecodeError: the video cannot be decoded.
    """
    asked = [
        bounded(definition, min_segment_duration, max_segment_duration) for definition in as_definitions(definitions)
    ]
    reading = load_answerer(model, embedding, device).read(video, asked)
    return as_response(asked, reading.found)


def as_response(
    definitions: Sequence[Definition], found: Iterator[Found], *, with_scores: bool = False
) -> dict[str, list[dict[str, Any]]]:
    """For each definition id its segments in time order, as `as_record` has them."""
    answer: dict[str, list[dict[str, Any]]] = {definition.id: [] for definition in definitions}
    for name, one in found:
        answer[name].append(as_record(one, with_score=with_scores))
    return answer


def as_record(found: Segment, *, with_score: bool = False) -> dict[str, Any]:
    """`{"start_time": s, "end_time": s, "metadata": {field: value}}`, in seconds from the first shown frame, to the
    microsecond. Fields that the segmenter cannot fill (free text, numbers, arrays, timestamps) are left out."""
    record = {
        "start_time": round(found.start_s, 6),
        "end_time": round(found.end_s, 6),
        "metadata": dict(found.fields),
    }
    return {**record, "score": round(found.score, 6)} if with_score else record


def header(answerer: Answerer, reading: Reading) -> dict[str, Any]:
    """What stands before a video's segments; `start_offset_s` is the source's own time of the first shown frame."""
    return {
        "model": answerer.model,
        "start_offset_s": round(reading.info.start_offset_s, 6),
        "duration_s": round(reading.info.duration_s, 6),
    }


def predictor_of(model: Path | str | None, embedding_model: str, device: str = "auto") -> Predictor:
    """The trained model in a directory as a predictor; the zero-shot one for None.

    Raises:
        InputError: no model there, or it was trained on another embedding's vectors.
    """
    return zero_shot.predict if model is None else trained(_load(model, embedding_model, device))


def _load(model: Path | str, embedding_model: str, device: str) -> Segmenter:
    network, config = load_model(model, device)
    if config.get("embedding_model") != embedding_model:
        raise InputError(
            f"the model was trained on vectors of {config.get('embedding_model')}, not of {embedding_model}",
            where=model,
            fix="Use the embedding it was trained with, or train again",
        )
    return network


def frame_vectors(
    video: Path | str,
    embedder: Embedder,
    info: VideoInfo,
    frames_per_s: float,
    batch: int,
    gaps: list[Gap],
    limits: Limits,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Times [n] and unit vectors [n, dim] of a video's frames at `frames_per_s`, `batch` at a time.

    The decoder is two batches ahead at most. `gaps` takes what is lost to damage.

    Raises:
        DecodeError: nothing in it decodes.
    """
    from curate.media.decode import decode

    branch = embedder.branch(info.width, info.height, every_s=1 / frames_per_s)

    def pictures() -> Generator[tuple[list[float], list[np.ndarray]], None, None]:
        times_s: list[float] = []
        images: list[np.ndarray] = []
        for frame in decode(video, {"embed": branch}, gaps=gaps, limits=limits):
            heartbeat()
            times_s.append(frame.time_s)
            images.append(frame.image)
            if len(images) == batch:
                yield times_s, images
                times_s, images = [], []
        if images:
            yield times_s, images

    with ahead(pictures(), _BATCHES_AHEAD) as batches:
        for times_s, images in batches:
            heartbeat()
            yield np.array(times_s), embedder.images(np.stack(images))
