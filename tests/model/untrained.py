"""A segmenter that nobody trained: it finds something everywhere, in vectors of the sample CLIP."""

from pathlib import Path

import torch

from curate.analyze.embed import load_embedder
from curate.model.segmenter import Segmenter, Shape, save_model
from curate.specs.analysis import Embedding

SAMPLE = Embedding(model="sample", weights="sample")


def save_untrained(directory: Path) -> Path:
    """Saves one with random weights that says yes to every frame."""
    embedder = load_embedder(SAMPLE)
    torch.manual_seed(0)
    network = Segmenter(Shape(dim=embedder.dim, width=32))
    torch.nn.init.zeros_(network.likeness.weight)
    torch.nn.init.constant_(network.actionness.bias, 5.0)
    save_model(directory, network, {"embedding_model": embedder.model_id, "key": "untrained"})
    return directory
