"""Wrong labels come first where a trained segmenter is asked which labels to doubt.

    python -m benchmarks.label_errors [--quick] [--json]

On clips of worlds that it was not trained on, 6% of the labels of the sample world's nine capabilities are made wrong:
a segment missed or invented, moved or stretched until it overlaps the true one by less than half; the ends of the
others are off by 0.12 s, as people's are. The segmenter has learnt from labels of which 5% are wrong, as nobody's are
all right. Labels are put in order by `curate.review.cases.doubt`, beside what else could be done: the mean distance of
label and chance over all frames, how far segments match those the model finds (one less F1 at tIoU 0.5, by the chance
of what does not match), and a drawn order.

The figure is the average precision of the order by doubt over the labels of each world, pooled over capabilities; mean
over worlds. Of labels that are cases, doubted at `DOUBTED` or more, precision and recall are beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.claim import Result, main
from benchmarks.label_rounds import RECIPE, Shown, draw_world, training_examples
from benchmarks.processes import processes
from curate import sample
from curate.analyze.embed import load_embedder
from curate.model.definitions import Encoded, Segment, as_definition, encode
from curate.model.examples import Example
from curate.model.fit import fit
from curate.model.metrics import match
from curate.model.predict import DEFAULT_THRESHOLD, dense_predictions
from curate.model.segmenter import Segmenter
from curate.model.track import Track
from curate.model.voting import decode_dense
from curate.review.answers import Answer
from curate.review.cases import DOUBTED, doubt
from curate.sample.scenes import ACTIONS
from curate.workspace import Workspace

WRONG, WRONG_IN_TRAINING = 0.06, 0.05
ORDERS = ("doubt", "mean of frames", "segments", "drawn")
_NEGATIVES = 2
_LEARNT = 40
_END_S = 0.12
_TARGET = 0.9
_ROOT = Path(sample.__file__).parent


@dataclass(frozen=True)
class Told:
    """A label, what is wrong with it ("" where nothing is), and how much each of ORDERS doubts it."""

    capability: str
    wrong: str
    doubts: tuple[float, ...]


def spoiled(segments: Sequence[Segment], duration_s: float, rng: np.random.Generator) -> tuple[str, list[Segment]]:
    """A wrong label in the place of a right one: of which kind, and its segments."""
    if not segments:
        length_s = min(duration_s / 2, rng.uniform(1, 2.5))
        start_s = rng.uniform(0, duration_s - length_s)
        return "invented", [Segment(start_s, start_s + length_s)]
    first, rest = segments[0], list(segments[1:])
    length_s = first.end_s - first.start_s
    kind = str(rng.choice(["missed", "moved", "stretched"]))
    start_s, end_s = first.start_s, first.end_s
    if kind == "moved":
        start_s = min(max(start_s + rng.choice([-1, 1]) * rng.uniform(0.6, 1) * length_s, 0), duration_s - length_s)
        end_s = start_s + length_s
    elif kind == "stretched":
        start_s, end_s = max(0.0, start_s - 0.8 * length_s), min(duration_s, end_s + 0.8 * length_s)
    other = Segment(start_s, end_s)
    if kind == "missed" or match([first], [other], 0.5):
        return "missed", rest
    return kind, [other, *rest]


def learnt(clips: Sequence[Shown], encoded: dict[str, Encoded], rng: np.random.Generator) -> Segmenter:
    """A segmenter trained on labels of each capability, half of which show it where there are so many."""
    pairs = []
    for name in ACTIONS:
        for shows in (True, False):
            kind = [clip for clip in clips if _shows(clip, name) == shows]
            pairs += [(kind[at], name) for at in rng.permutation(len(kind))[:_LEARNT]]
    examples = [_with_error(one, rng) for one in training_examples(pairs, ACTIONS)]
    return fit(examples, [], encoded, RECIPE, seed=0, device=torch.device("cpu")).model


def _with_error(example: Example, rng: np.random.Generator) -> Example:
    if rng.random() >= WRONG_IN_TRAINING:
        return example
    _, segments = spoiled(example.segments, example.track.duration_s, rng)
    return replace(example, segments=tuple(segments))


def told(clips: Sequence[Shown], network: Segmenter, encoded: Encoded, rng: np.random.Generator) -> list[Told]:
    """Labels of one capability: all clips that show it, and twice as many that do not."""
    name = encoded.definition.id
    showing = [clip for clip in clips if _shows(clip, name)]
    others = [clip for clip in clips if not _shows(clip, name)]
    chosen = showing + [others[at] for at in rng.permutation(len(others))[: _NEGATIVES * len(showing)]]
    tracks = [Track(clip.times_s - clip.start_s, clip.vectors, clip.end_s - clip.start_s) for clip in chosen]
    found = []
    for clip, track, (chances, reach_s) in zip(
        chosen, tracks, dense_predictions(network, tracks, encoded), strict=True
    ):
        segments = [_off(one, track.duration_s, rng) for one in _segments(clip, name)]
        wrong = ""
        if rng.random() < WRONG:
            wrong, segments = spoiled(segments, track.duration_s, rng)
        answer = Answer("annotator", "present" if segments else "absent", True, tuple(segments))
        predicted = decode_dense(track, chances, reach_s, encoded.definition, threshold=DEFAULT_THRESHOLD)
        doubts = (
            doubt(answer, track.times_s, chances),
            float(np.abs(_on(segments, track.times_s) - chances).mean()),
            _unmatched(segments, predicted, track.times_s, chances),
            float(rng.random()),
        )
        found.append(Told(name, wrong, doubts))
    return found


def _shows(clip: Shown, name: str) -> bool:
    return any(action == name for action, *_ in clip.segments)


def _segments(clip: Shown, name: str) -> list[Segment]:
    return [Segment(s - clip.start_s, e - clip.start_s) for action, s, e, _ in clip.segments if action == name]


def _off(segment: Segment, duration_s: float, rng: np.random.Generator) -> Segment:
    start_s, end_s = (float(at + rng.normal(0, _END_S)) for at in (segment.start_s, segment.end_s))
    start_s = min(max(start_s, 0.0), duration_s)
    return Segment(start_s, min(max(end_s, start_s + 0.1), duration_s))


def _on(segments: Sequence[Segment], times_s: np.ndarray) -> np.ndarray:
    on = np.zeros(len(times_s))
    for one in segments:
        on[(times_s >= one.start_s) & (times_s <= one.end_s)] = 1
    return on


def _unmatched(
    segments: Sequence[Segment], predicted: Sequence[Segment], times_s: np.ndarray, chances: np.ndarray
) -> float:
    """The greatest certainty of a segment that only one side has."""
    pairs = match(segments, predicted, 0.5)
    found, made_up = {i for i, _ in pairs}, {j for _, j in pairs}
    worst = [one.score for j, one in enumerate(predicted) if j not in made_up]
    for i, one in enumerate(segments):
        inside = _on([one], times_s) > 0
        if i not in found and inside.any():
            worst.append(1 - float(chances[inside].mean()))
    return max(worst, default=0.0)


def average_precision(doubts: np.ndarray, wrong: np.ndarray) -> float:
    """Mean, over the wrong labels, of the share of wrong ones among those doubted as much or more."""
    ordered = wrong[np.argsort(-doubts, kind="stable")]
    precision = np.cumsum(ordered) / np.arange(1, len(ordered) + 1)
    return float(precision[ordered].mean())


def world(seed: int, videos: int) -> list[Told]:
    """The labels of a world that a segmenter trained on another world judges."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(seed)
    workspace = Workspace(_ROOT)
    specs = workspace.capabilities()
    texts = load_embedder(workspace.analysis().embedding).texts
    encoded = {one.definition.id: one for one in encode([as_definition(specs[n].model_dump()) for n in ACTIONS], texts)}
    network = learnt(draw_world(videos, seed), encoded, rng)
    clips = draw_world(videos, seed + 1000)
    return [one for name in ACTIONS for one in told(clips, network, encoded[name], rng)]


def measure(quick: bool) -> Result:
    seeds, videos = ((31,), 40) if quick else ((31, 32, 33, 34), 120)
    with processes() as pool:
        worlds = list(pool.map(world, seeds, [videos] * len(seeds)))
    of_worlds: dict[str, list[float]] = {order: [] for order in ORDERS}
    for labels in worlds:
        wrong = np.array([bool(one.wrong) for one in labels])
        for at, order in enumerate(ORDERS):
            of_worlds[order].append(average_precision(np.array([one.doubts[at] for one in labels]), wrong))
    every = [one for labels in worlds for one in labels]
    cases = [one for one in every if one.doubts[0] >= DOUBTED]
    wrong_cases = [one for one in cases if one.wrong]
    rows = [_row(kind, every) for kind in ("missed", "invented", "moved", "stretched")]
    others = ", ".join(f"{order} {np.mean(of_worlds[order]):.2f}" for order in ORDERS[1:])
    return Result(
        value=float(np.mean(of_worlds["doubt"])),
        unit=f"average precision of wrong labels first; a drawn order has {np.mean(of_worlds['drawn']):.2f}",
        target=_TARGET,
        at_most=False,
        rows=rows,
        notes=f"{len(every)} labels. Others: {others}. Of {len(cases)} labels doubted at {DOUBTED} or more"
        f" {len(wrong_cases) / max(len(cases), 1):.2f} are wrong, which are"
        f" {len(wrong_cases) / max(sum(bool(one.wrong) for one in every), 1):.2f} of the wrong ones.",
    )


def _row(kind: str, every: Sequence[Told]) -> dict[str, str | float | int]:
    own = [one for one in every if one.wrong == kind]
    doubted = sum(one.doubts[0] >= DOUBTED for one in own)
    return {"kind": kind, "labels": len(own), "doubted": doubted / max(len(own), 1)}


if __name__ == "__main__":
    main("label_errors", measure)
