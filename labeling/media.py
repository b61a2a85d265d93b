"""Where annotators' browsers get clips from: Label Studio itself, `curate label serve`, or an S3 bucket.

`media:` in configs/labeling.yaml chooses. What is secret comes from the environment alone: $CURATE_MEDIA_SECRET signs
links to `curate label serve`, and $AWS_ACCESS_KEY_ID and its kin open the bucket, here and in Label Studio, which signs
its own links to what lies there.
"""

import hashlib
import hmac
import json
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit

import httpx
from label_studio_sdk.client import LabelStudio

from curate.errors import CurateError, InputError
from curate.workspace import Workspace
from labeling import webhook
from labeling.client import Server
from labeling.proxies import Proxy, directory
from labeling.secret import read_secret

MEDIA_SECRET = "CURATE_MEDIA_SECRET"
NOT_HERE = "this clip is not here: push again to cut it"
"""What `curate label serve` says of a good link to a clip that it has not."""
_DAY_S = 86_400
_RENEWED_SHARE = 1 / 3
"""A link is renewed when less than this of its time is left."""
_THREADS = 8
_NEVER_SYNCED = "a^"
"""Matches no file. Were clips synchronised as Label Studio means it, each would become a task."""


class Media(Protocol):
    """One way of serving clips."""

    def task_data(self, name: str) -> dict[str, Any]:
        """What of a task's data says where the proxy `name` is: `video`, and what it takes to renew that."""

    def check(self) -> None:
        """Looks, before anything is sent, whether clips can be served.

        Raises:
            InputError, CurateError: they cannot.
        """

    def attach(self, client: LabelStudio, project: int, capability: str) -> None:
        """Lets a project show clips; again, it changes nothing."""

    def publish(self, proxies: Iterable[Proxy]) -> None:
        """Brings proxies to where they are served from, if they are not there."""

    def renew(self, client: LabelStudio, project: int) -> int:
        """Renews links in tasks of a project that end soon; how many tasks were changed. One request if none do."""


def media(workspace: Workspace, server: Server) -> Media:
    """How clips of this workspace are served to annotators of `server`.

    Raises:
        InputError: a secret is missing.
    """
    settings = workspace.labeling()
    kind = urlsplit(settings.media).scheme
    if kind == "s3":
        return _Bucket(directory(workspace), settings.media.rstrip("/"), settings.s3_endpoint)
    if kind:
        return _Signed(settings.media.rstrip("/"), media_secret(), settings.link_days)
    return _Studio(directory(workspace), server)


def media_secret() -> str:
    """The secret that signs links.

    Raises:
        InputError: it is not set, or too short to be one.
    """
    return read_secret(MEDIA_SECRET, "signs the links to clips")


def signed_query(secret: str, name: str, until: int) -> str:
    """What comes after `?` in a link to the proxy `name` that is good `until` a Unix time."""
    return urlencode({"until": until, "signature": _signature(secret, name, until)})


def is_signed(secret: str, name: str, until: str, signature: str) -> bool:
    """Whether a link is ours and still good."""
    if not (until.isascii() and until.isdigit() and len(until) <= 12):
        return False
    ours = hmac.compare_digest(signature.encode(), _signature(secret, name, int(until)).encode())
    return ours and time.time() < int(until)


def _signature(secret: str, name: str, until: int) -> str:
    return hmac.new(secret.encode(), f"{until}\n{name}".encode(), hashlib.sha256).hexdigest()


@dataclass(frozen=True)
class _Studio:
    """The workspace's own Label Studio, which reads the files of this machine."""

    files: Path
    server: Server

    def task_data(self, name: str) -> dict[str, Any]:
        return {"video": f"/data/local-files/?d={self.files.name}/{name}"}

    def check(self) -> None:
        if not self.server.pid:
            raise InputError(
                "this Label Studio cannot read the clips, which are files of this workspace",
                where=self.server.url,
                fix="Say in configs/labeling.yaml where they are served from: `media: https://...` with `curate label "
                "serve` behind it, or `media: s3://...`; or unset LABEL_STUDIO_URL and use `curate label up`",
            )

    def attach(self, client: LabelStudio, project: int, capability: str) -> None:
        storages = client.import_storage.local
        if str(self.files) not in {storage.path for storage in storages.list(project=project)}:
            storages.create(
                project=project, path=str(self.files), use_blob_urls=True, title="clips", regex_filter=_NEVER_SYNCED
            )

    def publish(self, proxies: Iterable[Proxy]) -> None:
        """They are where they were cut."""

    def renew(self, client: LabelStudio, project: int) -> int:
        return 0


@dataclass(frozen=True)
class _Signed:
    """`curate label serve`, at an address that annotators' browsers reach."""

    address: str
    secret: str
    days: int

    def task_data(self, name: str) -> dict[str, Any]:
        # To the day, so that links made on one day are equal and browsers keep what they have.
        until = (int(time.time()) // _DAY_S + 1 + self.days) * _DAY_S
        return {"video": f"{self.address}/clips/{name}?{signed_query(self.secret, name, until)}", "video_until": until}

    def check(self) -> None:
        try:
            reply = httpx.get(self.task_data("none")["video"], timeout=10)
        except httpx.TransportError as error:
            raise CurateError(
                f"nothing serves the clips there ({type(error).__name__})",
                where=self.address,
                fix="Start `curate label serve`, or change `media` in configs/labeling.yaml",
            ) from None
        if reply.status_code == 403:
            fix = f"Start `curate label serve` and push with the same ${MEDIA_SECRET}"
            raise InputError("the server of clips refuses our links", where=self.address, fix=fix)
        if reply.text.strip() != NOT_HERE:
            fix = "`media` in configs/labeling.yaml must be the address of `curate label serve`"
            raise InputError(f"is no server of clips (it answered {reply.status_code})", where=self.address, fix=fix)

    def attach(self, client: LabelStudio, project: int, capability: str) -> None:
        if webhook.is_wanted():
            webhook.register(client, project, capability, self.address)

    def publish(self, proxies: Iterable[Proxy]) -> None:
        """`curate label serve` reads them where they were cut."""

    def renew(self, client: LabelStudio, project: int) -> int:
        due = int(time.time() + _RENEWED_SHARE * self.days * _DAY_S)
        tasks = list(_linked(client, project, {"operator": "less", "type": "Number", "value": due}))
        with ThreadPoolExecutor(_THREADS) as pool:
            for done in [pool.submit(self._renew, client, task) for task in tasks]:
                done.result()
        return len(tasks)

    def _renew(self, client: LabelStudio, task: Any) -> None:
        name = urlsplit(task.data["video"]).path.partition("/clips/")[2]
        client.tasks.update(str(task.id), data={**task.data, **self.task_data(name)})


@dataclass(frozen=True)
class _Bucket:
    """An S3 bucket, whose objects Label Studio hands to browsers by links that it signs itself."""

    files: Path
    address: str
    endpoint: str | None

    def task_data(self, name: str) -> dict[str, Any]:
        return {"video": f"{self.address}/{name}"}

    def check(self) -> None:
        with self._opened() as store:
            store.pipe_file(f"{self.address}/about.txt", b"Clips for annotators, by curate.\n")

    def attach(self, client: LabelStudio, project: int, capability: str) -> None:
        bucket, prefix = urlsplit(self.address).netloc, urlsplit(self.address).path.strip("/")
        storages = client.import_storage.s3
        for storage in storages.list(project=project):
            if (storage.bucket, storage.prefix or "") == (bucket, prefix):
                if storage.s3endpoint != self.endpoint:
                    storages.update(storage.id, s3endpoint=self.endpoint)
                return
        storages.create(
            project=project,
            bucket=bucket,
            prefix=prefix,
            use_blob_urls=True,
            presign=True,
            presign_ttl=24 * 60,
            title="clips",
            regex_filter=_NEVER_SYNCED,
            s3endpoint=self.endpoint,
        )

    def publish(self, proxies: Iterable[Proxy]) -> None:
        with self._opened() as store, ThreadPoolExecutor(_THREADS) as pool:
            for done in [pool.submit(self._put, store, proxy.name) for proxy in proxies]:
                done.result()

    def renew(self, client: LabelStudio, project: int) -> int:
        return 0

    def _put(self, store: Any, name: str) -> None:
        if not store.exists(f"{self.address}/{name}"):
            store.put_file(str(self.files / name), f"{self.address}/{name}")

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        try:
            from botocore.exceptions import BotoCoreError
            from s3fs import S3FileSystem
        except ImportError:
            fix = "Install it: `pip install 'curate[s3]'`"
            raise InputError("clips on S3 need an extra that is not installed", where=self.address, fix=fix) from None
        try:
            yield S3FileSystem(endpoint_url=self.endpoint, use_listings_cache=False, skip_instance_cache=True)
        except (OSError, BotoCoreError) as error:
            raise InputError(
                f"the bucket cannot be used: {' '.join(str(error).split())}",
                where=self.address,
                fix="Check `media` and `s3_endpoint` in configs/labeling.yaml, and AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY in the environment",
            ) from None


def _linked(client: LabelStudio, project: int, condition: dict[str, Any]) -> Iterator[Any]:
    """Tasks whose link ends within `condition`."""
    query = {"filters": {"conjunction": "and", "items": [{"filter": "filter:tasks:data.video_until", **condition}]}}
    yield from client.tasks.list(
        project=project,
        query=json.dumps(query),
        fields="task_only",
        include="id,data",
        resolve_uri=False,
        page_size=1000,
    )
