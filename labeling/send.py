"""Sends tasks to a project, each once, whatever is killed and when.

Label Studio knows no uniqueness, and a request outlives the client that sent it: killed in mid-import, a client cannot
know whether its batch will be there. So a task's identity is its `data.key`, and keys are looked for before they are
sent. The batch in flight is noted on disk before it leaves, and whoever comes next waits for it to appear, as a whole
or not at all. Should it come even later, or the server repeat it by itself, the copies that nobody has begun are
removed: after each sending, and by the next one or the next pull while there is doubt.
"""

import json
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from label_studio_sdk.client import LabelStudio
from label_studio_sdk.core.api_error import ApiError

from curate.errors import CurateError
from curate.progress import Progress, silent
from curate.workspace import Workspace
from labeling.projects import Project
from labeling.tasks import Task, batches, by_key, delete_untouched

LOCK = "label-push"
"""Held by whoever sends."""
_BATCH_TASKS = 250
_AWAITED_S = 20.0
"""How long after it was sent a batch whose sender was killed is waited for: some 50 times as long as one takes."""
_DOUBTED_S = 900.0
"""How long it is looked for after that. The server itself tries again for minutes where its database is busy."""
_LOOKS_S = 0.25
_THREADS = 4


@dataclass(frozen=True)
class Sent:
    """Keys of the tasks that were sent now, and of those that were there before."""

    new: set[str]
    there: set[str]


def send(
    client: LabelStudio,
    workspace: Workspace,
    project: Project,
    tasks: Sequence[dict[str, Any]],
    progress: Progress = silent,
    *,
    twice: Collection[str] = (),
) -> Sent:
    """Sends those of `tasks` that the project has not got, in their order, which is the order annotators get them in.

    Args:
        tasks: each {"data": {"key": ..., ...}, "predictions": [...]}.
        twice: keys of the tasks that two annotators are to label.

    The caller holds the workspace's lock `LOCK`.
    """
    journal = _Journal(_path(workspace, project))
    _await_batch_in_flight(client, project, journal)
    keys = [task["data"]["key"] for task in tasks]
    found = by_key(client, project, keys)
    missing = [task for task in tasks if task["data"]["key"] not in found]
    there, sent = set(found), 0
    progress("tasks", sent, len(missing))
    for batch in batches(missing, _BATCH_TASKS):
        with journal.in_flight([task["data"]["key"] for task in batch]):
            client.projects.import_tasks(project.number, request=batch)
        sent += len(batch)
        progress("tasks", sent, len(missing))
    if missing:
        found = by_key(client, project, keys)
    _remove_copies(client, project, found)
    _settle_doubts(client, project, journal)
    _ask_two(client, [found[key][0] for key in twice if key in found])
    return Sent({task["data"]["key"] for task in missing}, there)


def settle(client: LabelStudio, workspace: Workspace, project: Project) -> None:
    """Removes what a sender that was killed may have left behind. It costs nothing where none was."""
    path = _path(workspace, project)
    if not path.exists():
        return
    with suppress(CurateError), workspace.lock(LOCK):  # one that is sending now settles it itself
        _settle_doubts(client, project, _Journal(path))


def _path(workspace: Workspace, project: Project) -> Path:
    return workspace.state / "labels" / f"{project.uid}.sending.json"


class _Journal:
    """Batches that may or may not arrive: their keys, and when they were last in flight."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self.batches: list[dict[str, Any]] = json.loads(path.read_text())
        except FileNotFoundError:
            self.batches = []

    @contextmanager
    def in_flight(self, keys: list[str]) -> Iterator[None]:
        """Notes a batch while it is sent; one that the server answers to is in doubt no more."""
        batch = {"keys": keys, "at": time.time()}
        self.write([*self.batches, batch])
        try:
            yield
        except ApiError as error:
            if error.status_code and error.status_code < 500:
                self.write([each for each in self.batches if each is not batch])
            raise
        except BaseException:
            batch["at"] = time.time()
            self.write(self.batches)
            raise
        self.write([each for each in self.batches if each is not batch])

    def write(self, content: list[dict[str, Any]]) -> None:
        self.batches = content
        if not content:
            self._path.unlink(missing_ok=True)
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_suffix(".tmp")
        temporary.write_text(json.dumps(content))
        temporary.replace(self._path)


def _await_batch_in_flight(client: LabelStudio, project: Project, journal: _Journal) -> None:
    """Returns when each batch of a killed sender is there, or can hardly come any more; that one stays in doubt."""
    doubtful = []
    for batch in journal.batches:
        while not by_key(client, project, batch["keys"][:1]):
            if time.time() > batch["at"] + _AWAITED_S:
                doubtful.append(batch)
                break
            time.sleep(_LOOKS_S)
    journal.write(doubtful)


def _settle_doubts(client: LabelStudio, project: Project, journal: _Journal) -> None:
    for batch in journal.batches:
        _remove_copies(client, project, by_key(client, project, batch["keys"]))
    journal.write([batch for batch in journal.batches if time.time() < batch["at"] + _DOUBTED_S])


def _remove_copies(client: LabelStudio, project: Project, found: Mapping[str, list[Task]]) -> None:
    """Of the tasks with one key, leaves those that somebody has begun, or else the oldest."""
    extra = []
    for copies in found.values():
        kept = [task for task in copies if task.touched] or copies[:1]
        extra += [task.number for task in copies if task not in kept]
    delete_untouched(client, project, extra)


def _ask_two(client: LabelStudio, tasks: Sequence[Task]) -> None:
    """Lets two annotators label these tasks. Label Studio gives nobody a task a second time."""
    one = [task for task in tasks if task.annotators < 2]
    with ThreadPoolExecutor(_THREADS) as pool:
        jobs = [
            pool.submit(
                client.tasks.update, str(task.number), request_options={"additional_body_parameters": {"overlap": 2}}
            )
            for task in one
        ]
        for job in jobs:
            job.result()
