"""One copy of a model's image tower for all workers of a machine.

The weights lie in a file without a name that the driver holds; workers map it. So a worker's own memory does not grow
with the model, its text tower stays with the driver, and nothing is left behind however the driver ends.
"""

import io
import os
import pickle
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch

from curate.analyze.embed import Embedder

_ALIGN = 64


@dataclass(frozen=True)
class SharedEmbedder:
    """A loaded model as it travels to workers of this machine: `open` makes it whole again, once in each process."""

    path: str
    size_bytes: int
    content: bytes = field(repr=False)

    def open(self) -> Embedder:
        return _open(self)


def share(embedder: Embedder) -> tuple[SharedEmbedder, int]:
    """(the model without its text tower, file descriptor to keep open while workers run). For models on the CPU."""
    file = os.memfd_create("weights")
    content = io.BytesIO()
    pickler = _Pickler(content, file)
    bare = (embedder.model_id, embedder.dim, embedder.device, embedder.preprocess, embedder.visual)
    pickler.dump(bare)
    os.ftruncate(file, max(pickler.size_bytes, 1))
    return SharedEmbedder(f"/proc/{os.getpid()}/fd/{file}", max(pickler.size_bytes, 1), content.getvalue()), file


class _Pickler(pickle.Pickler):
    """Pickles a module whose tensors go to a file."""

    def __init__(self, content: io.BytesIO, file: int) -> None:
        super().__init__(content)
        self._file, self.size_bytes = file, 0

    def persistent_id(self, thing: Any) -> Any:
        if not isinstance(thing, torch.Tensor):
            return None
        start = self.size_bytes
        flat = memoryview(thing.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        written = 0
        while written < len(flat):
            written += os.pwrite(self._file, flat[written:], start + written)
        self.size_bytes = -(-(start + len(flat)) // _ALIGN) * _ALIGN
        return start, len(flat), thing.dtype, tuple(thing.shape), isinstance(thing, torch.nn.Parameter)


class _Unpickler(pickle.Unpickler):
    def __init__(self, content: bytes, weights: torch.Tensor) -> None:
        super().__init__(io.BytesIO(content))
        self._weights = weights

    def persistent_load(self, where: Any) -> torch.Tensor:
        start, size_bytes, dtype, shape, is_parameter = where
        tensor = self._weights[start : start + size_bytes].view(dtype).reshape(shape)
        return torch.nn.Parameter(tensor, requires_grad=False) if is_parameter else tensor


@lru_cache(maxsize=1)
def _open(shared: SharedEmbedder) -> Embedder:
    weights = torch.from_file(shared.path, shared=True, size=shared.size_bytes, dtype=torch.uint8)
    return Embedder(*_Unpickler(shared.content, weights).load())
