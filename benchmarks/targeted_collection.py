"""Targeted collection: footage analysed for a useful clip by `collect --for`, against file order and random order.

    python -m benchmarks.targeted_collection [--quick] [--json]

A pool of short videos is rendered (`benchmarks/skewed.py`), collected once as a user would, and archives of thousands
of files are drawn from it, in folders whose yields are skewed, one source that misleads keyframes and one that hides
from them. On each, campaigns run as `collect_for` runs them, by the same code (`curate.targets.collection.rounds`):
what analysing a file brings is looked up in the pool. A campaign learns from its own scores, without any label. What is
useful is decided by the truth alone: a clip counts that shows the thing for half a second. The target is half of all
that the archive holds, and the figure is the footage analysed until 90% of the target is there, with the keyframes
looked at as their measured share, over what random order analyses for it (the mean of 200 shuffles).

The figure of the claim is the worst of the medians over archives of the scene (night) and of the event (an object
hides), which keyframes mostly miss.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
import yaml

from benchmarks.claim import Result, main
from benchmarks.skewed import EVENT, SCENE, Planned, Video, plan_archive, plan_pool, render_pool
from benchmarks.triage import SCENE_CAPABILITY, cost_of_looking
from curate.analyze.collect import collect
from curate.progress import silent
from curate.sources.files import find_files, identify
from curate.targets.collection.aim import Aim
from curate.targets.collection.arms import arms_of
from curate.targets.collection.bandit import Footage
from curate.targets.collection.rounds import Open, choose, hours_of_round
from curate.targets.scoring.level import find_level
from curate.targets.scoring.score import score
from curate.workspace import Workspace, create_workspace

TARGET, FOUND = 0.5, 0.9
_SHOWN_S = 0.5
_LEAST_FILES = 4
"""Files of the smallest round: two for each of two cores."""
_SHUFFLES = 200
_POOL_SEED = 7


@dataclass(frozen=True)
class Held:
    """A video of the pool for one thing: hours, its keyframes' similarities, its clips', and which of those show it."""

    hours: float
    look: np.ndarray
    similarity: np.ndarray
    shows: np.ndarray


class Simulated:
    """An archive whose files are videos of the pool."""

    def __init__(self, archive: Sequence[Planned], held: Sequence[Held]) -> None:
        self.arms = arms_of(planned.item for planned in archive)
        self.of = [held[planned.video] for planned in archive]
        self.hours = np.array([video.hours for video in self.of])
        self.useful = np.array([video.shows.sum() for video in self.of], dtype=float)
        self._arm = np.array([self.arms.of_item[planned.item] for planned in archive])
        self._looks: list[np.ndarray | None] = [None] * len(archive)
        self.done, self._found = np.zeros(len(archive), dtype=bool), np.zeros(len(archive))

    @property
    def footage(self) -> Footage:
        return Footage(self._arm, self.hours, self._looks, self.done, self._found)

    def open(self) -> Open:
        looked = np.array([look is not None for look in self._looks], dtype=bool)
        return Open(looked=looked & ~self.done, unseen=~looked & ~self.done)

    def look(self, places: Sequence[int]) -> None:
        for at in places:
            self._looks[at] = self.of[at].look

    def set_copies_aside(self, ranked: Sequence[int]) -> set[int]:
        return set()

    def analyse(self, places: Sequence[int]) -> None:
        """Takes files, and counts anew what matches, at the level that all clips so far suggest."""
        self.done[list(places)] = True
        done = np.flatnonzero(self.done)
        level = find_level(np.concatenate([self.of[at].similarity for at in done]))
        for at in done if level is not None else ():
            self._found[at] = (self.of[at].similarity >= level).sum()

    @property
    def matches(self) -> float:
        return float(self._found[self.done].sum())

    @property
    def looked_h(self) -> float:
        return float(self.hours[[look is not None for look in self._looks]].sum())


@dataclass(frozen=True)
class Run:
    """Hours of a campaign until FOUND of the target was there, looks at their share included; and where it stopped."""

    hours: float
    looked_h: float
    stopped_h: float
    stopped_found: float


def campaign(archive: Sequence[Planned], held: Sequence[Held], target: float, look_share: float, seed: int) -> Run:
    """Runs until FOUND of the target is there by the truth, and until the campaign itself would stop."""
    pool, rounds = Simulated(archive, held), 0
    wanted, found, hours = FOUND * target, 0.0, 0.0
    reached, stopped = None, None
    while reached is None or stopped is None:
        spent_h = float(pool.hours[pool.done].sum())
        missing = target - pool.matches
        if stopped is None and (missing <= 0 or pool.done.all()):
            stopped = (spent_h, float(pool.useful[pool.done].sum()) / target)
        if (reached is not None and stopped is not None) or pool.done.all():
            break
        least_h = _LEAST_FILES * float(np.median(pool.hours))
        hours_now = hours_of_round(spent_h, least_h, None)
        most = missing if missing > 0 else wanted - found
        batch = choose(pool, hours_now, np.random.default_rng([seed, rounds]), least_h=least_h, most=most)
        for at in batch:
            hours, found = hours + pool.hours[at], found + pool.useful[at]
            if reached is None and found >= wanted - 1e-9:
                reached = (hours + look_share * pool.looked_h, pool.looked_h)
        pool.analyse(batch)
        rounds += 1
    assert reached is not None and stopped is not None
    return Run(*reached, *stopped)


def hours_until(order: np.ndarray, hours: np.ndarray, useful: np.ndarray, wanted: float) -> float:
    """Hours of the files up to the one with which so many useful clips are there."""
    reached = np.searchsorted(np.cumsum(useful[order]), wanted - 1e-9)
    return float(np.cumsum(hours[order])[reached])


def measure(quick: bool) -> Result:
    torch.set_num_threads(1)
    each, poor, files, archives = (2, 6, 4000, 3) if quick else (16, 40, 4000, 15)
    pool = plan_pool(each, poor, _POOL_SEED)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        workspace = workspace_of(Path(scratch) / "pool")
        render_pool(workspace.root / "footage", pool)
        collect(workspace)
        score(workspace, [SCENE, EVENT])
        look_share = cost_of_looking(Path(scratch), 6.0, workspace.analysis(), quick)["triage_of_decoding"]
        for thing in (SCENE, EVENT):
            held = held_of(workspace, pool, thing)
            rows += [_row(pool, held, thing, files, seed, look_share) for seed in range(1, archives + 1)]
    medians = {
        thing: float(np.median([row["of_random"] for row in rows if row["thing"] == thing])) for thing in (SCENE, EVENT)
    }
    return Result(
        value=max(medians.values()),
        unit="of what random order analyses for a useful clip",
        target=0.25,
        at_most=True,
        rows=rows,
        notes=f"Medians over archives: {', '.join(f'{thing} {value:.3f}' for thing, value in medians.items())}. "
        f"Looking at keyframes costs {look_share:.3f} of decoding. `stopped_found` is the share of the target that was "
        "there, by the truth, when the campaign stopped by itself: it counts matches, which are not all right.",
    )


def _row(pool: Sequence[Video], held: Sequence[Held], thing: str, files: int, seed: int, look_share: float) -> dict:
    archive = plan_archive(pool, thing, files, seed)
    of = [held[planned.video] for planned in archive]
    hours, useful = np.array([video.hours for video in of]), np.array([video.shows.sum() for video in of])
    target = TARGET * float(useful.sum())
    rng = np.random.default_rng([seed, 47])
    random_h = np.mean([hours_until(rng.permutation(len(of)), hours, useful, FOUND * target) for _ in range(_SHUFFLES)])
    in_order_h = hours_until(np.arange(len(of)), hours, useful, FOUND * target)
    best = np.argsort(-useful / hours, kind="stable")
    run = campaign(archive, held, target, look_share, seed)
    return {
        "thing": thing,
        "archive": seed,
        "files": len(of),
        "hours": float(hours.sum()),
        "useful_clips": int(useful.sum()),
        "hours_per_clip": run.hours / (FOUND * target),
        "hours_per_clip_random": float(random_h) / (FOUND * target),
        "hours_per_clip_in_order": in_order_h / (FOUND * target),
        "of_random": run.hours / float(random_h),
        "of_in_order": run.hours / in_order_h,
        "possible_of_random": hours_until(best, hours, useful, FOUND * target) / float(random_h),
        "looked_at": run.looked_h / float(hours.sum()),
        "stopped_h": run.stopped_h,
        "stopped_found": run.stopped_found,
    }


def held_of(workspace: Workspace, pool: Sequence[Video], thing: str) -> list[Held]:
    """What the catalog and the truth say of each video of the pool."""
    files = identify(workspace.catalog, find_files(workspace, workspace.sources().values()), "benchmark", silent)
    by_name = {Path(file.path).name: file.video_id for file in files}
    seen = Aim(workspace, workspace.capability(thing), "benchmark").look(files)
    scores = workspace.catalog.scan("scores").filter(pl.col("capability") == thing).select("clip_id", "similarity")
    clips = workspace.catalog.scan("clips").join(scores, on="clip_id").sort("start_s").collect()
    found = []
    for video in pool:
        own = clips.filter(pl.col("video_id") == by_name[video.file])
        spans = video.shown if video.thing == thing else ()
        shows = [
            any(min(end, last) - max(start, first) >= _SHOWN_S for first, last in spans)
            for start, end in own.select("start_s", "end_s").iter_rows()
        ]
        look = seen[by_name[video.file]].similarities
        found.append(Held(video.length_s / 3600, look, own["similarity"].to_numpy(), np.array(shows, dtype=bool)))
    return found


def workspace_of(directory: Path) -> Workspace:
    """A workspace of the sample model that looks for both things in ./footage."""
    workspace = create_workspace(directory, sample=True)
    (workspace.configs / "capabilities" / f"{SCENE}.yaml").write_text(yaml.safe_dump(SCENE_CAPABILITY))
    return workspace


if __name__ == "__main__":
    main("targeted_collection", measure)
