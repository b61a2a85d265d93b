"""The engine's promises: every item ends as a result or a reason, whatever its function does to its process."""

import ctypes
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from curate import engine
from curate.errors import CurateError, DecodeError, RunError
from curate.specs.analysis import Engine
from tests.processes import is_running, wait_until


def act(item: str) -> str:
    """Does what the item says."""
    what, _, where = item.partition(" ")
    if what == "die":
        os._exit(9)
    if what == "hang":
        time.sleep(600)
    if what == "spin":
        engine.heartbeat()
        ctypes.PyDLL(None).sleep(600)  # holds the interpreter, as C code that never comes back does
    if what == "crash":
        ctypes.string_at(0)
    if what == "grow":
        held = []
        while True:
            held.append(np.ones(10_000_000, np.uint8))
            time.sleep(0.001)
    if what == "demand":
        return str(np.ones(10**10, np.uint8).sum())
    if what == "slow":
        for _ in range(8):
            engine.heartbeat()
            time.sleep(0.25)
    if what == "pid":
        Path(where).write_text(str(os.getpid()))
        time.sleep(600)
    if what in ("once", "always"):
        marks = Path(where)
        marks.write_text(marks.read_text() + "." if marks.exists() else ".")
        if what == "always" or len(marks.read_text()) == 1:
            os.kill(os.getpid(), signal.SIGKILL)
    if what == "stop":
        raise RunError("the model has gone", fix="Start it again")
    if what == "refuse":
        raise DecodeError("cannot be read", where="/somewhere/a.mp4")
    if what == "break":
        raise ZeroDivisionError("first line\nsecond line")
    if what == "large":
        return "x" * 10_000_000
    return item.upper()


def reasons(items: list[str], **options: object) -> dict[str, str]:
    results = engine.run(act, items, Engine.model_validate({"workers": 2, **options}))
    return {r.item: r.value if isinstance(r, engine.Success) else f"failed: {r.reason}" for r in results}


BAD = {
    "die": "failed: worker died with exit code 9",
    "hang": "failed: took longer than 5 s",
    "spin": "failed: gave no frame for 1 s",
    "crash": "failed: the worker crashed (SIGSEGV)",
    "grow": "failed: took more than 300 MB of memory",
    "demand": "failed: took more than 300 MB of memory",
    "refuse": "failed: cannot be read",
    "break": "failed: ZeroDivisionError: first line",
}
LIMITS = {"timeout_s": 5, "frame_timeout_s": 1, "memory_mb": 300}


def test_an_item_that_raises_hangs_crashes_or_takes_all_memory_takes_only_itself() -> None:
    items = ["a", "slow", *(item for bad in BAD for item in (bad, f"after {bad}"))]
    assert reasons(items, **LIMITS) == {**{item: item.upper() for item in items}, **BAD}


def test_what_is_killed_from_outside_is_tried_once_more_and_no_oftener(tmp_path: Path) -> None:
    once, always = f"once {tmp_path / 'a'}", f"always {tmp_path / 'b'}"
    assert reasons([once, always, "c"]) == {once: once.upper(), always: f"failed: {engine.KILLED}", "c": "C"}
    assert (tmp_path / "b").read_text() == ".."


def test_an_answer_larger_than_a_pipe_comes_whole() -> None:
    assert len(reasons(["large", "b"])["large"]) == 10_000_000


@pytest.mark.parametrize("kind", ["local", pytest.param("ray", marks=pytest.mark.server)])
def test_what_every_item_would_meet_ends_the_run_with_one_line(kind: str) -> None:
    if kind == "ray":
        pytest.importorskip("ray")
    with pytest.raises(CurateError, match=r"^the model has gone\. Start it again$"):
        reasons(["a", "stop", "b"], kind=kind)


def unprepared() -> None:
    raise DecodeError("no weights", fix="Get them")


def test_workers_that_cannot_be_prepared_end_the_run_and_fail_no_item() -> None:
    with pytest.raises(CurateError, match=r"^no weights\. Get them$"):
        list(engine.run(act, ["a"], Engine(workers=1), prepare=unprepared))


def test_workers_end_with_a_driver_that_is_killed(tmp_path: Path) -> None:
    noted = tmp_path / "pid"
    program = (
        "from curate import engine\nfrom curate.specs.analysis import Engine\nfrom tests.test_engine import act\n"
        f"if __name__ == '__main__':\n    list(engine.run(act, ['pid {noted}'], Engine(workers=1)))\n"
    )
    (tmp_path / "driver.py").write_text(program)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    driver = subprocess.Popen([sys.executable, str(tmp_path / "driver.py")], env=environment)
    wait_until(lambda: noted.exists() and noted.read_text() != "")
    worker = int(noted.read_text())
    assert is_running(worker)
    driver.kill()
    driver.wait()
    wait_until(lambda: not is_running(worker))


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


def test_items_that_are_given_one_by_one_are_answered_or_cancelled(tmp_path: Path) -> None:
    work = pickle.dumps((act, None))
    with engine.Pool(work, Engine(), 1, "tests.test_engine", retries=0) as pool:
        running, waiting = pool.submit(f"pid {tmp_path / 'pid'}"), pool.submit("never")
        wait_until((tmp_path / "pid").exists)
        assert pool.ready == 1
        pool.cancel(waiting)
        pool.cancel(running)
        once = pool.submit(f"always {tmp_path / 'always'}")
        last = pool.submit("last")
        answers = {}
        while len(answers) < 4:
            if said := pool.next_answer():
                answers[said[0]] = said[1]
        pool.cancel(last)
        pool.nudge()
        assert pool.next_answer(600) is None and pool.next_answer(0.01) is None
    for number in (running, waiting):
        assert (answers[number].reason, answers[number].killed) == (engine.CANCELLED, False)
    assert answers[once].killed and (tmp_path / "always").read_text() == "."
    assert answers[last].value == "LAST"


def test_no_items_give_no_results() -> None:
    assert reasons([], workers=2) == {}


@pytest.mark.server
def test_ray_gives_the_same_outcomes_and_reasons() -> None:
    ray = pytest.importorskip("ray")
    items = ["a", "slow", *BAD, "b"]
    try:
        assert reasons(items, kind="ray", **LIMITS) == {**{item: item.upper() for item in items}, **BAD}
    finally:
        ray.shutdown()
