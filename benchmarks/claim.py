"""One claim, measured: what a benchmark returns, how it is printed, and how two ways are timed side by side.

    python -m benchmarks.NAME [--quick] [--json]

A module here holds one claim: `measure(quick)` returns a `Result`, and `main` prints it, with `--json` as one object on
the last line. Ways are compared in turn within one run, pair by pair, so that what else the machine does falls on both.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Result:
    """What was found.

    Attributes:
        value: the figure of the claim; None where this machine cannot measure it, and `notes` says why.
        unit: of `value`.
        target: what the claim asks for.
        at_most: whether `value` may not exceed the target; else it may not fall below it.
        rows: what the figure was made from, one dict each, all with the same keys.
        notes: what limits the figure, or how it was made, where that is not plain.
        conditions: what else the claim asks for, and whether it is so.
    """

    value: float | None
    unit: str
    target: float
    at_most: bool
    rows: Sequence[Mapping[str, Any]]
    notes: str = ""
    conditions: Mapping[str, bool] = field(default_factory=dict)

    @property
    def ok(self) -> bool | None:
        if self.value is None:
            return None
        reached = self.value <= self.target if self.at_most else self.value >= self.target
        return reached and all(self.conditions.values())


@dataclass(frozen=True)
class Timing:
    """Seconds of each repetition of one way."""

    seconds: tuple[float, ...]

    @property
    def median_s(self) -> float:
        return statistics.median(self.seconds)


def in_turn(
    ways: Mapping[str, Callable[[], object]],
    repeats: int,
    *,
    warm: bool = True,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Timing]:
    """Runs each way `repeats` times, alternating; after one unmeasured round where `warm`."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(repeats + warm):
        for name, way in ways.items():
            started = clock()
            way()
            if repeat >= warm:
                seconds[name].append(clock() - started)
    return {name: Timing(tuple(some)) for name, some in seconds.items()}


def ratio(timings: Mapping[str, Timing], way: str, against: str) -> float:
    """Median over the pairs of how many times longer `way` takes than `against`."""
    pairs = zip(timings[way].seconds, timings[against].seconds, strict=True)
    return statistics.median(one / other for one, other in pairs)


def machine() -> str:
    """What the figures were measured on."""
    return f"{_processor()}, {len(os.sched_getaffinity(0))} cores"


def main(name: str, measure: Callable[[bool], Result]) -> None:
    """The command line of a benchmark."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}")
    parser.add_argument("--quick", action="store_true", help="the same method on less work, within 60 s on 2 cores")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    asked = parser.parse_args()
    result = measure(asked.quick)
    if asked.json:
        print(json.dumps(_as_json(name, result, quick=asked.quick)))
        return
    for row in result.rows:
        print("  ".join(f"{key} {_shown(value)}" for key, value in row.items()))
    sign = "at most" if result.at_most else "at least"
    print(f"{name}: {_shown(result.value)} {result.unit}, target {sign} {_shown(result.target)}: {_verdict(result)}")
    for condition, holds in result.conditions.items():
        print(f"{'so' if holds else 'NOT SO'}: {condition}")
    if result.notes:
        print(result.notes)


def _as_json(name: str, result: Result, *, quick: bool) -> dict[str, Any]:
    return {
        "name": name,
        "value": result.value,
        "unit": result.unit,
        "target": result.target,
        "at_most": result.at_most,
        "ok": result.ok,
        "quick": quick,
        "machine": machine(),
        "date": datetime.now(UTC).date().isoformat(),
        "conditions": dict(result.conditions),
        "notes": result.notes,
        "rows": list(result.rows),
    }


def _verdict(result: Result) -> str:
    return {None: "not measured here", True: "met", False: "missed"}[result.ok]


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _processor() -> str:
    try:
        with Path("/proc/cpuinfo").open() as lines:
            return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.system()
