"""The interval of how many unlabelled clips show a capability holds the truth at its stated rate, and is narrow.

    python -m benchmarks.gap_estimates [--quick] [--json]

50 archives of the sample world's clips (`benchmarks.gap_archives`), as its CLIP sees them and as two worse models
would: 400 to 2,500 clips, of which 1, 5 or 30% show a capability, are scored, labelled in rounds of 40 as `choose`
says, and scored again; after each round the interval that `curate gaps` gives for all clips, and for each source, color
and condition, is held against the truth. Beside them stand archives of drawn scores, 30 of each kind, with what is
hard: poor scores, positives that look like nothing, a source that misleads.

The figure is the share of intervals of all unlabelled clips that hold, over both, stated at 0.95. Widths are beside
those of a binomial interval (Clopper and Pearson) from the audits alone, as a survey without scores would give.
"""

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy.stats import beta

from benchmarks.claim import Result, main
from benchmarks.gap_archives import KINDS, NOISES, Footage, Scored, Take, draw_pool, drawn, footage, label_round
from curate.sample.scenes import ACTIONS
from curate.targets.choosing.choose import choose
from curate.targets.gaps.coverage import coverage
from curate.targets.gaps.estimate import LEAST_LABELS, Clips, count, estimate
from curate.targets.scoring.score import score
from curate.views import labels

SHARES = (0.01, 0.05, 0.3)
_POOL_SEED = 4100
_SEED = 41
_BUDGET = 40
_TARGET = 0.93


@dataclass(frozen=True)
class Case:
    """An archive of the sample world: which (of NOISES), of what, and how many show it."""

    of: str
    capability: str
    share: float


@dataclass(frozen=True)
class Held:
    """One interval against the truth; `plain` is the width of the interval from the audits alone."""

    of: str
    part: str
    share: float
    low: float
    high: float
    truth: int
    plain: float | None = None

    @property
    def holds(self) -> bool:
        return self.low <= self.truth <= self.high


def measure(quick: bool) -> Result:
    archives, rounds, each, pool = (6, 3, 2, 100) if quick else (50, 4, 30, 600)
    takes = draw_pool(pool, _POOL_SEED)
    found: list[Held] = []
    for at in range(archives):
        of, share = list(NOISES)[at // len(SHARES) % len(NOISES)], SHARES[at % len(SHARES)]
        case = Case(of, ACTIONS[(at + at // len(ACTIONS)) % len(ACTIONS)], share)
        random = np.random.default_rng([_SEED, at])
        with tempfile.TemporaryDirectory() as directory:
            found += _of_sample(takes, case, Path(directory) / "w", rounds, random)
    for kind in KINDS:
        for at in range(each):
            random = np.random.default_rng([_SEED, at, *kind.encode()])
            found += _of_scores(kind, SHARES[at % len(SHARES)], rounds, random)
    whole = [held for held in found if held.part == "all"]
    return Result(
        value=float(np.mean([held.holds for held in whole])),
        unit=f"of {len(whole)} intervals stated at 0.95 hold, at {_width(whole):.2f} of the plain interval's width",
        target=_TARGET,
        at_most=False,
        rows=_rows(found),
        notes=f"{archives} archives of the sample world, {each} of each kind of drawn scores, {rounds} rounds of"
        f" {_BUDGET} labels; width: median, as a share of a binomial interval's from the audits alone",
    )


def _of_sample(
    takes: list[Take], case: Case, directory: Path, rounds: int, random: np.random.Generator
) -> Iterable[Held]:
    capability = case.capability
    clips = int(random.choice([400, 1000, 2500]))
    made = footage(takes, capability, case.share, clips, directory, random, noise=NOISES[case.of])
    catalog = made.workspace.catalog
    score(made.workspace)
    audits: list[str] = []
    for number in range(rounds):
        picked = choose(made.workspace, capability, _BUDGET, seed=number)
        orders = picked.select("clip_id", "reason", "inclusion").with_columns(capability=pl.lit(capability))
        catalog.write("orders", orders, run_id="benchmark")
        catalog.write("labels", [made.label(capability, clip) for clip in picked["clip_id"]], run_id="benchmark")
        score(made.workspace)
        audits += picked.filter(pl.col("inclusion").is_not_null())["clip_id"].to_list()
        yield from _of_workspace(made, case, audits)


def _of_workspace(made: Footage, case: Case, audits: list[str]) -> Iterable[Held]:
    """What `curate gaps` says of a workspace now, against its truth."""
    done = set(labels(made.workspace.catalog).collect()["clip_id"])
    open_ = {clip: take for clip, take in made.takes.items() if clip not in done}
    showing = {clip: take for clip, take in open_.items() if take.action == case.capability}
    source = dict(made.workspace.catalog.read("videos")["video_id", "source"].iter_rows())
    clips = made.workspace.catalog.read("clips")
    video, start_s = dict(clips["clip_id", "video_id"].iter_rows()), dict(clips["clip_id", "start_s"].iter_rows())
    found = coverage(made.workspace)
    [row] = found.capabilities.iter_rows(named=True)
    if row["candidates"] is not None:
        hits = sum(made.takes[clip].action == case.capability for clip in audits)
        plain = _plain(hits, len(audits), len(open_))
        yield Held(case.of, "all", case.share, row["candidates_low"], row["candidates_high"], len(showing), plain)
    for part in found.slices.filter(pl.col("candidates").is_not_null()).iter_rows(named=True):
        if part["slice"] == "source":
            truth = sum(source[video[clip]] == part["value"] for clip in showing)
        elif part["value"]:
            truth = sum(take.fields[part["slice"]] == part["value"] for take in showing.values())
        else:
            truth = sum(start_s[clip] < 15 for clip in showing)
        yield Held(case.of, part["slice"], case.share, part["candidates_low"], part["candidates_high"], truth)


def _of_scores(kind: str, share: float, rounds: int, random: np.random.Generator) -> Iterable[Held]:
    made = drawn(kind, share, int(random.choice([300, 1000, 3000])), random)
    for _ in range(rounds):
        label_round(made, _BUDGET, random)
        told = int(made.audit.sum())
        if told < LEAST_LABELS:
            continue
        guess = estimate(_clips(made))
        open_ = ~made.labelled
        plain = _plain(int(made.truth[made.audit].sum()), told, int(open_.sum()))
        whole = count(guess.draws)
        yield Held(kind, "all", share, whole.low, whole.high, int(made.truth[open_].sum()), plain)
        for source in np.unique(made.source):
            inside = made.source == source
            part = count(guess.slice_draws(inside))
            yield Held(kind, "source", share, part.low, part.high, int(made.truth[open_ & inside].sum()))


def _clips(made: Scored) -> Clips:
    verdict = np.where(made.labelled, made.truth, -1).astype(np.int8)
    way = (made.labelled & ~made.audit).astype(np.int8)
    return Clips(made.score, made.source, made.group, verdict, made.labelled, way, np.ones(len(verdict), bool))


def _plain(hits: int, audits: int, clips: int) -> float | None:
    """The width of the binomial interval of the audits' share, in clips."""
    if not audits:
        return None
    low = beta.ppf(0.025, hits, audits - hits + 1) if hits else 0.0
    high = beta.ppf(0.975, hits + 1, audits - hits) if hits < audits else 1.0
    return float(high - low) * clips


def _rows(found: list[Held]) -> list[dict[str, Any]]:
    """How many hold, how wide: for each kind of archive and part of it, and for all clips by share of positives."""
    groups: dict[tuple[str, str, str], list[Held]] = {}
    for held in found:
        groups.setdefault((held.of, held.part, "any"), []).append(held)
        if held.part == "all":
            kind = "sample worlds" if held.of in NOISES else "drawn scores"
            groups.setdefault((kind, "all", f"{held.share:g}"), []).append(held)
    return [
        {
            "archives": key[0],
            "part": key[1],
            "share": key[2],
            "intervals": len(some),
            "hold": float(np.mean([held.holds for held in some])),
            "too_high": float(np.mean([held.low > held.truth for held in some])),
            "too_low": float(np.mean([held.high < held.truth for held in some])),
            "truth": float(np.median([held.truth for held in some])),
            "width_clips": float(np.median([held.high - held.low for held in some])),
            "width": _width(some),
        }
        for key, some in sorted(groups.items(), key=lambda item: (not item[0][0].startswith("sample"), *item[0]))
    ]


def _width(some: list[Held]) -> float | None:
    """The median width, against the plain interval's."""
    widths = [(held.high - held.low) / held.plain for held in some if held.plain]
    return float(np.median(widths)) if widths else None


if __name__ == "__main__":
    main("gap_estimates", measure)
