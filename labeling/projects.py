"""Which project of Label Studio belongs to which capability, and under which version of its spec it is labelled.

A marker in the project's description says so, because anyone may rename a project. It also carries a random id, so
that labels keep their names when servers are replaced and count their projects from 1 again, and a digest of the
interface that we put there, so that one edited by hand is noticed.

A spec that changes what its labels mean gets a project of its own; one that does not goes on in the same project,
with interface and instructions brought up to date (`curate.specs.guideline`). `label_projects` keeps since when.
"""

import hashlib
import json
import re
import secrets
from bisect import bisect_right
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree

import polars as pl
from label_studio_sdk.client import LabelStudio

from curate.catalog import Catalog
from curate.errors import InputError
from curate.specs import Capability
from curate.specs.guideline import change
from curate.workspace import Workspace, new_run_id
from labeling.client import Server
from labeling.media import Media

LABEL, REVIEW, COMPARISON = "label", "review", "comparison"
_SENT_BY = {LABEL: "push {}", REVIEW: "adjudicate {}", COMPARISON: "compare {} MODEL_1 MODEL_2"}
"""The command that sends what a project of each kind asks."""

_MARKER = re.compile(
    r"\[curate(?: kind=(?P<kind>\w+))? capability=(?P<capability>\w+) spec=(?P<version>\w+)"
    r"(?: interface=(?P<interface>\w+) instructions=(?P<instructions>\w+))? id=(?P<uid>\w+)\]"
)
_TITLE_CHARACTERS = 50


@dataclass(frozen=True)
class Project:
    """A project on the server.

    Attributes:
        number: the server's.
        uid: ours, unique everywhere.
        kind: label, review, comparison.
        spec_version: the version it is labelled under now.
        interface, instructions: digests of what we put there, which people may have edited since; empty for a project
            of an earlier release, which is pulled from and no longer pushed to.
    """

    number: int
    uid: str
    kind: str
    capability: str
    spec_version: str
    interface: str = ""
    instructions: str = ""

    def url(self, server: Server) -> str:
        return f"{server.url}/projects/{self.number}/data"


def find_projects(client: LabelStudio, kind: str | None = LABEL) -> list[Project]:
    """Every project of this kind (of any kind where None) on the server that is ours, oldest first."""
    found = []
    for project in client.projects.list(page_size=100, include="id,description"):
        marker = _MARKER.search(project.description or "")
        if marker and kind in (None, marker["kind"] or LABEL):
            said = marker.groupdict(default="")
            found.append(
                Project(
                    project.id, said["uid"], said["kind"] or LABEL, said["capability"], said["version"],
                    said["interface"], said["instructions"],
                )
            )  # fmt: skip
    return sorted(found, key=lambda project: project.number)


def open_project(
    client: LabelStudio,
    workspace: Workspace,
    server: Server,
    spec: Capability,
    kind: str = LABEL,
    *,
    title: str,
    config: str,
    instructions: str,
    media: Media,
    annotators: int = 1,
    restore_interface: bool = False,
) -> Project:
    """The project of this kind in which `spec` is labelled: made if it is missing, brought up to date if it is not.

    Args:
        title: how a new project is called; the spec's version is added, and people may rename it.
        config: Label Studio's XML, and `instructions`: HTML, that the project is to show.
        media: what serves clips to annotators.
        annotators: how many label each task of a new project.
        restore_interface: put back what was edited by hand.

    Raises:
        InputError: the interface was edited by hand so that labels would be others, and is not to be restored.
    """
    told = _guidelines(workspace.catalog)
    project = _fitting([each for each in find_projects(client, kind) if each.capability == spec.id], spec, told)
    if project is None:
        project = _create(client, spec, kind, title, config, instructions, annotators)
    else:
        project = _bring_up_to_date(client, server, project, spec, config, instructions, restore_interface)
    _record(workspace.catalog, server, project, spec)
    if not client.views.list(project=project.number):
        client.views.create(project=project.number, data={"title": "Default", "type": "list", "target": "tasks"})
    media.attach(client, project.number, spec.id)
    return project


def deleted_projects(catalog: Catalog, server: Server, there: list[Project]) -> list[str]:
    """The capabilities whose newest project of labels was on `server` once, and is not among those `there` now."""
    rows = catalog.history("label_projects").filter(pl.col("server") == server.url, pl.col("kind") == LABEL)
    newest = rows.sort("since").group_by("capability").agg(pl.col("project").last()).collect()
    gone = newest.filter(~pl.col("project").is_in([project.uid for project in there]))
    return sorted(gone["capability"])


class Versions:
    """Which version of the spec was in force in a project, and when: what its labels were made under."""

    def __init__(self, catalog: Catalog, project: Project) -> None:
        rows = catalog.history("label_projects").filter(pl.col("project") == project.uid).sort("since").collect()
        self._since = rows["since"].to_list()
        self._versions = rows["spec_version"].to_list()

    def at(self, time: datetime, data: dict[str, Any]) -> str:
        """The version at `time`; before anything is known, the one that the task's `data` was pushed under."""
        index = bisect_right(self._since, time)
        version: str = self._versions[index - 1] if index else data["spec_version"]
        return version


def _guidelines(catalog: Catalog) -> dict[str, dict[str, Any]]:
    """What annotators are told now, by the project's uid."""
    rows = catalog.history("label_projects").sort("since").group_by("project").agg(pl.col("guideline").last())
    return {uid: json.loads(guideline) for uid, guideline in rows.collect().iter_rows()}


def _fitting(projects: list[Project], spec: Capability, told: dict[str, dict[str, Any]]) -> Project | None:
    """The newest project whose labels mean what `spec` says; one of this very version that we know goes before."""
    ours = [project for project in reversed(projects) if project.interface]
    same = [project for project in ours if project.spec_version == spec.version]
    known = [project for project in ours if project.uid in told]
    alike = [project for project in known if change(told[project.uid], spec.guideline) != "meaning"]
    return next(iter([*(project for project in same if project in known), *alike, *same]), None)


def _create(
    client: LabelStudio, spec: Capability, kind: str, title: str, config: str, instructions: str, annotators: int
) -> Project:
    uid = secrets.token_hex(6)
    project = Project(0, uid, kind, spec.id, spec.version, _digest(config), _digest(instructions))
    made = client.projects.create(
        title=f"{title[: _TITLE_CHARACTERS - len(spec.version) - 1]} {spec.version}",
        description=_description(project, spec),
        label_config=config,
        expert_instruction=instructions,
        show_instruction=True,
        enable_empty_annotation=True,
        sampling="Sequential sampling",
        maximum_annotations=annotators,
    )
    return replace(project, number=made.id)


def _bring_up_to_date(
    client: LabelStudio,
    server: Server,
    project: Project,
    spec: Capability,
    config: str,
    instructions: str,
    restore: bool,
) -> Project:
    """One request changes interface, instructions and marker, so that a crash leaves all or none of them changed."""
    there = client.projects.get(project.number)
    edited = _digest(there.label_config) != project.interface
    command = _SENT_BY[project.kind].format(spec.id)
    if edited and not restore and _controls(there.label_config) != _controls(config):
        raise InputError(
            f"the labelling interface of {spec.id} was edited by hand, and its labels would be others",
            where=f"{server.url}/projects/{project.number}/settings/labeling",
            fix=f"Put ours back with `curate label {command} --restore-interface`, or change the capability",
        )
    new = replace(project, spec_version=spec.version, interface=_digest(config), instructions=_digest(instructions))
    if new != project or (edited and restore):
        client.projects.update(
            project.number,
            description=_description(new, spec),
            label_config=config,
            expert_instruction=instructions,
        )
    return new


def _record(catalog: Catalog, server: Server, project: Project, spec: Capability) -> None:
    rows = catalog.history("label_projects").filter(pl.col("project") == project.uid).sort("since").tail(1).collect()
    if rows["spec_version"].to_list() == [spec.version]:
        return
    row = {
        "project": project.uid,
        "server": server.url,
        "number": project.number,
        "kind": project.kind,
        "capability": spec.id,
        "spec_version": spec.version,
        "guideline": json.dumps(spec.guideline, sort_keys=True),
        "since": datetime.now(UTC),
    }
    catalog.write("label_projects", [row], run_id=new_run_id("label-project"))


def _description(project: Project, spec: Capability) -> str:
    marker = (
        f"[curate kind={project.kind} capability={project.capability} spec={project.spec_version}"
        f" interface={project.interface} instructions={project.instructions} id={project.uid}]"
    )
    return f"{spec.title}. {spec.why}\n\n{marker}"


def _digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def _controls(config: str) -> set[tuple[str, ...]]:
    """What decides which labels an interface makes: its controls and the values that each offers."""
    found = set()
    for control in ElementTree.fromstring(config).iter():
        if control.get("toName"):
            values = sorted(part.get("alias", part.get("value", "")) for part in control.iter() if part is not control)
            found.add((control.tag, control.get("name", ""), control.get("perRegion", ""), *values))
        elif control.tag == "Video":
            found.add((control.tag, control.get("name", ""), control.get("value", ""), control.get("frameRate", "")))
    return found
