"""What goes wrong around Label Studio: killed pushes and pulls, servers that stop, tokens and projects that go away."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
from typer.testing import CliRunner

from benchmarks.labels import fill
from curate.cli import app
from curate.decisions import Decision
from curate.errors import CurateError, InputError
from curate.targets.choosing.order import order_labels
from curate.workspace import Workspace
from labeling import send
from labeling.accounts import sign_up
from labeling.client import Server, session
from labeling.gold import task_key
from labeling.projects import find_projects
from labeling.pull import pull
from labeling.push import PushSummary, push
from labeling.server import connect, down, up
from labeling.tasks import by_key, pages
from tests.conftest import REPOSITORY
from tests.labeling.conftest import PASSWORD, Desk, write_capability
from tests.labeling.steps import ABSENT, UNSURE, annotate_task, fetch, tasks
from tests.labeling.steps import send as send_clips
from tests.processes import wait_until

pytestmark = pytest.mark.server

CLIPS = 300


@dataclass(frozen=True)
class Crowd:
    """A workspace with many clips and a Label Studio of its own, which tests may stop."""

    workspace: Workspace
    clip_ids: list[str]

    @property
    def state(self) -> Path:
        return self.workspace.state / "label-studio"

    @property
    def server(self) -> Server:
        return connect(self.state)

    def order(self, name: str) -> Decision:
        write_capability(self.workspace, name)
        clips = pl.DataFrame({"clip_id": self.clip_ids})
        return order_labels(self.workspace, name, clips, who="tester", why="a test", status="approved")

    def push(self, order: Decision, progress: Callable[[str, int, int], None] = lambda *_: None) -> PushSummary:
        return push(self.workspace, order, self.server, progress=progress)

    def copies(self, project: int) -> set[int]:
        """How many tasks the clips of a project have."""
        with session(self.server) as client:
            found = client.tasks.list(project=project, fields="task_only", include="id,data", page_size=1000)
            return set(
                Counter({**dict.fromkeys(self.clip_ids, 0)} | Counter(t.data["clip_id"] for t in found)).values()
            )


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory, fresh: Path) -> Iterator[Crowd]:
    workspace = Workspace(shutil.copytree(fresh, tmp_path_factory.mktemp("faults") / "workspace"))
    found = Crowd(workspace, fill(workspace, CLIPS))
    try:
        up(found.state)
        yield found
    finally:
        down(found.state)


PUSH = """
from labeling import send
send._BATCH_TASKS, send._AWAITED_S = 10, 4
from labeling.push import push
push(here, find(here.catalog, argument), server, progress=lambda *step: print(*step, flush=True))
"""
PULL = """
from labeling import tasks
tasks._PAGE_TASKS = 25
from labeling.pull import pull
print(pull(here, [argument], server=server), flush=True)
"""


def start(crowd: Crowd, what: str, argument: str) -> "subprocess.Popen[str]":
    """Another process that pushes or pulls."""
    code = f"""
from curate.decisions import find
from curate.workspace import open_workspace
from labeling.server import connect
here, argument = open_workspace({str(crowd.workspace.root)!r}), {argument!r}
server = connect(here.state / "label-studio")
{what}"""
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)


def test_a_push_that_is_killed_again_and_again_sends_every_clip_once(crowd: Crowd) -> None:
    """SIGKILL at moments drawn at random, some in the middle of a request that the server then goes on with."""
    order, moments = crowd.order("killed_push"), random.Random(7)
    for _ in range(5):
        child = start(crowd, PUSH, order.decision_id)
        sent = (line for line in child.stdout or () if line.startswith("tasks"))
        assert list(islice(sent, moments.randint(1, 4)))
        time.sleep(moments.uniform(0, 0.15))
        os.kill(child.pid, signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
    done = start(crowd, PUSH, order.decision_id)
    done.communicate()
    assert done.returncode == 0
    [project] = projects(crowd, "killed_push")
    assert crowd.copies(project.number) == {1}
    assert crowd.push(order).already_there == CLIPS


def projects(crowd: Crowd, name: str) -> list[Any]:
    with session(crowd.server) as client:
        return [project for project in find_projects(client) if project.capability == name]


def test_a_pull_that_is_killed_makes_the_labels_of_one_that_is_not(crowd: Crowd, tmp_path: Path) -> None:
    order = crowd.order("killed_pull")
    number = crowd.push(order).project_id
    with session(crowd.server) as client:
        [project] = [each for each in find_projects(client) if each.number == number]
        found = [task for page in pages(client, project, [], "id,data") for task in page]
        again = [{"data": task.data, "annotations": [{"result": ABSENT, "lead_time": 2.0}]} for task in found]
        client.projects.import_tasks(number, request=again)
    other = Workspace(tmp_path / "undisturbed")
    shutil.copytree(crowd.workspace.root, other.root, ignore=shutil.ignore_patterns("label-studio", "cache"))
    cursor = crowd.workspace.state / "labels" / f"{project.uid}.json"
    for part in (2, 6):
        child = start(crowd, PULL, "killed_pull")
        wait_until(lambda part=part: cursor.exists() and last_id(cursor) >= found[25 * part].id)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        cursor.unlink(missing_ok=part == 6)
    last = pull(crowd.workspace, ["killed_pull"], server=crowd.server)
    whole = pull(other, ["killed_pull"], server=crowd.server)
    assert (whole.new, last.new + last.unchanged) == (CLIPS, CLIPS)
    shown = ["label_id", "clip_id", "verdict", "segments", "annotator", "lead_time_s", "updated_at", "deleted"]
    mine, undisturbed = (
        each.catalog.history("labels").filter(pl.col("capability") == "killed_pull").select(shown).collect()
        for each in (crowd.workspace, other)
    )
    assert mine.sort("label_id").equals(undisturbed.sort("label_id"))


def last_id(cursor: Path) -> int:
    found: int = json.loads(cursor.read_text())["last_id"]
    return found


def test_a_batch_of_a_dead_client_that_comes_late_is_taken_out_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server may finish a request long after its client was killed, even after another push sent the same."""
    name = desk.capability("late")
    sent = send_clips(desk, name, 4)
    with session(desk.server) as client:
        [project] = [each for each in find_projects(client) if each.number == sent.project_id]
        first = tasks(desk, project.number)
        keys = [task.data["key"] for task in first]
        journal = desk.workspace.state / "labels" / f"{project.uid}.sending.json"
        journal.write_text(json.dumps([{"keys": keys, "at": time.time()}]))
        client.projects.import_tasks(project.number, request=[{"data": task.data} for task in first])
    late = tasks(desk, project.number)[4:]
    annotate_task(desk.server, late[0].id, ABSENT)
    fetch(desk, name)
    assert [task.id for task in tasks(desk, project.number)] == [task.id for task in (*first[1:], late[0])]
    assert desk.labels(name).height == 1
    assert journal.exists()
    monkeypatch.setattr(send, "_DOUBTED_S", 0.0)
    fetch(desk, name)
    assert not journal.exists()


def test_a_batch_that_was_in_flight_is_waited_for(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    name = desk.capability("in_flight")
    sent = send_clips(desk, name, 1)
    with session(desk.server) as client:
        [project] = [each for each in find_projects(client) if each.number == sent.project_id]
        [task] = tasks(desk, project.number)
        clip_id = desk.clips(2)["clip_id"][1]
        key = task_key(project, clip_id)
        journal = desk.workspace.state / "labels" / f"{project.uid}.sending.json"
        journal.write_text(json.dumps([{"keys": [key], "at": time.time()}]))
        looks = 0

        def looked(*arguments: Any) -> Any:
            nonlocal looks
            looks += 1
            if looks == 3:
                client.projects.import_tasks(project.number, request=[{"data": {**task.data, "key": key}}])
            return by_key(*arguments)

        monkeypatch.setattr(send, "by_key", looked)
        assert send_clips(desk, name, 2).already_there == 2
    assert len(tasks(desk, project.number)) == 2
    assert not journal.exists()


@pytest.mark.parametrize("committed", [True, False])
def test_a_push_that_lost_its_connection_is_repeated_without_duplicates(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch, committed: bool
) -> None:
    """Both ways a request can die: before the server had it, and after it was done but before it said so."""
    order = crowd.order(f"cut_off_{'after' if committed else 'before'}")
    monkeypatch.setattr(send, "_BATCH_TASKS", 100)
    monkeypatch.setattr(send, "_AWAITED_S", 1.0)
    with session(crowd.server) as client:
        real, calls = type(client.projects).import_tasks, 0

    def dies_at_the_second(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls != 2 or committed:
            real(*args, **kwargs)
        if calls == 2:
            raise httpx.ReadTimeout("the reply was lost")

    with monkeypatch.context() as patched:
        patched.setattr(type(client.projects), "import_tasks", dies_at_the_second)
        with pytest.raises(CurateError, match="does not answer"):
            crowd.push(order)
    again = crowd.push(order)
    there = 200 if committed else 100
    assert (again.already_there, again.pushed) == (there, CLIPS - there)
    assert crowd.copies(again.project_id) == {1}


def test_a_server_that_is_restarted_in_mid_push_is_one_clear_line_and_the_next_push_finishes(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = crowd.order("restarted")
    monkeypatch.setattr(send, "_BATCH_TASKS", 50)
    monkeypatch.setattr(send, "_AWAITED_S", 1.0)

    def stop(what: str, done: int, total: int) -> None:
        if what == "tasks" and done == 100:
            down(crowd.state)

    with pytest.raises(CurateError, match=r"Label Studio does not answer .*curate label up") as raised:
        crowd.push(order, stop)
    assert "\n" not in str(raised.value)
    up(crowd.state)
    done = crowd.push(order)
    assert (done.already_there, done.pushed, crowd.copies(done.project_id)) == (100, CLIPS - 100, {1})


def test_a_token_that_is_revoked_in_mid_push_is_one_clear_line(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    order = crowd.order("revoked")
    monkeypatch.setattr(send, "_BATCH_TASKS", 100)
    other = sign_up(crowd.server, "revoked@example.org", PASSWORD)

    def revoke(what: str, done: int, total: int) -> None:
        if what == "tasks" and done == 100:
            with session(other) as client:
                client.users.reset_token()

    with pytest.raises(InputError, match="refused the token"):
        push(crowd.workspace, order, other, progress=revoke)
    assert crowd.push(order).already_there == 100


def test_a_project_that_is_deleted_in_mid_push_is_one_clear_line(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    order = crowd.order("deleted")
    monkeypatch.setattr(send, "_BATCH_TASKS", 100)

    def delete(what: str, done: int, total: int) -> None:
        if what == "tasks" and done == 100:
            [project] = projects(crowd, "deleted")
            with session(crowd.server) as client:
                client.projects.delete(project.number)

    with pytest.raises(CurateError, match="somebody deleted a project") as raised:
        crowd.push(order, delete)
    assert "\n" not in str(raised.value)
    done = crowd.push(order)
    assert (done.pushed, crowd.copies(done.project_id)) == (CLIPS, {1})


def test_a_project_that_is_deleted_keeps_its_labels_is_told_and_replaced(desk: Desk) -> None:
    name = desk.capability("deleted_later")
    sent = send_clips(desk, name, 2)
    annotate_task(desk.server, tasks(desk, sent.project_id)[0].id, UNSURE)
    assert fetch(desk, name).missing == []
    with session(desk.server) as client:
        client.projects.delete(sent.project_id)
    found = fetch(desk, name)
    assert (found.missing, found.deleted, desk.labels(name)["deleted"].to_list()) == ([name], 0, [False])
    said = CliRunner().invoke(app, ["--workspace", str(desk.workspace.root), "label", "pull", name])
    assert (said.exit_code, said.stderr.count("\n")) == (3, 1)
    assert f"{name}: its project was deleted from Label Studio; the labels stay" in said.stderr
    again = send_clips(desk, name, 2)
    assert (again.pushed, again.project_id != sent.project_id, fetch(desk, name).missing) == (2, True, [])


def test_a_wrong_token_is_one_clear_line(desk: Desk) -> None:
    name = desk.capability("refused")
    wrong = replace(desk.server, token="0" * 40)
    with pytest.raises(InputError, match="refused the token"):
        push(desk.workspace, desk.order(name, desk.clips(1)), wrong)
    with pytest.raises(InputError, match="refused the token"):
        pull(desk.workspace, [name], server=wrong)


def test_a_server_that_is_down_is_one_clear_line(desk: Desk) -> None:
    name = desk.capability("unreachable")
    with pytest.raises(CurateError, match=r"http://127\.0\.0\.1:9: Label Studio does not answer .*curate label up"):
        pull(desk.workspace, [name], server=Server("http://127.0.0.1:9", "token"))
