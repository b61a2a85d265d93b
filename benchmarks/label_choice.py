"""A model learns as much from fewer labels where `choose` picks the clips: the labels it takes against random choice.

    python -m benchmarks.label_choice [--quick] [--json]

Rounds are simulated on the sample world: clips are chosen for each of its nine capabilities, the truth labels them,
scores are calibrated again, and clips are chosen again. After each round the reference segmenter is trained from the
start on all labels so far, by one recipe whatever chose them, and measured on all clips of other videos (F1 at tIoU
0.5). Beside `choose` stand `random`, uniform over the clips that could be labelled, and `top score`, the best scores.

The figure: the labels for each capability with which the curve of `choose` reaches what random has at its full budget,
as a share of that budget; the mean over capabilities, of curves averaged over worlds, made monotone (isotonic
regression) and interpolated. The interval is bootstrapped over worlds and capabilities.

Clips and recipe are those of `benchmarks/label_rounds.py`.
"""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import torch
from scipy.optimize import isotonic_regression

from benchmarks.claim import Result, main
from benchmarks.label_rounds import (
    RECIPE,
    TEST_SEED,
    Shown,
    definitions,
    draw_world,
    training_examples,
    workspace_of,
)
from benchmarks.processes import processes
from curate import views
from curate.evaluation.evaluate import measured
from curate.model.fit import fit
from curate.model.predict import trained
from curate.sample.scenes import ACTIONS
from curate.targets.choosing.choose import choose
from curate.targets.scoring.score import score
from curate.workspace import Workspace

POLICIES = ("choose", "random", "top score")
RARE = ("collide", "hide", "change_color")
_TARGET = 0.6
_RESAMPLES = 1000


@dataclass(frozen=True)
class Setup:
    """How much is simulated.

    Attributes:
        seeds: of the worlds that clips are chosen from.
        pool_videos, test_videos: of each of those worlds, and of the one that measures.
        rounds: labels for each capability after each round.
        capabilities: that are labelled, learnt and measured.
    """

    seeds: tuple[int, ...]
    pool_videos: int
    test_videos: int
    rounds: tuple[int, ...]
    capabilities: tuple[str, ...] = ACTIONS


FULL = Setup(seeds=(11, 12, 13, 14, 15), pool_videos=200, test_videos=200, rounds=(10, 20, 40, 80, 160))
QUICK = Setup(seeds=(11,), pool_videos=60, test_videos=30, rounds=(8, 24), capabilities=("bounce", *RARE))


def choose_in_rounds(
    policy: str, clips: Sequence[Shown], seed: int, directory: Path, setup: Setup
) -> list[list[tuple[str, str]]]:
    """The (clip, capability) pairs that are labelled after each round, the truth having answered each."""
    torch.set_num_threads(1)
    workspace = workspace_of(directory, clips, setup.capabilities)
    by_id = {clip.clip_id: clip for clip in clips}
    rng = np.random.default_rng(seed)
    labelled: list[tuple[str, str]] = []
    after: list[list[tuple[str, str]]] = []
    for number, (before, until) in enumerate(pairwise((0, *setup.rounds))):
        rows, orders = [], []
        for capability in setup.capabilities:
            picked = _picked(policy, workspace, capability, until - before, seed + number, rng)
            orders += [
                {**row, "capability": capability, "decision_id": str(number)} for row in picked.iter_rows(named=True)
            ]
            rows += [by_id[clip_id].label(capability, number) for clip_id in picked["clip_id"]]
        workspace.catalog.write("orders", orders, run_id="benchmark")
        workspace.catalog.write("labels", rows, run_id="benchmark")
        labelled += [(row["clip_id"], row["capability"]) for row in rows]
        after.append(list(labelled))
        if policy == "choose":
            score(workspace)
    shutil.rmtree(directory)
    return after


def _picked(
    policy: str, workspace: Workspace, capability: str, count: int, seed: int, rng: np.random.Generator
) -> pl.DataFrame:
    """clip_id, reason, inclusion of the next clips to label."""
    if policy == "choose":
        return choose(workspace, capability, count, seed=seed).select("clip_id", "reason", "inclusion")
    catalog = workspace.catalog
    done = views.labels(catalog).filter(pl.col("capability") == capability)
    scores = catalog.scan("scores").filter(pl.col("capability") == capability, "eligible")
    open_ = (
        views.kept_clips(catalog)
        .select("clip_id")
        .join(scores.select("clip_id", "similarity"), on="clip_id")
        .join(done, on="clip_id", how="anti")
        .sort("similarity", "clip_id", descending=[True, False])
        .collect()
    )
    best = np.arange(count) if policy == "top score" else rng.choice(len(open_), count, replace=False)
    return open_[best].select("clip_id", reason=pl.lit(policy), inclusion=pl.lit(None, pl.Float64))


def learnt(
    clips: Sequence[Shown], pairs: Sequence[tuple[str, str]], seed: int, *, test: Sequence[Shown], setup: Setup
) -> list[float]:
    """Trains on these labels; F1 at tIoU 0.5 on the test clips, for each capability."""
    torch.set_num_threads(1)
    by_id = {clip.clip_id: clip for clip in clips}
    encoded = definitions(setup.capabilities)
    examples = training_examples([(by_id[clip_id], name) for clip_id, name in pairs], setup.capabilities)
    model = fit(examples, [], encoded, RECIPE, seed=seed, device=torch.device("cpu")).model
    truth = training_examples([(clip, name) for clip in test for name in setup.capabilities], setup.capabilities)
    found = measured(truth, trained(model), encoded).filter(metric="f1@0.5")
    value = dict(found.select("capability", "value").iter_rows())
    return [value[name] for name in setup.capabilities]


def labels_needed(curve: np.ndarray, goal: float, rounds: Sequence[int]) -> float:
    """Labels at which a curve [rounds] reaches `goal`, as a share of the last round's; 1 where it does not.

    The curve is made monotone first, so that one lucky round counts for little, and is read by straight lines. What the
    first round reaches already counts as all of the first round: nothing was measured before it.
    """
    risen = isotonic_regression(curve).x
    if risen[-1] < goal:
        return 1.0
    at = int(np.argmax(risen >= goal))
    if at == 0:
        return rounds[0] / rounds[-1]
    part = (goal - risen[at - 1]) / (risen[at] - risen[at - 1])
    return float(rounds[at - 1] + part * (rounds[at] - rounds[at - 1])) / rounds[-1]


def shares(curves: np.ndarray, policy: str, rounds: Sequence[int]) -> np.ndarray:
    """For each capability the share of random's labels that a policy needs; curves [worlds, policies, rounds, c]."""
    mean = curves.mean(axis=0)
    random, own = mean[POLICIES.index("random")], mean[POLICIES.index(policy)]
    goals = [isotonic_regression(random[:, at]).x[-1] for at in range(random.shape[1])]
    return np.array([labels_needed(own[:, at], goal, rounds) for at, goal in enumerate(goals)])


def interval(curves: np.ndarray, policy: str, rounds: Sequence[int]) -> tuple[float, float]:
    """95% of the mean of `shares`, both worlds and capabilities drawn again with replacement."""
    rng = np.random.default_rng(0)
    worlds, capabilities = curves.shape[0], curves.shape[3]
    means = []
    for _ in range(_RESAMPLES):
        drawn = shares(curves[rng.integers(0, worlds, worlds)], policy, rounds)
        means.append(drawn[rng.integers(0, capabilities, capabilities)].mean())
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def result(curves: np.ndarray, setup: Setup) -> Result:
    """The claim, from F1 [worlds, policies, rounds, capabilities]."""
    needed = {policy: shares(curves, policy, setup.rounds) for policy in POLICIES}
    mean = curves.mean(axis=0)
    rows = [
        {
            "capability": capability,
            "policy": policy,
            "share_of_labels": float(needed[policy][column]),
            **{f"f1_at_{labels}": float(mean[row, at, column]) for at, labels in enumerate(setup.rounds)},
        }
        for column, capability in enumerate(setup.capabilities)
        for row, policy in enumerate(POLICIES)
    ]
    bounds = {policy: interval(curves, policy, setup.rounds) for policy in POLICIES}
    rare = [setup.capabilities.index(name) for name in RARE]
    said = ", ".join(
        f"{policy} {needed[policy].mean():.2f} ({low:.2f} to {high:.2f}), rare {needed[policy][rare].mean():.2f}"
        for policy, (low, high) in bounds.items()
    )
    return Result(
        value=float(needed["choose"].mean()),
        unit="of random's labels",
        target=_TARGET,
        at_most=True,
        rows=rows,
        notes=f"Share of labels, 95% interval: {said}. Random needs less than all where the rest teaches it nothing. "
        f"{len(setup.seeds)} worlds; rare are {', '.join(RARE)}.",
    )


def measure(quick: bool) -> Result:
    setup = QUICK if quick else FULL
    with (
        tempfile.TemporaryDirectory() as scratch,
        processes() as pool,
    ):
        worlds = [(setup.test_videos, TEST_SEED), *((setup.pool_videos, seed) for seed in setup.seeds)]
        test, *drawn = pool.map(draw_world, *zip(*worlds, strict=True))
        jobs = [(seed, clips, policy) for seed, clips in zip(setup.seeds, drawn, strict=True) for policy in POLICIES]
        chosen = pool.map(
            partial(choose_in_rounds, setup=setup),
            [policy for _, _, policy in jobs],
            [clips for _, clips, _ in jobs],
            [seed for seed, _, _ in jobs],
            [Path(scratch) / str(at) for at in range(len(jobs))],
        )
        tasks = [
            (clips, pairs, seed) for (seed, clips, _), rounds in zip(jobs, chosen, strict=True) for pairs in rounds
        ]
        f1 = list(pool.map(partial(learnt, test=test, setup=setup), *zip(*tasks, strict=True)))
    shape = (len(setup.seeds), len(POLICIES), len(setup.rounds), len(setup.capabilities))
    return result(np.reshape(f1, shape), setup)


if __name__ == "__main__":
    main("label_choice", measure)
