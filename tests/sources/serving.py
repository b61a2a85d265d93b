"""A web server on this machine that behaves as badly as it is told to."""

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Site:
    """What is served, and what was asked for.

    Attributes:
        files: content by path.
        etags: sent with a file, and compared with If-Range; none where it is missing.
        answers: for paths that need more than a file.
        cut_after: bytes of a body after which the connection is lost, one taken for each request of a path.
        asked: (path, Range header) of each request, in order.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    etags: dict[str, str] = field(default_factory=dict)
    answers: dict[str, Answer] = field(default_factory=dict)
    cut_after: dict[str, list[int]] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    server: ThreadingHTTPServer = field(init=False)

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"


@contextmanager
def serving(site: Site, host: str = "127.0.0.1") -> Iterator[Site]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            site.asked.append((self.path, self.headers.get("Range")))
            if self.path in site.answers:
                site.answers[self.path](self)
            elif self.path in site.files:
                send_file(self, site)
            else:
                self.send_error(404)
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

    server = site.server = Server((host, 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()


def send_file(handler: BaseHTTPRequestHandler, site: Site) -> None:
    """Whole or from a byte on, as `Range` and `If-Range` ask; cut off where the site says so."""
    content, etag = site.files[handler.path], site.etags.get(handler.path)
    ranged = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
    same = etag is not None and handler.headers.get("If-Range") == etag
    start = int(ranged[1]) if ranged and same else 0
    handler.send_response(206 if start else 200)
    handler.send_header("Content-Length", str(len(content) - start))
    if start:
        handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
    if etag:
        handler.send_header("ETag", etag)
    handler.end_headers()
    cuts = site.cut_after.get(handler.path)
    body = content[start:]
    handler.wfile.write(body[: cuts.pop(0)] if cuts else body)


def redirect(location: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", location)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def status(code: int, **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in {"Content-Length": "0", **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()

    return answer


def trickle(head: bytes) -> Answer:
    """Sends `head`, then a byte now and then for as long as somebody listens."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        try:
            handler.wfile.write(head)
            while True:
                handler.wfile.write(b"x")
                time.sleep(0.02)
        except OSError:
            pass

    return answer


def plain(head: str, body: bytes = b"") -> Answer:
    """Exactly these bytes."""
    return lambda handler: handler.wfile.write(head.replace("\n", "\r\n").encode() + body) and None
