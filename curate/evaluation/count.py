"""From a model's segments to metrics with intervals: for each capability, each of its slices, and all together.

Counts of clips add up over a video; a resample of videos is a weighted sum of them. So every metric, its interval and
the difference of two models are taken from one `Counts` for each model, under the same draws.

10,000 clips of 20 capabilities with 6 slices each, and 127,000 scored segments: counting takes 9 s of one core, and
intervals from 1,000 resamples 10 s, of which average precision is the most.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from curate.evaluation import average_precision as ap
from curate.evaluation import uncertainty
from curate.evaluation.judged import Judged
from curate.model import metrics as segments
from curate.model.definitions import Segment

ALL = "all"
"""The row of means over capabilities."""

METRICS = (*segments.METRICS, *ap.METRICS)
"""All metrics; those of `average_precision` only where segments are ranked by scores, and of no slice."""

_OWN = len(segments.METRICS)
_RATE, _SECONDS = METRICS.index("false_alarms_per_min"), METRICS.index("boundary_error_s")
_SHARES = [at for at in range(len(METRICS)) if at not in (_RATE, _SECONDS)]


@dataclass(frozen=True)
class Counts:
    """What metrics are made of.

    Attributes:
        capabilities: sorted.
        slices: (capability, slice) of those that hold a judged clip.
        tallies: [videos, capabilities + slices, TALLY_SIZE].
        ranked: of each capability; empty where segments have no scores.
        judged: bool [videos, capabilities + slices]: a clip of the video is judged there.
    """

    capabilities: list[str]
    slices: list[tuple[str, str]]
    tallies: np.ndarray
    ranked: list[ap.Ranked]
    judged: np.ndarray

    def values(self, weights: np.ndarray) -> np.ndarray:
        """Metrics [resamples, rows, len(METRICS)] under weights of videos [resamples, videos]; nan where undefined.

        Rows are the capabilities, their slices and, last, the means over the capabilities that have a value.
        """
        own = segments.measure(uncertainty.resampled(weights, self.tallies))
        found = np.full((*own.shape[:2], len(METRICS)), np.nan)
        found[..., :_OWN] = own
        for row, ranked in enumerate(self.ranked):
            found[:, row, _OWN:] = ap.metrics(ap.average_precision(ranked, weights))
        return with_mean(found, len(self.capabilities))

    def table(self, drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Value, low and high of a 95% interval, each [rows, len(METRICS)], from the `values` of resamples."""
        value = self.values(np.ones((1, len(self.tallies))))[0]
        groups, observations = self._sizes()
        variance = uncertainty.spread(drawn, groups)
        low, high = np.full(value.shape, np.nan), np.full(value.shape, np.nan)
        low[:, _SHARES], high[:, _SHARES] = uncertainty.share_interval(
            *(part[:, _SHARES] for part in (value, variance, groups, observations))
        )
        minutes = segments.parts(self.tallies.sum(0))[1][:, _RATE] / 60
        minutes = np.append(minutes, minutes[: len(self.capabilities)].sum())
        low[:, _RATE], high[:, _RATE] = uncertainty.rate_interval(
            value[:, _RATE], variance[:, _RATE], observations[:, _RATE], minutes
        )
        low[:, _SECONDS], high[:, _SECONDS] = uncertainty.seconds_interval(
            *(part[:, _SECONDS] for part in (value, variance, groups))
        )
        return value, low, high

    def _sizes(self) -> tuple[np.ndarray, np.ndarray]:
        """For each row and metric the videos that say anything of it, and how many things it is of at most."""
        count = len(self.capabilities)
        rows = self.tallies.shape[1]
        groups, observations = np.zeros((rows + 1, len(METRICS))), np.zeros((rows + 1, len(METRICS)))
        anywhere = np.zeros((len(self.tallies), _OWN), dtype=bool)
        for row in range(rows):
            says = segments.parts(self.tallies[:, row])[1] > 0
            groups[row, :_OWN] = says.sum(0)
            if row < count:
                anywhere |= says
        observations[:-1, :_OWN] = segments.observations(self.tallies.sum(0))
        groups[-1, :_OWN] = anywhere.sum(0)
        for row, ranked in enumerate(self.ranked):
            groups[row, _OWN:], observations[row, _OWN:] = ranked.videos, ranked.true.sum()
        groups[-1, _OWN:] = groups[:count, _OWN:].max(0, initial=0)
        observations[-1] = observations[:count].sum(0)
        return groups, observations


def count(
    judged: Sequence[Judged],
    found: Sequence[Sequence[Segment]],
    *,
    required: Mapping[str, Sequence[str]],
    slices: Mapping[tuple[str, str], Collection[str]],
    scored: bool,
) -> Counts:
    """Counts of a model's segments.

    Args:
        judged: the truth.
        found: the model's segments for each of them, in their order.
        required: the required fields of each capability.
        slices: by capability and slice, the clips in it.
        scored: whether scores rank segments.
    """
    capabilities = sorted({each.capability for each in judged})
    videos = {video: at for at, video in enumerate(sorted({each.video_id for each in judged}))}
    of = np.array([videos[each.video_id] for each in judged])
    tallies = np.array(
        [
            segments.tally(each.segments, answer, each.duration_s, required.get(each.capability, ()))
            for each, answer in zip(judged, found, strict=True)
        ]
    )
    places: dict[str, list[int]] = {name: [] for name in capabilities}
    for at, each in enumerate(judged):
        places[each.capability].append(at)
    inside = {
        key: [at for at in places[key[0]] if judged[at].clip_id in clips]
        for key, clips in sorted(slices.items())
        if key[0] in places
    }
    held = {key: rows for key, rows in inside.items() if rows}
    columns = [*places.values(), *held.values()]
    summed = np.zeros((len(videos), len(columns), segments.TALLY_SIZE))
    present = np.zeros(summed.shape[:2], dtype=bool)
    for column, rows in enumerate(columns):
        np.add.at(summed[:, column], of[rows], tallies[rows])
        present[of[rows], column] = True
    ranked = [_ranked(judged, found, of, rows, len(videos)) for rows in places.values()] if scored else []
    return Counts(capabilities, list(held), summed, ranked, present)


def with_mean(values: np.ndarray, capabilities: int) -> np.ndarray:
    """[..., rows, metrics] with one more row: the mean over the first rows, of those that have a value."""
    own = values[..., :capabilities, :]
    defined = ~np.isnan(own)
    mean = segments.divide(np.where(defined, own, 0).sum(-2, keepdims=True), defined.sum(-2, keepdims=True))
    return np.concatenate([values, mean], axis=-2)


def _ranked(
    judged: Sequence[Judged], found: Sequence[Sequence[Segment]], of: np.ndarray, rows: Sequence[int], videos: int
) -> ap.Ranked:
    true = np.zeros(videos)
    np.add.at(true, of[rows], [len(judged[at].segments) for at in rows])
    said = [at for at in rows if found[at]]
    return ap.Ranked(
        np.array([segment.score for at in said for segment in found[at]], dtype=np.float64),
        np.concatenate(
            [np.zeros((0, len(ap.TIOUS)), dtype=bool), *(ap.hits(judged[at].segments, found[at]) for at in said)]
        ),
        np.repeat(of[said], [len(found[at]) for at in said]) if said else np.zeros(0, dtype=int),
        true,
    )
