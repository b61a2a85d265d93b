"""Archives of scored clips whose truth is known, labelled in rounds as `curate.targets.choosing.choose` does it in the
main."""

from dataclasses import dataclass

import numpy as np

from curate.targets.gaps.estimate import Clips

LIKELY = 1


@dataclass(frozen=True)
class Archive:
    """Clips by number: `clips` as an estimate takes them, and whether each truly shows it."""

    clips: Clips
    truth: np.ndarray

    @property
    def open_positives(self) -> int:
        return int(self.truth[~self.clips.labelled].sum())


def archive(
    seed: int, *, clips: int = 600, share: float = 0.1, apart: float = 2.0, audits: int = 30, likely: int = 60
) -> Archive:
    """`share` of the clips show it, and score `apart` standard deviations higher; six clips to a group, ten groups to a
    source. The best scored and some at random are labelled."""
    random = np.random.default_rng(seed)
    group = np.arange(clips) // 6
    truth = random.random(clips) < share
    score = random.standard_normal(clips) + apart * truth
    audit = random.permutation(clips)[:audits]
    rest = np.setdiff1d(np.argsort(-score), audit, assume_unique=True)
    best = rest[np.argsort(-score[rest])][:likely]
    labelled, way = np.zeros(clips, bool), np.zeros(clips, np.int8)
    labelled[audit] = labelled[best] = True
    way[best] = LIKELY
    verdict = np.where(labelled, truth.astype(np.int8), -1).astype(np.int8)
    return Archive(Clips(score, group // 10, group, verdict, labelled, way, np.ones(clips, bool)), truth)
