"""What `curate label status` counts, on the server and without it."""

import json
from dataclasses import asdict
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from curate import cli
from curate.errors import CurateError, InputError
from labeling.client import Server
from labeling.status import Work, work
from tests.labeling.conftest import Desk
from tests.labeling.steps import ABSENT, annotate_task, fetch, send, tasks

pytestmark = pytest.mark.server


def draft(server: Server, task: int, result: list[dict[str, Any]]) -> None:
    """Begins a task and does not submit it."""
    headers = {"Authorization": f"Token {server.token}"}
    reply = httpx.post(f"{server.url}/api/tasks/{task}/drafts", headers=headers, json={"result": result})
    reply.raise_for_status()


def counted(desk: Desk, name: str, server: Server | None) -> dict[str, Any]:
    [found] = work(desk.workspace, server, [name])
    return asdict(found)


def test_work_is_counted_as_the_server_has_it(desk: Desk) -> None:
    name = desk.capability("counted", quality={"overlap": 0.2})
    sent = send(desk, name, 10)
    sent_tasks = tasks(desk, sent.project_id)
    once = [task.id for task in sent_tasks if task.overlap == 1]
    [twice, _] = [task.id for task in sent_tasks if task.overlap == 2]
    for task in (once[0], once[1], twice):
        annotate_task(desk.server, task, ABSENT, lead_time=60)
    annotate_task(desk.server, once[2], ABSENT, was_cancelled=True)
    draft(desk.server, once[3], ABSENT)

    on_server = {
        "sent": 10, "labelled": 3, "waiting": 6, "drafts": 1, "skips": 1, "second": 1, "reviews": 0, "votes": 0,
    }  # fmt: skip
    pulled = {"labels": 3, "cases": 0, "minutes": 3.0}
    assert counted(desk, name, desk.server) == {"capability": name, **on_server, "labels": 0, "cases": 0, "minutes": 0}
    fetch(desk, name)
    assert counted(desk, name, desk.server) == {"capability": name, **on_server, **pulled}
    unknown = dict.fromkeys(on_server) | {"sent": 10}
    assert counted(desk, name, None) == {"capability": name, **unknown, **pulled}


def test_counting_reads_no_tasks(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    name = desk.capability("cheap")
    send(desk, name, 10)
    asked: list[httpx.Response] = []
    monkeypatch.setattr(httpx.Client, "send", _noting(httpx.Client.send, asked))
    [found] = work(desk.workspace, desk.server, [name])
    assert found.sent == 10
    assert not any(len(reply.json().get("tasks", [])) > 1 for reply in asked if "/api/tasks" in str(reply.url))


def _noting(send: Any, asked: list[httpx.Response]) -> Any:
    def noted(*arguments: Any, **options: Any) -> Any:
        reply = send(*arguments, **options)
        asked.append(reply)
        return reply

    return noted


def test_only_capabilities_with_work_are_told_unless_named(desk: Desk) -> None:
    name = desk.capability("idle")
    assert name not in {each.capability for each in work(desk.workspace, desk.server)}
    assert work(desk.workspace, None, [name]) == [
        Work(name, 0, None, None, None, None, None, None, None, labels=0, cases=0, minutes=0.0)
    ]
    with pytest.raises(InputError, match="nobody"):
        work(desk.workspace, None, ["nobody"])


def test_a_server_that_is_down_is_an_error_and_the_command_shows_what_was_pulled(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = desk.capability("deserted")
    send(desk, name, 3)
    with pytest.raises(CurateError, match="does not answer"):
        work(desk.workspace, Server("http://127.0.0.1:9", "token"), [name])

    monkeypatch.setenv("LABEL_STUDIO_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "token")
    told = CliRunner().invoke(cli.app, ["--workspace", str(desk.workspace.root), "label", "status", name, "--json"])
    assert told.exit_code == 0
    assert told.stderr.startswith("only what was pulled is known: http://127.0.0.1:9: Label Studio does not answer")
    assert len(told.stderr.splitlines()) == 1
    [row] = json.loads(told.stdout)
    assert (row["sent"], row["waiting"], row["labels"]) == (3, None, 0)
