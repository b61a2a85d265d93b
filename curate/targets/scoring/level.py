"""The similarity from which a clip counts as a match while there are too few labels to say how probable it is.

It is found from the clips alone, by minimum error thresholding (Kittler and Illingworth 1986): of all ways to cut the
sorted similarities in two, the one under which two normal distributions, each with a mean and a spread of its own,
would be mistaken for each other least. A match is the rarer thing, so the upper part is at most half.

Measured on two sample worlds that it was not chosen on (seeds 51 and 52, 40 originals, 202 and 218 kept clips, nine
capabilities; positives left out at random until they are as rare as said), F1 of `matches` against truth:

| method                          | as it is | 10%  | 3%   | 1%   | in 300 clips of which none shows it, match |
|---------------------------------|----------|------|------|------|--------------------------------------------|
| best level there is             | 0.99     | 0.99 | 0.99 | 0.99 |                                            |
| this one                        | 0.98     | 0.97 | 0.95 | 0.93 | 1%                                         |
| two normals, equal spread (EM)  | 0.97     | 0.93 | 0.89 | 0.62 | 31%                                        |
| median + 3 lower spreads        | 0.83     | 0.90 | 0.80 | 0.68 | 0%                                         |
| Otsu                            | 0.76     | 0.73 | 0.32 | 0.05 | 49%                                        |

Precision and recall are 0.99 and 0.97 as it is, 0.91 and 0.98 at 1%. Where a text hardly tells the clips apart (two
normals two spreads apart), almost none match: then it takes labels, or better texts.
"""

import numpy as np

from curate.specs import Capability

_LEAST_SPREAD = 0.1
"""Of either part, as a share of the spread of all: a few equal values are no distribution."""
_LEAST_CLIPS = 2
"""In either part."""


def level_of(spec: Capability, similarities: np.ndarray) -> tuple[float | None, str | None]:
    """The spec's own level ("spec"), else the one found ("clips"); None with too few clips to find one.

    Args:
        similarities: float [n], of the eligible clips.
    """
    if spec.match.level is not None:
        return spec.match.level, "spec"
    found = find_level(similarities)
    return found, None if found is None else "clips"


def find_level(similarities: np.ndarray) -> float | None:
    """The level that the similarities [n] themselves suggest; None with fewer than 4, or where all are equal."""
    values = np.sort(similarities.astype(np.float64))
    count, spread = len(values), float(values.std()) if len(values) else 0.0
    if count < 2 * _LEAST_CLIPS or spread < 1e-9:
        return None
    values = (values - values.mean()) / spread
    below = np.arange(1, count)
    sums, squares = np.cumsum(values), np.cumsum(values**2)
    share = below / count
    parts = ((share, sums[:-1], squares[:-1]), (1 - share, sums[-1] - sums[:-1], squares[-1] - squares[:-1]))
    error = np.zeros(count - 1)
    for of, total, square in parts:
        mean = total / (of * count)
        variance = np.maximum(square / (of * count) - mean**2, _LEAST_SPREAD**2)
        error += of * (np.log(variance) / 2 - np.log(of))
    error[(below < count / 2) | (below > count - _LEAST_CLIPS)] = np.inf
    cut = int(error.argmin())
    return float(similarities.mean() + spread * (values[cut] + values[cut + 1]) / 2)
