"""Real footage answered for: each boundary is a picture's own time, whatever the container says of rate and start."""

from pathlib import Path

import numpy as np
import pytest

from curate.media.probe import probe_times
from curate.model.definitions import Definition
from curate.model.infer import load_answerer
from tests.model.untrained import SAMPLE, save_untrained
from tests.real.test_footage import FILES, MEDIA

pytestmark = pytest.mark.skipif(not FILES, reason=f"no real footage in {MEDIA}; CURATE_REAL_MEDIA names another place")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_untrained(tmp_path_factory.mktemp("models") / "untrained")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_segments_of_real_footage_start_and_end_with_its_pictures(path: Path, model: Path) -> None:
    reading = load_answerer(model, SAMPLE).read(path, [Definition("any", "anything at all", min_s=0.0)])
    found = [segment for _, segment in reading.found]
    info, shown_s = probe_times(path)
    edges_s = np.append(shown_s, info.duration_s)
    assert found and not reading.gaps
    assert all(time_s in edges_s for segment in found for time_s in (segment.start_s, segment.end_s))
    assert reading.info.start_offset_s == info.start_offset_s
