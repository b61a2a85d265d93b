"""The engine's promises: every item ends as a result or a reason, whatever its function does to its process."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from curate import engine
from curate.errors import DecodeError
from curate.specs.analysis import Engine


def act(item: str) -> str:
    """Does what the item says."""
    if item == "die":
        os._exit(9)
    if item == "hang":
        time.sleep(600)
    if item == "refuse":
        raise DecodeError("cannot be read", where="/somewhere/a.mp4")
    if item == "break":
        raise ZeroDivisionError("first line\nsecond line")
    return item.upper()


def reasons(items: list[str], **options: object) -> dict[str, str]:
    results = engine.run(act, items, Engine.model_validate(options))
    return {r.item: r.value if isinstance(r, engine.Success) else f"failed: {r.reason}" for r in results}


def test_an_item_that_raises_hangs_or_dies_takes_only_itself() -> None:
    found = reasons(["a", "die", "b", "hang", "c", "refuse", "d", "break", "e"], workers=2, timeout_s=3)
    assert found == {
        **{name: name.upper() for name in "abcde"},
        "die": "failed: worker died with exit code 9",
        "hang": "failed: took longer than 3 s",
        "refuse": "failed: cannot be read",
        "break": "failed: ZeroDivisionError: first line",
    }


def test_items_are_drawn_only_a_few_ahead_of_the_work() -> None:
    drawn = 0

    def items() -> Iterator[str]:
        nonlocal drawn
        for index in range(100):
            drawn += 1
            yield str(index)

    results = engine.run(act, items(), Engine(workers=2))
    for count, _ in zip(range(1, 11), results, strict=False):
        assert drawn <= count + 4
    results.close()
    assert drawn < 20


def test_a_script_without_a_main_guard_is_told_so_and_no_item_is_failed_for_it(tmp_path: Path) -> None:
    script = tmp_path / "mine.py"
    script.write_text("from curate.engine import run\nprint(list(run(len, ['a', 'bb'])))\n")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and done.stdout == ""
    assert "mine.py: worker processes cannot start" in done.stderr and "__main__" in done.stderr


def test_no_items_give_no_results() -> None:
    assert reasons([], workers=2) == {}


@pytest.mark.server
def test_ray_gives_the_same_outcomes() -> None:
    ray = pytest.importorskip("ray")
    try:
        found = reasons(["a", "refuse", "break", "die", "b"], kind="ray", workers=2, timeout_s=120)
    finally:
        ray.shutdown()
    assert (found["a"], found["b"]) == ("A", "B")
    assert found["refuse"] == "failed: cannot be read"
    assert found["break"] == "failed: ZeroDivisionError: first line"
    assert found["die"].startswith("failed: ")
