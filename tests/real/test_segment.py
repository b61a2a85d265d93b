"""Real footage answered for: each boundary is a picture's own time, whatever the container says of rate and start."""

from pathlib import Path

import numpy as np
import pytest
import torch

from curate.analyze.embed import load_embedder
from curate.media.probe import probe_times
from curate.model.definitions import Definition
from curate.model.infer import load_answerer
from curate.model.segmenter import Segmenter, Shape, save_model
from curate.specs.analysis import Embedding
from tests.real.test_footage import FILES, MEDIA

pytestmark = pytest.mark.skipif(not FILES, reason=f"no real footage in {MEDIA}; CURATE_REAL_MEDIA names another place")
SAMPLE = Embedding(model="sample", weights="sample")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untrained weights that say yes to every frame."""
    embedder = load_embedder(SAMPLE)
    torch.manual_seed(0)
    network = Segmenter(Shape(dim=embedder.dim, width=32))
    torch.nn.init.zeros_(network.likeness.weight)
    torch.nn.init.constant_(network.actionness.bias, 5.0)
    directory = tmp_path_factory.mktemp("models") / "yes"
    save_model(directory, network, {"embedding_model": embedder.model_id})
    return directory


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_segments_of_real_footage_start_and_end_with_its_pictures(path: Path, model: Path) -> None:
    reading = load_answerer(model, SAMPLE).read(path, [Definition("any", "anything at all", min_s=0.0)])
    found = [segment for _, segment in reading.found]
    info, shown_s = probe_times(path)
    edges_s = np.append(shown_s, info.duration_s)
    assert found and not reading.gaps
    assert all(time_s in edges_s for segment in found for time_s in (segment.start_s, segment.end_s))
    assert reading.info.start_offset_s == info.start_offset_s
