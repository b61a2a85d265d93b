"""Benchmarks keep to one shape, and the README says nothing that no program measured."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import names, table
from benchmarks.claim import Result, in_turn, ratio
from tests.conftest import REPOSITORY

RESULTS = REPOSITORY / "benchmarks" / "results"


@pytest.mark.parametrize("name", names())
def test_each_benchmark_measures_one_claim_and_says_which(name: str) -> None:
    module = importlib.import_module(f"benchmarks.{name}")
    assert callable(module.measure) and len(module.__doc__ or "") > 100


def test_every_kept_result_is_of_a_benchmark_that_is_here() -> None:
    for path in RESULTS.glob("*.json"):
        found = json.loads(path.read_text())
        assert found["name"] == path.stem in names() and not found["quick"]
        expected = found["value"] <= found["target"] if found["at_most"] else found["value"] >= found["target"]
        expected = expected and all(found.get("conditions", {}).values())
        assert found["ok"] == expected and found["rows"] and found["machine"] and found["date"]


def test_the_readme_shows_the_kept_results() -> None:
    assert table(RESULTS) in (REPOSITORY / "README.md").read_text()


def test_ways_are_timed_in_turn_and_compared_pair_by_pair() -> None:
    calls: list[str] = []
    clock = iter(range(100))
    ways = {"slow": lambda: calls.extend("s") or next(clock), "fast": lambda: calls.extend("f")}
    timings = in_turn(ways, 3, clock=lambda: next(clock))
    assert calls == list("sf" * 4)
    assert timings["slow"].seconds == (2, 2, 2) and timings["fast"].seconds == (1, 1, 1)
    assert ratio(timings, "slow", "fast") == 2


@pytest.mark.parametrize(("value", "ok"), [(0.9, True), (1.0, True), (1.1, False), (None, None)])
def test_a_target_is_met_missed_or_not_measured(value: float | None, ok: bool | None) -> None:
    assert Result(value, "x", 1.0, at_most=True, rows=()).ok is ok


def test_a_target_that_is_reached_is_met_only_where_all_that_the_claim_asks_for_is_so() -> None:
    held = {"elsewhere nothing is lost": True, "the interval is above zero": True}
    assert Result(12, "x", 10, at_most=False, rows=(), conditions=held).ok
    assert not Result(12, "x", 10, at_most=False, rows=(), conditions={**held, "elsewhere nothing is lost": False}).ok


def test_a_quick_run_prints_one_json_object_last(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.analysis_vs_limit", "--quick", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPOSITORY, timeout=300)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["name"] == "analysis_vs_limit" and found["quick"] and found["value"] > 0
    assert [row["size"] for row in found["rows"]] == ["1920x1080", "854x480", "640x360"]
