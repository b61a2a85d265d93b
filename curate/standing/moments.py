"""What the first stage of a search looks through: the moments of a clip, a few vectors that stand for all its windows.

A clip's mean vector would be one, but it dilutes what is short. In the sample world (237 clips of 10.7 frames), the 20
clips with the best windows lie within the first 59 by mean vector in the median question and 162 in the worst; by the
moments of this module, 3.7 a clip, within 22 and 45.

A moment is a run of windows (`curate.standing.windows`) each of which has a cosine of at least ALIKE with the mean of
those before it; its vector is the mean of the run, at unit norm.

| ALIKE | moments a clip | the 20 best by windows are within the first, median and worst of 75 questions |
|-------|----------------|---------------------------------------|
| mean  | 1              | 59, 162                               |
| 0.90  | 2.7            | 24, 111                               |
| 0.95  | 3.7            | 22, 45                                |
| 0.98  | 4.6            | 21, 43                                |
| none  | 9.7            | 20, 28                                |
"""

import numpy as np

from curate.standing.frames import Frames
from curate.standing.windows import WINDOW, window_sums
from curate.vectors import unit

ALIKE = 0.95


def moments(frames: Frames) -> tuple[np.ndarray, np.ndarray]:
    """The moments of each clip, in order of time.

    Returns:
        Vectors float32 [m, dim] of unit norm, and the clip of each, int64 [m], sorted.
    """
    if not len(frames.counts):
        return np.zeros((0, frames.vectors.shape[1]), np.float32), np.zeros(0, np.int64)
    windows = unit(window_sums(frames.vectors.astype(np.float32), frames.counts)).astype(np.float32)
    windows_in = frames.counts - np.minimum(frames.counts, WINDOW) + 1
    runs = windows[frames.first]
    vectors, owners = [], []
    for place in range(1, int(windows_in.max())):
        clips = np.flatnonzero(windows_in > place)
        now = windows[frames.first[clips] + place]
        alike = np.einsum("ij,ij->i", now, unit(runs[clips])) >= ALIKE
        ended = clips[~alike]
        vectors.append(runs[ended])
        owners.append(ended)
        runs[ended] = 0
        runs[clips] += now
    owner = np.concatenate([*owners, np.arange(len(frames.counts))])
    order = np.argsort(owner, kind="stable")
    return unit(np.concatenate([*vectors, runs]))[order], owner[order]
