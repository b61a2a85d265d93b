"""The training loop: a loss over dense predictions, AdamW under a cosine, checkpoints, and the choice of weights.

Everything a step draws depends on (seed, step) alone, and a checkpoint holds weights and optimiser, so a killed run
ends with the weights it would have had undisturbed; on the CPU bit for bit. Batches are drawn by a thread of their own,
a few steps ahead: drawn in step with training, they took 12 to 17% of the time on a busy CPU (benchmarks/train.py).
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from curate.ahead import ahead
from curate.model import tracking
from curate.model.definitions import Encoded
from curate.model.examples import Batch, Example, draw_batch, pool_of
from curate.model.metrics import f1_at
from curate.model.predict import trained
from curate.model.segmenter import Dense, Segmenter, Shape, cpu_state, replace_file
from curate.progress import Progress, silent
from curate.threads import one_thread

DEFAULT_STEPS = 400
_CHECKPOINT_EVERY = 100
_LOG_EVERY = 10
_BATCHES_AHEAD = 4

Precision = Literal["auto", "fp32", "bf16"]


@dataclass(frozen=True)
class Recipe:
    """Everything that a run's weights depend on beside examples and seed.

    `precision` is of the products in a step, the weights are float32 in any case: bf16 on CUDA and fp32 elsewhere
    where it is `auto`.
    """

    steps: int = DEFAULT_STEPS
    batch: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    warmup: int = 50
    clip_norm: float = 1.0
    width: int = 128
    layers: int = 2
    join: float = 0.5
    noise: float = 0.3
    validate_every: int = 100
    precision: Precision = "auto"


@dataclass(frozen=True)
class Fitted:
    """The chosen weights.

    Attributes:
        loss: a running mean at the end.
        validation_f1: None without a validation set.
        seconds: of training and validation, in all tries of the run.
        clips_per_s, waited: of this try's steps: clips drawn, and the share of the time that went into waiting for
            batches; nan where there was none left to take.
    """

    model: Segmenter
    loss: float
    validation_f1: float | None
    seconds: float = math.nan
    clips_per_s: float = math.nan
    waited: float = math.nan


@dataclass
class _Run:
    """A run under way: what a checkpoint holds."""

    model: Segmenter
    optimizer: torch.optim.AdamW
    step: int = 0
    loss: float = math.nan
    seconds: float = 0.0
    best_f1: float = -1.0
    best: dict[str, Tensor] = field(default_factory=dict)


def fit(
    examples: Sequence[Example],
    validation: Sequence[Example],
    encoded: Mapping[str, Encoded],
    recipe: Recipe,
    *,
    seed: int,
    device: torch.device,
    checkpoint: Path | None = None,
    key: str = "",
    history: Path | None = None,
    tensorboard: Path | None = None,
    progress: Progress = silent,
) -> Fitted:
    """Trains a segmenter on `examples`.

    Args:
        validation: the weights with the best F1 at tIoU 0.5 on these are kept; where there are none, the last ones.
        encoded: the definition of each capability that occurs.
        checkpoint: written every 100 steps; where it is there and has the same `key`, the run goes on from it.
        history, tensorboard: see `tracking.logs`.
    """
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), one_thread():
        run = _start(examples[0].track.vectors.shape[1], recipe, seed, device)
        if checkpoint is not None:
            checkpoint.parent.mkdir(parents=True, exist_ok=True)
            _resume(run, checkpoint, key)
        first, meter = run.step, _Meter(run.seconds)
        with (
            ahead(_batches(examples, encoded, recipe, seed, first), _BATCHES_AHEAD) as batches,
            tracking.logs(history, tensorboard=tensorboard, since=first) as log,
        ):
            while run.step < recipe.steps:
                with meter.waiting():
                    batch = next(batches)
                torch.manual_seed(work_seed(seed, run.step))
                _take_step(run, batch.to(device), recipe)
                if run.step % _LOG_EVERY == 0 or run.step == recipe.steps:
                    log(run.step, _said(run, meter, (run.step - first) * recipe.batch))
                if run.step % recipe.validate_every == 0 or run.step == recipe.steps:
                    _keep_best(run, validation, encoded, log)
                run.seconds = meter.seconds
                if checkpoint is not None and run.step % _CHECKPOINT_EVERY == 0 and run.step < recipe.steps:
                    _save(run, checkpoint, key)
                progress("steps", run.step, recipe.steps)
    if run.best:
        run.model.load_state_dict(run.best)
    clips = (run.step - first) * recipe.batch
    f1 = run.best_f1 if run.best else None
    return Fitted(run.model.eval(), run.loss, f1, run.seconds, meter.rate(clips), meter.waited)


def _batches(
    examples: Sequence[Example], encoded: Mapping[str, Encoded], recipe: Recipe, seed: int, first: int
) -> Generator[Batch, None, None]:
    """The batches of the steps from `first` on."""
    pool = pool_of(examples)
    for step in range(first, recipe.steps):
        yield draw_batch(pool, encoded, size=recipe.batch, seed=seed, step=step, join=recipe.join, noise=recipe.noise)


class _Meter:
    """Time of a run: what earlier tries took, this one, and how much of it went into waiting."""

    def __init__(self, before_s: float) -> None:
        self._before_s, self._started, self._waited_s = before_s, time.monotonic(), 0.0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        began = time.monotonic()
        yield
        self._waited_s += time.monotonic() - began

    @property
    def seconds(self) -> float:
        return self._before_s + self._own_s

    @property
    def waited(self) -> float:
        return self._waited_s / self._own_s

    def rate(self, count: int) -> float:
        return count / self._own_s if count else math.nan

    @property
    def _own_s(self) -> float:
        return max(time.monotonic() - self._started, 1e-9)


def _said(run: _Run, meter: _Meter, clips: int) -> dict[str, float]:
    rate = run.optimizer.param_groups[0]["lr"]
    return {"loss": run.loss, "learning_rate": rate, "clips_per_s": meter.rate(clips), "waited": meter.waited}


def work_seed(seed: int, step: int) -> int:
    """A seed for the generator of one step's dropout."""
    return seed * 1_000_003 + step


def loss_of(model: Segmenter, batch: Batch) -> Tensor:
    """The sum of three means: cross entropy of actionness over the frames a label speaks of; 1 - IoU and smooth L1 (in
    seconds) of the extent over the frames that are on; half the cross entropy of the fields."""
    dense = model(batch.frames, batch.times_s, batch.mask, batch.text, batch.not_text)
    total = _actionness_loss(dense, batch) + _extent_loss(dense, batch)
    if len(batch.value):
        logits = model.choose(batch.pooled, batch.pooled_text, batch.field, batch.values, batch.value_mask)
        total = total + 0.5 * F.cross_entropy(logits, batch.value)
    return total


def _actionness_loss(dense: Dense, batch: Batch) -> Tensor:
    each = F.binary_cross_entropy_with_logits(dense.logits, batch.on, reduction="none")
    return (each * batch.known).sum() / batch.known.sum().clamp(min=1)


def _extent_loss(dense: Dense, batch: Batch) -> Tensor:
    on = batch.on.bool()
    if not on.any():
        return dense.reach_s.sum() * 0
    found, true = dense.reach_s[on], batch.reach_s[on]
    shared = torch.minimum(found, true).sum(1)
    iou = shared / torch.maximum(found, true).sum(1).clamp(min=1e-6)
    return (1 - iou).mean() + F.smooth_l1_loss(found, true, beta=0.25)


def _start(dim: int, recipe: Recipe, seed: int, device: torch.device) -> _Run:
    torch.manual_seed(seed)
    model = Segmenter(Shape(dim=dim, width=recipe.width, layers=recipe.layers)).to(device)
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return _Run(model, torch.optim.AdamW(groups, lr=recipe.learning_rate))


def _take_step(run: _Run, batch: Batch, recipe: Recipe) -> None:
    rate = recipe.learning_rate * _schedule(run.step, recipe)
    for group in run.optimizer.param_groups:
        group["lr"] = rate
    run.model.train()
    device = batch.frames.device.type
    with torch.autocast(device, torch.bfloat16, enabled=_is_bf16(recipe, device)):
        loss = loss_of(run.model, batch)
    run.optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(run.model.parameters(), recipe.clip_norm)
    run.optimizer.step()
    value = float(loss.detach())
    run.loss = value if math.isnan(run.loss) else 0.98 * run.loss + 0.02 * value
    run.step += 1


def _is_bf16(recipe: Recipe, device: str) -> bool:
    return recipe.precision == "bf16" or (recipe.precision == "auto" and device == "cuda")


def _schedule(step: int, recipe: Recipe) -> float:
    """Linear warm-up, then a cosine to 0."""
    warm = min(1.0, (step + 1) / max(recipe.warmup, 1))
    return warm * 0.5 * (1 + math.cos(math.pi * step / recipe.steps))


def _keep_best(run: _Run, validation: Sequence[Example], encoded: Mapping[str, Encoded], log: tracking.Log) -> None:
    """Keeps weights that are at least as good as the best so far: of equals, the longest trained."""
    score = validation_f1(run.model, validation, encoded)
    if score is None:
        return
    log(run.step, {"validation_f1": score})
    if score >= run.best_f1:
        run.best_f1, run.best = score, cpu_state(run.model)


def validation_f1(model: Segmenter, examples: Sequence[Example], encoded: Mapping[str, Encoded]) -> float | None:
    """F1 at tIoU 0.5, mean over the capabilities with segments in exhaustively labelled examples; None without any."""
    model.eval()
    predict, found = trained(model), []
    for capability, definition in encoded.items():
        own = [e for e in examples if e.capability == capability and e.exhaustive]
        if any(e.present for e in own):
            predicted = predict([e.track for e in own], definition)
            found.append(f1_at([e.segments for e in own], predicted))
    return sum(found) / len(found) if found else None


def _save(run: _Run, path: Path, key: str) -> None:
    tensors = {f"model.{name}": value for name, value in cpu_state(run.model).items()}
    tensors |= {f"best.{name}": value for name, value in run.best.items()}
    for name, parameter in run.model.named_parameters():
        for part, value in run.optimizer.state[parameter].items():
            tensors[f"{part}.{name}"] = value.detach().cpu().clone().contiguous()
    state = {"key": key, "step": run.step, "loss": run.loss, "seconds": run.seconds, "best_f1": run.best_f1}
    replace_file(path, lambda part: save_file(tensors, part, metadata={"run": json.dumps(state)}))


def _resume(run: _Run, path: Path, key: str) -> None:
    """Brings `run` to where the checkpoint left it; a missing, torn or other run's leaves it at the start."""
    try:
        with safe_open(path, framework="pt") as file:
            state = json.loads((file.metadata() or {}).get("run", "{}"))
        tensors = load_file(path)
    except (OSError, SafetensorError, json.JSONDecodeError):
        return
    if state.get("key") != key:
        return
    parts: dict[str, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        part, _, rest = name.partition(".")
        parts.setdefault(part, {})[rest] = value
    run.model.load_state_dict(parts["model"])
    for name, parameter in run.model.named_parameters():
        moments = {part: parts[part][name].to(parameter.device) for part in ("exp_avg", "exp_avg_sq")}
        run.optimizer.state[parameter] = {"step": parts["step"][name], **moments}
    run.step, run.loss, run.best_f1 = state["step"], state["loss"], state["best_f1"]
    run.seconds = state["seconds"]
    run.best = parts.get("best", {})
