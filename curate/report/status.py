"""Where we stand: the facts of a workspace on one screen, and the one thing to do next."""

from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

from curate import views
from curate.catalog import Catalog
from curate.decisions import PROPOSED, decisions
from curate.mixes.load import versions
from curate.report.review import in_doubt
from curate.targets.gaps.coverage import coverage
from curate.workspace import Workspace


@dataclass(frozen=True)
class Status:
    """Facts of a workspace.

    Attributes:
        files: inputs by outcome: ok, filtered, failed.
        footage_h: hours of decoded video.
        clips, kept: clips of the current analysis, and those left when duplicates are out.
        gaps: one dict for each capability, most urgent first (see `curate.targets.gaps.coverage.gaps`).
        slices: one dict for each of their slices (see `slice_gaps` there).
        labels: labels in force by verdict.
        mixes: the newest version of each published mix.
        evaluations: F1@0.5 of each model on the newest evaluated mix, per capability.
        waiting: decisions that are proposed.
        in_doubt: clips that wait for a reviewer.
        next_step: the command that moves the wheel from here.
    """

    files: dict[str, int]
    footage_h: float
    clips: int
    kept: int
    gaps: list[dict[str, Any]]
    slices: list[dict[str, Any]]
    labels: dict[str, int]
    mixes: list[dict[str, Any]]
    evaluations: list[dict[str, Any]]
    waiting: int
    in_doubt: int
    next_step: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def as_text(self) -> str:
        """One screen of plain text."""
        files = ", ".join(f"{count} {name}" for name, count in self.files.items() if count) or "none yet"
        lines = [
            f"footage   {sum(self.files.values())} files ({files}), {self.footage_h:.2f} h",
            f"clips     {self.clips}, {self.kept} kept after duplicates",
            "labels    " + (", ".join(f"{count} {name}" for name, count in self.labels.items()) or "none yet"),
        ]
        if self.in_doubt:
            lines.append(f"review    {self.in_doubt} clips wait for a reviewer")
        for mix in self.mixes:
            lines.append(f"mix       {mix['name']} {mix['revision']}: {mix['rows']} clips")
        if self.gaps:
            lines += [
                "",
                f"{'capability':<20}{'have':>6}{'target':>8}{'missing':>9}{'expected':>10}{'score':>7}{'floor':>7}"
                f"{'priority':>10}",
            ]
        for row in self.gaps:
            lines.append(
                f"{row['capability']:<20}{row['positives']:>6}{row['target']:>8}{row['gap_clips']:>9}"
                f"{_figure(row['candidates'], '.0f'):>10}{_figure(row['evaluation'], '.2f'):>7}{row['floor']:>7.2f}"
                f"{row['priority']:>10.2f}"
            )
        return "\n".join([*lines, "", f"next: {self.next_step}"])


def status(workspace: Workspace) -> Status:
    """Reads where the workspace stands. Writes nothing."""
    catalog = workspace.catalog
    files = views.outcome_counts(catalog, "collect")
    clips = views.clips(catalog).collect()
    kept = views.kept_clips(catalog).select(pl.len()).collect().item()
    labels = dict(views.labels(catalog).group_by("verdict").len().sort("verdict").collect().iter_rows())
    published = [versions(workspace, name) for name in workspace.mixes()]
    newest = [asdict(found[-1]) for found in published if found]
    supply = coverage(workspace)
    found = supply.capabilities.to_dicts()
    evaluations = _newest_evaluations(catalog)
    waiting = len(decisions(catalog, status=[PROPOSED]))
    doubt = sum(in_doubt(catalog).values())
    step = next_step(waiting, sum(files.values()), sum(labels.values()), newest, evaluations, found, in_doubt=doubt)
    return Status(
        files=files,
        footage_h=float(clips.unique("video_id")["video_duration_s"].sum()) / 3600,
        clips=clips.height,
        kept=kept,
        gaps=found,
        slices=supply.slices.to_dicts(),
        labels=labels,
        mixes=newest,
        evaluations=evaluations,
        waiting=waiting,
        in_doubt=doubt,
        next_step=step,
    )


def _newest_evaluations(catalog: Catalog) -> list[dict[str, Any]]:
    rows = views.evaluations(catalog).filter(pl.col("metric") == "f1@0.5").sort("written_at").collect()
    same_mix = ["mix", "revision", "split"]
    shown = ("model", *same_mix, "capability", "value", "low", "high", "videos", "segments")
    return rows.join(rows.tail(1).select(same_mix), on=same_mix).sort("capability", "model").select(shown).to_dicts()


def _figure(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def next_step(
    waiting: int,
    files: int,
    labels: int,
    mixes: list[dict],
    evaluations: list[dict],
    gaps: list[dict[str, Any]],
    *,
    in_doubt: int = 0,
) -> str:
    """The command that moves the wheel, from counts of what there is and the gaps, most urgent first."""
    if waiting:
        return (
            "one decision waits: `curate decisions`"
            if waiting == 1
            else f"{waiting} decisions wait: `curate decisions`"
        )
    if not files:
        return "`curate collect` reads the footage of configs/sources/"
    if not labels:
        return "`curate label up`, then `curate label push` sends the clips most worth a label"
    if in_doubt:
        clips = "one clip is" if in_doubt == 1 else f"{in_doubt} clips are"
        return (
            f"{clips} in doubt: `curate label adjudicate` asks a reviewer, `curate label pull` fetches what they settle"
        )
    if not mixes:
        return "`curate mix build NAME` publishes a first version from the labels"
    if not evaluations:
        return f"`curate train {mixes[0]['name']}`, then `curate evaluate {mixes[0]['name']} --model PATH`"
    for row in gaps:
        if row["gap_clips"]:
            supply = row["matches"] if row["candidates"] is None else row["candidates"]
            return _to_fill(row["capability"], there=supply >= 1)
    return "all targets are met; raise one, or add a capability"


def _to_fill(capability: str, *, there: bool) -> str:
    """What fills a gap: labels where footage that shows it is there, else footage."""
    if there:
        return f"`curate label push {capability}` fills the most urgent gap"
    return f"`curate collect --for {capability}` looks for the most urgent gap: no clip left to label seems to show it"
