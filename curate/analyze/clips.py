"""Shots into clips: spans of a length that a person can label and a model can learn from."""

import math
from collections.abc import Iterable
from itertools import pairwise

from curate.analyze.shots import Shot
from curate.specs.analysis import Clips

Span = tuple[float, float]
"""Start and end in seconds from the first shown frame; the end is not in it."""


def clips_of(shots: Iterable[Shot], spec: Clips) -> tuple[list[Span], list[Span]]:
    """(clips, spans too short to be one). A shot longer than `max_s` is split into the fewest equal parts that fit."""
    clips: list[Span] = []
    short: list[Span] = []
    for shot in shots:
        length_s = shot.end_s - shot.start_s
        if length_s < spec.min_s - 1e-6:
            short.append((shot.start_s, shot.end_s))
            continue
        parts = max(math.ceil(length_s / spec.max_s - 1e-6), 1)
        edges_s = [shot.start_s + length_s * part / parts for part in range(parts)] + [shot.end_s]
        clips += pairwise(edges_s)
    return clips, short
