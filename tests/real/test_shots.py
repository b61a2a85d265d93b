"""Shots of real footage, against transitions read off its frames one by one."""

import pytest

from benchmarks.shots_footage import Film, real
from curate.analyze.shots import make_detector
from curate.specs.analysis import Shots

FILMS = list(real())

pytestmark = pytest.mark.skipif(not FILMS, reason="no real footage here; CURATE_REAL_MEDIA names another place")


@pytest.mark.parametrize("film", FILMS, ids=lambda film: film.name)
def test_the_cuts_of_real_footage_are_found_and_no_others(film: Film) -> None:
    detector = make_detector(Shots())
    for time_s, image in zip(film.times_s, film.images, strict=True):
        detector.process(time_s, image)
    found = detector.finish()
    cuts = [film.times_s.index(each.start_s) for each in found if each.kind == "cut"]
    assert [at for at in cuts if not any(first <= at <= last for first, last in film.open)] == list(film.cuts)
    for first, last in film.gradual:
        middle_s = film.times_s[(first + last) // 2]
        assert any(each.kind == "gradual" and each.start_s < middle_s < each.end_s for each in found)
