"""Pictures and texts to unit vectors in one space, through open_clip.

`load_embedder` opens a model once in each process. Pictures come as uint8 arrays from the decoder, already scaled as
`Embedder.branch` asks (the model's own resize, done by libav while decoding); what is left of the model's preprocessing
(crop or padding, mean and deviation) runs on whole batches. Pictures of another size are resized here. Against
open_clip's own PIL transform of the full frames the cosine is 0.9994 or more, on 250 frames of five videos.
"""

import contextlib
import difflib
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
import torch.nn.functional as functional
from open_clip.transform import PreprocessCfg

from curate.errors import CurateError, InputError
from curate.identity import file_id
from curate.media.decode import Branch
from curate.specs.analysis import Embedding

_CONFIG = "configs/analysis.yaml"
_TEXT_BATCH = 256


@dataclass(frozen=True)
class Embedder:
    """A loaded model.

    Attributes:
        model_id: model and weights; vectors compare only where it is equal.
        dim: length of a vector.
        input_width: of the pictures that the model itself takes, in pixels.
        input_height: likewise.
        device: where it runs, as torch names it.
    """

    model_id: str
    dim: int
    input_width: int
    input_height: int
    device: str
    _model: Any = field(repr=False)
    _tokenize: Callable[[list[str]], torch.Tensor] = field(repr=False)
    _preprocess: dict[str, Any] = field(repr=False)

    def branch(self, width: int, height: int, every_s: float | None = None) -> Branch:
        """What to ask of the decoder for a width x height video: pictures in the size of the model's own resize.

        A model that squashes gets its input size; one that crops gets pictures whose shorter side fits, and one
        that pads those whose longer side fits: `images` does the rest.
        """
        size = self._resized(width, height)
        return Branch(*size, "rgb24", every_s=every_s, scaling=self._preprocess["interpolation"])

    def _resized(self, width: int, height: int) -> tuple[int, int]:
        mode = self._preprocess["resize_mode"]
        if mode == "squash":
            return self.input_width, self.input_height
        choose = max if mode == "shortest" else min
        scale = choose(self.input_width / width, self.input_height / height)
        return max(int(width * scale + 1e-6), 1), max(int(height * scale + 1e-6), 1)

    def images(self, pictures: np.ndarray) -> np.ndarray:
        """Vectors of uint8 RGB pictures [n, height, width, 3], best of the size of `branch`: float32 [n, dim]."""
        if len(pictures) == 0:
            return np.zeros((0, self.dim), np.float32)
        batch = torch.from_numpy(np.ascontiguousarray(pictures)).to(self.device).permute(0, 3, 1, 2).float() / 255
        width, height = self._resized(batch.shape[3], batch.shape[2])
        if tuple(batch.shape[2:]) != (height, width):
            batch = functional.interpolate(
                batch, (height, width), mode=self._preprocess["interpolation"], antialias=True
            ).clamp(0, 1)
        mean, std = (
            torch.tensor(self._preprocess[name], device=self.device).view(1, 3, 1, 1) for name in ("mean", "std")
        )
        fill = float(self._preprocess["fill_color"]) / 255
        batch = (_to_size(batch, self.input_width, self.input_height, fill) - mean) / std
        with self._inference():
            return self._unit(self._model.encode_image(batch), len(pictures))

    def texts(self, texts: list[str]) -> np.ndarray:
        """Vectors of texts: float32 [n, dim], unit norm."""
        parts = [np.zeros((0, self.dim), np.float32)]
        for start in range(0, len(texts), _TEXT_BATCH):
            some = texts[start : start + _TEXT_BATCH]
            with self._inference():
                parts.append(self._unit(self._model.encode_text(self._tokenize(some).to(self.device)), len(some)))
        return np.concatenate(parts)

    @contextlib.contextmanager
    def _inference(self) -> Iterator[None]:
        cuda = self.device.startswith("cuda")
        autocast = torch.autocast("cuda", torch.bfloat16) if cuda else contextlib.nullcontext()
        with torch.inference_mode(), autocast:
            yield

    def _unit(self, features: torch.Tensor, count: int) -> np.ndarray:
        """Scales to length one and holds the model to its shape, which differs between library versions."""
        vectors: np.ndarray = functional.normalize(features.float(), dim=-1).cpu().numpy()
        norms = np.linalg.norm(vectors, axis=-1)
        if vectors.shape != (count, self.dim) or not np.allclose(norms, 1, atol=1e-3):
            found = f"shape {vectors.shape}, norms {norms.min():.3g} to {norms.max():.3g}"
            raise CurateError(f"{self.model_id} gave {found}, not {(count, self.dim)} of length 1", where=_CONFIG)
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
        preprocess = asdict(PreprocessCfg(**settings))
    else:
        model = _open_clip_model(name, weights).to(device).eval()
        tokenize = open_clip.get_tokenizer(name)
        preprocess = open_clip.get_model_preprocess_cfg(model)
    size = preprocess["size"]
    height, width = (size, size) if isinstance(size, int) else size
    with torch.inference_mode():
        dim = model.encode_text(tokenize(["a"]).to(device)).shape[-1]
    return Embedder(identifier, dim, width, height, device, model, tokenize, preprocess)


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


def _to_size(batch: torch.Tensor, width: int, height: int, fill: float) -> torch.Tensor:
    """Crops what is too large and pads what is too small, both about the centre, as torchvision's CenterCrop does."""
    spare_x, spare_y = width - batch.shape[3], height - batch.shape[2]
    if spare_x > 0 or spare_y > 0:
        left, top = max(spare_x, 0) // 2, max(spare_y, 0) // 2
        sides = (left, max(spare_x, 0) - left, top, max(spare_y, 0) - top)
        batch = functional.pad(batch, sides, value=fill)
    left, top = round((batch.shape[3] - width) / 2), round((batch.shape[2] - height) / 2)
    return batch[:, :, top : top + height, left : left + width]
