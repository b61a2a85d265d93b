"""The files of a campaign and what is known of each, read from the catalog: one that was killed finds it there."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import polars as pl

from curate.analyze.collect import Collecting, Left
from curate.progress import Progress, silent
from curate.specs import Capability
from curate.targets.collection.aim import Aim, Glance, items_of
from curate.targets.collection.arms import Arms, arms_of
from curate.targets.collection.bandit import Footage
from curate.targets.collection.rounds import Open
from curate.workspace import Workspace

COPY = "near copy of"
_HOURS_PER_BYTE = 1e-9
"""Where no file's duration is known: an hour of 720p at two megabits a second."""


class Archive:
    """Files with bytes of their own that can be read, sorted by item, and what is known of them.

    Attributes:
        files: those that are analysed, and those that wait.
        arms: where they lie.
        footage: what the bandit learns from, as of the last `refresh` or `look`.
        copies: files set aside as near copies, by their place.
    """

    def __init__(self, workspace: Workspace, spec: Capability, here: Collecting, progress: Progress = silent) -> None:
        """Reads what is known; `refresh` adds what was found.

        Raises:
            InputError: an exemplar of the capability cannot be used.
        """
        self._catalog, self._run_id, self._progress = workspace.catalog, here.run_id, progress
        self._aim = Aim(workspace, spec, here.run_id)
        collected = items_of(workspace.catalog)
        waiting = {file.item for file in here.pending}
        self.files = [file for file in here.files if file.item in waiting or collected.get(file.video_id) == file.item]
        self.arms: Arms = arms_of(file.item for file in here.files)
        self._arm = np.array([self.arms.of_item[file.item] for file in self.files], dtype=np.int64)
        self._waits = np.array([file.item in waiting for file in self.files], dtype=bool)
        self._tried = np.zeros(len(self.files), dtype=bool)
        self._looks: list[np.ndarray | None] = [None] * len(self.files)
        self._length_h = np.full(len(self.files), np.nan)
        self._gone = np.zeros(len(self.files), dtype=bool)
        self._found = np.zeros(len(self.files))
        self._place = {file.video_id: at for at, file in enumerate(self.files)}
        self.copies: dict[int, Left] = {}
        self._take(self._aim.known(self.files))

    @property
    def footage(self) -> Footage:
        done = ~self._waits | self._gone
        hours = np.where(self._gone, 0.0, np.where(np.isnan(self._length_h), self._estimates(), self._length_h))
        return Footage(self._arm, hours, self._looks, done, self._found)

    def open(self) -> Open:
        """What can be chosen."""
        free = self._waits & ~self._gone
        free[list(self.copies)] = False
        looked = np.array([look is not None for look in self._looks], dtype=bool)
        return Open(looked=free & looked, unseen=free & ~looked & ~self._tried)

    def without_look(self) -> list[int]:
        """Files that have no keyframe that decodes: only analysing them says why."""
        free = self._waits & ~self._gone
        return [int(at) for at in np.flatnonzero(free & self._tried) if self._looks[at] is None]

    def open_files(self) -> list[int]:
        """Everything that waits and is no copy."""
        free = self._waits & ~self._gone
        return [int(at) for at in np.flatnonzero(free) if at not in self.copies]

    def look(self, places: Sequence[int]) -> None:
        """Looks at the keyframes of files."""
        self._tried[list(places)] = True
        self._take(self._aim.look([self.files[at] for at in places], self._progress))

    def set_copies_aside(self, ranked: Sequence[int]) -> set[int]:
        """Those of the files that show what is collected, or what one before them shows; they are not open any more."""
        names = items_of(self._catalog) | {file.video_id: file.item for file in self.files}
        found = self._aim.copies([self.files[at] for at in ranked])
        for video_id, (other, agreement) in found.items():
            at = self._place[video_id]
            self.copies[at] = (self.files[at], f"{COPY} {names.get(other, other)}", agreement)
        return {self._place[video_id] for video_id in found}

    def in_hand(self, marked: str) -> list[int]:
        """Files whose outcome says that this campaign was analysing them when it was stopped."""
        rows = self._outcomes().filter(pl.col("reason").fill_null("").str.starts_with(marked)).collect()
        items = set(rows["item"])
        return [at for at, file in enumerate(self.files) if file.item in items and self._waits[at]]

    def given(self, places: Iterable[int]) -> None:
        """These were analysed, or failed: either way they wait no more."""
        self._waits[list(places)] = False

    def refresh(self, clips: pl.DataFrame) -> None:
        """Reads what became of files, and what they hold, from the rows of `curate.targets.collection.supply.worth`."""
        videos = self._catalog.scan("videos").select("video_id", "duration_s").collect()
        length_s = dict(videos.iter_rows())
        collected = items_of(self._catalog)
        values = dict(clips.group_by("video_id").agg(pl.col("wanted").sum()).iter_rows())
        for at, file in enumerate(self.files):
            if collected.get(file.video_id) == file.item and not self._waits[at]:
                self._length_h[at] = length_s[file.video_id] / 3600
                self._found[at] = values.get(file.video_id, 0.0)
            elif not self._waits[at]:
                self._gone[at] = True

    def spent_h(self) -> float:
        """Hours of footage that this campaign has analysed, in all its runs."""
        return float(self.analysed()["duration_s"].sum()) / 3600

    def analysed(self) -> pl.DataFrame:
        """video_id and duration_s of what this campaign has analysed."""
        ours = self._catalog.rows("videos").filter(pl.col("run_id") == self._run_id)
        return ours.select("video_id", "duration_s").unique("video_id").collect()

    def looked_at(self) -> pl.DataFrame:
        """video_id and duration_s of what this campaign has looked at."""
        ours = self._catalog.rows("triage").filter(pl.col("run_id") == self._run_id)
        return ours.select("video_id", "duration_s").unique("video_id").collect()

    def settled(self) -> int:
        """How many files this campaign has analysed, or failed to."""
        return int(self._outcomes().filter(pl.col("outcome") != "filtered").select(pl.len()).collect().item())

    def failed(self) -> int:
        return int(self._outcomes().filter(pl.col("outcome") == "failed").select(pl.len()).collect().item())

    def new_clips(self) -> int:
        """Clips that this campaign has made."""
        ours = self._catalog.rows("clips").filter(pl.col("run_id") == self._run_id)
        return int(ours.select(pl.col("clip_id").n_unique()).collect().item())

    def machine_s(self) -> float:
        """Seconds of a core that this campaign has analysed for."""
        return float(self._outcomes().select(pl.col("seconds").sum()).collect().item() or 0.0)

    def typical_h(self) -> float:
        """The median of what waits; of estimates where nothing better is known."""
        hours = self.footage.hours[self.open_files()]
        return float(np.median(hours)) if len(hours) else 0.0

    def machine_h_per_h(self) -> float | None:
        """Hours that one core takes to analyse an hour of footage, as measured here; None before anything was."""
        took = (
            self._catalog.scan("outcomes")
            .filter(pl.col("stage") == "collect", pl.col("outcome") == "ok", pl.col("seconds").is_not_null())
            .join(self._catalog.scan("videos").select("video_id", "duration_s"), on="video_id")
            .select(pl.col("seconds").sum(), pl.col("duration_s").sum())
            .collect()
        )
        seconds, footage_s = took.row(0)
        return seconds / footage_s if footage_s else None

    def _take(self, glances: Mapping[str, Glance]) -> None:
        for video_id, glance in glances.items():
            at = self._place[video_id]
            self._looks[at], self._length_h[at] = glance.similarities, glance.duration_s / 3600

    def _outcomes(self) -> pl.LazyFrame:
        return self._catalog.scan("outcomes").filter(pl.col("stage") == "collect", pl.col("run_id") == self._run_id)

    def _estimates(self) -> np.ndarray:
        """Hours by size, at the bytes an hour has in the files of the same source whose length is known, or in all."""
        size = np.array([file.size_bytes for file in self.files], dtype=np.float64)
        known, source = ~np.isnan(self._length_h), np.array([file.source for file in self.files])
        hours = size * _hours_per_byte(self._length_h[known], size[known])
        for name in np.unique(source[known]):
            of, some = source == name, known & (source == name)
            hours[of] = size[of] * _hours_per_byte(self._length_h[some], size[some])
        return hours


def _hours_per_byte(hours: np.ndarray, size: np.ndarray) -> float:
    return float(hours.sum() / size.sum()) if size.sum() > 0 else _HOURS_PER_BYTE
