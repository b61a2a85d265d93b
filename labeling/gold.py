"""Gold: clips whose answer a review has settled, sent again among the others to measure annotators.

A task is known by a key that looks random. The ordinary task of a clip has the key of its project and clip; a gold
task has that of the order that asked for it as well. So we can tell them apart by computing the key, an annotator
cannot, and an order that is sent twice asks its gold once. Answers to gold are labels of purpose "gold" (never in
force); `curate.review.annotators` holds them against the review.
"""

import random
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from curate.catalog import Catalog
from curate.identity import work_key
from curate.review.annotators import gold_clips
from curate.specs import Capability
from labeling.projects import Project

T = TypeVar("T")


def task_key(project: Project, clip_id: str, order_id: str = "") -> str:
    """The identity of a task, 16 hex digits: of the clip's ordinary one, or of its gold one for an order."""
    return work_key("task", project.uid, clip_id, order_id)


def is_gold(project: Project, data: dict[str, Any]) -> bool:
    """Whether a task with `data` asks what is known. A task without a key is of before there was gold."""
    return data.get("key", task_key(project, data["clip_id"])) != task_key(project, data["clip_id"])


def gold_keys(
    catalog: Catalog,
    spec: Capability,
    project: Project,
    order_id: str,
    ordered: Sequence[str],
    there: Callable[[list[str]], set[str]],
) -> dict[str, str]:
    """The gold that is still to be sent with an order: `quality.gold` of its clips, as far as reviews have settled any.

    Args:
        ordered: the clips of the order, sent or not. One that is asked in earnest is not asked as gold beside it.
        there: which of these keys the project has tasks of.

    Returns:
        key -> clip_id.
    """
    wanted = round(spec.quality.gold * len(ordered))
    if not wanted:
        return {}
    settled = gold_clips(catalog, spec, None, seed=int(order_id, 16) if order_id else 0)
    keys = {task_key(project, clip_id, order_id): clip_id for clip_id in settled if clip_id not in set(ordered)}
    sent = there(list(keys))
    missing = [key for key in keys if key not in sent][: max(wanted - len(sent), 0)]
    return {key: keys[key] for key in missing}


def mixed(tasks: Sequence[T], gold: Sequence[T], seed: str) -> list[T]:
    """All of both: `tasks` in their order, `gold` at random places among them."""
    places = random.Random(seed)
    found = list(tasks)
    for item in gold:
        found.insert(places.randint(0, len(found)), item)
    return found
