"""Tasks of a project on the server: found by key or by condition, never lost or seen twice while others change."""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from label_studio_sdk.client import LabelStudio

from labeling.projects import Project

T = TypeVar("T")
Condition = dict[str, Any]

_PAGE_TASKS = 500
_QUERY_KEYS = 300
"""Keys in one look-up: the query travels in the URL, and over 64 KiB the client refuses it."""
_DELETED_TASKS = 500
_COLUMNS = "id,data,overlap,annotations_ids,draft_exists,predictions_model_versions"


@dataclass(frozen=True)
class Task:
    """A task as the server has it.

    Attributes:
        annotators: how many are to label it.
        touched: somebody has annotated or skipped it, or has a draft of it.
        models: whose predictions it has.
    """

    number: int
    data: dict[str, Any]
    annotators: int
    touched: bool
    models: list[str]


def by_key(client: LabelStudio, project: Project, keys: Sequence[str]) -> dict[str, list[Task]]:
    """The tasks with these `data.key`, oldest first; a key without one is missing."""
    found: dict[str, list[Task]] = defaultdict(list)
    for some in batches(keys, _QUERY_KEYS):
        for page in pages(client, project, [condition("data.key", "in_list", "String", some)], _COLUMNS):
            for task in page:
                found[task.data["key"]].append(_task(task))
    return dict(found)


def untouched(client: LabelStudio, project: Project) -> Iterator[Task]:
    """The tasks that nobody has begun."""
    for page in pages(client, project, UNANSWERED, _COLUMNS):
        yield from (task for task in map(_task, page) if not task.touched)


def delete_untouched(client: LabelStudio, project: Project, numbers: Sequence[int]) -> None:
    """Deletes those of these tasks that nobody has annotated in the meantime."""
    for some in batches(numbers, _DELETED_TASKS):
        client.actions.create(
            id="delete_tasks",
            project=project.number,
            request_options={
                "additional_body_parameters": {
                    "filters": {"conjunction": "and", "items": UNANSWERED},
                    "selectedItems": {"all": False, "included": some},
                }
            },
        )


def condition(column: str, operator: str, kind: str, value: Any) -> Condition:
    """A condition on a column of a task, as Label Studio's data manager has them."""
    return {"filter": f"filter:tasks:{column}", "operator": operator, "type": kind, "value": value}


def pages(
    client: LabelStudio, project: Project, conditions: Sequence[Condition], columns: str, after: int = 0
) -> Iterator[list[Any]]:
    """The tasks that meet all `conditions`, in the order of their ids, from the one behind `after` on.

    Pages by number would miss some when others change in between.
    """
    while True:
        items = [*conditions, condition("id", "greater", "Number", after)]
        page = client.tasks.list(
            project=project.number,
            query=json.dumps({"filters": {"conjunction": "and", "items": items}, "ordering": ["tasks:id"]}),
            fields="all",
            include=columns,
            resolve_uri=False,
            page_size=_PAGE_TASKS,
        ).items
        if page:
            yield page
        if len(page) < _PAGE_TASKS:
            return
        after = page[-1].id


def count(client: LabelStudio, project: int, conditions: Sequence[Condition]) -> int:
    """How many tasks of the project with this number meet all `conditions`."""
    query = json.dumps({"filters": {"conjunction": "and", "items": list(conditions)}})
    page = client.tasks.list(
        project=project, query=query, fields="task_only", include="id", resolve_uri=False, page_size=1
    )
    total: int = page.response.total
    return total


def batches(items: Sequence[T], size: int) -> Iterator[list[T]]:
    queue = iter(items)
    while batch := list(islice(queue, size)):
        yield batch


def _task(task: Any) -> Task:
    models = [name.strip() for name in (task.predictions_model_versions or "").split(",")]
    return Task(task.id, task.data, task.overlap, bool(task.annotations_ids or task.draft_exists), models)


UNANSWERED = [condition(counter, "equal", "Number", 0) for counter in ("total_annotations", "cancelled_annotations")]
"""Of a task that nobody has annotated or skipped; somebody may have a draft of it."""
