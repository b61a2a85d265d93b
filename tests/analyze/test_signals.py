"""Signals of pictures whose brightness, contrast and motion are known."""

import numpy as np
import pytest

from curate.analyze.signals import SignalMeter


def flat(luma: int) -> np.ndarray:
    return np.full((54, 96, 3), luma, np.uint8)


def test_motion_does_not_depend_on_the_frame_rate() -> None:
    found = []
    for fps in (25, 50):
        meter = SignalMeter()
        for index in range(2 * fps):
            meter.process(index / fps, flat(round(100 * index / fps)))
        found.append(meter.between((0.0, 2.0)).motion)
    assert found[0] == pytest.approx(100 / 255 / 25, rel=0.02)
    assert found[1] == pytest.approx(found[0], rel=0.05)


def test_the_change_at_a_cut_is_no_motion() -> None:
    meter = SignalMeter()
    for index in range(50):
        meter.process(index / 25, flat(0 if index < 25 else 255))
    assert meter.between((0.0, 1.0)).motion == 0
    assert meter.between((1.0, 2.0)).motion == 0
    assert meter.between((1.0, 2.0), begins_with_cut=False).motion > 0.03


def test_brightness_contrast_and_sharpness() -> None:
    meter = SignalMeter()
    halves = flat(0)
    halves[:, 48:] = 255
    checks = flat(0)
    checks[::2, ::2] = checks[1::2, 1::2] = 255
    for time_s, image in enumerate((flat(51), halves, checks)):
        meter.process(float(time_s), image)
    plain, split, fine = (meter.between((t, t + 1)) for t in (0.0, 1.0, 2.0))
    assert (plain.brightness, plain.contrast, plain.sharpness) == pytest.approx((0.2, 0, 0), abs=1e-3)
    assert (split.brightness, split.contrast) == pytest.approx((0.5, 1), abs=1e-3)
    assert fine.sharpness > 10 * split.sharpness > 0


def test_a_span_in_which_no_frame_begins_has_the_signals_of_the_one_on_screen() -> None:
    meter = SignalMeter()
    meter.process(0.0, flat(51))
    meter.process(20.0, flat(255))
    assert meter.between((5.0, 10.0)).brightness == pytest.approx(0.2, abs=1e-3)
