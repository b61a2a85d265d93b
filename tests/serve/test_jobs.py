"""The queue's promises, whatever is done to it in whatever order."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from curate.errors import CurateError
from curate.serve.jobs import Job, Jobs, KeyReusedError, QueueFullError

REQUEST = {"video": {"path": "/videos/a.mp4"}}


def opened(directory: Path, queued: int = 100, attempts: int = 3) -> Jobs:
    return Jobs(directory / "jobs.sqlite", most_queued=queued, most_attempts=attempts)


def add(jobs: Jobs, key: str | None = None, digest: str = "d") -> Job:
    return jobs.add(REQUEST, model="zero-shot", asset=None, key=key, digest=digest)[0]


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    jobs = opened(tmp_path)
    yield jobs
    jobs.close()


def claimed(jobs: Jobs) -> Job:
    job = jobs.claim()
    assert job is not None
    return job


def test_jobs_begin_in_the_order_they_came_and_keep_their_place(jobs: Jobs) -> None:
    added = [add(jobs) for _ in range(3)]
    first, second = claimed(jobs), claimed(jobs)
    jobs.put_back(first, "cut off")
    jobs.hand_back(second)
    assert [jobs.waiting_before(job) for job in added] == [0, 1, 2]
    assert [claimed(jobs).id for _ in range(3)] == [job.id for job in added]
    assert jobs.claim() is None
    found = [jobs.get(job.id) for job in added]
    assert [job.attempts for job in found if job] == [2, 1, 1]


def test_an_answer_is_of_one_start_alone(jobs: Jobs) -> None:
    add(jobs)
    first = claimed(jobs)
    jobs.put_back(first, "cut off")
    second = claimed(jobs)
    assert not jobs.finish(first, "{}", 1.0)
    assert jobs.finish(second, '{"data": {}}', 1.5)
    assert not jobs.finish(second, "{}", 1.0) and not jobs.fail(second, "late")
    found = jobs.get(second.id)
    assert found and (found.state, found.result, found.video_s, found.error) == ("done", '{"data": {}}', 1.5, None)


def test_a_job_under_which_the_server_ends_again_and_again_is_failed(tmp_path: Path) -> None:
    for start in range(3):
        jobs = opened(tmp_path)
        assert jobs.recover() == (1 if start else 0)
        if not start:
            add(jobs)
        job = claimed(jobs)
        jobs.close()
    jobs = opened(tmp_path)
    jobs.recover()
    found = jobs.get(job.id)
    assert found and (found.state, found.error) == ("failed", "the server ended in each of 3 attempts")
    jobs.close()


def test_a_job_that_is_stopped_for_the_servers_sake_is_not_counted(jobs: Jobs) -> None:
    add(jobs)
    for _ in range(5):
        jobs.hand_back(claimed(jobs))
    assert [(job.state, job.attempts) for job in jobs.unfinished()] == [("queued", 0)]


def test_a_full_queue_refuses_but_for_what_it_has_already(tmp_path: Path) -> None:
    jobs = opened(tmp_path, queued=2)
    first = add(jobs, key="k")
    add(jobs)
    with pytest.raises(QueueFullError, match="2 jobs wait"):
        add(jobs)
    assert jobs.add(REQUEST, model="m", asset=None, key="k", digest="d") == (first, False)
    with pytest.raises(KeyReusedError):
        add(jobs, key="k", digest="other")
    claimed(jobs)
    add(jobs)
    jobs.close()


def test_old_results_go_and_jobs_that_wait_stay(jobs: Jobs) -> None:
    made = [add(jobs, key=str(number)) for number in range(5)]
    for _ in range(4):
        jobs.finish(claimed(jobs), "{}", 1.0)
    assert jobs.remove_old(keep_hours=1, keep=3) == 1
    assert [job.id for job in jobs.newest()] == [job.id for job in made[:0:-1]]
    assert jobs.remove_old(keep_hours=-1, keep=3) == 3
    assert [job.id for job in jobs.newest()] == [made[4].id]
    assert add(jobs, key="0").id != made[0].id, "a key is forgotten with its job"


def test_a_queue_of_another_version_is_left_alone(tmp_path: Path) -> None:
    opened(tmp_path).close()
    with sqlite3.connect(tmp_path / "jobs.sqlite") as db:
        db.execute("PRAGMA user_version = 9")
    with pytest.raises(CurateError, match="jobs of version 9, not 1"):
        opened(tmp_path)


_ADDS = """
import sys
from pathlib import Path
from tests.serve.test_jobs import add, opened
jobs = opened(Path(sys.argv[1]), queued=100_000)
while True:
    print(add(jobs).id, flush=True)
"""


def test_what_has_been_said_to_be_accepted_is_there_after_a_kill(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", _ADDS, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = [process.stdout.readline().strip() for _ in range(20)]
    process.kill()
    said += [line.strip() for line in process.stdout if line.endswith("\n")]
    process.wait()
    jobs = opened(tmp_path)
    there = [job.id for job in reversed(jobs.newest(limit=100_000))]
    assert there[: len(said)] == said and len(there) - len(said) <= 1
    jobs.close()


class Server(RuleBasedStateMachine):
    """Clients, workers and kills in any order. What is known to a client stays true."""

    accepted = Bundle("accepted")

    def __init__(self) -> None:
        super().__init__()
        self._directory = TemporaryDirectory()
        self._jobs = self._open()
        self._known: dict[str, Any] = {}
        self._at_work: list[Job] = []

    def _open(self) -> Jobs:
        return opened(Path(self._directory.name), queued=4, attempts=3)

    def teardown(self) -> None:
        self._jobs.close()
        self._directory.cleanup()

    @rule(target=accepted, key=st.sampled_from([None, "a", "b"]))
    def ask(self, key: str | None) -> str:
        try:
            job, is_new = self._jobs.add(REQUEST, model="m", asset=None, key=key, digest="d")
        except QueueFullError:
            assert self._jobs.counts()["queued"] == 4
            return ""
        assert is_new == (job.id not in self._known)
        self._known.setdefault(job.id, None)
        return job.id

    @rule()
    def begin(self) -> None:
        if job := self._jobs.claim():
            assert job.attempts <= 3 and job.id not in [other.id for other in self._at_work]
            self._at_work.append(job)

    @rule(data=st.data(), how=st.sampled_from(["finish", "fail", "put_back", "hand_back"]))
    def end(self, data: st.DataObject, how: str) -> None:
        if not self._at_work:
            return
        job = self._at_work.pop(data.draw(st.integers(0, len(self._at_work) - 1)))
        if how == "finish":
            assert self._jobs.finish(job, json.dumps(job.attempts), 1.0)
        elif how == "fail":
            assert self._jobs.fail(job, "why")
        elif how == "put_back":
            self._jobs.put_back(job, "cut off")
        else:
            self._jobs.hand_back(job)

    @rule()
    def kill(self) -> None:
        self._jobs.close()
        late, self._at_work = self._at_work, []
        self._jobs = self._open()
        self._jobs.recover()
        for job in late:
            assert not self._jobs.finish(job, "late", 1.0)

    @rule(job_id=accepted)
    def forget(self, job_id: str) -> None:
        if self._known.pop(job_id, "never") != "never":
            assert self._jobs.remove(job_id)
            for job in [job for job in self._at_work if job.id == job_id]:
                assert not self._jobs.finish(job, "late", 1.0)
                self._at_work.remove(job)

    @invariant()
    def nothing_is_lost_and_no_answer_changes(self) -> None:
        for job_id, shown in self._known.items():
            job = self._jobs.get(job_id)
            assert job is not None
            if shown is not None:
                assert job == shown
            elif job.state in ("done", "failed"):
                self._known[job_id] = job
        assert sum(self._jobs.counts().values()) == len(self._known)
        assert self._jobs.counts()["running"] == len(self._at_work)


TestAnyOrder = Server.TestCase
TestAnyOrder.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
