"""Starts and ends the server: lock, queue, uploads, workers, socket, signals.

One server has a workspace's queue: a second one is refused. The process that answers requests never loads a model or
opens a video, so it stays small and nothing that arrives can bring it down with a decoder.
"""

import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import uvicorn

from curate.errors import CurateError
from curate.listening import listening, log_to_stderr
from curate.model import ZERO_SHOT
from curate.model.request import named_model
from curate.serve.access import read_token
from curate.serve.app import Parts, Service, log
from curate.serve.assets import Assets
from curate.serve.jobs import Job, Jobs
from curate.serve.videos import Permitted
from curate.serve.work import Hooks, Runner, Settings, Task, work_of
from curate.specs.serve import Serve
from curate.specs.source import Download
from curate.workspace import Workspace


def serve(
    workspace: Workspace,
    *,
    host: str,
    port: int,
    may: Permitted,
    model: str | None = None,
    device: str = "auto",
) -> None:
    """Serves until it is told to end by SIGTERM or SIGINT.

    Args:
        host, port: of this machine; port 0 takes one that is free.
        may: which videos requests may name.
        model: for requests that name none: a trained model, or `zero-shot`; the newest where None.
        device: where models run: auto, cpu or cuda.

    Raises:
        InputError: no token is set and `host` is open to other machines; there is no such model; the port is busy.
        CurateError: another server has this workspace, or workers cannot start.
    """
    limits, token = workspace.serving(), read_token(host)
    if model is not None:
        named_model(workspace.models, model)
    state = workspace.state / "serve"
    with workspace.lock("serve"), listening(host, port) as listener:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        jobs = Jobs(state / "jobs.sqlite", most_queued=limits.queue, most_attempts=limits.attempts)
        assets = Assets(state / "assets", most_bytes=limits.asset_bytes, most_bytes_together=limits.assets_bytes)
        log_to_stderr(log)
        again = jobs.recover()
        service = Service(Parts(jobs, assets, may, workspace.models, model, limits, token))
        server = _Server(
            uvicorn.Config(
                service.app(),
                log_level="warning",
                access_log=False,
                server_header=False,
                limit_concurrency=limits.connections,
                timeout_graceful_shutdown=max(int(limits.silence_s), 1),
            ),
            service.close,
        )

        def changed(job_id: str) -> None:
            service.changed(job_id)
            server.should_exit = server.should_exit or service.runner.failure is not None

        downloads = state / "downloads"
        hooks = Hooks(changed, service.ended, lambda: _sweep(jobs, assets, downloads, limits))
        service.runner = Runner(
            jobs,
            work_of(_settings(workspace, may, limits, device)),
            _tasks(workspace, assets, downloads),
            limits,
            downloads,
            hooks,
        )
        log.info(
            "analyses at http://%s:%d%s", host, listener.getsockname()[1], f", {again} jobs again" if again else ""
        )
        server.run(sockets=[listener])
        jobs.close()
        if service.runner.failure:
            raise CurateError(f"no job runs: {service.runner.failure}", where=workspace.root)


class _Server(uvicorn.Server):
    """Says when it is told to end, so that nobody is kept waiting meanwhile, and ends with status 0."""

    def __init__(self, config: uvicorn.Config, closing: Callable[[], None]) -> None:
        super().__init__(config)
        self._closing = closing

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True
        self._closing()


def _settings(workspace: Workspace, may: Permitted, limits: Serve, device: str) -> Settings:
    analysis = workspace.analysis()
    embedding = analysis.embedding if device == "auto" else analysis.embedding.model_copy(update={"device": device})
    download = Download(
        max_bytes=limits.asset_bytes, timeout_s=limits.job_s, read_timeout_s=limits.silence_s, allow_private=may.private
    )
    return Settings(embedding, analysis.limits, limits.video_s, download, may.hosts, device)


def _tasks(workspace: Workspace, assets: Assets, downloads: Path) -> Callable[[Job], Task]:
    def task_of(job: Job) -> Task:
        ((kind, name),) = job.request["video"].items()
        video = None if kind == "url" else assets.path(name) if kind == "asset_id" else Path(name)
        return Task(
            video=video,
            url=name if kind == "url" else None,
            directory=downloads / job.id,
            definitions=job.request["segment_definitions"],
            min_s=job.request["min_segment_duration"],
            max_s=job.request["max_segment_duration"],
            model=None if job.model == ZERO_SHOT else workspace.models / job.model,
        )

    return task_of


def _sweep(jobs: Jobs, assets: Assets, downloads: Path, limits: Serve) -> None:
    """Removes what is old: results, uploads that no job needs, and downloads of jobs that have ended."""
    jobs.remove_old(keep_hours=limits.keep_hours, keep=limits.keep_jobs)
    unfinished = jobs.unfinished()
    assets.remove_old(keep_hours=limits.keep_hours, needed={job.asset for job in unfinished if job.asset})
    ids = {job.id for job in unfinished}
    for directory in downloads.iterdir() if downloads.is_dir() else ():
        if directory.name not in ids:
            shutil.rmtree(directory, ignore_errors=True)
