"""Archives to estimate gaps of: clips whose truth is known, labelled in rounds by what `curate label` does.

Two makers. `drawn` makes scores alone, for hundreds of archives and hard cases, and `label_round` is a short version of
choosing for them. `footage` makes a workspace: clips of the sample world, drawn, embedded by its CLIP and resampled to
any share of positives, which the library's own `score` and `choose` then treat as collected footage.

In both, clips of a video are alike: videos differ in how many of their clips show the capability.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from scipy.special import expit, logit

from curate import sample
from curate.analyze.embed import Embedder, load_embedder
from curate.identity import span_id
from curate.sample.draw import Stage
from curate.sample.scenes import ACTIONS, Shot, plan_shot
from curate.targets.scoring.calibrate import fit
from curate.vectors import pack, unit
from curate.workspace import Workspace

KINDS = {
    "perfect scores": 7.0, "good scores": 3.0, "fair scores": 1.5, "poor scores": 0.7, "useless scores": 0.0,
    "some look like nothing": 3.0, "a source misleads": 2.0, "long tail": 1.5,
}  # fmt: skip
"""How many standard deviations higher positives score. Of "some look like nothing", those of two in five videos do not;
in one source of four of "a source misleads" what does not show it scores two higher; the positives of "long tail" score
higher still, by an exponential."""

SLICES = {"by": ["color", "source"], "where": {"first half": "start_s < 15"}}
SOURCES = 4
PER_VIDEO = 6
AUDIT, UNCERTAIN = 0.15, 0.2
_ALIKE = 1.0
_CONFIGS = Path(sample.__file__).parent / "configs"
_LENGTH_S, _FRAMES_PER_S, _SIZE = 6.0, 2, (320, 180)
NOISES = {"sample world": 0.25, "sample world, fair vectors": 1.0, "sample world, poor vectors": 2.0}
"""How long the noise is that moves a clip's frames, against the frames: to a cosine of 0.97, 0.71 and 0.45. The sample
CLIP tells its world's capabilities apart all but perfectly, which no model does with real footage."""
_START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Scored:
    """An archive of scores alone; arrays of its n clips."""

    score: np.ndarray
    truth: np.ndarray
    group: np.ndarray
    source: np.ndarray
    labelled: np.ndarray
    audit: np.ndarray


def drawn(kind: str, share: float, clips: int, random: np.random.Generator) -> Scored:
    """An archive of one of KINDS, about `share` of whose clips show the capability, none labelled."""
    group = np.arange(clips) // PER_VIDEO
    videos = group[-1] + 1
    source = group * SOURCES // videos
    truth = random.random(clips) < expit(_level(share) + _ALIKE * random.standard_normal(videos)[group])
    score = random.standard_normal(clips) + 0.5 * random.standard_normal(videos)[group]
    looks = truth & (random.random(videos)[group] > 0.4) if kind == "some look like nothing" else truth
    score = score + KINDS[kind] * looks
    if kind == "a source misleads":
        score = score + 2.0 * ((source == SOURCES - 1) & ~truth)
    if kind == "long tail":
        score = score + truth * random.exponential(1.5, clips)
    none = np.zeros(clips, bool)
    return Scored(score, truth, group, source, none, none.copy())


def label_round(made: Scored, budget: int, random: np.random.Generator) -> None:
    """Labels `budget` more clips: some at random, the likeliest, and those nearest to an even chance."""
    open_ = np.flatnonzero(~made.labelled)
    audits, unsure = max(1, round(AUDIT * budget)), round(UNCERTAIN * budget)
    audit = random.permutation(open_)[:audits]
    features = made.score[:, None]
    curve = fit(features[made.labelled], made.truth[made.labelled]) if made.labelled.any() else None
    even = np.abs(curve.log_odds(features)) if curve else np.abs(made.score - np.quantile(made.score, 0.95))
    best = _first(np.lexsort((-made.score,)), budget - audits - unsure, made, audit)
    nearest = _first(np.argsort(even, kind="stable"), unsure, made, np.concatenate([audit, best]))
    made.labelled[np.concatenate([audit, best, nearest])] = True
    made.audit[audit] = True


def _first(order: np.ndarray, count: int, made: Scored, taken: np.ndarray) -> np.ndarray:
    """The first of `order` without a label that are not taken, at most a tenth of `count`, and two, of a video."""
    free = ~made.labelled
    free[taken] = False
    order = order[free[order]]
    _, of = np.unique(made.group[order], return_inverse=True)
    place = np.empty(len(order), np.int64)
    by_group = np.argsort(of, kind="stable")
    place[by_group] = np.arange(len(order)) - np.searchsorted(of[by_group], of[by_group])
    return order[place < max(2, count // 10)][:count]


def _level(share: float) -> float:
    """The mean log odds of a video's clips with which `share` of all clips are positive; standard deviation _ALIKE."""
    points, weights = np.polynomial.hermite_e.hermegauss(20)
    levels = logit(share) + np.linspace(-2, 2, 401)
    shares = expit(levels[:, None] + _ALIKE * points) @ (weights / weights.sum())
    return float(levels[np.argmin(np.abs(shares - share))])


@dataclass(frozen=True)
class Take:
    """One drawn clip of the sample world: the action it shows, or "", its fields, and its frames, float32 [n, dim]."""

    action: str
    fields: dict[str, Any]
    frames: np.ndarray


def draw_pool(clips: int, seed: int) -> list[Take]:
    """Clips of one shot each, as many of each action and of none."""
    cv2.setNumThreads(1)
    embedder = load_embedder(Workspace(_CONFIGS.parent).analysis().embedding)
    actions = (*ACTIONS, "")
    return [_take(np.random.default_rng([seed, at]), actions[at % len(actions)], embedder) for at in range(clips)]


def _take(random: np.random.Generator, action: str, embedder: Embedder) -> Take:
    span_s = (0.0, _LENGTH_S)
    shot: Shot = plan_shot(random, (action,) if action else (), span_s, span_s, lambda at_s: round(at_s * 24) / 24)
    stage = Stage(_SIZE[1], _SIZE[0])
    times_s = np.arange(0, _LENGTH_S, 1 / _FRAMES_PER_S)
    pictures = np.stack([stage.draw_shot(shot, float(at_s)) for at_s in times_s])
    fields = dict(shot.segments[0].fields) if shot.segments else {}
    return Take(action, fields, embedder.images(pictures))


@dataclass(frozen=True)
class Footage:
    """A workspace whose clips are takes, moved a little so that no two are the same; by clip_id, the take."""

    workspace: Workspace
    takes: dict[str, Take]

    def label(self, capability: str, clip_id: str) -> dict[str, Any]:
        """What the truth says, as a row of `labels`."""
        take = self.takes[clip_id]
        shows = take.action == capability
        segment = {"start_s": 0.0, "end_s": _LENGTH_S, "fields": json.dumps(take.fields)}
        return {
            "label_id": f"{capability}-{clip_id}", "clip_id": clip_id, "capability": capability,
            "verdict": "present" if shows else "absent", "segments": [segment] if shows else [],
            "annotator": "truth", "updated_at": _START, "deleted": False,
        }  # fmt: skip


def footage(
    pool: Sequence[Take],
    capability: str,
    share: float,
    clips: int,
    directory: Path,
    random: np.random.Generator,
    *,
    noise: float = NOISES["sample world"],
) -> Footage:
    """A workspace of so many clips, about `share` of which show the capability, of PER_VIDEO a video, embedded."""
    workspace = Workspace(directory)
    shutil.copytree(_CONFIGS, workspace.configs)
    shutil.rmtree(workspace.configs / "sources")  # the archive's own have no config
    for path in (workspace.configs / "capabilities").glob("*.yaml"):
        if path.stem != capability:
            path.unlink()
            continue
        spec = yaml.safe_load(path.read_text())
        path.write_text(yaml.safe_dump({**spec, "slices": SLICES}))
    having = [take for take in pool if take.action == capability]
    lacking = [take for take in pool if take.action != capability]
    level = expit(_level(share) + _ALIKE * random.standard_normal(-(-clips // PER_VIDEO)))
    takes, rows = {}, []
    for at in range(clips):
        among = having if random.random() < level[at // PER_VIDEO] else lacking
        take = among[random.integers(len(among))]
        video, start_s = f"v{at // PER_VIDEO:04d}", _LENGTH_S * (at % PER_VIDEO)
        clip_id = span_id(video, start_s, start_s + _LENGTH_S)
        takes[clip_id] = take
        rows.append((clip_id, video, start_s, _moved(take.frames, noise, random)))
    _write(workspace, rows)
    return Footage(workspace, takes)


def _moved(frames: np.ndarray, noise: float, random: np.random.Generator) -> np.ndarray:
    """The frames, all moved the same way, so that no two clips are the same."""
    dim = frames.shape[1]
    moved: np.ndarray = unit(frames + noise * random.standard_normal(dim) / np.sqrt(dim)).astype(np.float32)
    return moved


def _write(workspace: Workspace, rows: Sequence[tuple[str, str, float, np.ndarray]]) -> None:
    model = load_embedder(workspace.analysis().embedding).model_id
    videos = sorted({video for _, video, _, _ in rows})
    times_s = np.arange(0, _LENGTH_S, 1 / _FRAMES_PER_S)
    tables: dict[str, list[dict[str, Any]]] = {
        "videos": [
            {"video_id": video, "source": f"source{at * SOURCES // len(videos)}", "licence": "CC0-1.0"}
            for at, video in enumerate(videos)
        ],
        "outcomes": [{"stage": "collect", "item": video, "video_id": video, "outcome": "ok"} for video in videos],
        "clips": [
            {"clip_id": clip, "video_id": video, "start_s": start_s, "end_s": start_s + _LENGTH_S, "motion": 0.1}
            for clip, video, start_s, _ in rows
        ],
        "embeddings": [
            {
                "clip_id": clip, "model_id": model, "vector": pack(unit(frames.mean(axis=0))),
                "frame_times_s": (start_s + times_s).tolist(), "frame_vectors": pack(frames),
            }
            for clip, _, start_s, frames in rows
        ],
    }  # fmt: skip
    for table, content in tables.items():
        workspace.catalog.write(table, content, run_id="benchmark", work_key="w")
