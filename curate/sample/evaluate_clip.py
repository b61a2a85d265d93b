"""What the sample CLIP can do, on seeds that it was not trained on: zero-shot attributes, and retrieval of actions.

Retrieval is measured the way the toolkit uses it: a rendered and decoded world, two frames a second, a shot scored
by its two best frames against an action's prompts less its mean similarity to neutral ones.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import torch
from numpy.typing import NDArray
from open_clip import CLIP
from PIL import Image as PilImage

from curate.sample.captions import ACTION_PHRASES, BACKGROUND_PHRASES
from curate.sample.clip import Preprocess, Tokenize
from curate.sample.frames import FrameDescription, described_frames
from curate.sample.scenes import ACTIONS, BACKGROUNDS, COLORS, SHAPES
from curate.sample.world import render_world

HELD_OUT_SEED = 2_000_000
FRAME_STEP_S = 0.5
NEUTRAL_PROMPTS = ("a picture", "a scene", "an object standing still", "nothing moving")
Matrix = NDArray[np.float32]


@dataclass(frozen=True)
class Accuracy:
    """Zero-shot accuracy over the frames for which the question has one answer."""

    question: str
    right: float
    chance: float
    frames: int


@dataclass(frozen=True)
class Retrieval:
    """How many of the 20 best shots show an action, beside how many of all shots do."""

    action: str
    precision_at_20: float
    base_rate: float


def print_evaluation(model: CLIP, preprocess: Preprocess, tokenize: Tokenize) -> None:
    """Prints both tables; takes about two minutes on one core."""
    print("zero-shot, held-out frames      right  chance  frames")
    for row in zero_shot(model, preprocess, tokenize, frames=2000):
        print(f"{row.question:30s} {row.right:6.3f} {row.chance:7.3f} {row.frames:7d}")
    print("retrieval over shots, seed 7     P@20    base   ratio")
    with tempfile.TemporaryDirectory() as directory:
        for found in retrieval(model, preprocess, tokenize, Path(directory), videos=60, seed=7):
            ratio = found.precision_at_20 / found.base_rate
            print(f"{found.action:30s} {found.precision_at_20:6.2f} {found.base_rate:7.3f} {ratio:7.1f}")


def zero_shot(model: CLIP, preprocess: Preprocess, tokenize: Tokenize, *, frames: int) -> list[Accuracy]:
    """Asks for shape, colour, background and action of held-out frames.

    Shape and colour are asked where exactly one object is shown and neither hidden nor half recoloured.
    """
    described = list(itertools.islice(described_frames(HELD_OUT_SEED, frames_per_shot=2), frames))
    images = embed_images(model, preprocess, [picture for picture, _ in described])
    answers: dict[str, tuple[dict[str, list[str]], list[str | None]]] = {
        "shape": ({s: [f"a {s}"] for s in SHAPES}, [_shape(d) for _, d in described]),
        "color": ({c: [f"a {c} object"] for c in COLORS}, [_color(d) for _, d in described]),
        "background": ({b: list(BACKGROUND_PHRASES[b]) for b in BACKGROUNDS}, [d.background for _, d in described]),
        "action or none": (
            {**{a: action_prompts(a) for a in ACTIONS}, "none": ["nothing moving", "an object standing still"]},
            [d.action or "none" for _, d in described],
        ),
    }
    rows = []
    for question, (prompts, truth) in answers.items():
        names = list(prompts)
        texts = np.stack([_mean_text(model, tokenize, prompts[name]) for name in names])
        asked = [at for at, answer in enumerate(truth) if answer is not None]
        guesses = (images[asked] @ texts.T).argmax(axis=1)
        right = float(np.mean([names[guess] == truth[at] for guess, at in zip(guesses, asked, strict=True)]))
        rows.append(Accuracy(question, right, 1 / len(names), len(asked)))
    return rows


def retrieval(
    model: CLIP, preprocess: Preprocess, tokenize: Tokenize, directory: Path, *, videos: int, seed: int
) -> list[Retrieval]:
    """Renders a world into directory and ranks its original shots for each action."""
    truth = render_world(directory, videos, seed)
    shots: list[Matrix] = []
    shown: list[set[str]] = []
    for video in truth["videos"]:
        if video["kind"] != "original":
            continue
        times, embeddings = embed_video(model, preprocess, directory / video["file"], video["rotation_deg"])
        for shot in video["shots"]:
            inside = (times >= shot["start_s"]) & (times < shot["end_s"])
            shots.append(embeddings[inside])
            shown.append({s["action"] for s in video["segments"] if shot["start_s"] <= s["start_s"] < shot["end_s"]})
    neutral = _texts(model, tokenize, NEUTRAL_PROMPTS)
    found = []
    for action in ACTIONS:
        prompts = _texts(model, tokenize, action_prompts(action))
        scores = [
            float(np.sort((frames @ prompts.T).mean(axis=1))[-2:].mean() - (frames @ neutral.T).mean())
            for frames in shots
        ]
        best = np.argsort(scores)[::-1][:20]
        hits = [action in shown[at] for at in best]
        found.append(Retrieval(action, float(np.mean(hits)), float(np.mean([action in s for s in shown]))))
    return found


def action_prompts(action: str) -> list[str]:
    """Three prompts for an action."""
    return [f"an object {phrase}" for phrase in dict.fromkeys(ACTION_PHRASES[action])][:3]


def embed_video(
    model: CLIP, preprocess: Preprocess, path: Path, rotation_deg: int
) -> tuple[NDArray[np.float64], Matrix]:
    """Times (n,) from the first shown frame and unit embeddings (n, d) of a frame each half second."""
    times, pictures = [], []
    for time_s, picture in _sampled_frames(path):
        times.append(time_s)
        pictures.append(np.ascontiguousarray(np.rot90(picture, -rotation_deg // 90)))
    return np.array(times), embed_images(model, preprocess, pictures)


def embed_images(model: CLIP, preprocess: Preprocess, pictures: Sequence[NDArray[np.uint8]]) -> Matrix:
    """Unit embeddings (n, d) of RGB pictures."""
    parts = []
    for start in range(0, len(pictures), 128):
        batch = torch.stack([preprocess(PilImage.fromarray(p)) for p in pictures[start : start + 128]])
        with torch.inference_mode():
            parts.append(model.encode_image(batch, normalize=True).numpy())
    return np.concatenate(parts)


def _sampled_frames(path: Path) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        first, due_s = None, 0.0
        for frame in container.decode(stream):
            first = frame.pts if first is None else first
            time_s = float((frame.pts - first) * stream.time_base)
            if time_s >= due_s:
                due_s += FRAME_STEP_S
                yield time_s, frame.to_ndarray(format="rgb24")


def _texts(model: CLIP, tokenize: Tokenize, texts: Sequence[str]) -> Matrix:
    with torch.inference_mode():
        return np.asarray(model.encode_text(tokenize(list(texts)), normalize=True).numpy(), np.float32)


def _mean_text(model: CLIP, tokenize: Tokenize, texts: Sequence[str]) -> Matrix:
    mean = _texts(model, tokenize, texts).mean(axis=0)
    return np.asarray(mean / np.linalg.norm(mean), np.float32)


def _shape(d: FrameDescription) -> str | None:
    return d.thing.shape if d.thing and not d.other and d.action != "hide" else None


def _color(d: FrameDescription) -> str | None:
    return d.thing.color if d.thing and not d.other and d.action not in {"hide", "change_color"} else None
