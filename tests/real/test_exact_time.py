"""Real footage as annotators see it: each frame of a proxy shows the picture whose time it stands for."""

from bisect import bisect
from pathlib import Path

import numpy as np
import pytest

from curate.media.cut import cut
from curate.media.decode import Branch, decode
from curate.media.probe import probe
from tests.real.test_footage import FILES, MEDIA, variable

pytestmark = pytest.mark.skipif(not FILES, reason=f"no real footage in {MEDIA}; CURATE_REAL_MEDIA names another place")
SMALL = {"small": Branch(96, 54, scaling="area")}


@pytest.mark.parametrize("name", [*(path.name for path in FILES), "variable-rate.mp4"])
def test_each_frame_shows_the_picture_that_began_when_it_says(name: str, tmp_path: Path) -> None:
    source = MEDIA / name
    if not source.exists():
        source = variable(FILES[0], tmp_path / name)
    duration_s = probe(source).duration_s
    start_s, end_s = 0.3137 * duration_s, min(0.3137 * duration_s + 2.5, duration_s)
    made = cut(source, start_s, end_s, tmp_path / "proxy.mp4", min_height=360, max_height=480, every_picture=True)
    pictures = {frame.time_s: frame.image.astype(int) for frame in decode(source, SMALL)}
    times_s = list(pictures)
    shown = [frame.image.astype(int) for frame in decode(tmp_path / "proxy.mp4", SMALL)]
    inside = [time_s for time_s in times_s if start_s + 0.001 < time_s < end_s - 0.001]
    assert set(inside) <= set(made.edges_s[1:-1])
    for edge_s, image in zip(made.edges_s[:-1], shown, strict=True):
        index = bisect(times_s, edge_s) - 1
        own, *others = (
            np.abs(image - pictures[times_s[near]]).mean()
            for near in (index, index - 1, index + 1)
            if 0 <= near < len(times_s)
        )
        assert own < 4
        assert own <= min(others) + 0.3  # neighbours may look the same
