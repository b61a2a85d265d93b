"""What annotators watch: each clip as a small constant-rate file, cut once and shared by every capability.

Label Studio's timeline is a grid, so a source of variable rate needs a proxy whose frames are one; when the pictures on
it began in the source is in table `proxies`, and stays true where the files are deleted. The parameters are part of a
proxy's path and key, so changing them makes new ones and never mixes with old ones.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import polars as pl

from curate.catalog import Catalog
from curate.engine import Failure, run, worker_count
from curate.media.cut import cut
from curate.progress import Progress
from curate.workspace import Workspace, new_run_id
from labeling.frames import Timeline, even_timeline

MIN_HEIGHT, MAX_HEIGHT = 360, 480
"""Label Studio never enlarges a video: what is smaller is a stamp in the middle of its page."""
SETTINGS = f"{MIN_HEIGHT}to{MAX_HEIGHT}p120"
"""How proxies are cut now: of such a height, and at up to 120 frames/s where fewer would leave pictures out."""

_KEPT_PROXIES = 100
_KEPT_S = 5.0
"""Proxies are noted in the catalog when so many are new, or so much time has passed."""


@dataclass(frozen=True)
class Span:
    """A clip to be shown: its id, and where it is in which file (source seconds)."""

    clip_id: str
    path: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Proxy:
    """A clip as annotators see it. `name` is its path below `directory`, `settings` how it was cut."""

    clip_id: str
    settings: str
    timeline: Timeline

    @property
    def name(self) -> str:
        return proxy_name(self.clip_id, self.settings)

    @property
    def fps(self) -> Fraction:
        return self.timeline.fps

    @property
    def frames(self) -> int:
        return self.timeline.frames

    @property
    def duration_s(self) -> float:
        return float(self.frames / self.fps)


def directory(workspace: Workspace) -> Path:
    """Where proxies are, and what a server of annotators' media has to serve."""
    return workspace.cache("proxies").resolve()


def cut_proxies(workspace: Workspace, spans: list[Span], progress: Progress) -> Iterator[Proxy | Failure[Span]]:
    """The proxy of each clip, cut where it is missing, in the order they are ready; a clip that cannot be cut fails.

    A proxy is whole when both its file and its row are there. The row is written last, before the proxy is handed on; a
    file without one is cut again, to the same bytes, and so is a row whose file was deleted.
    """
    root = directory(workspace)
    known = timelines(workspace.catalog, [span.clip_id for span in spans])
    there = {clip_id for clip_id in known if (root / proxy_name(clip_id)).exists()}
    missing = [(root, span) for span in spans if span.clip_id not in there]
    for span in spans:
        if span.clip_id in there:
            yield Proxy(span.clip_id, SETTINGS, known[span.clip_id])
    done = len(spans) - len(missing)
    progress("proxies", done, len(spans))
    if not missing:
        return
    engine = workspace.analysis().engine
    workers = min(worker_count(engine), len(missing))
    here = engine.model_copy(update={"kind": "local", "workers": workers})  # proxies are files of this machine
    run_id, new, began = new_run_id("label-proxies"), [], time.monotonic()
    for outcome in run(_cut, missing, here):
        done += 1
        progress("proxies", done, len(spans))
        if isinstance(outcome, Failure):
            yield Failure(outcome.item[1], outcome.reason, outcome.seconds)
            continue
        new.append(outcome.value)
        if len(new) >= _KEPT_PROXIES or time.monotonic() - began > _KEPT_S:
            yield from _kept(workspace.catalog, run_id, new)
            new, began = [], time.monotonic()
    yield from _kept(workspace.catalog, run_id, new)


def timelines(catalog: Catalog, clip_ids: Sequence[str], settings: str = SETTINGS) -> dict[str, Timeline]:
    """The timeline of each clip's proxy, for those that were ever cut with these settings."""
    rows = (
        catalog.scan("proxies")
        .filter(pl.col("settings") == settings, pl.col("clip_id").is_in(list(clip_ids)))
        .select("clip_id", "fps", "edges_s")
        .collect()
    )
    return {clip_id: Timeline(Fraction(fps), tuple(edges_s)) for clip_id, fps, edges_s in rows.iter_rows()}


def task_timelines(catalog: Catalog, tasks: Sequence[dict[str, Any]]) -> list[Timeline]:
    """The timeline of each task, by its data; an even one where the catalog has none (any more)."""
    settings = {data["proxy"] for data in tasks if "proxy" in data}
    known = {
        (clip_id, name): timeline
        for name in settings
        for clip_id, timeline in timelines(
            catalog, [data["clip_id"] for data in tasks if data.get("proxy") == name], name
        ).items()
    }
    return [
        known.get((data["clip_id"], data.get("proxy")))
        or even_timeline(Fraction(data["fps_fraction"]), data["frames"], data["start_s"])
        for data in tasks
    ]


def _cut(item: tuple[Path, Span]) -> Proxy:
    root, span = item
    target = root / proxy_name(span.clip_id)
    target.parent.mkdir(parents=True, exist_ok=True)
    made = cut(
        Path(span.path),
        span.start_s,
        span.end_s,
        target,
        min_height=MIN_HEIGHT,
        max_height=MAX_HEIGHT,
        every_picture=True,
    )
    return Proxy(span.clip_id, SETTINGS, Timeline(made.fps, made.edges_s))


def _kept(catalog: Catalog, run_id: str, new: list[Proxy]) -> list[Proxy]:
    rows = [
        {
            "clip_id": proxy.clip_id,
            "settings": proxy.settings,
            "fps": str(proxy.fps),
            "frames": proxy.frames,
            "duration_s": proxy.duration_s,
            "edges_s": proxy.timeline.edges_s,
        }
        for proxy in new
    ]
    catalog.write("proxies", rows, run_id=run_id)
    return new


def proxy_name(clip_id: str, settings: str = SETTINGS) -> str:
    """Where a clip's proxy is below `directory`."""
    return f"{settings}/{clip_id[:2]}/{clip_id}.mp4"
