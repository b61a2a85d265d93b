"""From a mix's rows to training examples and batches.

One (clip, capability) label is one example. What a label says, and no more, is what the loss sees: an `absent` clip is
negative throughout; unmarked time of a `present` clip is negative where the annotator looked at all of it
(`exhaustive`), and otherwise unknown. A capability without a label on a clip is unknown there, never negative.

Batches are a function of (seed, step) alone, so a run that was killed resumes as if nothing had happened.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from curate.mixes.loading.labels import frames_inside
from curate.model.definitions import Encoded, EncodedField, Segment
from curate.model.predict import definition_vectors, pad, pooled_vectors
from curate.model.track import WINDOW_FRAMES, Track

COLUMNS = ("clip_id", "video_id", "duration_s", "labels", "frame_times_s", "frame_vectors")
"""The columns of a mix that training and evaluation read; the media stays where it is."""


@dataclass(frozen=True)
class Example:
    """What one annotator says of one capability in one clip. Segment times are seconds from the clip's start."""

    clip_id: str
    video_id: str
    capability: str
    track: Track
    segments: tuple[Segment, ...]
    exhaustive: bool

    @property
    def present(self) -> bool:
        return bool(self.segments)


@dataclass(frozen=True)
class Batch:
    """Tensors of one step. B sequences of T frames; N segment fields with K values at most."""

    frames: torch.Tensor  # [B, T, D]
    times_s: torch.Tensor  # [B, T]
    mask: torch.Tensor  # [B, T]
    text: torch.Tensor  # [B, D]
    not_text: torch.Tensor  # [B, D]
    on: torch.Tensor  # [B, T] in 0, 1
    known: torch.Tensor  # [B, T], frames whose `on` a label says
    reach_s: torch.Tensor  # [B, T, 2], where on
    pooled: torch.Tensor  # [N, POOLS, D]
    pooled_text: torch.Tensor  # [N, D]
    field: torch.Tensor  # [N, D]
    values: torch.Tensor  # [N, K, D]
    value_mask: torch.Tensor  # [N, K]
    value: torch.Tensor  # [N], index of the true value

    def to(self, device: torch.device) -> Batch:
        return Batch(**{name: part.to(device) for name, part in vars(self).items()})


def read_rows(dataset: Any) -> Iterator[dict[str, Any]]:
    """Rows of a `datasets.Dataset` of a mix, without its media; vectors as float32 [T, D]."""
    for table in dataset.select_columns(list(COLUMNS)).with_format("arrow").iter(batch_size=256):
        vectors = table.column("frame_vectors")
        for at, row in enumerate(table.drop_columns(["frame_vectors"]).to_pylist()):
            frames = len(row["frame_times_s"])
            flat = vectors[at].values.flatten().to_numpy(zero_copy_only=False)
            yield {**row, "frame_vectors": flat.astype(np.float32).reshape(frames, -1)}


def examples_of(rows: Iterable[Mapping[str, Any]], capabilities: Iterable[str]) -> list[Example]:
    """The examples of rows: labels of the given capabilities with verdict present or absent, on clips with frames."""
    wanted, found = set(capabilities), []
    for row in rows:
        vectors = np.asarray(row["frame_vectors"], dtype=np.float32)
        if not len(vectors):
            continue
        track = Track(np.asarray(row["frame_times_s"], dtype=np.float64), vectors, float(row["duration_s"]))
        for capability, segments, exhaustive in told(row):
            if capability in wanted:
                found.append(Example(row["clip_id"], row["video_id"], capability, track, segments, exhaustive))
    return found


def told(row: Mapping[str, Any]) -> Iterator[tuple[str, tuple[Segment, ...], bool]]:
    """What a row's labels say: capability, segments, and whether unmarked time is known not to show it. Labels that are
    neither present nor absent say nothing, and neither do those that call a clip present and mark no part of it."""
    for label in row["labels"] or ():
        if label["verdict"] == "absent":
            yield label["capability"], (), True
        elif label["verdict"] == "present":
            segments = tuple(_segments(label, float(row["duration_s"])))
            if segments:
                yield label["capability"], segments, bool(label["exhaustive"])


def _segments(label: Mapping[str, Any], duration_s: float) -> Iterator[Segment]:
    for segment in sorted(label["segments"] or (), key=lambda s: s["start_s"]):
        start_s, end_s = max(float(segment["start_s"]), 0.0), min(float(segment["end_s"]), duration_s)
        if end_s > start_s:
            yield Segment(start_s, end_s, json.loads(segment["fields"] or "{}"))


def sampling_weights(examples: Sequence[Example]) -> np.ndarray:
    """The chance [n] of drawing each example.

    Capabilities come as often as the mix holds them, since its shares are what the user asked for; within each, present
    and absent ones come equally often.
    """
    capabilities = np.array([example.capability for example in examples])
    present = np.array([example.present for example in examples])
    weights = np.zeros(len(examples))
    for capability in np.unique(capabilities):
        own = capabilities == capability
        sides = [own & present, own & ~present]
        halves = [side for side in sides if side.any()]
        for side in halves:
            weights[side] = own.sum() / len(halves) / side.sum()
    return weights / weights.sum()


@dataclass(frozen=True)
class Pool:
    """Examples to draw from, with the chance [n] of each, and those of each capability."""

    examples: Sequence[Example]
    weights: np.ndarray
    by_capability: Mapping[str, Sequence[Example]]


def pool_of(examples: Sequence[Example]) -> Pool:
    """The examples, drawn by `sampling_weights`."""
    by_capability: dict[str, list[Example]] = {}
    for example in examples:
        by_capability.setdefault(example.capability, []).append(example)
    return Pool(examples, sampling_weights(examples), by_capability)


def draw_batch(
    pool: Pool,
    encoded: Mapping[str, Encoded],
    *,
    size: int,
    seed: int,
    step: int,
    join: float = 0.5,
    noise: float = 0.3,
) -> Batch:
    """The batch of one step.

    Three things are varied, so that the model learns the task and not the mix: a definition is said with some of its
    texts only; with chance `join` a clip is followed by another with a label of the same capability, which makes the
    cuts that windows over whole videos hold; and vectors get Gaussian noise of length `noise`, then unit norm again.
    """
    rng = np.random.default_rng([seed, step])
    sequences = []
    for at in rng.choice(len(pool.examples), size=size, p=pool.weights):
        example = pool.examples[at]
        others = pool.by_capability[example.capability]
        if rng.random() < join:
            example = _joined(example, others[int(rng.integers(len(others)))], first=bool(rng.random() < 0.5))
        sequences.append(example)
    texts = [_said(encoded[example.capability], rng) for example in sequences]
    return _collate(sequences, texts, encoded, rng, noise)


def _joined(a: Example, b: Example, *, first: bool) -> Example:
    """Both clips as one track, `a` first or last; `a` alone where that would outgrow a window."""
    if len(a.track.times_s) + len(b.track.times_s) > WINDOW_FRAMES or a.exhaustive != b.exhaustive:
        return a
    head, tail = (a, b) if first else (b, a)
    shift_s = head.track.duration_s
    track = Track(
        np.concatenate([head.track.times_s, tail.track.times_s + shift_s]),
        np.concatenate([head.track.vectors, tail.track.vectors]),
        shift_s + tail.track.duration_s,
    )
    moved = tuple(Segment(s.start_s + shift_s, s.end_s + shift_s, s.fields) for s in tail.segments)
    return Example(a.clip_id, a.video_id, a.capability, track, head.segments + moved, a.exhaustive)


def _said(encoded: Encoded, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The definition's two vectors, half of the time from a random part of its texts."""
    if rng.random() < 0.5:
        return definition_vectors(encoded)
    count = len(encoded.texts)
    some = rng.choice(count, size=int(rng.integers(1, count + 1)), replace=False)
    return definition_vectors(Encoded(encoded.definition, encoded.texts[some], encoded.not_texts, ()))


def _collate(
    sequences: Sequence[Example],
    texts: Sequence[tuple[np.ndarray, np.ndarray]],
    encoded: Mapping[str, Encoded],
    rng: np.random.Generator,
    noise: float,
) -> Batch:
    tracks = [_noisy(example.track, rng, noise) for example in sequences]
    frames, times_s, mask = pad([(track.vectors, track.times_s) for track in tracks])
    on, known = np.zeros(mask.shape, dtype=np.float32), mask.numpy().copy()
    reach_s = np.zeros((*mask.shape, 2), dtype=np.float32)
    asked: list[tuple[np.ndarray, np.ndarray, EncodedField, int]] = []
    for row, (example, track) in enumerate(zip(sequences, tracks, strict=True)):
        for segment in example.segments:
            inside = frames_inside(track.times_s, segment.start_s, segment.end_s)
            on[row, inside] = 1
            reach_s[row, inside, 0] = np.maximum(track.times_s[inside] - segment.start_s, 0)
            reach_s[row, inside, 1] = np.maximum(segment.end_s - track.times_s[inside], 0)
            pooled = pooled_vectors(track, segment)
            for field in encoded[example.capability].fields:
                value = segment.fields.get(field.name)
                if value in field.values:
                    asked.append((pooled, texts[row][0], field, field.values.index(value)))
        if not example.exhaustive:
            known[row] &= on[row] > 0
    text, not_text = (torch.from_numpy(np.stack(part)) for part in zip(*texts, strict=True))
    labels = (torch.from_numpy(part) for part in (on, known, reach_s))
    return Batch(frames, times_s, mask, text, not_text, *labels, *_collate_fields(asked, frames.shape[-1]))


def _collate_fields(
    asked: Sequence[tuple[np.ndarray, np.ndarray, EncodedField, int]], dim: int
) -> tuple[torch.Tensor, ...]:
    count, most = len(asked), max((len(field.values) for _, _, field, _ in asked), default=1)
    values, mask = np.zeros((count, most, dim), dtype=np.float32), np.zeros((count, most), dtype=bool)
    for at, (_, _, field, _) in enumerate(asked):
        values[at, : len(field.values)], mask[at, : len(field.values)] = field.value_vectors, True
    pools = asked[0][0].shape[0] if asked else 1
    pooled = np.stack([part[0] for part in asked]) if asked else np.zeros((0, pools, dim), dtype=np.float32)
    text = np.stack([part[1] for part in asked]) if asked else np.zeros((0, dim), dtype=np.float32)
    name = np.stack([part[2].vector for part in asked]) if asked else np.zeros((0, dim), dtype=np.float32)
    value = np.array([part[3] for part in asked], dtype=np.int64)
    return tuple(torch.from_numpy(part) for part in (pooled, text, name, values, mask, value))


def _noisy(track: Track, rng: np.random.Generator, noise: float) -> Track:
    dim = track.vectors.shape[1]
    vectors = track.vectors + rng.standard_normal(track.vectors.shape, dtype=np.float32) * (noise / dim**0.5)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return Track(track.times_s, vectors.astype(np.float32), track.duration_s)
