"""Jobs go from the queue to workers and back, whatever becomes of a worker. What they do is cheap here."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from curate.errors import CurateError, DecodeError
from curate.serve.jobs import Job, Jobs
from curate.serve.work import Analysis, Hooks, Runner
from curate.specs.serve import Serve
from tests.processes import wait_until


def act(task: str) -> Analysis:
    """Does what the task says."""
    what, _, where = task.partition(" ")
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if what == "refuse":
        raise DecodeError("cannot be read")
    if what == "once" and not Path(where).exists():
        Path(where).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "until":
        Path(f"{where}.began").touch()
        while not Path(where).exists():
            time.sleep(0.01)
    return Analysis(f'"{what}"', 2.0)


def unprepared() -> None:
    raise CurateError("no weights")


def task_of(job: Job) -> str:
    what = str(job.request["what"])
    if what == "gone":
        raise CurateError("no asset any more")
    return what


class Running:
    """A runner over a queue, and what it has said."""

    def __init__(self, directory: Path, prepare: Callable[[], None] | None = None, **limits: Any) -> None:
        self.jobs = Jobs(directory / "jobs.sqlite", most_queued=100, most_attempts=3)
        self.ended: list[tuple[str, float]] = []
        self.changed: list[str] = []
        hooks = Hooks(self.changed.append, lambda outcome, _, video_s: self.ended.append((outcome, video_s)))
        spec = Serve.model_validate({"workers": 2, "job_s": 30, **limits})
        self.downloads = directory / "downloads"
        self.runner = Runner(self.jobs, (act, prepare), task_of, spec, self.downloads, hooks)

    def add(self, what: str) -> str:
        job, _ = self.jobs.add({"what": what}, model="m", asset=None, key=None, digest="d")
        self.runner.wake()
        return job.id

    def job(self, job_id: str) -> Job:
        job = self.jobs.get(job_id)
        assert job is not None
        return job

    def wait(self, job_id: str, *states: str) -> Job:
        wait_until(lambda: self.job(job_id).state in (states or ("done", "failed")))
        return self.job(job_id)


@contextmanager
def running(directory: Path, prepare: Callable[[], None] | None = None, **limits: Any) -> Iterator[Running]:
    found = Running(directory, prepare, **limits)
    found.runner.start()
    try:
        yield found
    finally:
        found.runner.stop(0)
        found.jobs.close()


def test_each_job_ends_as_itself_whatever_its_worker_does(tmp_path: Path) -> None:
    tasks = {
        "fine": ("done", None, 1),
        "refuse": ("failed", "cannot be read", 1),
        "crash": ("failed", "the worker crashed (SIGSEGV)", 1),
        "kill": ("failed", "its worker was killed in each of 3 attempts", 3),
        "gone": ("failed", "no asset any more", 1),
        f"once {tmp_path / 'mark'}": ("done", None, 2),
        "last": ("done", None, 1),
    }
    with running(tmp_path) as at:
        ids = {task: at.add(task) for task in tasks}
        found = {task: at.wait(job_id) for task, job_id in ids.items()}
        assert {task: (job.state, job.error, job.attempts) for task, job in found.items()} == tasks
        assert found["fine"].result == '"fine"' and found["last"].video_s == 2.0
        wait_until(lambda: set(at.changed) >= set(ids.values()))
    assert sorted(at.ended) == [("done", 2.0)] * 3 + [("failed", 0.0)] * 3


def test_a_job_that_is_cancelled_makes_room_for_the_next(tmp_path: Path) -> None:
    with running(tmp_path, workers=1) as at:
        job = at.add(f"until {tmp_path / 'never'}")
        following = at.add("fine")
        wait_until((tmp_path / "never.began").exists)
        assert at.jobs.remove(job) == "running"
        at.runner.cancel(job)
        assert at.wait(following).state == "done"
        assert at.jobs.get(job) is None


def test_jobs_that_run_when_it_stops_end_in_time_or_wait_again(tmp_path: Path) -> None:
    with running(tmp_path) as at:
        short, long = at.add(f"until {tmp_path / 'now'}"), at.add(f"until {tmp_path / 'never'}")
        later = at.add("fine")
        for name in ("now.began", "never.began"):
            wait_until((tmp_path / name).exists)
        (tmp_path / "now").touch()
        at.wait(short)
        at.wait(later)
        at.runner.stop(0.2)
        assert [(job.id, job.state, job.attempts) for job in at.jobs.unfinished()] == [(long, "queued", 0)]
    with running(tmp_path) as at:
        (tmp_path / "never").touch()
        assert at.wait(long).attempts == 1


def test_where_no_worker_can_start_no_job_is_begun(tmp_path: Path) -> None:
    with running(tmp_path, unprepared) as at:
        job = at.add("fine")
        wait_until(lambda: at.runner.failure is not None)
        assert at.runner.failure == "no weights" and at.changed[-1] == ""
        assert (at.job(job).state, at.job(job).attempts) == ("queued", 0)


def test_a_download_goes_with_its_job_and_stays_for_another_attempt(tmp_path: Path) -> None:
    with running(tmp_path, workers=1) as at:
        held = at.add(f"until {tmp_path / 'now'}")
        job = at.add(f"once {tmp_path / 'mark'}")
        for job_id in (held, job):
            (at.downloads / job_id).mkdir(parents=True)
        (tmp_path / "now").touch()
        wait_until((tmp_path / "mark").exists)
        at.wait(held)
        wait_until(lambda: not (at.downloads / held).exists())
        at.wait(job)
        wait_until(lambda: not (at.downloads / job).exists())


def test_it_dies_of_a_queue_that_cannot_be_written_and_says_so(tmp_path: Path) -> None:
    with running(tmp_path) as at:
        at.jobs.close()
        at.runner.wake()
        wait_until(lambda: at.runner.failure is not None)
        assert "closed database" in str(at.runner.failure)
