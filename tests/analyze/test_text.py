"""On-screen text in drawn pictures, and texts that stay, change and come back."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from curate.analyze.text import Line, merged, read


def drawn(*texts: tuple[str, int, int], size: tuple[int, int] = (640, 360)) -> np.ndarray:
    """White texts at (x, y of the base line) on grey."""
    image = np.full((size[1], size[0], 3), 70, np.uint8)
    for text, x, y in texts:
        cv2.putText(image, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (250, 250, 250), 2, cv2.LINE_AA)
    return image


def line(text: str, start_s: float, end_s: float, *, score: float = 0.9, top: float = 0.1) -> Line:
    return Line(start_s, end_s, text, (0.1, top, 0.3, 0.05), score)


def test_a_picture_is_read_with_its_places_and_its_share() -> None:
    lines, share = read(drawn(("Breaking News", 60, 60), ("Score 2 - 1", 300, 320)))
    assert sorted(each.text for each in lines) == ["Breaking News", "Score 2 - 1"]
    (width, height), _ = cv2.getTextSize("Breaking News", cv2.FONT_HERSHEY_SIMPLEX, 1.0, 2)
    first = next(each for each in lines if each.text == "Breaking News")
    assert first.box == pytest.approx((60 / 640, (60 - height) / 360, width / 640, height / 360), abs=0.04)
    assert share == pytest.approx(sum(each.box[2] * each.box[3] for each in lines), rel=0.1)


def test_a_picture_without_text_has_none() -> None:
    assert read(drawn()) == ([], 0.0)


def test_a_ring_is_no_letter() -> None:
    image = drawn()
    cv2.circle(image, (320, 180), 60, (40, 60, 220), 18)
    assert read(image) == ([], 0.0)


def test_a_text_that_stays_is_one_line_with_its_best_reading() -> None:
    seen = [
        [line("BREAKING NEVVS", 0, 2, score=0.7)],
        [line("BREAKING NEWS", 2, 4, score=0.99)],
        [line("breaking news", 4, 6, score=0.8)],
    ]
    assert merged(seen) == (replace(seen[1][0], start_s=0, end_s=6),)


def test_a_clock_that_moves_on_is_another_text() -> None:
    assert [each.text for each in merged([[line("TIME 10:41", 0, 2)], [line("TIME 10:42", 2, 4)]])] == [
        "TIME 10:41",
        "TIME 10:42",
    ]


def test_a_text_that_comes_back_is_two_and_one_shown_twice_is_two() -> None:
    again = merged([[line("GOAL", 0, 2)], [], [line("GOAL", 4, 6)]])
    assert [(each.start_s, each.end_s) for each in again] == [(0, 2), (4, 6)]
    twice = merged([[line("GOAL", 0, 2, top=0.1), line("GOAL", 0, 2, top=0.8)]])
    assert [each.box[1] for each in twice] == [0.1, 0.8]
