"""A few vectors for each clip, near in cosine to those of its copies: how the pairs worth comparing are found.

A descriptor is what is left of a picture in its 63 lowest DCT coefficients, weighted by frequency, so that details
count as much as the large shapes that any two pictures share. Of each clip one picture in 2 s is described, whole and
by nine windows of four fifths of its width and height: of two pictures of which one is a crop of the other, a window of
one is near to the other whole. In a mirror image the coefficients of odd horizontal frequency change their sign, and
nothing else, so a mirrored copy is asked for by turning those signs. That is 4 to 5 descriptors for each second.

Chosen by measurement, on copies of seven real files and a sample world (1,377 clips, 57,945 wrong pairs): the share of
right pairs found, weak, medium and strong, by a threshold that lets 0.3% of the wrong ones through, and at MATCH.

| descriptor                        | crop             | logo             | caption          | mirror           |
|-----------------------------------|------------------|------------------|------------------|------------------|
| mean CLIP vector (the sample one) | 0.93, 0.95, 0.79 | 1, 0.82, 0.47    | 1, 0.88, 0.57    | 1, 1, 1          |
| PDQ's form: signs of 256 DCT      | 0.20, 0, 0.03    | 0.90, 0.90, 0.90 | 0.97, 0.93, 0.80 | 1, 0.95, 0.28    |
| DCT of the whole picture          | 0.70, 0.30, 0.03 | 0.95, 0.93, 0.85 | 0.95, 0.97, 0.15 | 1, 0.95, 0.62    |
| with windows, at MATCH (0.7%)     | 0.72, 0.74, 0.29 | 1, 1, 1          | 0.98, 1, 0.46    | 1, 1, 0.72       |
| that, or CLIP from 0.85 (0.7%)    | 1, 0.93, 0.60    | 1, 1, 1          | 1, 1, 0.57       | 1, 1, 0.98       |

So candidates are the pairs of either. Re-encodes, scales, letterboxes, trims and speeds are found by all (0.90 to 1), a
strong change of colour by the pixels (1) and not by CLIP (0.49). The first three rows are of 1,194 of these clips.
"""

import numpy as np
from scipy.fft import dctn

from curate.dedupe.fingerprint import LEAST_CONTRAST, PICTURES_PER_S, Fingerprint, resample

VERSION = "1"
"""Raised when descriptors change, so that an index made of former ones is made anew."""
_SIDE = 8
DESCRIPTOR_DIM = _SIDE * _SIDE
MATCH = 0.75
"""Least cosine of one question with one descriptor that makes a candidate."""
_EVERY_S = 2.0
_WINDOW = 0.8
_OFFSETS = (0.0, (1 - _WINDOW) / 2, 1 - _WINDOW)
WINDOWS = (
    (0.0, 0.0, 1.0, 1.0),
    *((left, top, left + _WINDOW, top + _WINDOW) for top in _OFFSETS for left in _OFFSETS),
)
_FREQUENCY = np.hypot(*np.mgrid[:_SIDE, :_SIDE]).astype(np.float32)
MIRROR = np.tile(np.where(np.arange(_SIDE) % 2, -1, 1), _SIDE).astype(np.float32)
"""What a descriptor is multiplied by to become that of the mirror image, float32 [DESCRIPTOR_DIM]."""


def descriptors(fingerprint: Fingerprint) -> np.ndarray:
    """What the index keeps of a clip: float32 [n, DESCRIPTOR_DIM] of unit norm; n is 0 where nothing is shown."""
    return describe(fingerprint.shown[_chosen(fingerprint)]).reshape(-1, DESCRIPTOR_DIM)


def questions(fingerprint: Fingerprint) -> np.ndarray:
    """What the index is asked for a clip: its descriptors and their mirror images, float32 [2 n, DESCRIPTOR_DIM].

    Mirroring is its own inverse and keeps angles, so of two clips either finds the other, or neither does.
    """
    own = descriptors(fingerprint)
    return np.concatenate([own, own * MIRROR])


def describe(pictures: np.ndarray) -> np.ndarray:
    """Descriptors of pictures by WINDOWS: float32 [n, 32, 32] to [n, 10, DESCRIPTOR_DIM] of unit norm."""
    windows = np.stack([resample(pictures, window, pictures.shape[1:]) for window in WINDOWS], axis=1)
    low = dctn(windows, axes=(2, 3), norm="ortho")[:, :, :_SIDE, :_SIDE] * _FREQUENCY
    vectors = (np.sign(low) * np.sqrt(np.abs(low))).reshape(len(pictures), len(WINDOWS), DESCRIPTOR_DIM)
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=2, keepdims=True), 1e-6), np.float32)


def _chosen(fingerprint: Fingerprint) -> np.ndarray:
    """Pictures that show something, one in 2 s of them and at least one."""
    showing = np.flatnonzero(fingerprint.contrast >= LEAST_CONTRAST)
    count = max(round(len(showing) / PICTURES_PER_S / _EVERY_S), 1)
    return showing[((np.arange(count) + 0.5) * len(showing) / count).astype(int)] if len(showing) else showing
