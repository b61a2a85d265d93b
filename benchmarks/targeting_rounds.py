"""Two rounds of the wheel on a world: one budget of labels is spent in three ways, and a segmenter learns from each.

`random` asks of a random clip about a random capability. `more of the same` repeats what made the base: its shares of
capabilities, and as many clips that show a thing as clips that do not, drawn by the truth. `targeted` is the toolkit's
own path and knows no truth: the model is measured on the workspace's test split, the result is written to
`evaluations`, `gaps` ranks what is lacking, `divide` gives each gap its part of the budget, `choose` picks the clips,
and labels are written and scores calibrated again before the next round.

A label is one answer about one clip and one capability, and the truth gives it. Each world has a test split of its own,
videos that are labelled throughout and that no arm may train on; what the claim is measured on is another world.
"""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch
import yaml

from benchmarks.label_rounds import RECIPE, Shown, definitions, training_examples, workspace_of
from curate.evaluation.evaluate import measured
from curate.model.examples import Example
from curate.model.fit import fit
from curate.model.metrics import TALLY_SIZE, tally
from curate.model.predict import trained
from curate.model.track import Predictor
from curate.targets.choosing.choose import choose
from curate.targets.choosing.divide import divide
from curate.targets.gaps.coverage import gaps
from curate.targets.scoring.score import score
from curate.workspace import Workspace

RANDOM, SAME, TARGETED = "random", "more of the same", "targeted"
ARMS = (RANDOM, SAME, TARGETED)
Pair = tuple[str, str]
"""A clip and a capability."""


@dataclass(frozen=True)
class Setup:
    """How much is simulated.

    Attributes:
        seeds: of the worlds that clips are chosen from.
        pool_videos: of each of those worlds; `split_videos` of them are its test split.
        test_videos: of the world that measures.
        base: labels of each capability that are there before, half of them of clips that show it.
        budget: labels in each round.
        rounds: of the wheel.
        target_clips: the target of every capability.
    """

    seeds: tuple[int, ...]
    pool_videos: int
    split_videos: int
    test_videos: int
    base: Mapping[str, int]
    budget: int
    rounds: int
    target_clips: int

    @property
    def capabilities(self) -> tuple[str, ...]:
        return tuple(self.base)


@dataclass(frozen=True)
class Learnt:
    """A segmenter that has learnt from all labels so far.

    Attributes:
        labels, positives: [c], how many labels of each capability, and how many of them say present.
        tallies: float [videos, c, TALLY_SIZE] (`curate.model.metrics.tally`), of the world that measures.
    """

    labels: np.ndarray
    positives: np.ndarray
    tallies: np.ndarray


@dataclass(frozen=True)
class _World:
    """A world's clips by id; those of `pool` may be labelled, those of `split` are its own test split."""

    by_id: Mapping[str, Shown]
    pool: Sequence[Shown]
    split: Sequence[Shown]

    def open(self, capability: str, labelled: Iterable[Pair]) -> list[Shown]:
        """Clips that have no label of a capability."""
        done = {clip_id for clip_id, name in labelled if name == capability}
        return [clip for clip in self.pool if clip.clip_id not in done]


def turn_wheel(
    arm: str, clips: Sequence[Shown], seed: int, directory: Path, *, test: Sequence[Shown], setup: Setup
) -> dict[int, Learnt]:
    """What is learnt after each round of an arm; of the base, as round 0, where the arm needs that."""
    torch.set_num_threads(1)
    world = _world(clips, seed, setup)
    rng = np.random.default_rng(seed)
    labelled = _balanced(world, setup.base, [], rng)  # the same in every arm: drawn first
    workspace = _workspace(directory, world, labelled, setup) if arm == TARGETED else None
    found: dict[int, Learnt] = {}
    for number in range(setup.rounds + 1):
        if number > 0 or workspace is not None:
            predict, found[number] = _learn(world, labelled, seed, test, setup)
        if number == setup.rounds:
            break
        if workspace is not None:
            _evaluate(workspace, predict, world, number, setup)
            labelled = labelled + _targeted(workspace, world, number, seed, setup)
        elif arm == RANDOM:
            labelled = labelled + _random(world, labelled, setup.budget, rng)
        else:
            labelled = labelled + _balanced(world, _shares(setup.base, setup.budget), labelled, rng)
    if workspace is not None:
        shutil.rmtree(directory)
    return found


def learn_everything(clips: Sequence[Shown], seed: int, *, test: Sequence[Shown], setup: Setup) -> Learnt:
    """What the same training learns where no label is missing: about all that labels of this footage can give."""
    torch.set_num_threads(1)
    world = _world(clips, seed, setup)
    return _learn(
        world, [(clip.clip_id, name) for clip in world.pool for name in setup.capabilities], seed, test, setup
    )[1]


def _world(clips: Sequence[Shown], seed: int, setup: Setup) -> _World:
    videos = sorted({clip.video_id for clip in clips})
    apart = set(np.random.default_rng([seed, 1]).permutation(videos)[: setup.split_videos])
    return _World(
        {clip.clip_id: clip for clip in clips},
        [clip for clip in clips if clip.video_id not in apart],
        [clip for clip in clips if clip.video_id in apart],
    )


def _balanced(
    world: _World, counts: Mapping[str, int], labelled: Sequence[Pair], rng: np.random.Generator
) -> list[Pair]:
    """Labels of each capability: half of clips that show it, or as many as there are, half of clips that do not."""
    found: list[Pair] = []
    for name, count in counts.items():
        clips = world.open(name, labelled)
        shows = np.array([any(part[0] == name for part in clip.segments) for clip in clips])
        with_it, without = rng.permutation(np.flatnonzero(shows)), rng.permutation(np.flatnonzero(~shows))
        half = min(count // 2, len(with_it))
        found += [(clips[at].clip_id, name) for at in (*with_it[:half], *without[: count - half])]
    return found


def _shares(base: Mapping[str, int], budget: int) -> dict[str, int]:
    """A budget in the shares of the base, by largest remainder."""
    exact = {name: budget * count / sum(base.values()) for name, count in base.items()}
    parts = {name: int(value) for name, value in exact.items()}
    by_rest = sorted(base, key=lambda name: exact[name] - parts[name], reverse=True)
    for name in by_rest[: budget - sum(parts.values())]:
        parts[name] += 1
    return parts


def _random(world: _World, labelled: Sequence[Pair], budget: int, rng: np.random.Generator) -> list[Pair]:
    names = sorted({name for _, name in labelled})
    pairs = [(clip.clip_id, name) for name in names for clip in world.open(name, labelled)]
    return [pairs[at] for at in rng.choice(len(pairs), budget, replace=False)]


def _workspace(directory: Path, world: _World, labelled: Sequence[Pair], setup: Setup) -> Workspace:
    """A workspace with the base labels, the splits, and the labels of the test split."""
    workspace = workspace_of(directory, [*world.pool, *world.split], setup.capabilities)
    for name in setup.capabilities:
        path = workspace.configs / "capabilities" / f"{name}.yaml"
        spec = yaml.safe_load(path.read_text())
        spec["target"]["clips"] = setup.target_clips
        path.write_text(yaml.safe_dump(spec))
    splits = [
        {"video_id": video_id, "group_id": video_id, "split": split}
        for split, clips in (("train", world.pool), ("test", world.split))
        for video_id in sorted({clip.video_id for clip in clips})
    ]
    workspace.catalog.write("splits", splits, run_id="benchmark")
    known = [*labelled, *((clip.clip_id, name) for clip in world.split for name in setup.capabilities)]
    workspace.catalog.write("labels", [world.by_id[clip_id].label(name) for clip_id, name in known], run_id="benchmark")
    score(workspace)
    return workspace


def _learn(
    world: _World, labelled: Sequence[Pair], seed: int, test: Sequence[Shown], setup: Setup
) -> tuple[Predictor, Learnt]:
    """Trains from the start on these labels, and counts on the world that measures."""
    encoded = definitions(setup.capabilities)
    examples = training_examples([(world.by_id[clip_id], name) for clip_id, name in labelled], setup.capabilities)
    predict = trained(fit(examples, [], encoded, RECIPE, seed=seed, device=torch.device("cpu")).model)
    counts = pl.DataFrame({"name": [e.capability for e in examples], "present": [e.present for e in examples]})
    labels = [counts.filter(name=name) for name in setup.capabilities]
    truth = _throughout(test, setup)
    videos = {video_id: at for at, video_id in enumerate(sorted({clip.video_id for clip in test}))}
    tallies = np.zeros((len(videos), len(setup.capabilities), TALLY_SIZE))
    for column, name in enumerate(setup.capabilities):
        own = [example for example in truth if example.capability == name]
        for example, found in zip(own, predict([e.track for e in own], encoded[name]), strict=True):
            tallies[videos[example.video_id], column] += tally(example.segments, found, example.track.duration_s)
    present = np.array([some["present"].sum() for some in labels])
    return predict, Learnt(np.array([len(some) for some in labels]), present, tallies)


def _throughout(clips: Sequence[Shown], setup: Setup) -> list[Example]:
    """Clips with every label."""
    return training_examples([(clip, name) for clip in clips for name in setup.capabilities], setup.capabilities)


def _evaluate(workspace: Workspace, predict: Predictor, world: _World, number: int, setup: Setup) -> None:
    """Measures a model on the workspace's test split, and writes what `curate evaluate` would."""
    rows = measured(_throughout(world.split, setup), predict, definitions(setup.capabilities))
    named = rows.with_columns(
        model=pl.lit(f"round-{number}"), mix=pl.lit("base"), revision=pl.lit(f"v{number + 1}"), split=pl.lit("test")
    )
    workspace.catalog.write("evaluations", named, run_id="benchmark")


def _targeted(workspace: Workspace, world: _World, number: int, seed: int, setup: Setup) -> list[Pair]:
    """A round of the toolkit: gaps, parts of the budget, clips; their labels are in the workspace afterwards."""
    orders, pairs = [], []
    for name, part in divide(gaps(workspace), setup.budget).items():
        picked = choose(workspace, name, part, seed=seed + number)
        pairs += [(clip_id, name) for clip_id in picked["clip_id"]]
        chosen = picked.select("clip_id", "reason", "inclusion")
        orders += [{**row, "capability": name, "decision_id": str(number)} for row in chosen.iter_rows(named=True)]
    labels = [world.by_id[clip_id].label(name, number + 1) for clip_id, name in pairs]
    workspace.catalog.write("orders", orders, run_id="benchmark")
    workspace.catalog.write("labels", labels, run_id="benchmark")
    score(workspace)
    return pairs
