"""What a campaign came to: hours, clips, what a useful one cost, which folders paid, and what is left."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.stats import gamma

from curate.analyze.collect import CollectSummary
from curate.catalog import Catalog
from curate.decisions import Decision
from curate.targets.collection.archive import Archive
from curate.targets.collection.bandit import Footage, Posterior
from curate.targets.collection.supply import Supply, standing_for_others

_DRAWS = 1000
_LOW, _HIGH = 0.025, 0.975


@dataclass(frozen=True)
class Rest:
    """What footage is expected to hold: useful `clips` in `hours`, of which a part is estimated by file size; 95%."""

    files: int
    hours: float
    clips: float
    clips_low: float
    clips_high: float


@dataclass(frozen=True)
class ArmYield:
    """What a folder has paid, and what is left in it.

    Attributes:
        arm: source and folder.
        files, hours: analysed, in this campaign.
        clips: useful ones found in them.
        clips_per_h: of those hours, with its 95% interval; None where nothing was analysed.
        left: what waits, copies aside.
    """

    arm: str
    files: int
    hours: float
    clips: float
    clips_per_h: float | None
    clips_per_h_low: float | None
    clips_per_h_high: float | None
    left: Rest


@dataclass(frozen=True)
class CampaignSummary:
    """What a campaign came to, all its runs together where nothing else is said.

    Attributes:
        stopped: why there was no further round.
        rounds: of this run.
        analysed_files, analysed_h, failed: what was decoded; failures and their reasons are in the outcomes.
        looked_files, looked_h: whose keyframes were looked at.
        copies, not_reached: files left, as near copies or because the campaign was over.
        clips: new ones, useful or not.
        useful_clips: new, kept and eligible: the sum of their probabilities where `calibrated`, else those that match.
        expected_positives: None where labels gave no probabilities.
        matches: of the useful ones.
        hours_per_useful_clip: footage analysed for one; None where there is none.
        machine_s_per_useful_clip: of a core.
        seconds, seconds_per_useful_clip: by the clock, of this run and what it found.
        target, positives, expected, missing: of the capability, now.
        short: clips missing in each slice below its floor, of those that footage can fill.
        arms: best first.
        rest: what waits.
        collect: the files of the sources, as `curate collect` counts them.
    """

    capability: str
    spec_version: str
    decision_id: str
    run_id: str
    stopped: str
    rounds: int
    budget_h: float | None
    analysed_files: int
    analysed_h: float
    failed: int
    looked_files: int
    looked_h: float
    copies: int
    not_reached: int
    clips: int
    calibrated: bool
    useful_clips: float
    expected_positives: float | None
    matches: int
    hours_per_useful_clip: float | None
    machine_s_per_useful_clip: float | None
    seconds: float
    seconds_per_useful_clip: float | None
    target: int
    positives: int
    expected: float
    missing: float
    short: dict[str, float]
    arms: Sequence[ArmYield]
    rest: Rest
    collect: CollectSummary


def rest_of(posterior: Posterior, footage: Footage, which: np.ndarray, rng: np.random.Generator) -> Rest:
    """What some files, bool [n], are expected to hold."""
    return _rests(posterior, footage, which, np.zeros(len(posterior.arms.names), dtype=np.int64), rng)[0]


def arm_yields(archive: Archive, posterior: Posterior, clips: pl.DataFrame, rng: np.random.Generator) -> list[ArmYield]:
    """The arms, those that paid most first, then those that may.

    Args:
        clips: video_id and `value` of the useful clips that the campaign has found.
    """
    footage, arms = archive.footage, archive.arms
    which = np.zeros(len(archive.files), dtype=bool)
    which[archive.open_files()] = True
    rests = _rests(posterior, footage, which, np.arange(len(arms.names)), rng)
    hours = dict(archive.analysed().iter_rows())
    value = dict(clips.group_by("video_id").agg(pl.col("value").sum()).iter_rows())
    files, spent_h, found = np.zeros((3, len(arms.names)))
    for at, file in enumerate(archive.files):
        if file.video_id in hours:
            files[footage.arm[at]] += 1
            spent_h[footage.arm[at]] += hours[file.video_id] / 3600
            found[footage.arm[at]] += value.get(file.video_id, 0.0)
    rows = []
    for arm, name in enumerate(arms.names):
        rate = _rate(found[arm], spent_h[arm], posterior.per_file)
        rows.append(ArmYield(name, int(files[arm]), float(spent_h[arm]), float(found[arm]), *rate, rests[arm]))
    return sorted(rows, key=lambda row: (-row.clips, -row.left.clips, row.arm))


def account(
    catalog: Catalog,
    archive: Archive,
    posterior: Posterior,
    clips: pl.DataFrame,
    now: Supply,
    collected: CollectSummary,
    rng: np.random.Generator,
    *,
    capability: str,
    spec_version: str,
    decision_id: str,
    stopped: str,
    rounds: int,
    budget_h: float | None,
    seconds: float,
    useful_before: float,
) -> CampaignSummary:
    """Sums up.

    Args:
        clips: rows of `curate.targets.collection.supply.worth`.
        now: the supply of the capability.
        useful_before: useful clips that earlier runs of the campaign had found.
    """
    analysed, looked = archive.analysed(), archive.looked_at()
    useful = useful_clips(catalog, archive, clips)
    found, hours = float(useful["value"].sum()), float(analysed["duration_s"].sum()) / 3600
    this_run = found - useful_before
    arms = arm_yields(archive, posterior, useful, rng)
    which = np.zeros(len(archive.files), dtype=bool)
    which[archive.open_files()] = True
    return CampaignSummary(
        capability=capability,
        spec_version=spec_version,
        decision_id=decision_id,
        run_id=collected.run_id,
        stopped=stopped,
        rounds=rounds,
        budget_h=budget_h,
        analysed_files=len(analysed),
        analysed_h=hours,
        failed=archive.failed(),
        looked_files=len(looked),
        looked_h=float(looked["duration_s"].sum()) / 3600,
        copies=len(archive.copies),
        not_reached=int(which.sum()),
        clips=archive.new_clips(),
        calibrated=now.calibrated,
        useful_clips=found,
        expected_positives=found if now.calibrated else None,
        matches=int(useful["matches"].sum()),
        hours_per_useful_clip=_per(hours, found),
        machine_s_per_useful_clip=_per(archive.machine_s(), found),
        seconds=seconds,
        seconds_per_useful_clip=_per(seconds, this_run),
        target=now.target,
        positives=now.positives,
        expected=now.expected,
        missing=now.missing,
        short=now.short,
        arms=arms,
        rest=rest_of(posterior, archive.footage, which, rng),
        collect=collected,
    )


def useful_clips(catalog: Catalog, archive: Archive, clips: pl.DataFrame) -> pl.DataFrame:
    """The rows of `worth` that a campaign has found and that are new: none takes the place of an earlier one."""
    videos = set(archive.analysed()["video_id"])
    known = standing_for_others(catalog, videos)
    return clips.filter(pl.col("video_id").is_in(list(videos)), ~pl.col("clip_id").is_in(list(known)))


def as_text(done: CampaignSummary) -> str:
    """What a person reads."""
    unit = "expected positives" if done.calibrated else "matches, no probabilities: label some"
    lines = [
        f"Collected for {done.capability}: {done.stopped}.",
        f"  analysed    {done.analysed_h:.3g} h in {done.analysed_files} files, {done.rounds} rounds in this run"
        + (f"; budget {done.budget_h:g} h" if done.budget_h is not None else "")
        + (f"; {done.failed} failed" if done.failed else ""),
        f"  looked at   {done.looked_h:.3g} h through keyframes, {done.looked_files} files",
        f"  found       {done.useful_clips:.3g} useful clips of {done.clips} ({unit})",
        f"  cost        {_cost(done)}",
        f"  capability  {done.positives} labelled and {done.expected:.3g} expected of {done.target}: "
        + (f"{done.missing:.3g} missing" if done.missing else "nothing is missing")
        + "".join(f"; {name} {clips:.3g} short" for name, clips in done.short.items()),
        f"  left        {done.rest.files} files, about {done.rest.hours:.3g} h, expected to hold {done.rest.clips:.2g} "
        f"useful clips ({done.rest.clips_low:.2g} to {done.rest.clips_high:.2g})"
        + (f"; {done.copies} near copies aside" if done.copies else ""),
    ]
    return "\n".join(lines)


def arms_table(arms: Sequence[ArmYield]) -> pl.DataFrame:
    """The arms as a table for people."""
    rows = [
        {
            "arm": row.arm,
            "files": row.files,
            "hours": row.hours,
            "useful": row.clips,
            "useful_per_h": row.clips_per_h,
            "interval": _interval(row.clips_per_h_low, row.clips_per_h_high),
            "files_left": row.left.files,
            "hours_left": row.left.hours,
            "expected_left": row.left.clips,
            "left_interval": _interval(row.left.clips_low, row.left.clips_high),
        }
        for row in arms
    ]
    return pl.DataFrame(rows, schema_overrides={"useful_per_h": pl.Float64, "interval": pl.String})


def _rests(
    posterior: Posterior, footage: Footage, which: np.ndarray, group: np.ndarray, rng: np.random.Generator
) -> list[Rest]:
    """`Rest` for each group of arms; `group` int [arms]."""
    draws = posterior.draw(rng, _DRAWS)
    exposure = posterior.promise[:, which] * footage.hours[which]
    number = len(posterior.arms.names)
    by_arm = np.stack([np.bincount(footage.arm[which], row, number) for row in exposure])
    held = rng.poisson(draws.rate * by_arm[draws.curve] / posterior.per_file) * posterior.per_file
    files, hours = (
        np.bincount(footage.arm[which], minlength=number),
        np.bincount(footage.arm[which], footage.hours[which], number),
    )
    mean = np.bincount(footage.arm[which], (posterior.expected(footage.arm) * footage.hours)[which], number)
    found = []
    for one in range(int(group.max(initial=-1)) + 1):
        inside = group == one
        low, high = np.quantile(held[:, inside].sum(axis=1), [_LOW, _HIGH])
        sums = [float(values[inside].sum()) for values in (files, hours, mean)]
        found.append(Rest(int(sums[0]), sums[1], sums[2], float(low), float(high)))
    return found


def _rate(found: float, hours: float, per_file: float) -> tuple[float | None, float | None, float | None]:
    """Clips an hour, and the 95% interval of Jeffreys' prior, where clips come in files of `per_file`."""
    if not hours:
        return None, None, None
    low, high = gamma.ppf([_LOW, _HIGH], found / per_file + 0.5) * per_file / hours
    return found / hours, float(low) if found else 0.0, float(high)


def _per(cost: float, clips: float) -> float | None:
    return cost / clips if clips > 0 else None


def _cost(done: CampaignSummary) -> str:
    if done.hours_per_useful_clip is None:
        return f"{done.seconds:.3g} s, and no useful clip"
    said = [f"{done.hours_per_useful_clip:.3g} h of footage a useful clip"]
    if done.machine_s_per_useful_clip:
        said.append(f"{done.machine_s_per_useful_clip:.3g} s of a core")
    if done.seconds_per_useful_clip:
        said.append(f"{done.seconds_per_useful_clip:.3g} s by the clock in this run")
    return ", ".join(said)


def _interval(low: float | None, high: float | None) -> str | None:
    return None if low is None or high is None else f"{_short(low)} to {_short(high)}"


def _short(value: float) -> str:
    return f"{value:.2g}" if value < 100 else f"{value:,.0f}"


def proposal_text(proposed: Decision) -> str:
    """What a person reads before they approve a collection."""
    plan, said, cost = proposed.plan, proposed.evidence, proposed.cost
    lines = [
        f"Proposed: collect for {proposed.subject} ({proposed.decision_id})",
        f"  missing     {said['missing']:.3g} clips: {said['positives']} labelled and {said['expected']:.3g} expected "
        f"of {said['target']}" + ("" if said["calibrated"] else " (matches, no probabilities)"),
        f"  sources     {', '.join(plan['sources'])}",
        f"  would take  {said['files']} files, {cost['decode_h']:.3g} h of footage"
        + (f" of a budget of {plan['budget_h']:g} h" if plan["budget_h"] is not None else "")
        + (f", {cost['machine_h']:.3g} h of a core" if cost["machine_h"] is not None else ""),
        f"  would find  {said['clips']:.3g} useful clips ({said['clips_low']:.3g} to {said['clips_high']:.3g})",
    ]
    if said["first"]:
        lines.append(f"  begins with {', '.join(said['first'][:5])}" + (" ..." if said["first"][5:] else ""))
    if said["stops_at_once"]:
        lines.append(f"  would stop at once: {said['stops_at_once']}")
    return "\n".join([*lines, f"To go on: curate approve {proposed.decision_id} --why ..."])
