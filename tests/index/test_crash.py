"""A build that is killed, a file that is damaged, a reader beside a writer."""

import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from curate.index import Index
from curate.index.kinds import Sizes
from tests.conftest import REPOSITORY
from tests.index.made import DIM, World, world

SIZES = Sizes(cells_from=60, most_rows=1000, fanout=2)
FIRST, SECOND = 100, 200


def open_index(directory: Path) -> Index:
    return Index.open(directory, dim=DIM, model="m", sizes=SIZES)


def first(directory: Path) -> World:
    """An index of two segments, the larger with cells."""
    made = world(SECOND)
    open_index(directory).update(made.keys[: FIRST - 20], made.load(), version="first")
    open_index(directory).update(made.keys[:FIRST], made.load(), version="first")
    return made


def holds(index: Index, made: World) -> None:
    """The index is one of the two versions, whole, and answers for it."""
    wanted = {"first": made.keys[:FIRST], "second": made.keys[FIRST // 2 :]}[index.version]
    assert index.note == "" and set(index.keys.tolist()) == set(wanted.tolist())
    queries = np.concatenate(made.vectors)[:8]
    found = index.above(queries, 0.8, limit=1000)
    names = dict(zip(index.numbers.tolist(), index.keys.tolist(), strict=True))
    pairs = {(row, names[number]) for row, number in zip(found.query.tolist(), found.number.tolist(), strict=True)}
    assert pairs == set(made.above(queries, 0.8, wanted.tolist()))


def finished(directory: Path, made: World) -> None:
    """The next update ends in the same state, and nothing is left over."""
    index = open_index(directory)
    index.update(made.keys[FIRST // 2 :], made.load(), version="second")
    holds(index, made)
    named = {entry.name for entry in index._opened.held.segments} | {
        entry.gone for entry in index._opened.held.segments
    }
    assert {path.name for path in directory.iterdir()} == (named | {"manifest"}) - {""}
    assert not list(directory.rglob("*.new"))


def stopped_before_each_file_operation(directory: Path) -> int:
    """Ends a process before its first change to a file, another before its second, and so on; how many there were."""
    made = first(directory / "first")
    for stop in itertools.count(1):
        place = directory / f"stopped-{stop}"
        shutil.copytree(directory / "first", place)
        if not (child := os.fork()):
            _end_before(stop, place)
            open_index(place).update(made.keys[FIRST // 2 :], made.load(), version="second")
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        holds(open_index(place), made)
        finished(place, made)
        if status == 0:
            return stop
    raise AssertionError


def _end_before(stop: int, directory: Path) -> None:
    seen = 0

    def hook(event: str, arguments: tuple) -> None:
        nonlocal seen
        changes = event in ("os.mkdir", "os.rename", "os.remove", "os.rmdir") or (
            event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        )
        if changes and (str(directory) in str(arguments[0]) or event in ("os.remove", "os.rmdir")):
            seen += 1
            if seen == stop:
                os._exit(9)

    sys.addaudithook(hook)


def update_for_ever(directory: Path) -> None:
    made = world(SECOND)
    print("ready", flush=True)
    while True:
        open_index(directory).update(made.keys[FIRST // 2 :], made.load(), version="second")
        open_index(directory).update(made.keys[:FIRST], made.load(), version="first")


def started(call: str) -> subprocess.Popen:
    code = f"from pathlib import Path; from tests.index import test_crash as here; {call}"
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment, cwd=REPOSITORY
    )


def test_stopped_before_any_file_operation_an_index_is_whole_and_the_next_update_finishes(tmp_path: Path) -> None:
    process = started(f"print(here.stopped_before_each_file_operation(Path({str(tmp_path)!r})))")
    operations, _ = process.communicate(timeout=300)
    assert process.returncode == 0 and int(operations) > 40


def test_killed_at_random_moments_an_index_is_whole_and_the_next_update_finishes(tmp_path: Path) -> None:
    random = np.random.default_rng()
    made = first(tmp_path)
    for _ in range(4):
        process = started(f"here.update_for_ever(Path({str(tmp_path)!r}))")
        assert process.stdout and process.stdout.readline() == "ready\n"
        time.sleep(float(random.uniform(0, 0.4)))
        process.send_signal(signal.SIGKILL)
        process.wait()
        holds(open_index(tmp_path), made)
    finished(tmp_path, made)


def test_readers_go_on_while_a_writer_merges(tmp_path: Path) -> None:
    made = first(tmp_path)
    reader = open_index(tmp_path)
    process = started(f"here.update_for_ever(Path({str(tmp_path)!r}))")
    assert process.stdout and process.stdout.readline() == "ready\n"
    for _ in range(10):
        holds(open_index(tmp_path), made)
        holds(reader, made)
    process.kill()
    process.wait()
    assert not all(part.segment.directory.exists() for part in reader._parts), "the writer removed nothing"


def one_of_each(directory: Path) -> list[str]:
    """A file of each name, those of the segment with cells."""
    paths = sorted(directory.rglob("*"), key=lambda path: (path.parent / "codes").exists())
    return list({path.name: str(path.relative_to(directory)) for path in paths if path.is_file()}.values())


@pytest.mark.parametrize("how", ["cut", "flipped", "gone", "zeroed"])
def test_damage_is_noticed_and_the_next_update_makes_it_again(tmp_path: Path, how: str) -> None:
    made = first(tmp_path / "first")
    open_index(tmp_path / "first").update(made.keys[1:FIRST], made.load(), version="first")
    names = one_of_each(tmp_path / "first")
    assert any("gone" in name for name in names) and any("codes" in name for name in names)
    for at, name in enumerate(names):
        place = tmp_path / f"{at}"
        shutil.copytree(tmp_path / "first", place)
        content = bytearray((place / name).read_bytes())
        middle = len(content) // 2
        if how == "cut":
            del content[-1:]
        elif how == "flipped":
            content[middle] ^= 4
        elif how == "zeroed":
            content[:] = bytes(len(content))
        (place / name).write_bytes(content)
        if how == "gone":
            (place / name).unlink()
        index = open_index(place)
        lost_all = name == "manifest" and how == "gone"
        assert index.version == "" and (index.note or lost_all), name
        assert len(index.keys) < FIRST - 1
        index.update(made.keys[FIRST // 2 :], made.load(), version="second")
        assert index.note or lost_all
        holds(open_index(place), made)


def test_damage_that_opening_does_not_notice_is_noticed_when_a_segment_is_merged(tmp_path: Path) -> None:
    made = first(tmp_path)
    index = open_index(tmp_path)
    place = max(tmp_path.glob("*/vectors"), key=lambda path: path.stat().st_size)
    with place.open("r+b") as file:
        file.seek(301)
        byte = file.read(1)[0]
        file.seek(301)
        file.write(bytes([byte ^ 4]))
    changes = index.update(made.keys[FIRST // 2 :], made.load(), version="second")
    assert "has changed since it was written" in index.note and len(changes.added)
    holds(open_index(tmp_path), made)


@pytest.mark.parametrize(("dim", "model"), [(DIM, "another"), (DIM + 1, "m")])
def test_an_index_for_another_model_is_made_anew(tmp_path: Path, dim: int, model: str) -> None:
    first(tmp_path)
    index = Index.open(tmp_path, dim=dim, model=model)
    assert index.version == "" and len(index.keys) == 0 and f"of m with {DIM}" in index.note
    made = world(30, dim=dim)
    index.update(made.keys, made.load(), version="3")
    assert Index.open(tmp_path, dim=dim, model=model).version == "3"
    assert Index.open(tmp_path, dim=DIM, model="m").version == ""
