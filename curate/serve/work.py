"""What a worker does with a job, and the thread that takes jobs from the queue to the workers and answers back.

Workers are the engine's processes: a job is held to its time, its memory and the time between frames, and one that
crashes takes nothing with it. They have the embedding in memory from their start and write nothing but a download; the
queue is written by this thread alone, so a worker that outlives its server by a moment does no harm.
"""

import json
import os
import pickle
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.engine import Pool
from curate.errors import CurateError, DecodeError, InputError
from curate.model.definitions import as_definitions, bounded
from curate.serve.jobs import Job, Jobs
from curate.specs.analysis import Embedding, Engine, Limits
from curate.specs.serve import Serve
from curate.specs.source import Download
from curate.worker import Answer, Done, Failed

if TYPE_CHECKING:
    from curate.model.infer import Answerer

_SWEEP_S = 60.0
_NICENESS = 10
_MODELS = 4
_PRELOAD = "curate.analyze.embed"
"""What takes longest to import: workers are forked from a process that has."""


@dataclass(frozen=True)
class Settings:
    """What all jobs of a server have in common.

    Attributes:
        most_s: length of a video, in seconds.
        download: limits on fetching a URL, from `hosts` alone.
        device: where the segmenter runs.
    """

    embedding: Embedding
    limits: Limits
    most_s: float
    download: Download
    hosts: frozenset[str]
    device: str


@dataclass(frozen=True)
class Task:
    """A job as a worker gets it: `video` is a file, or else `url` is fetched into `directory`."""

    video: Path | None
    url: str | None
    directory: Path
    definitions: Sequence[Mapping[str, Any]]
    min_s: float | None
    max_s: float | None
    model: Path | None


@dataclass(frozen=True)
class Analysis:
    """`result` is the answer as JSON text."""

    result: str
    video_s: float


def prepare(settings: Settings) -> None:
    """Loads the embedding, once in each worker, which from then on leaves the cores to those who answer requests."""
    from curate.analyze.embed import load_embedder

    os.nice(_NICENESS)
    load_embedder(settings.embedding)


def analyze(settings: Settings, task: Task) -> Analysis:
    """Runs in a worker.

    Raises:
        DecodeError: the video cannot be decoded, or is too long.
        InputError: the video or the model is not there any longer, or cannot be used.
        DownloadError: it cannot be fetched.
    """
    from curate.media.gaps import what_is_lost
    from curate.model.infer import as_response
    from curate.sources.download import fetch

    if task.url is not None:
        task.directory.mkdir(parents=True, exist_ok=True)
        video = fetch(task.url, task.directory, settings.download, hosts=settings.hosts).path
    else:
        video = task.video or Path()
        if not video.is_file() or video.resolve() != video:
            raise InputError("the video has gone since it was named", where=video)
    asked = [bounded(definition, task.min_s, task.max_s) for definition in as_definitions(task.definitions)]
    answerer = _answerer(task.model, _trained_ns(task.model), settings.embedding, settings.device)
    reading = answerer.read(video, asked, settings.limits)
    video_s = reading.info.duration_s
    if video_s > settings.most_s:
        raise DecodeError(f"a video of {video_s:.0f} s, longer than the {settings.most_s:g} s that the server takes")
    answer = {
        "data": as_response(asked, reading.found),
        "duration_s": round(video_s, 6),
        "start_offset_s": round(reading.info.start_offset_s, 6),
        "lost": what_is_lost(reading.gaps)[0],
    }
    return Analysis(json.dumps(answer), video_s)


def _trained_ns(model: Path | None) -> int:
    """When a model was trained; 0 where there is none, which loading it says better."""
    try:
        return (model / "config.json").stat().st_mtime_ns if model else 0
    except OSError:
        return 0


@lru_cache(maxsize=_MODELS)
def _answerer(model: Path | None, trained_ns: int, embedding: Embedding, device: str) -> "Answerer":
    """Models stay with a worker; one that has been trained again since, under its old name, is another."""
    from curate.model.infer import load_answerer

    return load_answerer(model, embedding, device)


@dataclass
class Hooks:
    """What the runner calls, from its own thread.

    Attributes:
        changed: a job is in another state.
        ended: a job has an answer: "done" or "failed", the worker's seconds, those of the video.
        swept: now and then, to remove what is old.
    """

    changed: Callable[[str], None] = lambda _: None
    ended: Callable[[str, float, float], None] = lambda *_: None
    swept: Callable[[], None] = lambda: None


@dataclass
class _Shared:
    """Guarded by `lock`: jobs at workers by the engine's number."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    at_work: dict[int, Job] = field(default_factory=dict)
    stop_by_s: float | None = None
    failure: str | None = None


class Runner:
    """A thread that runs jobs until it is stopped.

    Args:
        jobs: the queue.
        work: (function of a task, prepare), picklable; the function returns an `Analysis`.
        task_of: what a job is for a worker; a CurateError fails the job.
        limits: how many workers, and what a job may take.
        downloads: a directory with one for each job that fetches; each is removed when its job has ended.
    """

    def __init__(
        self,
        jobs: Jobs,
        work: tuple[Callable[[Any], Analysis], Callable[[], None] | None],
        task_of: Callable[[Job], Any],
        limits: Serve,
        downloads: Path,
        hooks: Hooks,
    ) -> None:
        self._jobs, self._task_of, self._limits, self._downloads, self._hooks = jobs, task_of, limits, downloads, hooks
        engine = Engine(
            workers=limits.workers,
            timeout_s=limits.job_s,
            frame_timeout_s=limits.frame_s,
            memory_mb=limits.memory_mb,
        )
        self._pool = Pool(pickle.dumps(work), engine, limits.workers, _PRELOAD, retries=0)
        self._shared = _Shared()
        self._thread = threading.Thread(target=self._run, name="jobs", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def workers(self) -> int:
        """Workers that can take a job or are at one."""
        return self._pool.ready

    @property
    def failure(self) -> str | None:
        """Why no job runs any more, where that is so."""
        return self._shared.failure

    def wake(self) -> None:
        """Says that a job waits."""
        self._pool.nudge()

    def cancel(self, job_id: str) -> None:
        """Ends the worker that is at this job, if one is. The job should be out of the queue by now."""
        with self._shared.lock:
            numbers = [number for number, job in self._shared.at_work.items() if job.id == job_id]
        for number in numbers:
            self._pool.cancel(number)

    def stop(self, within_s: float) -> None:
        """Starts no further job, and returns when those at work have ended or wait again: after `within_s` at most."""
        self._shared.stop_by_s = time.monotonic() + within_s
        self._pool.nudge()
        self._thread.join()

    def _run(self) -> None:
        try:
            with self._pool:
                self._work()
        except Exception as error:
            self._shared.failure = str(error) or type(error).__name__
            self._hooks.changed("")

    def _work(self) -> None:
        sweep_at_s = 0.0
        try:
            while True:
                stop_by_s, now_s = self._shared.stop_by_s, time.monotonic()
                if stop_by_s is None:
                    self._give()
                    if now_s >= sweep_at_s:
                        self._hooks.swept()
                        sweep_at_s = now_s + _SWEEP_S
                elif now_s >= stop_by_s or not self._shared.at_work:
                    return
                said = self._pool.next_answer(max((stop_by_s or sweep_at_s) - now_s, 0.0))
                if said is not None:
                    self._take(*said)
        finally:
            for job in self._shared.at_work.values():
                self._jobs.hand_back(job)

    def _give(self) -> None:
        """A job for each worker that is free; more would wait here in place of the queue."""
        while len(self._shared.at_work) < self._pool.ready:
            with self._shared.lock:
                job = self._jobs.claim()
                if job is None:
                    return
                try:
                    task = self._task_of(job)
                except CurateError as error:
                    self._jobs.fail(job, error.what)
                    self._hooks.ended("failed", 0.0, 0.0)
                else:
                    self._shared.at_work[self._pool.submit(task)] = job
            self._hooks.changed(job.id)

    def _take(self, number: int, answer: Answer) -> None:
        if isinstance(answer, Failed) and answer.stops_run:
            raise CurateError(answer.reason)
        with self._shared.lock:
            job = self._shared.at_work.pop(number)
        if isinstance(answer, Failed) and answer.killed:
            self._jobs.put_back(job, "its worker was killed")
            self._hooks.changed(job.id)
            return
        if isinstance(answer, Failed):
            if self._jobs.fail(job, answer.reason):
                self._hooks.ended("failed", answer.seconds, 0.0)
        elif isinstance(answer, Done):
            analysis: Analysis = answer.value
            if self._jobs.finish(job, analysis.result, analysis.video_s):
                self._hooks.ended("done", answer.seconds, analysis.video_s)
        shutil.rmtree(self._downloads / job.id, ignore_errors=True)
        self._hooks.changed(job.id)


def work_of(settings: Settings) -> tuple[Callable[[Any], Analysis], Callable[[], None]]:
    """What a `Runner` has its workers do: real analyses."""
    return partial(analyze, settings), partial(prepare, settings)
