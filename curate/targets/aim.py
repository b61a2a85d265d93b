"""Collecting for one capability: which pending videos to analyse first, and which to leave for another day.

Each pending video is looked at through its keyframes (`curate.analyze.triage`), a small share of what analysing it
costs. Copies of what is collected, or of a video that ranks higher, are set aside; the rest is ranked by its best
keyframe and analysed in that order until the budget of footage is spent. Nothing is lost: what was set aside or not
reached has an outcome that says so, and the next `curate collect` takes it up.

A keyframe tells only what stands on it. What is in view for as long as keyframes are apart, as objects and scenes are,
is found; an event of a second between keyframes ten seconds apart mostly is not (`benchmarks/triage.py` has figures).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np
import polars as pl

from curate import views
from curate.analyze.collect import Order, Turn
from curate.analyze.embed import model_id
from curate.analyze.triage import Look, triage
from curate.catalog import Catalog
from curate.dedupe.videos import Frames, Known, find_copies
from curate.errors import InputError
from curate.progress import Progress
from curate.search.question import direction
from curate.sources.files import SourceFile
from curate.specs import Capability
from curate.vectors import matrix, unpack
from curate.workspace import Workspace

COPY = "near copy of"
NOT_REACHED = "not reached"
LIKELY = 0.5
"""Probability from which a clip counts as showing the capability, where labels gave probabilities."""


@dataclass(frozen=True)
class AimSummary:
    """What collecting for a capability came to.

    Attributes:
        triaged: videos of this run that were ranked by their keyframes.
        copies: of those, set aside as near copies.
        not_reached: of those, beyond the budget.
        analysed_hours: of footage, in this run.
        likely_clips: of all current clips, those whose probability is LIKELY or more; None while there are too few
            labels for probabilities, as a similarity alone does not say how many clips show something.
    """

    capability: str
    triaged: int
    copies: int
    not_reached: int
    analysed_hours: float
    likely_clips: int | None


def aim(workspace: Workspace, capability: str, budget_hours: float | None = None) -> Order:
    """The order that `collect` follows to find clips of a capability early.

    Args:
        workspace: has the capability's config.
        capability: its id.
        budget_hours: footage to analyse; a video is begun while some is left. All of it where not given.

    Raises:
        InputError: no such capability, or the budget is not above 0.
    """
    spec = workspace.capability(capability)
    if budget_hours is not None and not budget_hours > 0:
        raise InputError(f"a budget of {budget_hours:g} hours", fix="Give one above 0")
    return partial(_order, workspace, spec, budget_hours)


def aim_summary(workspace: Workspace, capability: str, run_id: str) -> AimSummary:
    """What the run `run_id` of `collect`, aimed at `capability`, came to; best asked once clips are scored."""
    catalog = workspace.catalog
    ours = catalog.scan("outcomes").filter(pl.col("stage") == "collect", pl.col("run_id") == run_id).collect()
    looked_at = catalog.scan("triage").select("video_id").collect()
    reason = pl.col("reason").fill_null("")
    analysed_s = catalog.scan("videos").filter(pl.col("run_id") == run_id).select("duration_s").collect().sum().item()
    return AimSummary(
        capability=capability,
        triaged=ours.join(looked_at, on="video_id", how="semi").height,
        copies=ours.filter(reason.str.starts_with(COPY)).height,
        not_reached=ours.filter(reason.str.starts_with(NOT_REACHED)).height,
        analysed_hours=(analysed_s or 0.0) / 3600,
        likely_clips=_likely_clips(catalog, capability),
    )


def _order(
    workspace: Workspace,
    spec: Capability,
    budget_hours: float | None,
    pending: list[SourceFile],
    run_id: str,
    progress: Progress,
) -> Turn:
    catalog, analysis = workspace.catalog, workspace.analysis()
    model = model_id(analysis.embedding)
    embeddings = views.current_embeddings(catalog).filter(pl.col("model_id") == model)
    match = spec.match
    asked = direction(
        analysis.embedding,
        embeddings,
        text=match.text,
        not_text=match.not_text,
        like=match.like,
    )
    looks = triage(catalog, pending, analysis, run_id, progress)
    score = {video_id: float((look.vectors @ asked).max()) for video_id, look in looks.items()}
    ranked = sorted(pending, key=lambda file: (-score.get(file.video_id, -np.inf), file.item))
    seen = [(file.video_id, _frames(looks[file.video_id])) for file in ranked if file.video_id in looks]
    copies = find_copies(seen, _known(catalog, embeddings), analysis.triage.copy_from)
    names = _items(catalog) | {file.video_id: file.item for file in pending}
    taken: list[SourceFile] = []
    left: list[tuple[SourceFile, str, float | None]] = []
    hours = 0.0
    for rank, file in enumerate(ranked, 1):
        if file.video_id in copies:
            other, agreement = copies[file.video_id]
            left.append((file, f"{COPY} {names.get(other, other)}", agreement))
        elif budget_hours is not None and hours >= budget_hours:
            why = f"{NOT_REACHED}: rank {rank} of {len(ranked)} for {spec.id}, budget {budget_hours:g} h"
            left.append((file, why, score.get(file.video_id)))
        else:
            taken.append(file)
            hours += looks[file.video_id].duration_s / 3600 if file.video_id in looks else 0.0
    return Turn(taken, left)


def _frames(look: Look) -> Frames:
    return Frames(look.duration_s, look.times_s, look.vectors)


def _known(catalog: Catalog, embeddings: pl.LazyFrame) -> Known:
    """The collected videos: the mean of each one's clips, and its frames, read for those that are asked for."""
    clips = views.clips(catalog).select("clip_id", "video_id", "start_s", "video_duration_s")
    vectors = embeddings.select("clip_id", "vector").join(clips, on="clip_id").sort("video_id", "start_s").collect()
    by_video = vectors.partition_by("video_id", as_dict=True, maintain_order=True)
    means = {str(key[0]): matrix(rows["vector"]).mean(axis=0) for key, rows in by_video.items()}

    def frames_of(video_ids: Iterable[str]) -> dict[str, list[Frames]]:
        wanted = list(video_ids)
        rows = (
            embeddings.select("clip_id", "frame_times_s", "frame_vectors")
            .join(clips.filter(pl.col("video_id").is_in(wanted)), on="clip_id")
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

    return Known(means, frames_of)


def _items(catalog: Catalog) -> dict[str, str]:
    """The item by which each collected video is known."""
    done = catalog.scan("outcomes").filter(pl.col("stage") == "collect", pl.col("outcome") == "ok")
    return dict(done.select("video_id", "item").collect().iter_rows())


def _likely_clips(catalog: Catalog, capability: str) -> int | None:
    scores = (
        catalog.scan("scores")
        .filter(pl.col("capability") == capability, "eligible")
        .join(views.clips(catalog).select("clip_id"), on="clip_id", how="semi")
        .collect()
    )
    probable = scores.filter(pl.col("calibration") == "platt")
    return probable.filter(pl.col("probability") >= LIKELY).height if probable.height else None
