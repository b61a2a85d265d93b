"""Copies by few frames of each video: the same scenes, in the same order, at the same distances."""

import numpy as np
import pytest

from curate.dedupe.videos import Frames, Known, agreement, find_copies
from curate.vectors import unit

NOTHING = Known({}, lambda ids: {})


def frames(seed: int, times_s: list[float] | np.ndarray, *, noise: float = 0.0, scene_s: float = 5.0) -> Frames:
    """A video with a new scene every `scene_s`; its frames differ from those of its copies by `noise`."""
    times = np.asarray(times_s, dtype=np.float64)
    scenes = np.random.default_rng(seed).normal(size=(100, 64))
    shown = scenes[(times // scene_s).astype(int)]
    shown = shown + noise * np.random.default_rng(seed + 1).normal(size=shown.shape)
    return Frames(60.0, times, unit(shown).astype(np.float32))


KEYFRAMES = np.arange(0, 60, 5.0)
GRID = np.arange(0, 60, 0.5)


@pytest.mark.parametrize("other", [frames(1, KEYFRAMES, noise=0.1), frames(1, GRID, noise=0.1)])
def test_a_copy_agrees_with_its_original(other: Frames) -> None:
    assert agreement(frames(1, KEYFRAMES), other) > 0.98


def test_another_video_does_not_agree() -> None:
    assert agreement(frames(1, KEYFRAMES), frames(2, GRID)) == 0


def test_the_same_scenes_in_another_order_do_not_agree() -> None:
    video = frames(1, KEYFRAMES)
    shuffled = np.random.default_rng(0).permutation(len(KEYFRAMES))
    assert agreement(video, Frames(60.0, KEYFRAMES, video.vectors[shuffled])) < 0.7


def test_a_part_agrees_with_the_whole_and_the_whole_not_with_its_part() -> None:
    whole = frames(1, GRID)
    part = Frames(20.0, KEYFRAMES[:4], frames(1, KEYFRAMES + 20).vectors[:4])
    assert agreement(part, whole) > 0.98
    assert agreement(frames(1, KEYFRAMES), Frames(20.0, GRID[:40], whole.vectors[:40])) < 0.7


def test_a_video_of_one_scene_says_nothing() -> None:
    assert agreement(frames(1, KEYFRAMES, scene_s=100), frames(1, GRID, scene_s=100)) == 0


def test_keyframes_inside_dissolves_do_not_hide_a_copy() -> None:
    video = frames(1, KEYFRAMES)
    vectors = video.vectors.copy()
    vectors[[2, 7]] = unit(np.random.default_rng(3).normal(size=(2, 64)))
    assert agreement(Frames(60.0, KEYFRAMES, vectors), frames(1, GRID)) > 0.98


def test_of_two_that_show_the_same_the_first_stands_for_the_other() -> None:
    ranked = [("a", frames(1, KEYFRAMES)), ("b", frames(2, KEYFRAMES)), ("c", frames(1, KEYFRAMES, noise=0.1))]
    copies = find_copies(ranked, NOTHING, 0.95)
    assert list(copies) == ["c"]
    assert copies["c"][0] == "a" and copies["c"][1] == pytest.approx(0.99, abs=0.01)


def test_what_is_collected_stands_for_its_copies_and_its_frames_are_read_only_then() -> None:
    asked: list[set[str]] = []

    def frames_of(ids: object) -> dict[str, list[Frames]]:
        asked.append(set(ids))  # type: ignore[call-overload]
        return {name: [frames(int(name), GRID)] for name in asked[-1]}

    known = Known({str(seed): frames(seed, GRID).vectors.mean(axis=0) for seed in range(30)}, frames_of)
    ranked = [("new", frames(50, KEYFRAMES)), ("old", frames(7, KEYFRAMES, noise=0.05))]
    assert find_copies(ranked, known, 0.95)["old"][0] == "7"
    assert len(asked) == 1 and "7" in asked[0] and len(asked[0]) <= 16


def test_nothing_pending_is_no_copy() -> None:
    assert find_copies([], NOTHING, 0.95) == {}
