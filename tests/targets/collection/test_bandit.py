"""The bandit over folders: it finds the rich one, borrows, never gives a folder up, and draws the same for a seed."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.targets.collection.arms import LEAST, Arms, arms_of
from curate.targets.collection.bandit import Footage, learn
from curate.targets.collection.rounds import Open, choose, hours_of_round

FILE_H = 0.01


class Simulated:
    """An archive whose files hold clips at their folder's rate; keyframes show `promise` where they are looked at."""

    def __init__(
        self, clips: Mapping[str, Sequence[int]], promise: Mapping[str, Sequence[float]] | None = None
    ) -> None:
        items = {f"{folder}/{at:04d}": held for folder, some in clips.items() for at, held in enumerate(some)}
        shown = {f"{folder}/{at:04d}": seen for folder, some in (promise or {}).items() for at, seen in enumerate(some)}
        self.items = sorted(items)
        self.arms = arms_of(self.items)
        self.clips = np.array([items[item] for item in self.items], dtype=float)
        self._shown = [np.array([shown.get(item, 0.0), 0.0], np.float32) for item in self.items]
        self._arm = np.array([self.arms.of_item[item] for item in self.items])
        self._looks: list[np.ndarray | None] = [None] * len(self.items)
        self.done = np.zeros(len(self.items), dtype=bool)
        self.rounds = 0

    @property
    def footage(self) -> Footage:
        hours = np.full(len(self.items), FILE_H)
        return Footage(self._arm, hours, self._looks, self.done, np.where(self.done, self.clips, 0.0))

    def open(self) -> Open:
        looked = np.array([look is not None for look in self._looks])
        return Open(looked=looked & ~self.done, unseen=~looked & ~self.done)

    def look(self, places: Sequence[int]) -> None:
        for at in places:
            self._looks[at] = self._shown[at]

    def set_copies_aside(self, ranked: Sequence[int]) -> set[int]:
        return set()

    def round(self, hours: float, seed: int = 0) -> list[int]:
        batch = choose(self, hours, np.random.default_rng([seed, self.rounds]))
        self.done[batch] = True
        self.rounds += 1
        return batch

    def looked(self) -> int:
        return sum(look is not None for look in self._looks)

    def done_of(self, folder: str) -> int:
        return int(sum(item.startswith(f"{folder}/") for item in np.array(self.items)[self.done]))


def holding(rng: np.random.Generator, files: int, share: float, clips: int = 3) -> list[int]:
    return [clips * int(rng.random() < share) for _ in range(files)]


def archive(seed: int, rich: str = "s/07", folders: int = 20) -> Simulated:
    rng = np.random.default_rng(seed)
    names = [f"s/{at:02d}" for at in range(folders)]
    return Simulated({name: holding(rng, 60, 0.6 if name == rich else 0.01) for name in names})


@pytest.mark.parametrize("seed", range(5))
def test_the_rich_folder_of_twenty_is_found_and_taken(seed: int) -> None:
    pool = archive(seed)
    while pool.done.sum() < 240:
        spent_h = float(pool.footage.hours[pool.done].sum())
        pool.round(hours_of_round(spent_h, 4 * FILE_H, None), seed)
    assert pool.done_of("s/07") >= 50
    assert pool.clips[pool.done].sum() > 0.6 * pool.clips.sum()


def test_no_folder_is_given_up_while_others_pay() -> None:
    pool = archive(1, folders=12)
    for _ in range(14):
        pool.round(0.4)
    assert all(pool.done_of(f"s/{at:02d}") >= 5 for at in range(12))


def test_all_footage_is_taken_in_the_end() -> None:
    pool = archive(2, folders=3)
    while not pool.done.all():
        assert pool.round(0.3)


def test_the_same_seed_chooses_the_same_and_another_does_not() -> None:
    rounds = {seed: [pool.round(0.2, seed) for pool in [archive(3)] for _ in range(4)] for seed in (0, 1)}
    again = [pool.round(0.2, 0) for pool in [archive(3)] for _ in range(4)]
    assert again == rounds[0] != rounds[1]


def test_a_needle_that_keyframes_show_is_found_by_looking_and_not_by_analysing() -> None:
    rng = np.random.default_rng(4)
    clips = {"s/a": holding(rng, 300, 0.05), "s/b": holding(rng, 300, 0.05)}
    pool = Simulated(clips, {name: [0.9 * (held > 0) for held in some] for name, some in clips.items()})
    while pool.clips[pool.done].sum() < 0.9 * pool.clips.sum():
        pool.round(hours_of_round(float(pool.footage.hours[pool.done].sum()), 4 * FILE_H, None))
    assert pool.done.sum() < 200


def test_keyframes_that_mislead_lose_their_word_and_the_folder_they_praise_its_place() -> None:
    rng = np.random.default_rng(5)
    clips = {"s/praised": [0] * 200, "s/plain": holding(rng, 200, 0.5)}
    pool = Simulated(clips, {"s/praised": [0.9] * 200, "s/plain": [0.0] * 200})
    while pool.clips[pool.done].sum() < 0.8 * pool.clips.sum():
        pool.round(hours_of_round(float(pool.footage.hours[pool.done].sum()), 4 * FILE_H, None))
    assert pool.done_of("s/praised") < 0.25 * pool.done_of("s/plain")


def test_where_all_footage_is_rich_little_is_looked_at_that_is_not_analysed() -> None:
    pool = Simulated({f"s/{at}": [3] * 100 for at in range(3)})
    while pool.done.sum() < 120:
        pool.round(0.2)
    assert pool.looked() < 1.5 * pool.done.sum()


def rates(arms: Arms, found: dict[str, list[int]]) -> dict[str, float]:
    """Expected rates, given the clips of files of an hour each, in some folders; without keyframes."""
    names = list(arms.names)
    arm = np.array([names.index(name) for name, some in found.items() for _ in some], dtype=int)
    clips = np.array([held for some in found.values() for held in some], dtype=float)
    size = len(arm)
    footage = Footage(arm, np.ones(size), [None] * size, np.ones(size, dtype=bool), clips)
    posterior = learn(arms, footage)
    return dict(zip(names, (posterior.weights @ posterior.means()).tolist(), strict=True))


def test_a_new_folder_borrows_from_its_source() -> None:
    arms = arms_of(f"{source}/{folder}/{at}" for source in "xy" for folder in "abcd" for at in range(LEAST))
    known = {f"{source}/{folder}": [4 * (source == "x")] * 10 for source in "xy" for folder in "abc"}
    expected = rates(arms, known)
    assert expected["x/d"] > 2 * expected["y/d"] > 0
    assert expected["x/a"] == pytest.approx(4, rel=0.3) and expected["y/a"] < 0.5


def test_hours_spent_on_the_best_folder_do_not_make_its_neighbours_look_like_it() -> None:
    arms = arms_of(f"x/{folder}/{at}" for folder in "abcd" for at in range(LEAST))
    poor = {"x/b": [0] * 10, "x/c": [0] * 10}
    few, many = rates(arms, {**poor, "x/a": [5] * 10}), rates(arms, {**poor, "x/a": [5] * 1000})
    assert many["x/d"] < 1.5 * few["x/d"]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 8)), min_size=1, max_size=40), st.integers(0, 5))
def test_expectations_are_finite_above_nothing_and_what_draws_average_to(
    found: list[tuple[int, int]], seed: int
) -> None:
    arms = arms_of(f"s/{folder}/{at}" for folder in "abcd" for at in range(LEAST))
    arm, clips = (np.array(column) for column in zip(*found, strict=True))
    size = len(found)
    footage = Footage(arm, np.full(size, 0.1), [None] * size, np.ones(size, dtype=bool), clips.astype(float))
    posterior = learn(arms, footage)
    draws = posterior.draw(np.random.default_rng(seed), 400)
    mean = (posterior.weights @ posterior.means())[np.unique(arm)]
    assert np.isfinite(mean).all() and (mean > 0).all() and (draws.rate > 0).all()
    spread = draws.rate[:, np.unique(arm)].std(axis=0)
    assert (np.abs(draws.rate[:, np.unique(arm)].mean(axis=0) - mean) < 0.5 * mean + spread).all()


def test_folders_are_arms_and_small_ones_are_joined_with_their_parent() -> None:
    items = [*(f"s/a/x/{at}" for at in range(5)), "s/a/y/1", "s/a/y/2", *(f"s/b/{at}" for at in range(4)), "t/1"]
    arms = arms_of(items)
    assert arms.names == ("s", "s/a/x", "s/b", "t")
    assert arms.names[arms.of_item["s/a/y/1"]] == "s"
    assert arms_of(reversed(items)).of_item == arms.of_item


@settings(max_examples=50, deadline=None)
@given(st.lists(st.from_regex(r"[ab](/[ab]){0,3}/[0-9]{2}", fullmatch=True), max_size=60))
def test_every_file_has_one_arm_and_every_arm_leads_to_all_footage(items: list[str]) -> None:
    arms = arms_of(items)
    assert set(arms.of_item) == set(items)
    assert set(arms.of_item.values()) == set(range(len(arms.names)))
    assert (arms.parents[1:] < np.arange(1, len(arms.parents))).all() and arms.inside[0].all()
    for name in arms.names:
        held = sum(arms.names[arm] == name for arm in arms.of_item.values())
        assert held >= LEAST or "/" not in name
