"""When somebody speaks: silero-vad's network, whose weights come in its wheel, on 16 kHz mono.

The network gives a probability for each 32 ms, in one call for a clip; spans follow by the rules of silero-vad's own
`get_speech_timestamps`, at its defaults. Its package is not imported: that would load torch and set the number of its
threads for the whole process.

One second of sound costs 2 ms of one core, and 1.4 ms to decode it.
"""

import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from curate.analyze.clips import Span
from curate.media.sound import read_sound

RATE_HZ = 16_000
_WINDOW, _CONTEXT, _STATE = 512, 64, 128
_BEGINS, _GOES_ON = 0.5, 0.35
_MIN_SPEECH_S, _MIN_SILENCE_S, _PAD_S = 0.25, 0.1, 0.03


def speech_between(path: Path | str, start_offset_s: float, span: Span) -> list[Span]:
    """Spans in which somebody speaks, within a span of a video that has sound; seconds from its first shown frame.

    Raises:
        DecodeError: the sound is damaged there.
    """
    samples = samples_between(path, start_offset_s, span)
    length_s = span[1] - span[0]
    return [(span[0] + start_s, span[0] + min(end_s, length_s)) for start_s, end_s in spans(probabilities(samples))]


def samples_between(path: Path | str, start_offset_s: float, span: Span) -> np.ndarray:
    """The sound of a span at 16 kHz, mixed to one channel, float32 [samples]."""
    count = round((span[1] - span[0]) * RATE_HZ)
    return np.concatenate([block[0] for block in read_sound(path, start_offset_s + span[0], count, RATE_HZ)])


def probabilities(samples: np.ndarray) -> np.ndarray:
    """How likely each whole 32 ms of float32 [samples] holds speech, float32 [windows]."""
    count = len(samples) // _WINDOW
    if not count:
        return np.zeros(0, np.float32)
    led = np.concatenate([np.zeros(_CONTEXT, np.float32), samples])
    windows = np.lib.stride_tricks.sliding_window_view(led, _CONTEXT + _WINDOW)[::_WINDOW][:count]
    state = np.zeros((1, 1, _STATE), np.float32)
    found = load().run(["speech_probs"], {"input": np.ascontiguousarray(windows), "h": state, "c": state})
    return np.asarray(found[0], np.float32)


def spans(likely: np.ndarray) -> list[Span]:
    """Probabilities of windows into spans of speech, in seconds from the first window."""
    step_s = _WINDOW / RATE_HZ
    found: list[list[float]] = []
    begun_s = quiet_since_s = None
    for at, probability in enumerate(likely):
        time_s = at * step_s
        if probability >= _BEGINS:
            begun_s, quiet_since_s = time_s if begun_s is None else begun_s, None
        elif probability < _GOES_ON and begun_s is not None:
            quiet_since_s = time_s if quiet_since_s is None else quiet_since_s
            if time_s - quiet_since_s >= _MIN_SILENCE_S:
                found.append([begun_s, quiet_since_s])
                begun_s = quiet_since_s = None
    end_s = len(likely) * step_s
    if begun_s is not None:
        found.append([begun_s, end_s])
    padded: list[Span] = []
    for start_s, stop_s in found:
        if stop_s - start_s <= _MIN_SPEECH_S:
            continue
        start_s, stop_s = max(start_s - _PAD_S, 0.0), min(stop_s + _PAD_S, end_s)
        if padded and start_s < padded[-1][1]:
            middle_s = (start_s + padded[-1][1]) / 2
            padded[-1], start_s = (padded[-1][0], middle_s), middle_s
        padded.append((start_s, stop_s))
    return padded


@lru_cache(maxsize=1)
def load() -> Any:
    """The network, loaded once in a process."""
    import onnxruntime

    found = importlib.util.find_spec("silero_vad")
    assert found is not None and found.submodule_search_locations
    weights = Path(found.submodule_search_locations[0]) / "data" / "silero_vad_16k_sequence.onnx"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(weights), options, providers=["CPUExecutionProvider"])
