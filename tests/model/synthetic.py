"""A world of frame vectors with known segments, as rows of a mix: what a CLIP would give, without pixels.

A frame's vector is its scene, the object's colour, and while an action is on the action's vector; the latter lies only
partly along the action's text, as in a real CLIP, so similarity to a text helps and learning helps more.
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

DIM = 64
ACTIONS = ("bounce", "roll", "spin")
COLORS = ("red", "green", "blue")


def texts(strings: Sequence[str]) -> np.ndarray:
    """A text tower: the unit-norm sum of a vector for each word. [n, DIM]"""
    return np.stack([_unit(sum(_word(word) for word in text.split())) for text in strings]).astype(np.float32)


def capability(action: str) -> dict[str, Any]:
    """A capability's spec, as a mix's lock holds it."""
    return {
        "id": action,
        "title": action,
        "owner": "tests",
        "why": "to learn",
        "definition": f"A thing does {action}.",
        "segment": {
            "description": f"one {action}",
            "fields": [{"name": "color", "type": "string", "enum": list(COLORS), "required": True}],
            "min_duration": 0.5,
            "max_duration": 10,
        },
        "match": {"text": [f"thing {action}"], "not_text": ["thing still"]},
        "target": {"clips": 10},
    }


def rows(clips: int, seed: int, *, exhaustive: bool = True) -> list[dict[str, Any]]:
    """Rows of a mix: clips of 4-10 s at 2 frames a second, two from each video, each labelled for every action."""
    rng = np.random.default_rng(seed)
    return [_row(rng, seed, number, exhaustive) for number in range(clips)]


def _row(rng: np.random.Generator, seed: int, number: int, exhaustive: bool) -> dict[str, Any]:
    duration_s = float(rng.uniform(4, 10))
    action, color = str(rng.choice(ACTIONS)), str(rng.choice(COLORS))
    start_s = float(rng.uniform(0, duration_s - 3))
    end_s = float(min(start_s + rng.uniform(1.5, 5), duration_s))
    times_s = np.arange(0, duration_s, 0.5)
    on = (times_s >= start_s) & (times_s < end_s)
    seen = _unit(0.45 * _word(action) + 0.9 * _word(f"looks:{action}"))
    scene = _unit(rng.standard_normal(DIM))
    vectors = scene + 0.7 * _word(color) + 0.8 * on[:, None] * seen + 0.35 * (~on)[:, None] * _word("still")
    vectors = vectors + rng.standard_normal((len(times_s), DIM)) * 0.6 / DIM**0.5
    segment = {"start_s": start_s, "end_s": end_s, "fields": json.dumps({"color": color})}
    return {
        "clip_id": f"clip-{seed}-{number}",
        "video_id": f"video-{seed}-{number // 2}",
        "duration_s": duration_s,
        "labels": [
            {
                "capability": name,
                "spec_version": "0",
                "verdict": "present" if name == action else "absent",
                "exhaustive": exhaustive,
                "annotator": "truth",
                "segments": [segment] if name == action else [],
            }
            for name in ACTIONS
        ],
        "embedding_model": "words",
        "frame_times_s": times_s.tolist(),
        "frame_vectors": np.stack([_unit(v) for v in vectors]).astype(np.float16).tolist(),
    }


def _word(word: str) -> np.ndarray:
    return _unit(np.random.default_rng(list(word.encode())).standard_normal(DIM))


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)
