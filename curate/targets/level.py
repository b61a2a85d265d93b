"""The similarity from which a clip counts as a match while there are too few labels to say how probable it is."""

import numpy as np

from curate.specs import Capability


def level_of(spec: Capability, similarities: np.ndarray) -> tuple[float | None, str]:
    """The spec's own level ("spec"), else the one found from the eligible clips ("clips"); None without any.

    Args:
        similarities: float [n], of the eligible clips.
    """
    if spec.match.level is not None:
        return spec.match.level, "spec"
    return find_level(similarities), "clips"


def find_level(similarities: np.ndarray) -> float | None:
    """The value that splits them best in two (Otsu 1979); None with fewer than two."""
    ordered = np.sort(similarities.astype(np.float64))
    if len(ordered) < 2:
        return None
    below = np.arange(1, len(ordered))
    sums = np.cumsum(ordered)
    low, high = sums[:-1] / below, (sums[-1] - sums[:-1]) / (len(ordered) - below)
    split = int((below * (len(ordered) - below) * (high - low) ** 2).argmax())
    return float(ordered[split] + ordered[split + 1]) / 2
