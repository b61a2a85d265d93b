"""Which videos a request may name: files below the roots, URLs at the allowed hosts, uploads. Nothing else.

What lies outside is refused in the same words whether it exists or not.
"""

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from curate.errors import CurateError, InputError
from curate.sources.request import DownloadError, host_of, shown

_HOST = re.compile(r"(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?P<port>:\d{1,5})?", re.IGNORECASE)


class RefusedError(CurateError):
    """The server may not open what a request names."""


@dataclass(frozen=True)
class Permitted:
    """What the operator has named.

    Attributes:
        roots: directories, resolved.
        hosts: as `sources.request.host_of` has them.
        private: whether those hosts may be at addresses that are not public.
    """

    roots: Sequence[Path] = ()
    hosts: frozenset[str] = frozenset()
    private: bool = False


def permitted(roots: Iterable[Path], hosts: Iterable[str], *, private: bool) -> Permitted:
    """What `--root` and `--allow-url` say: a host without a port is allowed at 80 and 443.

    Raises:
        InputError: a root is no directory, a host none.
    """
    found = []
    for root in roots:
        if not root.is_dir():
            raise InputError("no such directory", where=root, fix="Name one with --root")
        found.append(root.resolve())
    names: set[str] = set()
    for host in hosts:
        if not (read := _HOST.fullmatch(host)):
            fix = "Name one as example.org or example.org:8080"
            raise InputError(f"{host!r} is not a host", where="--allow-url", fix=fix)
        names |= {host_of(f"{scheme}://{host}") for scheme in (("http",) if read["port"] else ("http", "https"))}
    return Permitted(found, frozenset(names), private)


def permitted_file(name: str, may: Permitted) -> Path:
    """The file of a request's `path`, symbolic links resolved; a relative one is looked for in each root.

    Raises:
        RefusedError: it is outside the roots.
        InputError: it is below one, and not there.
    """
    outside = RefusedError("this path is outside what the server may open", where="video", fix=_named(may))
    try:
        below = [(root, (root / name).resolve()) for root in may.roots]
    except (OSError, RuntimeError, ValueError):
        raise outside from None
    inside = [path for root, path in below if path.is_relative_to(root)]
    if not inside:
        raise outside
    for path in inside:
        with suppress(OSError):
            if path.is_file():
                return path
    raise InputError(f"no such video: {name}", where="video")


def permitted_url(url: str, may: Permitted) -> str:
    """The URL, if it is at an allowed host.

    Raises:
        RefusedError: it is not.
        InputError: it is none.
    """
    try:
        host = host_of(url)
    except DownloadError as error:
        raise InputError(error.what, where="video") from None
    if host not in may.hosts:
        fix = f"Hosts: {', '.join(sorted(may.hosts))}" if may.hosts else "The server was started without --allow-url"
        raise RefusedError(f"{shown(url)} is at a host that is not allowed", where="video", fix=fix)
    return url


def _named(may: Permitted) -> str:
    return "Name one below its --root" if may.roots else "The server was started without --root"
