"""What a trained segmenter says of clips: how sure it is that a clip shows a capability, and where.

It runs on the frame vectors that the catalog holds, so nothing is decoded (2,144 clips of 11 frames take 1.2 s on one
core), and only for capabilities that it was trained for. A clip's score is the mean chance over its best WINDOW frames
in a row, as its similarity is; where the segmenter finds a segment (from its own threshold on), that segment is the
clip's best span.

The model has seen the labels of its training split, so what it says of those clips proves nothing:
`Trained.seen_videos`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from curate.dedupe.groups import leakage_groups
from curate.errors import CurateError, InputError
from curate.identity import work_key
from curate.model import ZERO_SHOT
from curate.specs import Capability
from curate.standing.frames import Frames
from curate.standing.windows import WINDOW, window_sums
from curate.workspace import Workspace

if TYPE_CHECKING:
    from curate.model.definitions import Definition, Encoded, Segment
    from curate.model.segmenter import Segmenter
    from curate.model.track import Predictor, Track

_CLIPS_AT_ONCE = 2048


@dataclass(frozen=True)
class Trained:
    """A segmenter that was trained in a workspace, on the workspace's own embedding.

    Attributes:
        directory: of the model.
        config: its config.json.
    """

    workspace: Workspace
    directory: Path
    config: dict[str, Any]

    def knows(self, spec: Capability) -> bool:
        """Whether it was trained for the capability, in whatever version of its spec."""
        return spec.id in self.config["capabilities"]

    def key(self, spec: Capability) -> str:
        """16 hex digits over the model and what it is asked; "" where it was not trained for the capability."""
        if not self.knows(spec):
            return ""
        asked = {name: value for name, value in asdict(_definition(spec)).items() if name != "fields"}
        return work_key("segmenter", WINDOW, self.config["key"], asked)

    @cached_property
    def seen_videos(self) -> frozenset[str] | None:
        """The videos of its training split; None where the mix that says so cannot be read."""
        from curate.mixes.load import read_lock

        try:
            lock = read_lock(self.config["mix"], self.config["revision"], workspace=self.workspace.root)
        except CurateError:
            return None
        return frozenset(clip["video_id"] for clip in lock["clips"] if clip["split"] == "train")

    @cached_property
    def seen_groups(self) -> frozenset[str] | None:
        """`seen_videos` with all that a duplicate links to them, as leakage groups."""
        if self.seen_videos is None:
            return None
        groups = leakage_groups(self.workspace.catalog).filter(pl.col("video_id").is_in(sorted(self.seen_videos)))
        return frozenset(groups["group_id"])

    def scores(self, spec: Capability, clips: pl.DataFrame) -> pl.DataFrame:
        """What it says of clips.

        Args:
            clips: rows with start_s, end_s, frame_times_s and frame_vectors.

        Returns:
            One row for each, in their order: segmenter (0 to 1), segment_start_s, segment_end_s (source seconds; null
            where it finds no segment).
        """
        network, encoded = self._ready(spec)
        found = [_scores(network, encoded, rows) for rows in clips.iter_slices(_CLIPS_AT_ONCE)]
        schema = {"segmenter": pl.Float32, "segment_start_s": pl.Float64, "segment_end_s": pl.Float64}
        return pl.concat([pl.DataFrame(schema=schema), *found])

    def segments(self, spec: Capability, clips: pl.DataFrame) -> list[list[Segment]]:
        """The segments it finds in clips: source seconds, in time order, with fields and score.

        Args:
            clips: as `scores` takes them, such as rows of `views.framed_clips`; the segments are in their order.
        """
        from curate.model.predict import trained

        network, encoded = self._ready(spec)
        predict = trained(network)
        return [found for rows in clips.iter_slices(_CLIPS_AT_ONCE) for found in _in_source(rows, predict, encoded)]

    def chances(self, spec: Capability, clips: pl.DataFrame) -> list[tuple[np.ndarray, np.ndarray]]:
        """For each clip the times of its frames, source seconds [T], and the chance [T] that they show the capability.

        Args:
            clips: as `scores` takes them.
        """
        from curate.model.predict import dense_predictions

        network, encoded = self._ready(spec)
        found = []
        for rows in clips.iter_slices(_CLIPS_AT_ONCE):
            tracks = _tracks(rows)
            dense = dense_predictions(network, tracks, encoded)
            for start_s, track, (chances, _) in zip(rows["start_s"], tracks, dense, strict=True):
                found.append((track.times_s + start_s, chances))
        return found

    def _ready(self, spec: Capability) -> tuple[Segmenter, Encoded]:
        from curate.analyze.embed import load_embedder
        from curate.model.definitions import encode
        from curate.model.segmenter import load_model

        network, _ = load_model(self.directory)
        embedder = load_embedder(self.workspace.analysis().embedding)
        [encoded] = encode([_definition(spec)], embedder.texts)
        return network, encoded


def newest_trained(workspace: Workspace) -> tuple[Trained | None, str]:
    """The segmenter that was trained last, and a note; None where there is none that can be used, and the note says
    why where there is one."""
    if not any(workspace.models.glob("*/config.json")):
        return None, ""
    from curate.model.directory import newest_model
    from curate.model.segmenter import read_config

    directory = newest_model(workspace.models)
    config = read_config(directory)
    if problem := _unusable(workspace, config):
        return None, f"model {directory.name} is not used: {problem}"
    return Trained(workspace, directory, config), ""


def trained_model(workspace: Workspace, name: str) -> Trained:
    """The segmenter of that name among the workspace's models.

    Raises:
        InputError: there is none, or it was trained on the vectors of another embedding than the workspace's.
    """
    from curate.model.segmenter import read_config

    directory = workspace.models / name
    if not (directory / "config.json").is_file():
        known = sorted(path.parent.name for path in workspace.models.glob("*/config.json"))
        raise InputError(f"no model {name!r}", where=workspace.models, fix=f"Known: {', '.join(known) or 'none'}")
    config = read_config(directory)
    if problem := _unusable(workspace, config):
        raise InputError(problem, where=directory, fix="Train it again: `curate train MIX`")
    return Trained(workspace, directory, config)


def segments_of(workspace: Workspace, model: str, spec: Capability, clips: pl.DataFrame) -> list[list[Segment]]:
    """The segments that a model finds in clips: as `Trained.segments`, of the model by its name, or of the zero-shot
    baseline by its (`curate.model.ZERO_SHOT`), whose threshold is set from these clips.

    Raises:
        InputError: no such model, or it cannot judge these clips, or was not trained for the capability.
    """
    if model != ZERO_SHOT:
        found = trained_model(workspace, model)
        if not found.knows(spec):
            raise InputError(
                f"the model was not trained for {spec.id!r}",
                where=found.directory,
                fix=f"Known to it: {', '.join(found.config['capabilities'])}",
            )
        return found.segments(spec, clips)
    from curate.analyze.embed import load_embedder
    from curate.model import zero_shot
    from curate.model.definitions import encode

    [encoded] = encode([_definition(spec)], load_embedder(workspace.analysis().embedding).texts)
    return _in_source(clips, zero_shot.predict, encoded)


def _in_source(clips: pl.DataFrame, predict: Predictor, encoded: Encoded) -> list[list[Segment]]:
    """Predicted segments in source seconds."""
    return [
        [replace(s, start_s=start_s + s.start_s, end_s=start_s + s.end_s) for s in segments]
        for start_s, segments in zip(clips["start_s"], predict(_tracks(clips), encoded), strict=True)
    ]


def _unusable(workspace: Workspace, config: dict[str, Any]) -> str:
    """Why a model cannot judge the workspace's clips; "" where it can."""
    from curate.analyze.embed import model_id

    wanted, found = model_id(workspace.analysis().embedding), config.get("embedding_model")
    return "" if found == wanted else f"it was trained on vectors of {found}, clips have {wanted}"


def _definition(spec: Capability) -> Definition:
    from curate.model.definitions import as_definition

    return as_definition(spec.model_dump(mode="json"), where=spec.id)


def _tracks(clips: pl.DataFrame) -> list[Track]:
    """The clips' frames, in seconds of each clip."""
    from curate.model.track import Track

    frames = Frames.of_rows(clips)
    vectors = frames.vectors.astype(np.float32)
    spans = zip(frames.first, frames.counts, clips["start_s"], clips["end_s"], strict=True)
    return [
        Track(frames.times_s[first : first + count] - start_s, vectors[first : first + count], end_s - start_s)
        for first, count, start_s, end_s in spans
    ]


def _scores(network: Segmenter, encoded: Encoded, clips: pl.DataFrame) -> pl.DataFrame:
    from curate.model.predict import DEFAULT_THRESHOLD, dense_predictions
    from curate.model.voting import decode_dense

    tracks = _tracks(clips)
    dense = dense_predictions(network, tracks, encoded)
    found = []
    for track, start_s, (chances, reach_s) in zip(tracks, clips["start_s"], dense, strict=True):
        width = min(WINDOW, len(chances))
        sums = window_sums(chances, np.array([len(chances)]))[: len(chances) - width + 1]
        segments = decode_dense(track, chances, reach_s, encoded.definition, threshold=DEFAULT_THRESHOLD)
        best = max(segments, key=lambda segment: segment.score, default=None)
        span_s = (None, None) if best is None else (start_s + best.start_s, start_s + best.end_s)
        found.append((float(sums.max()) / width, *span_s))
    schema = {"segmenter": pl.Float32, "segment_start_s": pl.Float64, "segment_end_s": pl.Float64}
    return pl.DataFrame(found, schema=schema, orient="row")
