"""Curate: the data flywheel for video-understanding models.

Raw video in; clips, embeddings, duplicates, capability coverage, gaps, reviewed labels, versioned training
mixes, a trained and evaluated segmenter out; and round again.

The names below load when first used, so that `import curate` costs nothing.
"""

from importlib import import_module
from typing import Any

_PUBLIC = {
    "load_mix": "curate.mixes.load",
    "clip_bytes": "curate.mixes.load",
    "torch_loader": "curate.mixes.loading.loader",
    "open_workspace": "curate.workspace",
    "create_workspace": "curate.workspace",
    "search_clips": "curate.search.search",
}

__all__ = ["clip_bytes", "create_workspace", "load_mix", "open_workspace", "search_clips", "torch_loader"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'curate' has no attribute {name!r}")
