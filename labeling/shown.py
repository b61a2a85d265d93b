"""Clips as annotators are shown them: cut, brought to where they are served from, and described for a task."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from curate import views
from curate.engine import Failure
from curate.errors import InputError
from curate.progress import Progress, silent
from curate.workspace import Workspace
from labeling.frames import Timeline
from labeling.media import Media
from labeling.proxies import SETTINGS, Proxy, Span, cut_proxies, directory, proxy_name


@dataclass(frozen=True)
class Shown:
    """A clip as annotators are shown it.

    Attributes:
        data: for a task: video, clip_id, video_id, proxy, fps, fps_fraction, frames, start_s, duration_s.
        timeline: from source seconds to frames and back.
    """

    data: dict[str, Any]
    timeline: Timeline


def shown(
    workspace: Workspace, serving: Media, clip_ids: Sequence[str], progress: Progress = silent
) -> tuple[dict[str, Shown], list[Failure[Span]]]:
    """Makes clips ready to be watched; what was ready is only looked up.

    Proxies that were deleted while their clips wait for a label are made again on the way.

    Args:
        serving: what serves them, checked by the caller (`Media.check`).

    Returns:
        By clip id, in the order given, and the clips that could not be cut.

    Raises:
        InputError: an unknown clip.
    """
    wanted = set(clip_ids)
    rows = {row["clip_id"]: row for row in _clips(workspace, [*clip_ids, *_lost(workspace)]).iter_rows(named=True)}
    spans = [Span(row["clip_id"], row["path"], row["start_s"], row["end_s"]) for row in rows.values()]
    proxies: dict[str, Proxy] = {}
    failures: list[Failure[Span]] = []
    for outcome in cut_proxies(workspace, spans, progress):
        if isinstance(outcome, Proxy):
            proxies[outcome.clip_id] = outcome
        else:
            failures.append(outcome)
    serving.publish(proxies.values())
    ready = [(rows[clip_id], proxies[clip_id]) for clip_id in rows if clip_id in proxies and clip_id in wanted]
    return {
        proxy.clip_id: Shown(serving.task_data(proxy.name) | _facts(row, proxy), proxy.timeline) for row, proxy in ready
    }, failures


def _facts(clip: dict[str, Any], proxy: Proxy) -> dict[str, Any]:
    return {
        "clip_id": clip["clip_id"],
        "video_id": clip["video_id"],
        "proxy": proxy.settings,
        "fps": float(proxy.fps),
        "fps_fraction": str(proxy.fps),
        "frames": proxy.frames,
        "start_s": clip["start_s"],
        "duration_s": proxy.duration_s,
    }


def _lost(workspace: Workspace) -> list[str]:
    """Clips of this workspace that were sent, that nobody has labelled, and whose proxy is gone since it was cut."""
    catalog = workspace.catalog
    cut = catalog.scan("proxies").filter(pl.col("settings") == SETTINGS)
    waiting = (
        catalog.scan("orders")
        .join(catalog.scan("labels"), on=["clip_id", "capability"], how="anti")
        .select(pl.col("clip_id").unique())
        .join(cut, on="clip_id", how="semi")
        .join(views.clips(catalog), on="clip_id", how="semi")
        .collect()
    )
    files = directory(workspace)
    return [clip_id for clip_id in waiting["clip_id"] if not (files / proxy_name(clip_id)).exists()]


def _clips(workspace: Workspace, clip_ids: Sequence[str]) -> pl.DataFrame:
    wanted = pl.DataFrame({"clip_id": list(clip_ids)}, schema={"clip_id": pl.String}).unique(maintain_order=True)
    found = wanted.join(views.clips(workspace.catalog).collect(), on="clip_id", how="left", maintain_order="left")
    unknown = found.filter(pl.col("video_id").is_null())["clip_id"].to_list()
    if unknown:
        raise InputError(f"no clip {unknown[0]!r} ({len(unknown)} unknown)", fix="Choose among the workspace's clips")
    return found
