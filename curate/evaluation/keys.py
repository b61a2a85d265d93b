"""Whose answer an entry of a file of predictions is: a clip of a mix, or a source video that clips of it are cut from.

A key is a clip's id, or the name of its file as `curate mix export` writes it (CLIP.mp4); a video's id, or its path,
file name, or file name without ending, as the catalog knows it. A path may be given in full, or its last parts.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

import polars as pl

from curate.errors import InputError
from curate.evaluation.judged import Exam


@dataclass(frozen=True)
class Place:
    """A clip of the split that an answer is for: its span in seconds of its source video, of which the answer's times
    are seconds too where it is `from_source`; else they are from the clip's start."""

    clip_id: str
    start_s: float
    end_s: float
    from_source: bool


class Keys:
    """The names of a split's clips and of all source videos."""

    def __init__(self, exam: Exam) -> None:
        self._exam = exam
        self._catalog = exam.published.workspace.catalog
        self._clips = {clip["clip_id"]: clip for clip in exam.published.lock["clips"]}
        self._judged = {each.clip_id for each in exam.judged}
        self._of_video: dict[str, list[str]] = defaultdict(list)
        for clip_id, clip in self._clips.items():
            self._of_video[clip["video_id"]].append(clip_id)

    def clips(self, key: str, video_id: str | None = None, *, where: object = None) -> list[Place]:
        """The judged clips that an answer under `key` is for; none where it is of another split or mix.

        Args:
            video_id: of the file that was looked at, where it is known: the catalog's, or that of a clip's own file.

        Raises:
            InputError: nothing is known by that name, or several videos are.
        """
        if video_id in self._of_video:
            return self._places(self._of_video[video_id], from_source=True)
        name = PurePosixPath(key).name
        for clip_id in (key, name, PurePosixPath(name).stem):
            if clip_id in self._clips:
                return self._places([clip_id], from_source=False)
        if key in self._of_video:
            return self._places(self._of_video[key], from_source=True)
        videos = self._videos(key, where)
        if videos is not None:
            return self._places(self._of_video.get(videos, []), from_source=True)
        if key in self._other_clips or PurePosixPath(name).stem in self._other_clips:
            return []
        raise InputError(
            f"{key!r} is no clip of the mix and no video of the catalog",
            where=where,
            fix=f"Keys are clip ids, as {self._exam.judged[0].clip_id!r}, the names of their files, or source videos",
        )

    def _places(self, clip_ids: list[str], *, from_source: bool) -> list[Place]:
        spans = [(clip_id, self._clips[clip_id]) for clip_id in clip_ids if clip_id in self._judged]
        return [Place(clip_id, clip["start_s"], clip["end_s"], from_source) for clip_id, clip in spans]

    def _videos(self, key: str, where: object) -> str | None:
        """The one video of the catalog that a name means; None where none has it."""
        path = PurePosixPath(key)
        known = self._named.get(path.name, {}) or self._named.get(path.stem, {})
        exact = {video for place, video in known.items() if place == key}
        ends = {video for place, video in known.items() if place.endswith(f"/{key}")}
        found = exact or ends or (set(known.values()) if known else self._ids & {key})
        if len(found) > 1:
            raise InputError(
                f"{key!r} is the name of {len(found)} videos: {', '.join(sorted(found))}",
                where=where,
                fix="Give their ids, or more of their paths",
            )
        return next(iter(found), None)

    @cached_property
    def _named(self) -> dict[str, dict[str, str]]:
        """By file name, and by it without ending: path and video of every file that has it."""
        columns = ("path", "video_id")
        rows = pl.concat([self._catalog.scan(table).select(columns) for table in ("videos", "files")])
        found: dict[str, dict[str, str]] = defaultdict(dict)
        for place, video in rows.drop_nulls().unique().collect().iter_rows():
            path = PurePosixPath(place)
            found[path.name][place] = video
            found[path.stem][place] = video
        return found

    @cached_property
    def _ids(self) -> set[str]:
        return set(self._catalog.scan("videos").select("video_id").collect()["video_id"])

    @cached_property
    def _other_clips(self) -> set[str]:
        """Clips that the catalog knows."""
        return set(self._catalog.scan("clips").select("clip_id").collect()["clip_id"])
