"""Label Studio tells `curate label serve` that somebody has annotated: a hint to pull, never the truth.

It sends within its own request, waits one second and never repeats, so hints get lost, and carry nothing but the name
of the capability. $CURATE_WEBHOOK_SECRET, in a header, says that a hint is Label Studio's; its users who may see a
project's settings can read it there.
"""

import hmac
import os
from urllib.parse import urlencode

from label_studio_sdk.client import LabelStudio

from labeling.secret import read_secret

WEBHOOK_SECRET = "CURATE_WEBHOOK_SECRET"
HEADER = "Authorization"
_ACTIONS = (
    "ANNOTATION_CREATED",
    "ANNOTATIONS_CREATED",
    "ANNOTATION_UPDATED",
    "ANNOTATIONS_DELETED",
    "TASKS_DELETED",
)


def is_wanted() -> bool:
    """Whether there is a secret for hints to carry."""
    return bool(os.environ.get(WEBHOOK_SECRET))


def webhook_secret() -> str:
    """The secret that hints carry.

    Raises:
        InputError: it is not set, or too short to be one.
    """
    return read_secret(WEBHOOK_SECRET, "tells hints of Label Studio from others")


def is_authentic(header: str | None) -> bool:
    """Whether a hint came with the secret."""
    return is_wanted() and hmac.compare_digest((header or "").encode(), _credential().encode())


def register(client: LabelStudio, project: int, capability: str, address: str) -> None:
    """Has a project send hints to the `curate label serve` at `address`; again, it changes nothing.

    Raises:
        InputError: there is no secret.
    """
    url = f"{address}/webhook?{urlencode({'capability': capability})}"
    wanted = {
        "url": url,
        "headers": {HEADER: _credential()},
        "actions": list(_ACTIONS),
        "send_for_all_actions": False,
        "send_payload": False,
        "is_active": True,
    }
    there = [hook for hook in client.webhooks.list(project=project) if hook.url == url and hook.project == project]
    if not there:
        client.webhooks.create(project=project, **wanted)
        return
    first, *more = there
    said = {name: getattr(first, name) for name in wanted}
    if {**said, "actions": sorted(said["actions"] or [])} != {**wanted, "actions": sorted(_ACTIONS)}:
        client.webhooks.update(first.id, **wanted)
    for hook in more:
        client.webhooks.delete(hook.id)


def _credential() -> str:
    return f"Bearer {webhook_secret()}"
