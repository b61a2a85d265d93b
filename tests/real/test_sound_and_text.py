"""Voices, loudness and writing in real footage; files are named by what is in them, and skipped where they are not."""

import os
from pathlib import Path

import pytest

from curate.analyze.speech import speech_between
from curate.analyze.text import text_between
from curate.media.loudness import measure_loudness
from curate.media.probe import probe
from tests.conftest import REPOSITORY
from tests.media.test_loudness import libavs_own

MEDIA = Path(os.environ.get("CURATE_REAL_MEDIA") or REPOSITORY.parent / "shared" / "media")


def footage(name: str) -> Path:
    path = MEDIA / name
    if not path.is_file():
        pytest.skip(f"no {name} in {MEDIA}; CURATE_REAL_MEDIA names another place")
    return path


def spoken_share(path: Path, start_s: float, end_s: float) -> float:
    found = speech_between(path, probe(path).start_offset_s, (start_s, end_s))
    assert all(start_s <= begin_s < stop_s <= end_s for begin_s, stop_s in found)
    return sum(stop_s - begin_s for begin_s, stop_s in found) / (end_s - start_s)


def test_a_voice_is_heard_where_somebody_speaks_and_music_alone_is_none() -> None:
    path = footage("vertical-vlog.mp4")  # an advertisement: music, and a voice from 38 s on
    assert spoken_share(path, 40.0, 49.0) > 0.7
    assert spoken_share(path, 21.0, 33.0) < 0.1
    assert spoken_share(footage("cartoon-ad.mp4"), 2.0, 11.0) > 0.6


@pytest.mark.parametrize("name", ["cartoon-ad.mp4", "hair-360p.mp4", "vertical-vlog.mp4"])
def test_loudness_of_the_whole_is_what_libavs_meter_says(name: str) -> None:
    path = footage(name)
    info = probe(path)
    found = measure_loudness(path, info)
    assert found is not None
    assert found.lufs((0.0, info.duration_s)) == pytest.approx(libavs_own(path), abs=0.1)


def test_writing_is_read_and_a_landscape_has_none() -> None:
    def read(name: str, start_s: float, end_s: float) -> str:
        path = footage(name)
        info = probe(path)
        return text_between(path, (info.width, info.height), (start_s, end_s), every_s=2.0, longer_px=640).text

    assert {"Frame = 11", "PTS = 1.0s"} <= set(read("counter-10fps.mp4", 1.0, 1.1).split("\n"))
    assert "histogram algorithm" in read("scene-cuts.mp4", 4.0, 5.0)
    assert "YOUKU" in read("cartoon-ad.mp4", 2.0, 6.0)
    assert read("bunny-10s.mp4", 0.0, 4.0) == read("bikes.mp4", 0.0, 3.0) == ""
