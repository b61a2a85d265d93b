"""What keyframes say of footage that is not analysed: how much it looks like a capability, and whether it is a copy.

A look (`curate.analyze.triage`) costs a few percent of an analysis, and a file is looked at once. A keyframe tells only
what stands on it. What is in view for as long as keyframes are apart, as objects and scenes are, is found; an event of
a second between keyframes ten seconds apart mostly is not (`benchmarks/triage.py` has figures). So how far looks can be
trusted is learned from what analysing finds: `curate.targets.collection.bandit`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from curate import views
from curate.analyze.embed import model_id
from curate.analyze.triage import Look, known_looks, looks
from curate.catalog import Catalog
from curate.dedupe.videos import Frames, Known, find_copies
from curate.progress import Progress, silent
from curate.sources.files import SourceFile
from curate.specs import Capability
from curate.targets.scoring.match import direction_of
from curate.vectors import matrix, unpack
from curate.workspace import Workspace


@dataclass(frozen=True)
class Glance:
    """What a look says of one capability: the similarity of each keyframe, float32 [keyframes]."""

    duration_s: float
    similarities: np.ndarray


class Aim:
    """Keyframes of files against one capability, and against what is collected."""

    def __init__(self, workspace: Workspace, spec: Capability, run_id: str) -> None:
        """Reads what is known.

        Raises:
            InputError: an exemplar of the capability cannot be used.
        """
        self._workspace, self._run_id = workspace, run_id
        self._analysis = workspace.analysis()
        self._direction = direction_of(workspace, spec)
        self._means: dict[str, np.ndarray] = {}
        self._read: set[str] = set()

    def known(self, files: Sequence[SourceFile]) -> dict[str, Glance]:
        """What is kept of looks at some files, by video_id."""
        found = known_looks(self._workspace.catalog, [file.video_id for file in files], self._analysis)
        return {video_id: self._glance(look) for video_id, look in found}

    def look(self, files: Sequence[SourceFile], progress: Progress = silent) -> dict[str, Glance]:
        """Looks at files, once, by video_id; one without a keyframe that decodes is left out."""
        found = looks(self._workspace.catalog, files, self._analysis, self._run_id, progress)
        return {video_id: self._glance(look) for video_id, look in found}

    def copies(self, ranked: Sequence[SourceFile]) -> dict[str, tuple[str, float]]:
        """Of files that were looked at, those that show what is collected, or what one before them shows.

        Returns:
            By video_id: the other's video_id, and the agreement.
        """
        found = dict(known_looks(self._workspace.catalog, [file.video_id for file in ranked], self._analysis))
        seen = [(file.video_id, _frames(found[file.video_id])) for file in ranked if file.video_id in found]
        if not seen:
            return {}
        self._read_means()
        return find_copies(seen, Known(self._means, self._frames_of), self._analysis.triage.copy_from)

    def _glance(self, look: Look) -> Glance:
        return Glance(look.duration_s, look.vectors @ self._direction)

    def _read_means(self) -> None:
        """The mean of each collected video's clips, read once for each video."""
        clips = views.clips(self._workspace.catalog).select("clip_id", "video_id").collect()
        fresh = clips.filter(~pl.col("video_id").is_in(list(self._read)))
        if fresh.is_empty():
            return
        vectors = self._embeddings().select("clip_id", "vector").join(fresh.lazy(), on="clip_id").collect()
        for key, rows in vectors.sort("video_id", "clip_id").partition_by("video_id", as_dict=True).items():
            self._means[str(key[0])] = matrix(rows["vector"]).mean(axis=0)
        self._read |= set(fresh["video_id"])

    def _frames_of(self, video_ids: Iterable[str]) -> Mapping[str, Sequence[Frames]]:
        """The frames of collected videos, read for those that are asked for."""
        wanted, catalog = list(video_ids), self._workspace.catalog
        clips = views.clips(catalog).filter(pl.col("video_id").is_in(wanted))
        rows = (
            self._embeddings()
            .select("clip_id", "frame_times_s", "frame_vectors")
            .join(clips.select("clip_id", "video_id", "start_s", "video_duration_s"), on="clip_id")
            .sort("video_id", "start_s")
            .collect()
        )
        found: dict[str, list[Frames]] = {video_id: [] for video_id in wanted}
        for key, some in rows.partition_by("video_id", as_dict=True, maintain_order=True).items():
            times_s = some["frame_times_s"].explode().to_numpy()
            parts = [unpack(packed, len(times)) for times, packed in some["frame_times_s", "frame_vectors"].iter_rows()]
            found[str(key[0])].append(Frames(some["video_duration_s"][0], times_s, np.concatenate(parts)))
        looks = catalog.scan("triage").filter(pl.col("video_id").is_in(wanted)).collect()
        for row in looks.iter_rows(named=True):
            vectors = unpack(row["vectors"], len(row["times_s"]))
            found[row["video_id"]].append(Frames(row["duration_s"], np.array(row["times_s"]), vectors))
        return found

    def _embeddings(self) -> pl.LazyFrame:
        model = model_id(self._analysis.embedding)
        return views.current_embeddings(self._workspace.catalog).filter(pl.col("model_id") == model)


def items_of(catalog: Catalog) -> dict[str, str]:
    """The item by which each collected video is known."""
    done = catalog.scan("outcomes").filter(pl.col("stage") == "collect", pl.col("outcome") == "ok")
    return dict(done.select("video_id", "item").collect().iter_rows())


def _frames(look: Look) -> Frames:
    return Frames(look.duration_s, look.times_s, look.vectors)
