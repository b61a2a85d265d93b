"""Which project of Label Studio belongs to which version of a capability.

A marker in the project's description says so, because anyone may rename a project. It also carries a random id, so
that labels keep their names when servers are replaced and count their projects from 1 again.
"""

import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from label_studio_sdk.client import LabelStudio

from curate.specs import Capability
from labeling.client import Server
from labeling.interface import instructions, labelling_config

_MARKER = re.compile(r"\[curate capability=(?P<capability>\w+) spec=(?P<version>\w+) id=(?P<uid>\w+)\]")
_TITLE_CHARACTERS = 50


@dataclass(frozen=True)
class Project:
    """A project on the server. `uid` is ours and unique everywhere; `number` is the server's."""

    number: int
    uid: str
    capability: str
    spec_version: str

    def url(self, server: Server) -> str:
        return f"{server.url}/projects/{self.number}/data"


def find_projects(client: LabelStudio) -> list[Project]:
    """Every project on the server that a push has made, oldest first."""
    found = []
    for project in client.projects.list(page_size=100, include="id,description"):
        marker = _MARKER.search(project.description or "")
        if marker:
            found.append(Project(project.id, marker["uid"], marker["capability"], marker["version"]))
    return sorted(found, key=lambda project: project.number)


def open_project(client: LabelStudio, spec: Capability, media: Path | None) -> Project:
    """The project of this version of `spec`, made if it is missing.

    Args:
        media: the directory that the server may serve to annotators; None where it does not serve them.
    """
    same = (
        project
        for project in find_projects(client)
        if (project.capability, project.spec_version) == (spec.id, spec.version)
    )
    project = next(same, None) or _create(client, spec)
    if not client.views.list(project=project.number):
        client.views.create(project=project.number, data={"title": "Default", "type": "list", "target": "tasks"})
    if media and str(media) not in {item.path for item in client.import_storage.local.list(project=project.number)}:
        client.import_storage.local.create(project=project.number, path=str(media), use_blob_urls=True)
    return project


def _create(client: LabelStudio, spec: Capability) -> Project:
    uid = secrets.token_hex(6)
    made = client.projects.create(
        title=f"{spec.id[: _TITLE_CHARACTERS - len(spec.version) - 1]} {spec.version}",
        description=f"{spec.title}. {spec.why}\n\n[curate capability={spec.id} spec={spec.version} id={uid}]",
        label_config=labelling_config(spec),
        expert_instruction=instructions(spec),
        show_instruction=True,
        enable_empty_annotation=True,
    )
    return Project(made.id, uid, spec.id, spec.version)
