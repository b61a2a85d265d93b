"""Coverage of what a model is measured on: it rises with labels, and misses a kind that supply lacks."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.targets.gaps.coverage import gaps
from curate.targets.gaps.probes import LEAST_PROBES, coverage
from curate.vectors import unit
from curate.workspace import Workspace
from tests.dedupe.rows import Clip, write_clips
from tests.targets.conftest import frames_like, write_capability, write_labels

DIM, KINDS = 32, 6


def looks_of(kinds: np.ndarray, seed: int) -> np.ndarray:
    """Looks of things of these kinds: all alike in a part, alike within a kind in another; float32 [n, DIM]."""
    random = np.random.default_rng(seed)
    noise = random.standard_normal((len(kinds), DIM)) / np.sqrt(DIM)
    return unit(np.eye(DIM)[0] + np.eye(DIM)[1 + kinds] + noise).astype(np.float32)


def kinds(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, KINDS, count)


def covered(probes: np.ndarray, supply: np.ndarray) -> float | None:
    each = np.arange(len(probes))
    return coverage(probes, each, each, supply)


def test_supply_of_all_kinds_covers_and_a_missing_kind_is_seen() -> None:
    probed, supplied = kinds(40, 0), kinds(80, 1)
    probes, supply = looks_of(probed, 2), looks_of(supplied, 3)
    whole, lacking = covered(probes, supply), covered(probes, supply[supplied != 0])
    assert whole is not None and lacking is not None
    assert whole > 0.9
    assert whole - lacking == pytest.approx((probed == 0).mean(), abs=0.05)


def test_the_number_of_probes_does_not_move_coverage() -> None:
    supply = looks_of(kinds(15, 5), 5)
    shares = [covered(looks_of(kinds(count, seed), seed + 50), supply) for count in (20, 160) for seed in range(20)]
    few, many = np.array(shares, dtype=float).reshape(2, 20).mean(axis=1)
    assert abs(few - many) < 0.1


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**16), count=st.integers(LEAST_PROBES, 30), supply=st.integers(0, 30), more=st.integers(0, 30)
)
def test_coverage_never_falls_as_labels_are_added(seed: int, count: int, supply: int, more: int) -> None:
    probes, have = looks_of(kinds(count, seed), seed), looks_of(kinds(supply + more, seed + 1), seed + 1)
    before, after = covered(probes, have[:supply]), covered(probes, have)
    assert before is not None and after is not None
    assert 0 <= before <= after <= 1


def test_without_supply_nothing_is_covered_and_what_is_supply_itself_is() -> None:
    probes = looks_of(kinds(20, 0), 0)
    assert covered(probes, probes[:0]) == 0.0
    assert covered(probes, probes) == 1.0


def test_too_few_probes_or_videos_say_nothing() -> None:
    probes = looks_of(kinds(20, 0), 0)
    each, one_video = np.arange(20), np.arange(20) % (LEAST_PROBES - 1)
    assert coverage(probes[:7], each[:7], each[:7], probes) is None
    assert coverage(probes, one_video, each, probes) is None


def test_a_clip_counts_once_however_many_segments_it_has() -> None:
    probes = looks_of(np.zeros(18, np.int64), 0)
    clips = np.array([*range(8)] + [8] * 10)
    supply = probes[:4]
    by_segment = coverage(probes, np.arange(18), np.arange(18), supply)
    by_clip = coverage(probes, clips, clips, probes[8:])
    assert by_segment is not None and by_clip is not None
    assert by_clip >= 1 / 9


def of_gaps(workspace: Workspace) -> tuple[int, float | None]:
    found = gaps(workspace).row(by_predicate=pl.col("capability") == "jump", named=True)
    return found["probes"], found["probe_coverage"]


@pytest.fixture
def measured(empty: Workspace) -> Workspace:
    """Eight positive clips in the test split, four in none, all alike."""
    write_capability(empty, "jump")
    clips = [Clip(f"v{at:02d}", frames_like([0.9] * 4, seed=at)) for at in range(12)]
    write_clips(empty, clips)
    write_labels(empty, "jump", {clip.clip_id: "present" for clip in clips})
    settled = [{"video_id": clip.video_id, "group_id": clip.video_id, "split": "test"} for clip in clips[:8]]
    empty.catalog.write("splits", settled, run_id="test")
    return empty


def test_positive_clips_of_evaluation_groups_are_the_probes(measured: Workspace) -> None:
    probes, share = of_gaps(measured)
    assert probes == 8
    assert share is not None


def test_a_group_that_was_joined_to_a_measuring_one_is_no_supply(measured: Workspace) -> None:
    joined = [{"video_id": f"v{at:02d}", "group_id": "v00"} for at in (0, 8, 9, 10, 11)]
    measured.catalog.write("groups", joined, run_id="test")
    assert of_gaps(measured) == (12, 0.0)


def test_without_evaluation_clips_exemplars_are_the_probes(empty: Workspace) -> None:
    clips = [Clip(f"v{at:02d}", frames_like([0.9] * 4, seed=at)) for at in range(12)]
    write_clips(empty, clips)
    write_capability(empty, "jump", match={"like": [clip.clip_id for clip in clips[:8]]})
    write_labels(empty, "jump", {clip.clip_id: "present" for clip in clips})
    probes, share = of_gaps(empty)
    assert probes == 8
    assert share is not None and share < 1  # what is an exemplar itself covers none
