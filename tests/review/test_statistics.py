"""Alpha and kappa as published, and intervals that hold the truth as often as they say."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from curate.review import statistics as st
from curate.review.statistics import bounded, cohen_kappa, krippendorff_alpha, nominal_alpha, ratio, wilson

# K. Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), C: four observers, twelve units, missing data.
PUBLISHED = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
    [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
]
UNITS = [list(unit) for unit in zip(*PUBLISHED, strict=True)]

VALUES = some.one_of(some.none(), some.sampled_from("abc"))
MANY = some.lists(some.lists(VALUES, min_size=2, max_size=4), min_size=1, max_size=12)


def test_alpha_is_as_published() -> None:
    assert krippendorff_alpha(UNITS) == pytest.approx(0.743, abs=5e-4)
    assert krippendorff_alpha(UNITS, "interval") == pytest.approx(0.849, abs=5e-4)


def test_alpha_of_binary_data_of_two_observers_is_as_published() -> None:
    """A of the same paper: ten units."""
    first, second = [0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]
    assert krippendorff_alpha(list(zip(first, second, strict=True))) == pytest.approx(0.095, abs=5e-4)


def test_kappa_is_as_published() -> None:
    """J. Cohen, A Coefficient of Agreement for Nominal Scales (1960), table 1: 200 units, kappa 0.492."""
    joint = {"aa": 88, "ab": 14, "ac": 18, "ba": 10, "bb": 40, "bc": 10, "ca": 2, "cb": 6, "cc": 12}
    pairs = [tuple(pair) for pair, count in joint.items() for _ in range(count)]
    assert cohen_kappa(*zip(*pairs, strict=True)) == pytest.approx(0.492, abs=5e-4)


@given(MANY)
def test_alpha_is_one_of_equal_answers_and_never_above(units: list[list[str | None]]) -> None:
    alpha = krippendorff_alpha(units)
    assert np.isnan(alpha) or alpha <= 1 + 1e-12
    told = [[next((v for v in unit if v is not None), None)] * len(unit) for unit in units]
    same = krippendorff_alpha(told)
    assert same == pytest.approx(1) if len({unit[0] for unit in told} - {None}) > 1 else np.isnan(same)


@given(MANY, some.randoms(), some.permutations("abc"))
def test_alpha_does_not_depend_on_the_order_of_annotators_or_units_or_on_names(
    units: list[list[str | None]], random: object, names: list[str]
) -> None:
    renamed = {None: None, **dict(zip("abc", names, strict=True))}
    moved = [[renamed[value] for value in unit] for unit in units]
    for unit in moved:
        random.shuffle(unit)  # type: ignore[attr-defined]
    random.shuffle(moved)  # type: ignore[attr-defined]
    assert krippendorff_alpha(moved) == pytest.approx(krippendorff_alpha(units), nan_ok=True)


@given(some.lists(some.tuples(VALUES, VALUES), min_size=1, max_size=20), some.permutations("abc"))
def test_kappa_is_symmetric_and_does_not_depend_on_names(
    pairs: list[tuple[str | None, str | None]], names: list[str]
) -> None:
    renamed = {None: None, **dict(zip("abc", names, strict=True))}
    first, second = zip(*pairs, strict=True)
    kappa = cohen_kappa(first, second)
    assert cohen_kappa(second, first) == pytest.approx(kappa, nan_ok=True)
    assert cohen_kappa([renamed[a] for a in first], [renamed[b] for b in second]) == pytest.approx(kappa, nan_ok=True)
    same = cohen_kappa(first, first)
    assert np.isnan(same) or same == pytest.approx(1)


@given(some.lists(some.tuples(some.floats(-5, 5), some.floats(-5, 5)), min_size=2, max_size=12), some.floats(0.1, 9))
def test_alpha_of_numbers_does_not_depend_on_their_unit(pairs: list[tuple[float, float]], unit: float) -> None:
    alpha = krippendorff_alpha(pairs, "interval")
    moved = krippendorff_alpha([(unit * a + 1, unit * b + 1) for a, b in pairs], "interval")
    assert np.isnan(alpha) or np.isnan(moved) or moved == pytest.approx(alpha, abs=1e-5)


def test_chance_agrees_to_about_zero() -> None:
    rng = np.random.default_rng(0)
    values = rng.choice(list("aaaabbc"), (4000, 3)).tolist()
    assert abs(krippendorff_alpha(values)) < 0.03
    assert abs(cohen_kappa([row[0] for row in values], [row[1] for row in values])) < 0.04
    assert abs(krippendorff_alpha(rng.normal(size=(4000, 2)).tolist(), "interval")) < 0.04


def test_alpha_says_nothing_where_one_value_was_ever_given() -> None:
    assert np.isnan(krippendorff_alpha([["a", "a"], ["a", "a"]]))
    assert np.isnan(krippendorff_alpha([["a", None], ["b", None]])), "no unit has two values"
    assert np.isnan(krippendorff_alpha([]))
    assert np.isnan(krippendorff_alpha([[2.0, 2.0], [2.0, 2.0]], "interval"))


@pytest.mark.parametrize(("share", "count", "low", "high"), [(0.5, 10, 0.2366, 0.7634), (1.0, 20, 0.8389, 1.0)])
def test_wilson_is_as_published(share: float, count: int, low: float, high: float) -> None:
    assert wilson(share, count) == pytest.approx((low, high), abs=5e-5)


def test_few_groups_leave_it_open() -> None:
    one = bounded(np.array([[9.0, 9.0]]), ratio, units=9)
    assert (one.value, one.low, one.high) == (1.0, 0.0, 1.0), "one video proves nothing of others"
    five = bounded(np.tile([3.0, 3.0], (5, 1)), ratio, units=15)
    fifty = bounded(np.tile([3.0, 3.0], (50, 1)), ratio, units=150)
    assert five.low < 0.5 < 0.9 < fifty.low < 1
    assert np.isnan(bounded(np.zeros((4, 2)), ratio, units=0).value)


def test_an_interval_is_wider_where_clips_of_a_video_agree_together() -> None:
    alone = np.array([[float(at % 4 > 0), 1.0] for at in range(80)])
    together = np.array([[4.0 * (at % 4 > 0), 4.0] for at in range(20)])
    apart, clustered = (bounded(sums, ratio, units=80) for sums in (alone, together))
    assert apart.value == clustered.value == 0.75
    assert clustered.high - clustered.low > 1.7 * (apart.high - apart.low)


def drawn_shares(rng: np.random.Generator, groups: int, share: float) -> np.ndarray:
    """Right and all answers of videos of one to five clips, which are alike at a correlation of 0.3."""
    sizes, spread = rng.integers(1, 6, groups), 0.7 / 0.3
    right = rng.binomial(sizes, rng.beta(share * spread, (1 - share) * spread, groups))
    return np.stack([right, sizes], axis=-1).astype(float)


@pytest.mark.parametrize("groups", [4, 12, 60])
@pytest.mark.parametrize("share", [0.6, 0.9, 0.97])
def test_intervals_of_shares_hold_the_truth(groups: int, share: float) -> None:
    rng = np.random.default_rng([groups, int(100 * share)])
    drawn = [drawn_shares(rng, groups, share) for _ in range(400)]
    found = [bounded(sums, ratio, units=sums[:, 1].sum()) for sums in drawn]
    assert np.mean([one.low <= share <= one.high for one in found]) >= 0.93, "0.95, less what 400 draws leave open"


def drawn_verdicts(rng: np.random.Generator, groups: int, wrong: float) -> np.ndarray:
    """Coincidences of two annotators over videos of one to four clips, of which a third show it."""
    group = np.repeat(np.arange(groups), rng.integers(1, 5, groups))
    truth = rng.random(len(group)) < 1 / 3
    first, second = (truth ^ (rng.random(len(group)) < wrong) for _ in range(2))
    rows = np.array([st.coincidences([int(a), int(b)], 2) for a, b in zip(first, second, strict=True)])
    return st.grouped(rows, group)


@pytest.mark.parametrize("groups", [5, 15, 60])
@pytest.mark.parametrize("wrong", [0.03, 0.2])
def test_intervals_of_alpha_hold_the_truth(groups: int, wrong: float) -> None:
    rng = np.random.default_rng([groups, int(100 * wrong)])
    truth = float(nominal_alpha(drawn_verdicts(rng, 20_000, wrong).sum(0)))
    drawn = (drawn_verdicts(rng, groups, wrong) for _ in range(400))
    found = [bounded(sums, nominal_alpha, units=sums.sum() / 2, lowest=-1.0) for sums in drawn]
    known = [one for one in found if not np.isnan(one.value)]
    assert np.mean([one.low <= truth <= one.high for one in known]) >= 0.93


def test_the_jackknife_of_a_mean_is_its_standard_error() -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(size=40)
    mean: Callable[[np.ndarray], np.ndarray] = ratio
    value, variance = st.jackknife(np.stack([values, np.ones(40)], axis=-1), mean)
    assert value == pytest.approx(values.mean())
    assert variance == pytest.approx(values.var(ddof=1) / 40)
