"""Label Studio tells a real `labeling.serve` of annotations, and their labels arrive."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
import uvicorn

from labeling import webhook
from labeling.client import session
from labeling.proxies import directory
from labeling.serve import Puller, app, pulling
from tests.labeling.conftest import Desk
from tests.labeling.steps import ABSENT, UNSURE, annotate_task, in_force, send, tasks
from tests.processes import wait_until

pytestmark = pytest.mark.server

SECRET = "h" * 32


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(webhook.WEBHOOK_SECRET, SECRET)


@contextmanager
def listening(desk: Desk, port: int = 0) -> Iterator[str]:
    """A server that pulls only what it is hinted at: the regular pull is an hour away."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        work = pulling(desk.workspace, address)
        puller = Puller(lambda names: work(names) if names else None, every_s=3600, quiet_s=0.3)
        server = uvicorn.Server(uvicorn.Config(app(directory(desk.workspace), None, puller), log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            wait_until(lambda: server.started)
            yield address
        finally:
            server.should_exit = True
            thread.join()


def register(desk: Desk, project: int, name: str, address: str) -> None:
    with session(desk.server) as client:
        webhook.register(client, project, name, address)


def test_labels_arrive_when_somebody_annotates_changes_and_deletes(desk: Desk) -> None:
    name = desk.capability("hinted")
    sent = send(desk, name, 1)
    [task] = tasks(desk, sent.project_id)
    with listening(desk) as address:
        register(desk, sent.project_id, name, address)
        annotation = annotate_task(desk.server, task.id, ABSENT)
        wait_until(lambda: in_force(desk, name) == ["absent"])
        with session(desk.server) as client:
            client.annotations.update(annotation, result=UNSURE)
            wait_until(lambda: in_force(desk, name) == ["unsure"])
            client.annotations.delete(annotation)
            wait_until(lambda: in_force(desk, name) == [])


def test_a_hint_with_a_bad_secret_pulls_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    name, other = desk.capability("hinted_badly"), desk.capability("hinted_well")
    sent, good = send(desk, name, 1), send(desk, other, 1)
    with listening(desk) as address:
        with monkeypatch.context() as patched:
            patched.setenv(webhook.WEBHOOK_SECRET, "w" * 32)
            register(desk, sent.project_id, name, address)
        register(desk, good.project_id, other, address)
        annotate_task(desk.server, tasks(desk, sent.project_id)[0].id, ABSENT)
        assert httpx.post(f"{address}/webhook", params={"capability": name}).status_code == 401
        annotate_task(desk.server, tasks(desk, good.project_id)[0].id, ABSENT)
        wait_until(lambda: in_force(desk, other) == ["absent"])
    assert in_force(desk, name) == []


def test_hints_go_on_after_the_server_was_away(desk: Desk) -> None:
    """Nothing is lost for those that came meanwhile: any later pull fetches them."""
    name = desk.capability("away")
    sent = send(desk, name, 3)
    first, second, third = tasks(desk, sent.project_id)
    with listening(desk) as address:
        register(desk, sent.project_id, name, address)
        annotate_task(desk.server, first.id, ABSENT)
        wait_until(lambda: in_force(desk, name) == ["absent"])
    annotate_task(desk.server, second.id, ABSENT)  # nobody listens, and the annotator does not notice
    with listening(desk, int(address.rpartition(":")[2])):
        annotate_task(desk.server, third.id, ABSENT)
        wait_until(lambda: in_force(desk, name) == ["absent"] * 3)


def test_a_project_is_registered_once_and_its_secret_replaced(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    name = desk.capability("registered")
    project = send(desk, name, 1).project_id
    for given in (SECRET, SECRET, "n" * 32):
        monkeypatch.setenv(webhook.WEBHOOK_SECRET, given)
        register(desk, project, name, "http://127.0.0.1:9")
    with session(desk.server) as client:
        [hook] = client.webhooks.list(project=project)
    assert hook.headers == {"Authorization": f"Bearer {'n' * 32}"}
    assert hook.url == f"http://127.0.0.1:9/webhook?capability={name}"
    assert (hook.is_active, hook.send_payload, hook.send_for_all_actions) == (True, False, False)


def test_a_regular_pull_registers_the_projects_that_are_new(desk: Desk) -> None:
    name = desk.capability("new_here")
    project = send(desk, name, 1).project_id
    pulling(desk.workspace, "http://127.0.0.1:9")(None)
    with session(desk.server) as client:
        hooks = [hook.url for hook in client.webhooks.list(project=project) if hook.project == project]
        assert hooks == [f"http://127.0.0.1:9/webhook?capability={name}"]
        for hook in client.webhooks.list():
            client.webhooks.delete(hook.id)
