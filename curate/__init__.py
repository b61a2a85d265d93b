"""Curate: the data flywheel for video-understanding models.

Raw video in; clips, embeddings, duplicates, capability coverage, gaps, reviewed labels, versioned training
mixes, a trained and evaluated segmenter out; and round again.

The names below load when first used, so that `import curate` costs nothing.
"""

import os
from importlib import import_module
from typing import Any

# Threads of a product that wait for each other sleep instead of spinning: on busy cores, where one of them may not run,
# embedding 64 pictures took 9 s spinning and 0.14 s sleeping. OpenMP reads it when torch is loaded, so it stands here.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

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
