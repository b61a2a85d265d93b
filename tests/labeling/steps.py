"""What tests of the round trip do again and again."""

from typing import Any

import httpx
import polars as pl

from curate import views
from labeling.client import Server, session
from labeling.projects import Project, find_projects
from labeling.pull import PullSummary, pull
from labeling.push import PushSummary, push
from tests.labeling.conftest import Desk

CHOICE = {"to_name": "video", "type": "choices"}
ABSENT = [{"id": "v", "from_name": "verdict", **CHOICE, "value": {"choices": ["absent"]}}]
UNSURE = [{"id": "v", "from_name": "verdict", **CHOICE, "value": {"choices": ["unsure"]}}]


def send(desk: Desk, name: str, count: int | None = None, **options: Any) -> PushSummary:
    return push(desk.workspace, desk.order(name, desk.clips(count)), desk.server, **options)


def fetch(desk: Desk, name: str) -> PullSummary:
    return pull(desk.workspace, [name], server=desk.server)


def tasks(desk: Desk, project: int) -> list[Any]:
    """The project's tasks, in the order they were sent."""
    with session(desk.server) as client:
        return list(client.tasks.list(project=project, fields="all", resolve_uri=False, page_size=1000))


def project(desk: Desk, name: str, kind: str) -> Project:
    """The one project of this kind that the capability has."""
    with session(desk.server) as client:
        [found] = [each for each in find_projects(client, kind) if each.capability == name]
    return found


def in_force(desk: Desk, name: str) -> list[str]:
    """The verdicts of the labels in force."""
    labels = views.labels(desk.workspace.catalog).filter(pl.col("capability") == name)
    return labels.collect()["verdict"].to_list()


def annotate_task(server: Server, task: int, result: list[dict[str, Any]], **said: Any) -> int:
    """Submits an annotation as the account of `server`; its number."""
    with session(server) as client:
        number: int = client.annotations.create(task, result=result, **said).id
        return number


def next_task(server: Server, project: int) -> dict[str, Any] | None:
    """The task that Label Studio gives this account next in a project; None where there is no more."""
    reply = httpx.post(
        f"{server.url}/api/dm/actions",
        params={"id": "next_task", "project": project},
        headers={"Authorization": f"Token {server.token}"},
        json={"project": str(project)},
    )
    if reply.status_code == httpx.codes.NOT_FOUND:
        return None
    found: dict[str, Any] = reply.raise_for_status().json()
    return found
