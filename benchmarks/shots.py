"""The default shot detector finds transitions better than its peers, in a fraction of the time that decoding takes.

Each detector is fed the same frames (longer side 96) of three sets: see benchmarks.shots_footage. Figures are F1:

- `cuts`: against the exact first frame of the later shot, and within two frames of it.
- `gradual`: a dissolve, fade, wipe or blend of two frames is found where a detected extent shares half of the two
  extents' union at least. A blend of two frames is found by a cut at either of its frames, too.
- `all`: what curation needs: of the transitions of any kind how many are found at all (a cut within two frames, or any
  overlap of extents), and of the findings how many stand for one.

A cut that fires within a dissolve is a false alarm of `cuts`, and finds it for `all` once. `scenedetect` is
PySceneDetect's AdaptiveDetector as its own command line has it, `scenedetect+fades` with its ThresholdDetector beside.
Speed is frames over processor time, of the detector alone, one thread. The value is the default's `all` on the drawn
set.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import torch
from scenedetect import AdaptiveDetector, FrameTimecode, ThresholdDetector

from benchmarks.claim import Result, main
from benchmarks.shots_footage import Extent, Film, drawn, edited, real
from curate.analyze.shots import ShotDetector, make_detector
from curate.specs.analysis import Shots

_NEAR = 2
_NOTES = (
    "Drawn seeds set no threshold of the default; the real and edited footage did. transnet sees fewer films of"
    " each set: column frames."
)
_COSTLY = ("transnet",)
Found = tuple[list[int], list[Extent]]


def measure(quick: bool) -> Result:
    torch.set_num_threads(1)
    sets: dict[str, list[Film]] = {
        "drawn": list(drawn(31, 4)) if quick else [*drawn(31, 24), *drawn(47, 24)],
        "real": list(real()),
        "edited": list(edited(range(2) if quick else range(12))),
    }
    names = ("blend", "adaptive", "content", "transnet")
    ways: dict[str, Callable[[Film], Found]] = {name: _ours(name) for name in names}
    ways |= {"scenedetect": _theirs(fades=False), "scenedetect+fades": _theirs(fades=True)}
    rows = []
    for set_name, films in sets.items():
        for way, find in ways.items():
            few = len(films) if way not in _COSTLY else 1 if quick else 12 if set_name == "real" else 6
            some = films[:few]
            if some:
                rows.append({"set": set_name, "detector": way, **_figures(some, find)})
    value = next(row["all"] for row in rows if row["detector"] == Shots().detector and row["set"] == "drawn")
    return Result(value, "F1", 0.95, at_most=False, rows=rows, notes=_NOTES)


def _figures(films: Sequence[Film], find: Callable[[Film], Found]) -> dict[str, Any]:
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    started = time.process_time()
    found = [find(film) for film in films]
    elapsed_s = time.process_time() - started
    for film, (cuts, gradual) in zip(films, found, strict=True):
        for name, outcome in _compare(film, cuts, gradual).items():
            counts[name] = [one + other for one, other in zip(counts[name], outcome, strict=True)]
    frames = sum(len(film.images) for film in films)
    return {
        "frames": frames,
        **{name: 2 * hits / max(2 * hits + missed + wrong, 1) for name, (hits, missed, wrong) in counts.items()},
        "missed": counts["all"][1],
        "wrong": counts["all"][2],
        "frames_per_s": frames / elapsed_s,
    }


def _compare(film: Film, cuts: list[int], gradual: list[Extent]) -> dict[str, tuple[int, int, int]]:
    """Hits, misses and false alarms by each rule."""
    cuts = [at for at in cuts if not any(first - _NEAR <= at <= last + _NEAR for first, last in film.open)]
    gradual = [span for span in gradual if not any(_touch(span, (a - _NEAR, b + _NEAR)) for a, b in film.open)]
    blends = [span for span in film.gradual if span[1] - span[0] <= _NEAR]
    slow = [span for span in film.gradual if span not in blends]
    on_blend = [at for at in cuts if any(first <= at <= last for first, last in blends)]
    plain = [at for at in cuts if at not in on_blend]
    # A cut may be read as the blend of the frames around it, which costs nothing.
    outcome = {
        "cuts_exact": _matched(film.cuts, plain, lambda one, other: one == other),
        "cuts": _matched(film.cuts, plain, lambda one, other: abs(one - other) <= _NEAR),
        "gradual": _matched(slow, [span for span in gradual if not _on(span, blends, film.cuts)], _overlaps),
    }
    truth = [*((at, at) for at in film.cuts), *film.gradual]
    found = [*((at, at) for at in cuts), *gradual]
    outcome["all"] = _matched(
        truth, found, lambda one, other: _touch((one[0] - _NEAR, one[1] + _NEAR), other), once=False
    )
    return outcome


def _matched(
    truth: Sequence[Any], found: Sequence[Any], fits: Callable[[Any, Any], bool], *, once: bool = True
) -> tuple[int, int, int]:
    """(hits, misses, false alarms); each finding stands for one truth, and for no other where `once`."""
    left, hits = list(found), 0
    for each in truth:
        fitting = [other for other in left if fits(each, other)]
        hits += bool(fitting)
        left = [other for other in left if other not in (fitting[:1] if once else fitting)]
    return hits, len(truth) - hits, len(left)


def _overlaps(one: Extent, other: Extent) -> bool:
    shared = min(one[1], other[1]) - max(one[0], other[0])
    return shared >= 0.5 * (max(one[1], other[1]) - min(one[0], other[0]))


def _touch(one: Extent, other: Extent) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]


def _on(span: Extent, blends: Sequence[Extent], cuts: Sequence[int]) -> bool:
    """Whether a short extent stands for a blend of two frames or for a cut."""
    return span[1] - span[0] <= 2 * _NEAR and any(_touch(span, each) for each in chain(blends, ((c, c) for c in cuts)))


def _ours(name: str) -> Callable[[Film], Found]:
    def find(film: Film) -> Found:
        detector: ShotDetector = make_detector(Shots(detector=name))  # type: ignore[arg-type]
        for time_s, image in zip(film.times_s, film.images, strict=True):
            detector.process(time_s, image)
        found = detector.finish()
        at = {time_s: index for index, time_s in enumerate(film.times_s)}
        return (
            [at[each.start_s] for each in found if each.kind == "cut"],
            [(at[each.start_s], at[each.end_s]) for each in found if each.kind == "gradual"],
        )

    return find


def _theirs(*, fades: bool) -> Callable[[Film], Found]:
    def find(film: Film) -> Found:
        detectors = [AdaptiveDetector(), *([ThresholdDetector()] if fades else [])]
        cuts: set[int] = set()
        for index, image in enumerate(film.images):
            for detector in detectors:
                cuts |= {found.frame_num for found in detector.process_frame(FrameTimecode(index, 25.0), image)}
        for detector in detectors:
            cuts |= {found.frame_num for found in detector.post_process(FrameTimecode(len(film.images) - 1, 25.0))}
        return sorted(cuts), []

    return find


if __name__ == "__main__":
    main("shots", measure)
