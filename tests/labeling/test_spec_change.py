"""A capability that changes: its project goes on where labels keep their meaning, and makes way where they do not."""

import pytest

from curate.errors import InputError
from labeling.client import session
from labeling.interface import labelling_config
from labeling.projects import find_projects
from tests.labeling.conftest import COLOR, Desk
from tests.labeling.steps import ABSENT, annotate_task, fetch, send, tasks

pytestmark = pytest.mark.server

NOTE = {"name": "note", "type": "string"}


def segment(*fields: object) -> dict[str, object]:
    return {"description": "One time.", "fields": list(fields), "min_duration": 0.1, "max_duration": 20}


def test_a_further_field_is_asked_in_the_same_project_and_labels_keep_their_version(desk: Desk) -> None:
    name = desk.capability("gaining", segment=segment(COLOR))
    before = desk.workspace.capability(name).version
    sent = send(desk, name, 2)
    one, other = tasks(desk, sent.project_id)
    annotate_task(desk.server, one.id, ABSENT)
    desk.capability(name, segment=segment(COLOR, NOTE))
    spec = desk.workspace.capability(name)
    assert send(desk, name, 3).project_id == sent.project_id
    annotate_task(desk.server, other.id, ABSENT)
    fetch(desk, name)
    assert desk.labels(name).sort("updated_at")["spec_version"].to_list() == [before, spec.version]
    with session(desk.server) as client:
        there = client.projects.get(sent.project_id)
    assert there.label_config == labelling_config(spec)
    assert "note" in there.expert_instruction
    assert [task.data["clip_id"] for task in tasks(desk, sent.project_id)] == desk.clips(3)["clip_id"].to_list()


def test_what_annotators_are_not_told_changes_nothing_they_see(desk: Desk) -> None:
    name = desk.capability("retargeted")
    sent = send(desk, name, 1)
    desk.capability(name, target={"clips": 99})
    assert send(desk, name, 1).project_id == sent.project_id
    [task] = tasks(desk, sent.project_id)
    annotate_task(desk.server, task.id, ABSENT)
    fetch(desk, name)
    assert desk.labels(name)["spec_version"].to_list() == [desk.workspace.capability(name).version]


def test_another_meaning_is_another_project_and_what_nobody_has_begun_moves_there(desk: Desk) -> None:
    name = desk.capability("redefined", quality={"overlap": 0})
    before = desk.workspace.capability(name).version
    old = send(desk, name, 5)
    labelled, skipped, drafted, *waiting = tasks(desk, old.project_id)
    annotate_task(desk.server, labelled.id, ABSENT)
    annotate_task(desk.server, skipped.id, ABSENT, was_cancelled=True)
    with session(desk.server) as client:
        raw = client._client_wrapper.httpx_client
        raw.request(f"api/tasks/{drafted.id}/drafts", method="POST", json={"result": ABSENT, "lead_time": 1})
    desk.capability(name, quality={"overlap": 0}, definition="It is seen well.")
    new = send(desk, name, 1)
    assert new.project_id != old.project_id
    assert (new.pushed, new.already_there, new.moved) == (1, 0, 2)
    assert [task.id for task in tasks(desk, old.project_id)] == [labelled.id, skipped.id, drafted.id]
    moved = tasks(desk, new.project_id)
    expected = [labelled.data["clip_id"], *(task.data["clip_id"] for task in waiting)]
    assert [task.data["clip_id"] for task in moved] == expected
    annotate_task(desk.server, moved[0].id, ABSENT)
    fetch(desk, name)
    now = desk.workspace.capability(name).version
    assert desk.labels(name).sort("updated_at")["spec_version"].to_list() == [before, now]


def test_a_move_that_was_cut_off_is_finished_by_the_next_push(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    name = desk.capability("cut_off_move")
    old = send(desk, name, 3)
    desk.capability(name, definition="It is seen well.")
    with monkeypatch.context() as patched:
        patched.setattr("labeling.push.delete_untouched", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            send(desk, name, 1)
    again = send(desk, name, 1)
    assert (again.pushed, again.already_there, tasks(desk, old.project_id)) == (0, 1, [])
    assert (
        len(tasks(desk, again.project_id)) == len({task.data["clip_id"] for task in tasks(desk, again.project_id)}) == 3
    )


def test_a_meaning_that_returns_returns_to_its_project(desk: Desk) -> None:
    name = desk.capability("undecided")
    first = send(desk, name, 2)
    desk.capability(name, definition="It is seen well.")
    send(desk, name, 2)
    desk.capability(name)
    back = send(desk, name, 2)
    assert (back.project_id, len(tasks(desk, back.project_id))) == (first.project_id, 2)


def test_a_project_of_an_earlier_release_is_pulled_from_and_makes_way(desk: Desk) -> None:
    name = desk.capability("inherited")
    old = send(desk, name, 2)
    with session(desk.server) as client:
        [project] = [each for each in find_projects(client) if each.number == old.project_id]
        marker = f"[curate capability={name} spec={project.spec_version} id={project.uid}]"
        client.projects.update(old.project_id, description=marker)
    annotate_task(desk.server, tasks(desk, old.project_id)[0].id, ABSENT)
    new = send(desk, name, 2)
    assert new.project_id != old.project_id
    assert fetch(desk, name).new == 1
    assert len(tasks(desk, old.project_id)) == 1


def test_an_interface_edited_by_hand_is_told_and_put_back_when_asked(desk: Desk) -> None:
    name = desk.capability("edited")
    sent = send(desk, name, 1)
    ours = labelling_config(desk.workspace.capability(name))
    with session(desk.server) as client:
        client.projects.update(sent.project_id, label_config=ours.replace('"absent"', '"missing"'))
    with pytest.raises(InputError, match=f"of {name} was edited by hand.*push {name} --restore-interface"):
        send(desk, name, 2)
    assert len(tasks(desk, sent.project_id)) == 1
    send(desk, name, 2, restore_interface=True)
    with session(desk.server) as client:
        assert client.projects.get(sent.project_id).label_config == ours
    assert send(desk, name, 2).already_there == 2


def test_looks_that_were_edited_by_hand_stay(desk: Desk) -> None:
    name = desk.capability("larger")
    sent = send(desk, name, 1)
    larger = labelling_config(desk.workspace.capability(name)).replace(' height="', ' height="1')
    with session(desk.server) as client:
        client.projects.update(sent.project_id, label_config=larger)
    send(desk, name, 2)
    with session(desk.server) as client:
        assert client.projects.get(sent.project_id).label_config == larger
