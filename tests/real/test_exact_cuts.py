"""Cuts of real footage for mixes: the source's pictures at the source's times, copied where its keyframes allow."""

from pathlib import Path

import av
import pytest

from curate.media.exact import cut_exactly
from tests.media.test_exact import assert_exact, pictures
from tests.real.test_footage import FILES, MEDIA, variable

pytestmark = pytest.mark.skipif(not FILES, reason=f"no real footage in {MEDIA}; CURATE_REAL_MEDIA names another place")


@pytest.mark.parametrize("name", [*(path.name for path in FILES), "variable-rate.mp4"])
def test_each_picture_is_shown_when_the_source_shows_it(name: str, tmp_path: Path) -> None:
    source = MEDIA / name
    if not source.exists():
        source = variable(FILES[0], tmp_path / name)
    times_s, _, keys = pictures(source)
    keyed = [float(times_s[index]) for index, key in enumerate(keys) if key]
    spans = [(keyed[-1], min(keyed[-1] + 3.0, 1e6)), (0.31 * times_s[-1], 0.31 * times_s[-1] + 1.0)]
    if len(keyed) > 1:
        spans.append((keyed[0], keyed[1]))
    for start_s, end_s in spans:
        assert_exact(source, float(start_s), float(end_s), tmp_path / "cut.mp4", tolerance_s=6e-6)


def test_what_all_players_show_is_copied_from_its_first_picture(tmp_path: Path) -> None:
    for path in FILES:
        with av.open(str(path)) as container:
            context = container.streams.video[0].codec_context
            plain = (context.name, context.pix_fmt) == ("h264", "yuv420p")
        assert cut_exactly(path, 0.0, 1e6, tmp_path / "cut.mp4").copied == plain, path.name
