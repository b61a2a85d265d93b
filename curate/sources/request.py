"""Opens a URL that nobody vouches for, without being led anywhere the team did not mean to go.

Only http and https; only addresses of the public internet, unless the source says `allow_private`. A name is resolved
once for each hop, every address it has is checked, and the connection goes to the checked address itself, with the
name in the Host header and in TLS (SNI and certificate): a resolver that changes its answer between check and use
(DNS rebinding) changes nothing. Redirects are followed here, one checked hop at a time, and never from https to http.
Proxies of the environment are not used. A watchdog hangs up at the deadline, so a server that sends a byte now and
then, in its headers or in the body, holds nobody.
"""

import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urljoin

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, LocationParseError
from urllib3.response import BaseHTTPResponse
from urllib3.util import Url, parse_url

from curate import __version__
from curate.errors import CurateError
from curate.specs.source import Download, checked_url

_REDIRECTS = (301, 302, 303, 307, 308)
_PASSING = (408, 425, 429, 500, 502, 503, 504)
"""Statuses after which the same request may succeed."""

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class DownloadError(CurateError):
    """A URL cannot be fetched. It becomes a `failed` outcome."""


class PassingError(DownloadError):
    """A URL cannot be fetched now: a connection is lost, a server overloaded. `wait_s` is what the server asks for."""

    def __init__(self, what: str, *, wait_s: float = 0.0) -> None:
        super().__init__(what)
        self.wait_s = wait_s


@contextmanager
def open_url(
    url: str,
    headers: Mapping[str, str],
    limits: Download,
    deadline_s: float,
    hosts: Collection[str] | None = None,
) -> Iterator[BaseHTTPResponse]:
    """The response to a GET of `url`, redirects followed; its status is below 300, or 416.

    Args:
        url: http(s).
        headers: sent with each hop.
        limits: timeouts, number of redirects, whether private addresses may be reached.
        deadline_s: of the monotonic clock; then the connection is cut, also while the caller reads.
        hosts: the only ones that may be asked, as `host_of` has them, redirected or not; any where None.

    Raises:
        DownloadError: it may not be reached, or answers with an error; PassingError where another try may help. Also
            in place of any error of the connection inside the `with`.
    """
    secure = False
    for _ in range(limits.redirects + 1):
        target = _target(url)
        if hosts is not None and _host_of(target) not in hosts:
            raise DownloadError(f"{shown(url)} is at a host that is not allowed")
        if secure and target.scheme != "https":
            raise DownloadError(f"redirected from https to {shown(url)}")
        secure = target.scheme == "https"
        with _response(target, headers, limits, deadline_s) as response:
            if response.status in _REDIRECTS:
                location = response.headers.get("Location")
                if not location:
                    raise DownloadError(f"answered {response.status} without saying where to")
                url = urljoin(url, location)
                continue
            _refuse_error(response)
            yield response
            return
    raise DownloadError(f"redirected more than {limits.redirects} times")


def host_of(url: str) -> str:
    """`host:port` of a URL, the port of its scheme where it names none.

    Raises:
        DownloadError: it is no http(s) URL with a host.
    """
    return _host_of(_target(url))


def _host_of(target: Url) -> str:
    return f"{target.host}:{target.port or (443 if target.scheme == 'https' else 80)}"


def shown(url: str) -> str:
    """A URL for tables and logs: its query may hold a signature or a token, and is left out."""
    plain, mark, _ = url.partition("?")
    scheme, slashes, rest = plain.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{slashes}{host.rpartition('@')[2]}{slash}{path}{mark and '?...'}"


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host, in the order of the system's resolver.

    Raises:
        OSError: it has none.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(where[0]) for *_, where in found))


def is_public(address: str) -> bool:
    """Whether an address is on the public internet, and so is every IPv4 address that it wraps.

    Private, loopback, link-local (cloud metadata), shared (CGNAT), multicast, reserved and documentation ranges
    are not.
    """
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.scope_id:
            return False
        inner = [ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())]
        if ip in _NAT64:
            inner.append(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF))
        wrapped = [one for one in inner if one is not None]
        if wrapped:
            return all(is_public(str(one)) for one in wrapped)
    return ip.is_global and not (ip.is_multicast or ip.is_reserved)


def _target(url: str) -> Url:
    try:
        checked_url(url)
        return parse_url(url)
    except (ValueError, LocationParseError) as error:
        raise DownloadError(f"{shown(url)}: {error}") from None


@contextmanager
def _response(
    target: Url, headers: Mapping[str, str], limits: Download, deadline_s: float
) -> Iterator[BaseHTTPResponse]:
    """One request, one answer, one connection."""
    left_s = deadline_s - time.monotonic()
    connection, hung_up = None, threading.Event()
    try:
        if left_s <= 0:
            raise TimeoutError
        connection = _connect(target, limits, left_s)
        # Held apart from the connection, which forgets its socket once the answer has begun.
        watchdog = threading.Timer(max(deadline_s - time.monotonic(), 0), _hang_up, (connection.sock, hung_up))
        watchdog.daemon = True
        watchdog.start()
        try:
            connection.request("GET", target.request_uri, headers=_headers(target, headers), preload_content=False)
            with connection.getresponse() as response:
                if not hung_up.is_set():
                    yield response
        finally:
            watchdog.cancel()
        # To the HTTP library headers or a body of no stated length that end early are simply short.
        if hung_up.is_set():
            raise TimeoutError
    except (HTTPError, http.client.HTTPException, OSError, ValueError) as error:
        if hung_up.is_set() or time.monotonic() >= deadline_s:
            raise DownloadError(f"took longer than {limits.timeout_s:g} s") from None
        raise PassingError(f"connection to {target.netloc} lost: {_reason(error)}") from error
    finally:
        if connection is not None:
            connection.close()


def _connect(target: Url, limits: Download, left_s: float) -> HTTPConnection:
    """A connection to one of the host's addresses, each of which is allowed."""
    host = (target.host or "").strip("[]")
    port = target.port or (443 if target.scheme == "https" else 80)
    try:
        addresses = resolve(host, port)
    except (OSError, UnicodeError) as error:
        kind = PassingError if getattr(error, "errno", None) == socket.EAI_AGAIN else DownloadError
        raise kind(f"no address for {host}: {_reason(error)}") from None
    refused = [address for address in addresses if not (limits.allow_private or is_public(address))]
    if refused:
        raise DownloadError(
            f"{host} leads to {refused[0]}, which is not a public address (`allow_private` would let it)"
        )
    lost: Exception = OSError("it has no address")
    for address in addresses:
        connection = _connection(target, host, address, port, min(limits.read_timeout_s, left_s))
        try:
            connection.connect()
            connection.timeout = limits.read_timeout_s
            return connection
        except ssl.SSLCertVerificationError as error:
            connection.close()
            raise DownloadError(f"the certificate of {host} is not valid: {error.verify_message}") from None
        except (HTTPError, OSError) as error:
            connection.close()
            lost = error
    raise PassingError(f"cannot connect to {target.netloc}: {_reason(lost)}") from lost


def _connection(target: Url, host: str, address: str, port: int, timeout_s: float) -> HTTPConnection:
    if target.scheme != "https":
        return HTTPConnection(address, port, timeout=timeout_s)
    context = ssl.create_default_context()
    return HTTPSConnection(address, port, timeout=timeout_s, server_hostname=host, ssl_context=context)


def _headers(target: Url, headers: Mapping[str, str]) -> dict[str, str]:
    host = target.netloc or ""
    own = {"Host": host, "User-Agent": f"curate/{__version__}", "Accept-Encoding": "identity", "Connection": "close"}
    return {**own, **headers}


def _hang_up(sock: socket.socket, hung_up: threading.Event) -> None:
    """Ends a connection that another thread reads from; the plain socket's call, which TLS does not wait on."""
    hung_up.set()
    with suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


def _refuse_error(response: BaseHTTPResponse) -> None:
    if response.status < 300 or response.status == 416:
        return
    what = f"the server answers {response.status} {http.client.responses.get(response.status, '')}".strip()
    if response.status in _PASSING:
        raise PassingError(what, wait_s=_retry_after_s(response.headers.get("Retry-After")))
    raise DownloadError(what)


def _retry_after_s(value: str | None) -> float:
    """Seconds to wait; the header holds them, or a date."""
    if not value:
        return 0.0
    with suppress(ValueError):
        return max(float(int(value)), 0.0)
    with suppress(ValueError, TypeError):
        return max((parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds(), 0.0)
    return 0.0


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).split(": ")[-1].strip() or type(error).__name__
