"""What a capability would match today: the answer to an edit of its spec, in seconds, with nothing written.

Scores are made as `curate collect` makes them (`curate.targets.scoring.score`), of the spec as its file is now; what is
stored under the same question is used as it is, so that after an edit of conditions or of the target nothing is looked
at again. It does not run in the way of other stages: it takes no lock.
"""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_
from typing import Any

import numpy as np
import polars as pl

from curate import views
from curate.conditions import matching, names_of
from curate.errors import InputError
from curate.specs import Capability, read_spec
from curate.targets.scoring.calibrate import CALIBRATED
from curate.targets.scoring.match import conditions, spec_path
from curate.targets.scoring.score import Known, judge, read_known, see
from curate.workspace import Workspace

BINS = 24
_CLIPS = ("clip_id", "video_id", "source", "licence", "path", "start_s", "end_s", "width", "height")


@dataclass(frozen=True)
class Preview:
    """What a spec matches.

    Attributes:
        clips: current ones; `eligible`, `matches` of those, and `kept` matches, of which none is a copy of another.
        excluded: what each condition keeps out: condition, clips, and `alone`, those that no other condition keeps out.
        level, level_from: similarity from which a clip matches; decides where calibration is `rank`.
        calibration: the row of table `calibrations` that would be written.
        labels: clips by verdict: present, absent, unsure, bad_clip.
        histogram: low, high, clips, matches, present, absent: eligible clips by similarity.
        shown: the columns of `scores`, of the clip, `verdict`, and `place`: best, borderline or worst, with the best
            first in each; eligible kept clips, none twice.
        notes: what one should know of the result.
    """

    spec: Capability
    clips: int
    eligible: int
    matches: int
    kept: int
    excluded: list[dict[str, Any]]
    level: float | None
    level_from: str | None
    calibration: dict[str, Any]
    labels: dict[str, int]
    histogram: list[dict[str, Any]]
    shown: pl.DataFrame
    notes: list[str]
    seconds: float

    @property
    def calibrated(self) -> bool:
        """Whether a clip matches by its probability, not by its similarity."""
        return self.calibration["calibration"] in CALIBRATED


def one_spec(workspace: Workspace, name: str) -> Capability:
    """The spec of a capability as its file is now; other files may be broken.

    Raises:
        InputError: there is no such capability, or its file is not one.
    """
    folder = workspace.configs / "capabilities"
    path = folder / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(other.stem for other in folder.glob("*.yaml"))) or "none"
        raise InputError(f"no capability {name!r}", where=folder, fix=f"Known: {known}")
    spec = read_spec(path, Capability)
    return spec if spec.id == name else workspace.capability(name)


def preview(workspace: Workspace, name: str, *, limit: int = 8) -> Preview:
    """What the spec of a capability, saved or not yet scored, matches now.

    Args:
        limit: clips in each of the three places that are shown.

    Raises:
        InputError: there is no such capability, its file cannot be read, a condition or an exemplar cannot be used, or
            the clips were embedded by another model than the configured one.
    """
    started = time.monotonic()
    catalog = workspace.catalog
    spec, known = one_spec(workspace, name), read_known(workspace)
    rows, calibration = scored(workspace, [spec], known)[spec.id]
    kept = views.kept_clips(catalog).select("clip_id", kept=pl.lit(value=True)).collect()
    verdicts = views.labels(catalog).filter(pl.col("capability") == name).select("clip_id", "verdict").collect()
    full = (
        rows.join(known.clips.select(_CLIPS), on="clip_id")
        .join(kept, on="clip_id", how="left")
        .join(verdicts, on="clip_id", how="left")
        .with_columns(pl.col("kept").fill_null(value=False))
        .sort("clip_id")
    )
    row = calibration.row(0, named=True)
    labels = dict(full.filter(pl.col("verdict").is_not_null())["verdict"].value_counts(sort=True).iter_rows())
    return Preview(
        spec=spec,
        clips=len(full),
        eligible=int(full["eligible"].sum()),
        matches=int(full["matches"].sum()),
        kept=len(full.filter("matches", "kept")),
        excluded=_excluded(workspace, spec, known.clips),
        level=row["level"],
        level_from=row["level_from"],
        calibration=row,
        labels=labels,
        histogram=_histogram(full.filter("eligible")),
        shown=_shown(full.filter("eligible", "kept"), row, limit),
        notes=[*([known.note] if known.note else []), *_notes(spec, known.clips)],
        seconds=time.monotonic() - started,
    )


def scored(
    workspace: Workspace, specs: Sequence[Capability], known: Known
) -> dict[str, tuple[pl.DataFrame, pl.DataFrame]]:
    """For each spec the rows of `scores` and of `calibrations` that scoring would write; nothing is written."""
    names = [spec.id for spec in specs]
    former = workspace.catalog.scan("scores").filter(pl.col("capability").is_in(names)).collect()
    seen, _ = see(workspace, specs, known, former)
    return {spec.id: judge(workspace, spec, known, seen[spec.id]) for spec in specs}


def _excluded(workspace: Workspace, spec: Capability, clips: pl.DataFrame) -> list[dict[str, Any]]:
    """What each part of the conditions keeps out; a `where` of several parts joined by `and` is taken apart."""
    out: dict[str, pl.Series] = {}
    for name, fulfilled in conditions(workspace, spec, clips).items():
        if name == "where":
            for part in _parts(spec.match.where or ""):
                out[part] = ~matching(clips, part, source=spec_path(workspace, spec))
        else:
            column = name.removesuffix("s")
            for value in clips.filter(~fulfilled)[column].unique().sort().to_list():
                out[f"{column}: {value if value is not None else 'none'}"] = clips[column].eq_missing(value)
    held = np.stack([each.to_numpy() for each in out.values()]) if out else np.zeros((0, len(clips)), bool)
    count = held.sum(axis=0)
    return [
        {"condition": condition, "clips": int(held[at].sum()), "alone": int((held[at] & (count == 1)).sum())}
        for at, condition in enumerate(out)
    ]


def _parts(where: str) -> list[str]:
    """The parts of `a and b and c`; the whole where it is not clearly that, as with `between` or `or`."""
    parts = [part.strip() for part in re.split(r"(?i)\band\b", where)]
    try:
        whole = reduce(and_, [pl.sql_expr(part) for part in parts])
        same = whole.meta.eq(pl.sql_expr(where))
    except (pl.exceptions.PolarsError, ValueError):
        same = False
    return parts if same else [where.strip()]


def _histogram(rows: pl.DataFrame) -> list[dict[str, Any]]:
    similarity = rows["similarity"].to_numpy().astype(np.float64)
    if not len(similarity):
        return []
    edges = np.linspace(similarity.min(), max(similarity.max(), similarity.min() + 1e-6), BINS + 1)
    of = {
        "clips": np.ones(len(rows), bool),
        "matches": rows["matches"].to_numpy(),
        "present": rows["verdict"].eq_missing("present").to_numpy(),
        "absent": rows["verdict"].eq_missing("absent").to_numpy(),
    }
    counts = {name: np.histogram(similarity[inside], edges)[0] for name, inside in of.items()}
    return [
        {
            "low": float(edges[at]),
            "high": float(edges[at + 1]),
            **{name: int(found[at]) for name, found in counts.items()},
        }
        for at in range(BINS)
    ]


def _shown(rows: pl.DataFrame, calibration: dict[str, Any], limit: int) -> pl.DataFrame:
    """Best first; borderline ones are nearest to what decides, half on each side of it where there are as many."""
    ranked = rows.sort(["probability", "similarity", "clip_id"], descending=[True, True, False], nulls_last=True)
    count = len(ranked)
    edge = int(ranked["matches"].sum())
    best = set(range(min(limit, count)))
    worst = set(range(max(count - limit, 0), count)) - best
    near = sorted(set(range(count)) - best - worst, key=lambda at: (abs(at + 0.5 - edge), at))[:limit]
    place = {**dict.fromkeys(worst, "worst"), **dict.fromkeys(near, "borderline"), **dict.fromkeys(best, "best")}
    chosen = sorted(place)
    return ranked[chosen].with_columns(place=pl.Series([place[at] for at in chosen], dtype=pl.String))


def _notes(spec: Capability, clips: pl.DataFrame) -> list[str]:
    """Costly signals that a condition names and that are not measured: it says nothing of those clips yet."""
    named = names_of(spec.match.where)
    notes = []
    for columns in views.MEASURED.values():
        for column in columns:
            missing = clips[column].null_count() if column in named else 0
            if missing:
                notes.append(
                    f"{column} is not known of {missing} clips: `curate collect` measures what conditions need"
                )
    return notes
