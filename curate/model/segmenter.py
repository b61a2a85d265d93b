"""The reference segmenter: frame embeddings and a definition's text vectors in, segments with typed fields out.

Small on purpose (0.6 M parameters for 128-dimensional embeddings), since the frames' embedding has done the seeing.
Each frame says whether the segment is on, and how many seconds before and after it the segment starts and ends, without
anchors, as FCOS (Tian et al. 2019) and ActionFormer (Zhang et al. 2022) do, so boundaries fall between frames that are
half a second apart. The definition enters three ways: as similarity to each frame, as a product with each frame in a
learned space, and by FiLM (Perez et al. 2018). There are no weights of any one definition, field or value.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from curate.errors import InputError

POOLS = 4
"""Means of frame vectors that describe a segment to the field head: all of it, its first and last third, all else."""


@dataclass(frozen=True)
class Shape:
    """Sizes of the network. `dim` is the embedding's."""

    dim: int
    width: int = 128
    layers: int = 2
    heads: int = 4
    dropout: float = 0.1


class Segmenter(nn.Module):
    """Dense segments and field values. Time is in seconds throughout; no layer knows a frame's number."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        dim, width = shape.dim, shape.width
        self.frame = nn.Linear(dim, width)
        self.similarity = nn.Linear(4, width)
        self.gate = nn.Linear(2 * dim, width)
        self.film = nn.Linear(2 * dim, 2 * width)
        self.before, self.after = (_Conv(width, shape.dropout) for _ in range(2))
        self.attention = nn.ModuleList(_Attention(width, shape.heads, shape.dropout) for _ in range(shape.layers))
        self.norm = nn.LayerNorm(width)
        self.actionness = nn.Linear(width, 1)
        self.likeness = nn.Linear(4, 1)
        self.reach = nn.Linear(width, 2)
        query = nn.Linear(width, width)
        self.field = nn.Sequential(nn.Linear((POOLS + 2) * dim, width), nn.GELU(), nn.Dropout(shape.dropout), query)
        self.value = nn.Linear(dim, width, bias=False)
        self.field_scale = nn.Parameter(torch.tensor(20.0))
        nn.init.zeros_(query.weight)  # so that an untrained head picks the most similar value
        nn.init.zeros_(query.bias)
        nn.init.constant_(self.reach.bias, 1.0)
        with torch.no_grad():  # so that an untrained model takes a frame more like the text than the not-text for on
            self.likeness.weight.copy_(torch.tensor([[0.0, 0.0, 2.0, 0.0]]))
            self.likeness.bias.zero_()
            self.actionness.weight.mul_(0.1)

    def forward(self, frames: Tensor, times_s: Tensor, mask: Tensor, text: Tensor, not_text: Tensor) -> Dense:
        """Dense predictions for a batch of frame sequences, each with one definition.

        Args:
            frames: [B, T, D], unit norm. times_s: [B, T]. mask: [B, T], true where there is a frame.
            text, not_text: [B, D], unit norm: what a frame of the segment shows, and what it is mistaken for.
        """
        definition = torch.cat([text, not_text], dim=-1) * self.shape.dim**0.5
        scaled = frames * self.shape.dim**0.5
        x = self.frame(scaled)
        gate, (scale, shift) = self.gate(definition)[:, None], self.film(definition)[:, None].chunk(2, dim=-1)
        similarities = _similarities(frames, mask, text, not_text)
        x = x * (1 + scale) + x * gate + shift + self.similarity(similarities)
        step_s = _steps_s(times_s, mask)
        x = self.before(x, mask)
        for layer in self.attention:
            x = layer(x, mask, times_s)
        x = self.norm(self.after(x, mask))
        logits = self.actionness(x) + self.likeness(similarities)
        return Dense(logits[..., 0], F.softplus(self.reach(x)) * (2 * step_s)[:, None, None])

    def choose(self, pooled: Tensor, text: Tensor, field: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """Logits [N, K] over the values of one field in each of N segments.

        Args:
            pooled: [N, POOLS, D], means of frame vectors. text, field: [N, D], of the definition and the field.
            values: [N, K, D], see `definitions.EncodedField`. mask: [N, K], true where there is a value.
        """
        query = torch.cat([pooled.flatten(1), text, field], dim=-1) * self.shape.dim**0.5
        learned = torch.einsum("nw,nkw->nk", self.field(query), self.value(values))
        similar = torch.einsum("nd,nkd->nk", pooled[:, 0], values)
        return (learned + self.field_scale * similar).masked_fill(~mask, float("-inf"))


@dataclass(frozen=True)
class Dense:
    """For each frame the logit [B, T] that the segment is on, and the seconds [B, T, 2] to its start and to its end."""

    logits: Tensor
    reach_s: Tensor


class _Conv(nn.Module):
    """A residual convolution over three frames: differences in time, and the ends of the sequence."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.conv = nn.Conv1d(width, width, 3, padding=1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        y = self.norm(x) * mask[..., None]
        return x + self.dropout(F.gelu(self.conv(y.transpose(1, 2)).transpose(1, 2)))


class _Attention(nn.Module):
    """A transformer layer whose attention falls with distance in seconds, with a slope for each head (ALiBi)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, nn.Dropout(dropout)
        self.norm, self.mix, self.out = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.feed = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 2 * width),
            nn.GELU(),
            nn.Linear(2 * width, width),
            nn.Dropout(dropout),
        )
        self.slope = nn.Parameter(torch.linspace(0.1, 1.5, heads))

    def forward(self, x: Tensor, mask: Tensor, times_s: Tensor) -> Tensor:
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.mix(self.norm(x)).chunk(3, dim=-1)
        )
        distance_s = (times_s[:, :, None] - times_s[:, None, :]).abs()
        bias = -self.slope.abs()[None, :, None, None] * distance_s[:, None]
        bias = bias.masked_fill(~mask[:, None, None, :], -1e4)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        x = x + self.dropout(self.out(mixed.transpose(1, 2).flatten(2)))
        return x + self.feed(x)


def _similarities(frames: Tensor, mask: Tensor, text: Tensor, not_text: Tensor) -> Tensor:
    """[B, T, 4]: to the text, to the not-text, their difference, and the difference against the sequence's mean."""
    on, off = (torch.einsum("btd,bd->bt", frames, vector) for vector in (text, not_text))
    weight = mask.to(frames.dtype)
    mean = ((on - off) * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True).clamp(min=1)
    return torch.stack([on, off, on - off, on - off - mean], dim=-1) * 5


def _steps_s(times_s: Tensor, mask: Tensor) -> Tensor:
    """[B]: mean seconds between frames, 0.5 where a sequence has one frame."""
    count = mask.sum(1)
    last = times_s.gather(1, (count - 1).clamp(min=0)[:, None])[:, 0]
    step = (last - times_s[:, 0]) / (count - 1).clamp(min=1)
    return torch.where(count > 1, step, torch.full_like(step, 0.5))


def pool_weights(times_s: np.ndarray, start_s: float, end_s: float) -> np.ndarray:
    """[POOLS, T]: weights over the frames of a segment, of its first and last third, and of all others; rows sum to 1.

    A part that holds no frame takes the frame nearest to its middle; no other frames at all gives a row of zeros.
    """
    third = (end_s - start_s) / 3
    spans = ((start_s, end_s), (start_s, start_s + third), (end_s - third, end_s))
    rows = []
    for low, high in spans:
        inside = (times_s >= low) & (times_s < high)
        if not inside.any():
            inside[np.abs(times_s - (low + high) / 2).argmin()] = True
        rows.append(inside / inside.sum())
    outside = rows[0] == 0
    rows.append(outside / max(outside.sum(), 1))
    return np.stack(rows).astype(np.float32)


def pick_device(device: str) -> torch.device:
    """`auto` is CUDA where there is one, else the CPU.

    Raises:
        InputError: the device cannot be used here.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
    except RuntimeError:
        found = None
    if found is None or found.type not in ("cpu", "cuda"):
        raise InputError(f"device is {device!r}", fix="Allowed: auto, cpu, cuda")
    if found.type == "cuda" and not torch.cuda.is_available():
        raise InputError("no CUDA device here", fix="Use device auto or cpu")
    return found


def save_model(directory: Path, model: Segmenter, config: Mapping[str, Any]) -> None:
    """Writes model.safetensors and, last, config.json: a directory with a config is a whole model.

    The weights carry the config in their header too (`curate`, JSON), so that a file that went on alone still says
    which mix it was trained on.
    """
    directory.mkdir(parents=True, exist_ok=True)
    whole = {**config, "shape": asdict(model.shape)}
    header = {"curate": json.dumps(whole, sort_keys=True)}
    replace_file(directory / "model.safetensors", lambda path: save_file(cpu_state(model), path, metadata=header))
    content = json.dumps(whole, indent=1, sort_keys=True) + "\n"
    replace_file(directory / "config.json", lambda path: path.write_text(content))


def load_model(directory: Path | str, device: str = "auto") -> tuple[Segmenter, dict[str, Any]]:
    """A trained model in evaluation mode, and its config.

    Raises:
        InputError: the directory does not hold a model of this version.
    """
    directory = Path(directory)
    config = read_config(directory)
    try:
        model = Segmenter(Shape(**config["shape"]))
        model.load_state_dict(load_file(directory / "model.safetensors"))
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"not a model this version can read: {line}", where=directory, fix="Train it again") from None
    return model.to(pick_device(device)).eval(), config


def read_config(directory: Path | str) -> dict[str, Any]:
    """What a model was trained on.

    Raises:
        InputError: the directory holds no model.
    """
    path = Path(directory) / "config.json"
    try:
        content = json.loads(path.read_text())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError):
        content = None
    if not isinstance(content, dict):
        raise InputError("no trained model here", where=directory, fix="`curate train MIX` makes one") from None
    return content


def cpu_state(model: nn.Module) -> dict[str, Tensor]:
    """The model's weights as safetensors takes them, copied."""
    return {name: value.detach().cpu().clone().contiguous() for name, value in model.state_dict().items()}


def replace_file(path: Path, write: Any) -> None:
    """Writes beside `path` and renames, so that a reader sees the old file or the new one."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
