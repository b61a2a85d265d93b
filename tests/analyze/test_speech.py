"""Speech: the network and the rules of silero-vad, and that no synthetic sound passes for a voice."""

import importlib.util
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from curate.analyze.speech import RATE_HZ, probabilities, spans


def one_by_one(samples: np.ndarray) -> np.ndarray:
    """Probabilities by the network that silero-vad itself runs, one call for each 32 ms."""
    found = importlib.util.find_spec("silero_vad")
    assert found is not None and found.submodule_search_locations
    weights = Path(found.submodule_search_locations[0]) / "data" / "silero_vad.onnx"
    network = onnxruntime.InferenceSession(str(weights), providers=["CPUExecutionProvider"])
    state, before = np.zeros((2, 1, 128), np.float32), np.zeros((1, 64), np.float32)
    likely = []
    for start in range(0, len(samples) - 511, 512):
        window = np.concatenate([before, samples[None, start : start + 512]], axis=1)
        out, state = network.run(None, {"input": window, "state": state, "sr": np.array(RATE_HZ, np.int64)})
        before = window[:, -64:]
        likely.append(out[0, 0])
    return np.array(likely, np.float32)


def vowels(seconds: float) -> np.ndarray:
    """A buzz of 120 Hz through three formants, louder and softer four times a second: enough to stir the network."""
    times = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    wave = np.zeros_like(times)
    for harmonic in range(1, 40):
        pitch = 120 * harmonic
        gain = sum(np.exp(-(((pitch - formant) / 120) ** 2)) for formant in (700, 1_200, 2_600))
        wave += gain * np.sin(2 * np.pi * pitch * times)
    return (0.2 * wave / np.abs(wave).max() * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * times))).astype(np.float32)


def test_one_call_for_a_clip_gives_what_a_call_for_each_window_gives() -> None:
    samples = np.concatenate([np.zeros(4_000, np.float32), vowels(3.0), np.zeros(7_001, np.float32)])
    found = probabilities(samples)
    assert found == pytest.approx(one_by_one(samples), abs=1e-4)
    assert found.max() > 0.3, "the check needs probabilities that differ"


def test_less_than_a_window_has_no_probability() -> None:
    assert len(probabilities(np.zeros(511, np.float32))) == 0 and spans(np.zeros(0, np.float32)) == []


@pytest.mark.parametrize("kind", ["silence", "tone", "sweep", "noise", "hum", "clicks"])
def test_synthetic_sound_is_no_speech(kind: str) -> None:
    times, rng = np.arange(5 * RATE_HZ) / RATE_HZ, np.random.default_rng(0)
    samples = {
        "silence": np.zeros_like(times),
        "tone": 0.25 * np.sin(2 * np.pi * 440 * times),
        "sweep": 0.25 * np.sin(2 * np.pi * (100 + 200 * times) * times),
        "noise": 0.25 * rng.standard_normal(len(times)),
        "hum": 0.25 * np.sign(np.sin(2 * np.pi * 50 * times)),
        "clicks": (np.arange(len(times)) % 4_000 == 0).astype(float),
    }[kind]
    assert spans(probabilities(samples.astype(np.float32))) == []


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.3, 0.4, 0.6, 0.95]), st.integers(1, 25)), max_size=12))
def test_spans_follow_the_rules_of_silero_vad(runs: list[tuple[float, int]]) -> None:
    threads = torch.get_num_threads()
    from silero_vad.utils_vad import get_speech_timestamps_from_probs

    torch.set_num_threads(threads)
    likely = np.array([value for value, length in runs for _ in range(length)], np.float32)
    expected = get_speech_timestamps_from_probs(likely.tolist(), audio_length_samples=512 * len(likely))
    found = spans(likely)
    assert len(found) == len(expected)
    for (start_s, end_s), wanted in zip(found, expected, strict=True):
        assert (start_s, end_s) == pytest.approx((wanted["start"] / RATE_HZ, wanted["end"] / RATE_HZ), abs=0.002)


def test_listening_leaves_torchs_threads_alone() -> None:
    before = torch.get_num_threads()
    probabilities(np.zeros(1_024, np.float32))
    assert torch.get_num_threads() == before
