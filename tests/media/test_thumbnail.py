"""Thumbnails: what was on screen when a clip was made, small, and only of that clip."""

from fractions import Fraction

import cv2
import numpy as np
import pytest

from curate.media.decode import decode
from curate.media.thumbnail import Thumbnails, nearest
from tests.media.conftest import Maker, number_of


@pytest.mark.parametrize("rotation_deg", [0, 90])
def test_a_span_has_at_most_four_pictures_of_its_own_spread_evenly(make_video: Maker, rotation_deg: int) -> None:
    path = make_video(ticks=tuple(range(61)), tick=Fraction(1, 4), rotation_deg=rotation_deg, options={"bf": "0"})
    width, height = (90, 160) if rotation_deg else (160, 90)
    thumbnails = Thumbnails()
    for frame in decode(path, {"thumbnail": Thumbnails.branch(width, height)}):
        thumbnails.add(frame.time_s, frame.image)
    strip = thumbnails.between((2.0, 12.0))
    assert strip.times_s == (3.0, 5.0, 8.0, 10.0)
    for time_s, jpeg in zip(strip.times_s, strip.jpegs, strict=True):
        image = cv2.cvtColor(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        assert image.shape[:2] == ((192, 108) if rotation_deg else (108, 192))
        assert number_of(image) == 4 * time_s
    assert thumbnails.between((2.0, 4.0)).times_s == (2.0, 3.0)
    assert thumbnails.between((2.2, 2.8)).times_s == ()
    assert nearest(strip.times_s, strip.jpegs, 7.0) == strip.jpegs[2]
    assert nearest((), (), 7.0) is None
