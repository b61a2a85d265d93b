"""A local S3 server that says who asked for what, refuses strangers, and can be told to fail."""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

import boto3
import httpx
import pytest
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server
from werkzeug.wrappers import Response

BUCKET = "mixes"
Answer = Callable[[dict[str, Any]], Response | None]


@dataclass
class Store:
    """The server.

    Attributes:
        url: where it is.
        key, secret: of the one user.
        puts: keys of objects that were asked to be stored.
        gets: key and Range header of objects that were asked for.
        answer: what is said to a request in the server's place, if anything.
    """

    url: str = ""
    key: str = ""
    secret: str = ""
    puts: list[str] = field(default_factory=list)
    gets: list[tuple[str, str]] = field(default_factory=list)
    answer: Answer = lambda _: None

    def log_in(self, patch: pytest.MonkeyPatch, secret: str | None = None) -> None:
        """Credentials as a consumer has them: in the environment alone."""
        patch.setenv("AWS_ACCESS_KEY_ID", self.key)
        patch.setenv("AWS_SECRET_ACCESS_KEY", secret or self.secret)
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    def keys(self) -> dict[str, int]:
        """Bytes of each object."""
        client = boto3.client(
            "s3", endpoint_url=self.url, aws_access_key_id=self.key, aws_secret_access_key=self.secret,
            region_name="us-east-1",
        )  # fmt: skip
        listed = client.list_objects_v2(Bucket=BUCKET).get("Contents", [])
        return {each["Key"]: each["Size"] for each in listed}

    def _application(self, inner: Callable[..., Any]) -> Callable[..., Any]:
        def application(environ: dict[str, Any], start: Callable[..., Any]) -> Any:
            said = self.answer(environ)
            if said is not None:
                return said(environ, start)
            path = environ["PATH_INFO"].removeprefix(f"/{BUCKET}/")
            if environ["REQUEST_METHOD"] == "PUT" and environ["PATH_INFO"] != path:
                self.puts.append(path)
            elif environ["REQUEST_METHOD"] == "GET" and environ["PATH_INFO"] != path and path:
                self.gets.append((path, environ.get("HTTP_RANGE", "")))
            return inner(environ, start)

        return application


@contextmanager
def serving() -> Iterator[Store]:
    """A server with one bucket and one user who may use it; whoever does not sign as that user is refused."""
    store = Store()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server(
        "127.0.0.1", 0, store._application(DomainDispatcherApplication(create_backend_app)), threaded=True
    )
    store.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        anyone = {"endpoint_url": store.url, "region_name": "us-east-1"}
        anyone |= {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
        httpx.post(f"{store.url}/moto-api/reset")
        boto3.client("s3", **anyone).create_bucket(Bucket=BUCKET)
        users = boto3.client("iam", **anyone)
        users.create_user(UserName="curator")
        allowed = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
        users.put_user_policy(UserName="curator", PolicyName="all", PolicyDocument=json.dumps(allowed))
        made = users.create_access_key(UserName="curator")["AccessKey"]
        store.key, store.secret = made["AccessKeyId"], made["SecretAccessKey"]
        httpx.post(f"{store.url}/moto-api/reset-auth", content="0")
        yield store
    finally:
        httpx.post(f"{store.url}/moto-api/reset-auth", content="inf")
        server.shutdown()
        thread.join()


def failing_after(store: Store, puts: int, then: Callable[[], Response | None]) -> Answer:
    """An answer that lets so many objects in, and then says something else to each that comes."""
    first = len(store.puts)

    def answer(environ: dict[str, Any]) -> Response | None:
        is_put = environ["REQUEST_METHOD"] == "PUT" and environ["PATH_INFO"].startswith(f"/{BUCKET}/")
        return then() if is_put and len(store.puts) - first >= puts else None

    return answer


def full() -> Response:
    """What a store says that has no room."""
    return Response("<Error><Code>QuotaExceeded</Code><Message>no room</Message></Error>", 403, mimetype="text/xml")


def bytes_of(directory: Path) -> bytes:
    """All that is in a directory's files."""
    return b"\n".join(path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file())
