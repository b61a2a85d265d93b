"""Pictures and texts to unit vectors in one space, through open_clip.

`load_embedder` opens a model once in each process. Pictures come as uint8 arrays from the decoder, already scaled as
`Embedder.branch` asks (the model's own resize, done by libav while decoding); what is left of the model's preprocessing
(crop or padding, mean and deviation) runs on whole batches. Pictures of another size are resized here. Against
open_clip's own PIL transform of the full frames the cosine is 0.9994 or more, on 250 frames of five videos.

The image tower runs in bf16 on CUDA and on processors that multiply it (AVX512-BF16, AMX): on one core of a Zen 4 that
is 20 ViT-B-32 pictures a second against 10 in fp32, RN50 12.7 against 5.8, at a cosine of 0.99995. Channels-last
changed the fp32 rates there by -4% and +5% and is used on CUDA alone.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import open_clip
import torch
import torch.nn.functional as functional
from open_clip.transform import PreprocessCfg

from curate.analyze.embed.preprocess import Preprocess
from curate.errors import CurateError, InputError
from curate.identity import file_id
from curate.worker import heartbeat

if TYPE_CHECKING:
    from curate.media.decode import Branch
    from curate.specs.analysis import Embedding

_CONFIG = "configs/analysis.yaml"
_TEXT_BATCH = 256
_CPU_BATCH = 16


@dataclass(frozen=True)
class Pending:
    """Vectors on their way; `result` waits for them: float32 [n, dim], unit norm, in the order of the pictures."""

    result: Callable[[], np.ndarray]


class PictureEmbedder(Protocol):
    """What an analysis needs of a model, wherever it runs."""

    @property
    def model_id(self) -> str: ...
    @property
    def dim(self) -> int: ...
    def branch(self, width: int, height: int, every_s: float | None = None) -> Branch: ...
    def submit(self, pictures: np.ndarray) -> Pending: ...
    def images(self, pictures: np.ndarray) -> np.ndarray: ...


def branch_of(preprocess: Preprocess, width: int, height: int, every_s: float | None) -> Branch:
    """What to ask of the decoder for a width x height video: pictures in the size of the model's own resize."""
    from curate.media.decode import Branch

    return Branch(*preprocess.resized(width, height), "rgb24", every_s=every_s, scaling=preprocess.interpolation)


@dataclass(frozen=True)
class Embedder:
    """A loaded model.

    Attributes:
        model_id: model and weights; vectors compare only where it is equal.
        dim: length of a vector.
        device: where it runs, as torch names it.
        preprocess: what it does to pictures first.
        visual: the image tower.
    """

    model_id: str
    dim: int
    device: str
    preprocess: Preprocess
    visual: torch.nn.Module = field(repr=False)
    _model: Any = field(repr=False, default=None)
    _tokenize: Callable[[list[str]], torch.Tensor] | None = field(repr=False, default=None)
    _copies: Any = field(repr=False, default=None)

    def branch(self, width: int, height: int, every_s: float | None = None) -> Branch:
        """What to ask of the decoder for a width x height video: pictures in the size of the model's own resize.

        A model that squashes gets its input size; one that crops gets pictures whose shorter side fits, and one
        that pads those whose longer side fits: `images` does the rest.
        """
        return branch_of(self.preprocess, width, height, every_s)

    def images(self, pictures: np.ndarray) -> np.ndarray:
        """Vectors of uint8 RGB pictures [n, height, width, 3], best of the size of `branch`: float32 [n, dim]."""
        return self.submit(pictures).result()

    def submit(self, *parts: np.ndarray) -> Pending:
        """Starts on parts of uint8 RGB pictures [n, height, width, 3], each of any size, as one batch.

        On the CPU the work is done on return. On CUDA pictures go through pinned memory on a stream of their own, so
        that the next batch is copied while this one is computed.
        """
        count = sum(len(part) for part in parts)
        if count == 0:
            return Pending(lambda: np.zeros((0, self.dim), np.float32))
        if self.device.startswith("cuda"):
            return self._submit_cuda(parts, count)
        made = []
        for part in parts:
            for start in range(0, len(part), _CPU_BATCH):
                heartbeat()
                some = torch.from_numpy(np.ascontiguousarray(part[start : start + _CPU_BATCH]))
                made.append(self._forward(some))
        vectors = self._checked(torch.cat(made), count)
        return Pending(lambda: vectors)

    def _submit_cuda(self, parts: tuple[np.ndarray, ...], count: int) -> Pending:
        compute = torch.cuda.current_stream(self.device)
        with torch.cuda.stream(self._copies):
            there = [
                torch.from_numpy(np.ascontiguousarray(part)).pin_memory().to(self.device, non_blocking=True)
                for part in parts
                if len(part)
            ]
        compute.wait_stream(self._copies)
        for part in there:
            part.record_stream(compute)
        with torch.inference_mode():
            made = self._features(torch.cat([self.preprocess(part) for part in there]))
            here = torch.empty(made.shape, dtype=made.dtype, pin_memory=True).copy_(made, non_blocking=True)
        copied = torch.cuda.Event()
        copied.record(compute)

        def result() -> np.ndarray:
            copied.synchronize()
            return self._checked(here, count)

        return Pending(result)

    def _forward(self, pictures: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return self._features(self.preprocess(pictures.to(self.device)))

    def _features(self, batch: torch.Tensor) -> torch.Tensor:
        """Unit vectors of preprocessed pictures, float32 [n, dim] on the device."""
        dtype = next(self.visual.parameters()).dtype
        layout = torch.channels_last if self.device.startswith("cuda") else torch.contiguous_format
        made = self.visual(batch.to(dtype, memory_format=layout))
        return functional.normalize((made[0] if isinstance(made, tuple) else made).float(), dim=-1)

    def texts(self, texts: list[str]) -> np.ndarray:
        """Vectors of texts: float32 [n, dim], unit norm."""
        assert self._tokenize is not None, "an image tower alone embeds no text"
        parts = [np.zeros((0, self.dim), np.float32)]
        for start in range(0, len(texts), _TEXT_BATCH):
            some = texts[start : start + _TEXT_BATCH]
            with self._text_inference():
                made = self._model.encode_text(self._tokenize(some).to(self.device))
                parts.append(self._checked(functional.normalize(made.float(), dim=-1), len(some)))
        return np.concatenate(parts)

    @contextlib.contextmanager
    def _text_inference(self) -> Iterator[None]:
        cuda = self.device.startswith("cuda")
        autocast = torch.autocast("cuda", torch.bfloat16) if cuda else contextlib.nullcontext()
        with torch.inference_mode(), autocast:
            yield

    def _checked(self, unit: torch.Tensor, count: int) -> np.ndarray:
        return checked(unit.cpu().numpy(), count, self.dim, self.model_id)


def checked(vectors: np.ndarray, count: int, dim: int, model: str) -> np.ndarray:
    """Holds a model to its shape and norm, which differ between library versions.

    Raises:
        CurateError: other than [count, dim] of length one.
    """
    norms = np.linalg.norm(vectors, axis=-1)
    if vectors.shape != (count, dim) or not np.allclose(norms, 1, atol=1e-3):
        found = f"shape {vectors.shape}, norms {norms.min():.3g} to {norms.max():.3g}"
        raise CurateError(f"{model} gave {found}, not {(count, dim)} of length 1", where=_CONFIG)
    return vectors


def load_embedder(spec: Embedding) -> Embedder:
    """The model of `spec`, opened once in each process. Says nothing on the network unless `weights` is a tag.

    Raises:
        InputError: no such model, weights or device; or the weights of a tag are not here and cannot be fetched.
    """
    return _load(spec.model, spec.weights, model_id(spec), pick_device(spec.device))


def model_id(spec: Embedding) -> str:
    """What `load_embedder` will call the model, without loading it: weights files are named by their content."""
    if spec.model == "sample":
        from curate.sample.clip import WEIGHTS_DIR

        return f"sample/{file_id(WEIGHTS_DIR / 'model.safetensors')}"
    if spec.weights != "random" and Path(spec.weights).is_file():
        return f"{spec.model}/{file_id(spec.weights)}"
    return f"{spec.model}/{spec.weights}"


def pick_device(device: str) -> str:
    """The torch device for a config's `device`: `auto` takes CUDA where there is one.

    Raises:
        InputError: there is no such device here.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind = device.partition(":")[0]
    if kind not in ("cpu", "cuda") or (kind == "cuda" and not torch.cuda.is_available()):
        raise InputError(f"no device {device!r} on this machine", where=_CONFIG, fix="Allowed: auto, cpu, cuda")
    return device


@lru_cache(maxsize=2)
def _load(name: str, weights: str, identifier: str, device: str) -> Embedder:
    if name == "sample":
        from curate.sample.clip import WEIGHTS_DIR, load_sample_clip

        model, _, tokenize = load_sample_clip(device)
        settings = json.loads((WEIGHTS_DIR / "config.json").read_text())["preprocess_cfg"]
        config = asdict(PreprocessCfg(**settings))
    else:
        model = _open_clip_model(name, weights).to(device).eval()
        tokenize = open_clip.get_tokenizer(name)
        config = open_clip.get_model_preprocess_cfg(model)
    model.requires_grad_(False)
    with torch.inference_mode():
        dim = model.encode_text(tokenize(["a"]).to(device)).shape[-1]
    visual = model.visual
    if device.startswith("cuda"):
        visual = visual.to(dtype=torch.bfloat16, memory_format=torch.channels_last)
    elif name != "sample" and _multiplies_bf16():
        visual = visual.to(dtype=torch.bfloat16)
    copies = torch.cuda.Stream(device) if device.startswith("cuda") else None
    return Embedder(identifier, dim, device, Preprocess.of(config), visual, model, tokenize, copies)


def _multiplies_bf16() -> bool:
    """Whether the processor does it itself; others emulate it, at a fraction of the rate of fp32."""
    asks = [getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")]
    return any(ask is not None and ask() for ask in asks)


def _open_clip_model(name: str, weights: str) -> torch.nn.Module:
    known = open_clip.list_models()
    if name not in known:
        near = ", ".join(difflib.get_close_matches(name, known, 3)) or "`open_clip.list_models()` lists them"
        raise InputError(f"no open_clip model {name!r}", where=_CONFIG, fix=f"Close to it: {near}")
    if weights == "random":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return _create(name, None)
    if Path(weights).is_file():
        try:
            return _create(name, weights)
        except Exception as error:  # each file format has errors of its own
            fix = f"Give a state dict of {name} as .safetensors or .pt"
            raise InputError(f"not weights of {name} ({type(error).__name__})", where=weights, fix=fix) from error
    tags = open_clip.list_pretrained_tags_by_model(name)
    if weights not in tags:
        fix = f"Allowed: `random`, a file, or one of {', '.join(tags)}"
        raise InputError(f"weights {weights!r} are neither a file nor a tag of {name}", where=_CONFIG, fix=fix)
    try:
        return _create(name, weights)
    except (RuntimeError, OSError) as error:
        raise InputError(
            f"weights {weights!r} of {name} are not on this machine and could not be fetched",
            where=_CONFIG,
            fix="Connect to the network once, so that they are fetched and kept, or give `weights: path/to/file`",
        ) from error


def _create(name: str, weights: str | None) -> torch.nn.Module:
    """open_clip's factory without its own error log, and without towers fetched on the side."""
    logging.disable(logging.ERROR)
    try:
        model: torch.nn.Module = open_clip.create_model(name, weights, pretrained_image=False, pretrained_text=False)
        return model
    finally:
        logging.disable(logging.NOTSET)
